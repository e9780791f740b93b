"""What the tests of retraining share: settings that let a tiny cycle end in seconds, and answers to compare."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from flows.candidates.training_settings import TrainingSettings
from flows.retraining.cycle_config import CycleSettings
from flows.retraining.gate_trial import TrialSettings
from prep.store.workspace import Workspace
from retrieve.experience.log import LOG_NAME, ExperienceLog
from retrieve.report.data import Usage
from retrieve.report.report import Report
from retrieve.researcher import Researcher
from training.data.gate_set import GateSetConfig
from training.evaluation.promotion_gate import GateConfig

# So many minutes that the clock has no part in the learning rate: the same data gives the same weights.
UNTIMED = 1e12

#: What refuses tiny models, which learn nothing.
STRICT = CycleSettings(
    training=TrainingSettings(
        n_examples=20,
        n_generated=0,
        held_out_every=4,
        minutes=UNTIMED,
        prep_epochs=1,
        prep_pages=1,
        vector_epochs=2,
    ),
    gate_set=GateSetConfig(held_out_every=4, n_questions=12),
    trials=TrialSettings(n_answers=6, withhold_every=3, progress=False),
    gate=GateConfig(min_questions=1, min_documents=1, n_resamples=50),
)
#: What lets every candidate through.
LENIENT = replace(STRICT, gate=replace(STRICT.gate, least_gain=-1.0, most_fall=1.0, quick_s=1000.0))

#: A cycle of the retrieve model that ends in seconds, as retrain.toml says it.
TOML = """
kinds = ["retrieve"]
[training]
n_examples = 20
n_generated = 0
held_out_every = 4
[gate_set]
held_out_every = 4
n_questions = 12
[trials]
n_answers = 6
withhold_every = 3
progress = false
"""


def answers(workspace: Workspace, questions: list[str]) -> list[dict[str, Any]]:
    """Ask, and return the reports without their ids and times."""
    with Researcher.open(workspace.path, log=False) as researcher:
        reports = [report.to_dict() for report in researcher.ask_many(questions, deadline_s=60.0)]
    for report in reports:
        del report["id"], report["created"], report["usage"]["seconds"]
    return reports


def log_questions(workspace: Workspace, questions: list[str], asked: datetime) -> None:
    """Put questions into the experience log, as if they had been asked then and nothing had been found."""
    log = ExperienceLog(workspace.path / LOG_NAME)
    for question in questions:
        name = f"{asked:%Y%m%d%H%M%S}-{question}"
        created = asked.isoformat(timespec="seconds")
        assert log.record(
            Report(name, question, None, True, [], [question], [], Usage(9, 4, 1, 0.1), created)
        )
