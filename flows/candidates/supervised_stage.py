"""The supervised stage of a retrieve candidate: traces of right reports, and abstention as often as before.

The model already answers most synthetic questions: refusals that it does not give yet, beside these, teach it to refuse
everything harder (LOG.md, 2026-11-28), and there is little to learn. With feedback examples
(`flows.candidates.feedback_data`) the stage trains faster and for longer, and near misses and withheld evidence are
among the traces (LOG.md, 2026-11-29).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.candidates.candidate_folder import fresh_folder
from flows.candidates.dataset_folder import Dataset
from flows.candidates.question_sets import limit_cloze
from flows.candidates.stage import RetrieveRun, StageResult
from flows.candidates.training_settings import TrainingSettings
from prep.errors import DataError
from training.data.dataset import FROM_LOG, Question, load_set

if TYPE_CHECKING:
    from pathlib import Path

    from retrieve.model import ServingConfig
    from training.data.passage_pool import PassagePool
    from training.traces.traces import Trace, TraceConfig

__all__ = [
    "calibrated_serving",
    "calibration_examples",
    "configure",
    "has_several_findings",
    "traces_of",
    "train",
]

# The threshold of abstention is matched on at most so many questions (`abstention_calibration`). One feedback example
# in six is kept for it and not trained on: a model refuses questions that it was trained on more readily than others
# where their evidence is missing (LOG.md, 2026-11-30).
_CALIBRATION, _CALIBRATION_EVERY, _FEWEST_CALIBRATION = 64, 6, 8
# Without feedback examples, and with them: they are few, and two passes tell answers from refusals better (LOG.md).
_RATE, _RATE_WITH_FEEDBACK = 1e-4, 3e-4
_EPOCHS, _EPOCHS_WITH_FEEDBACK = 1.0, 2.0
# With feedback examples: of the traces' questions, and of those in a pack.
_WITHHELD, _NEAR_MISSES = 0.15, 0.25


def configure(start: Path, serving: ServingConfig, settings: TrainingSettings, dataset: Dataset) -> Any:
    """Return the stage's settings."""
    from training.retrieve_model.supervised_config import SupervisedConfig

    with_feedback = dataset.n_feedback_examples > 0
    return SupervisedConfig(
        learning_rate=_RATE_WITH_FEEDBACK if with_feedback else _RATE,
        n_epochs=_EPOCHS_WITH_FEEDBACK if with_feedback else _EPOCHS,
        warmup_steps=5,
        lengths=(256, 384, 512, 768, 1280),
        batch_tokens=2048,
        evaluate_every=10**9,
        compile="never",
        packed=True,
    )


def train(run: RetrieveRun, config: Any) -> StageResult:
    """Train, and write the version. Raises DataError where no trace could be built."""
    from retrieve.lm.adapter import stack_adapters
    from retrieve.model import ADAPTER, RetrieveModel
    from training.retrieve_model.supervised import train_supervised

    seed = run.settings.seed
    calibration = calibration_examples(run.training.questions, seed)
    questions = [question for question in run.training.questions if question not in calibration]
    with_feedback = run.dataset.n_feedback_examples > 0
    traces = traces_of(questions, run.pool, with_feedback=with_feedback, seed=seed)
    model = RetrieveModel.load(run.start)
    result = train_supervised(
        model.model,
        model.tokenizer,
        traces,
        run.folder,
        config,
        stop_after_s=run.allowed_s,
        on_progress=lambda row: run.report_progress(row["seconds"]),
    )
    fresh_folder(run.draft)
    adapter = run.draft / ADAPTER
    stack_adapters(run.start / ADAPTER, result.adapter, adapter, interpolation=run.settings.interpolation)
    run.save(adapter, run.serving, result.n_steps)  # with the old threshold, to be compared
    if not calibration:
        synthetic = [*load_set(run.dataset.held_out).questions, *questions]
        # Cloze questions last: nobody asks like that.
        calibration = sorted(synthetic, key=lambda question: question.kind == "cloze")[:_CALIBRATION]
    serving = calibrated_serving(run.start, run.draft, calibration, run.pool, run.serving, seed)
    version = run.save(adapter, serving, result.n_steps)
    return StageResult(version=version, seconds=result.seconds, metrics={}, curves=("loss",))


def calibration_examples(questions: Sequence[Question], seed: int) -> list[Question]:
    """Return the feedback examples that calibrate abstention instead of being trained on; none where there are few.

    Drawn from all of them alike, new and old.
    """
    examples = [question for question in questions if question.source == FROM_LOG]
    n_drawn = min(_CALIBRATION, len(examples) // _CALIBRATION_EVERY)
    if n_drawn < _FEWEST_CALIBRATION:
        return []
    return random.Random(f"{seed}/spared").sample(examples, n_drawn)


def calibrated_serving(
    start: Path,
    draft: Path,
    questions: Sequence[Question],
    pool: PassagePool,
    serving: ServingConfig,
    seed: int,
) -> ServingConfig:
    """Return the settings with which the version in `draft` abstains as often as the one in `start`.

    At most on seven of eight questions (`training.retrieve_model.abstention_calibration`). The bias after a second
    retrieval moves by as much.
    """
    from retrieve.model import RetrieveModel
    from training.retrieve_model.abstention_calibration import (
        abstention_margins,
        matched_bias,
        withheld_prompts,
    )

    prompts = withheld_prompts(questions, pool, serving.episode, seed=seed)
    before, after = (abstention_margins(RetrieveModel.load(folder), prompts) for folder in (start, draft))
    matched = matched_bias(before, serving.abstention_bias, after)
    again = serving.abstention_bias_after_search
    if again is not None:
        again += matched - serving.abstention_bias
    return replace(serving, abstention_bias=matched, abstention_bias_after_search=again)


def traces_of(
    questions: Sequence[Question], pool: PassagePool, *, with_feedback: bool, seed: int
) -> list[Trace]:
    """Return episodes over the chunks that are served, so that training reads what serving shows.

    with_feedback: some questions are feedback examples. Questions on the same passages are packed as well, twice each
    on average. Documents that the data set lacks are not shown: those of the gate set, and those that changed since it
    was made. Raises DataError.
    """
    from training.traces.packed_examples import PackedExampleConfig, build_packed_traces
    from training.traces.traces import TraceConfig, build_traces

    withheld, none_share = (_WITHHELD, _NEAR_MISSES) if with_feedback else (0.0, 0.0)
    plain = TraceConfig(withheld_share=withheld, seed=seed)
    questions = limit_cloze(questions)
    traces: list[Trace] = []
    refused: Counter[str] = Counter()
    for config in (plain, replace(plain, several=True)):
        some = [question for question in questions if has_several_findings(question, plain) is config.several]
        single, counts = build_traces(some, pool, config)
        refused += counts.refused
        traces += single
        if single:
            packing = PackedExampleConfig(traces=replace(config, most_passages=4), none_share=none_share)
            traces += build_packed_traces(some, pool, packing, n=2 * len(some))[0]
    if not traces:
        raise DataError(f"no sound trace could be built: {dict(refused)}")
    return traces


def has_several_findings(question: Question, config: TraceConfig) -> bool:
    """Whether the answer is findings in the words of the evidence.

    So where a report of several findings helped, or where the answer is too long to be copied.
    """
    from training.traces.traces import target_answer

    if not question.answerable:
        return False
    several = len(question.evidence) > 1 and len(question.statements) > 1
    return several or not target_answer(question, config)
