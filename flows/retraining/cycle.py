"""A retraining cycle: from the corpus and the experience log to versions that serve, through the gate.

    1 gate set   documents and questions that candidates are judged by (`training.data.gate_set`)
    2 data       synthetic questions on the rest of the corpus, and feedback examples of the log
    3 each kind  a candidate is trained, tried at the gate beside the serving version, and promoted or kept

Every finished step leaves a note (`flows.retraining.cycle_folder`): a cycle that was killed anywhere goes on from its
last note, and comes to the same end. A cycle is given up for a new one where its settings were changed since, or where
somebody deleted some of its feedback examples. `diptych retrain` and the `retrain` flow call these functions.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.candidates.candidate_folder import Candidate
from flows.candidates.dataset_folder import find_dataset, gate_set_path
from flows.candidates.deletion import delete_from_datasets
from flows.candidates.prep_candidates import train_prep_candidate
from flows.candidates.retrieve_candidates import train_retrieve_candidate
from flows.models.lineage import shipped_folder
from flows.models.promotion import prepare_again
from flows.models.serving import serving_prep, serving_retrieve_path
from flows.retraining.cycle_config import CycleSettings
from flows.retraining.cycle_folder import CycleFolder
from flows.retraining.cycle_plan import resume_cycle, start_cycle
from flows.retraining.decision_folder import decision_folder, has_decision, keep_decision, read_decision
from flows.retraining.gate_trial import TrialModels, clean_trials, gate_questions, run_trial
from flows.retraining.lock import retraining_lock
from prep.errors import DataError
from prep.fault_injection import fault_point
from prep.manifest import read_manifest
from prep.store.current import ModelKind
from prep.store.workspace import Workspace
from retrieve.experience.log import ExperienceLog
from training.data.gate_set import read_gate_set
from training.evaluation.promotion_gate import decide

if TYPE_CHECKING:
    from prep.model.prep_model import PrepModel

__all__ = ["CycleOutcome", "CycleStep", "retrain_workspace"]


@dataclass(frozen=True, slots=True)
class CycleStep:
    """The result for one kind: its candidate (None: none could be trained), and why it was promoted or kept.

    decision: the folder of the gate's decision, below the workspace.
    """

    kind: ModelKind
    candidate: str | None
    promoted: bool
    reasons: tuple[str, ...]
    decision: str | None = None


@dataclass(frozen=True, slots=True)
class CycleOutcome:
    """A finished cycle.

    dataset, gate_set: digests. feedback_examples: kind → number; left_out: reason why other rows of the log gave none →
    number.
    """

    cycle: str
    dataset: str
    gate_set: str
    n_questions: int
    feedback_examples: dict[str, int]
    left_out: dict[str, int]
    steps: tuple[CycleStep, ...]


def retrain_workspace(
    workspace: Workspace | str | Path,
    settings: CycleSettings | None = None,
    *,
    on_progress: Callable[[str], None] | None = None,
) -> CycleOutcome:
    """Run a cycle, or go on with an unfinished one, and return its outcome.

    on_progress: called with a sentence at every step. Raises EmptyStore, DataError where the corpus gives nothing to
    train on or to measure with, WorkspaceLocked while another process retrains.
    """
    place = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    settings = settings or CycleSettings()
    report = on_progress or (lambda sentence: None)
    if place.current().generation is None:
        place.open_generation()  # raises, saying what to do first
    with retraining_lock(place):
        ExperienceLog.of(place.path).prune()  # before anything is learned from it
        delete_from_datasets(place)
        cycle = resume_cycle(place, settings, report) or start_cycle(place, settings, report)
        return _Cycle(place, settings, cycle, report).run()


class _Cycle:
    """A cycle that has a plan."""

    def __init__(
        self, workspace: Workspace, settings: CycleSettings, cycle: CycleFolder, report: Callable[[str], None]
    ) -> None:
        self.workspace = workspace
        self.settings = settings
        self.folder = cycle
        self.plan = cycle.plan
        self.report = report
        self.gate_set = read_gate_set(gate_set_path(workspace))
        self.dataset = find_dataset(workspace, self.plan.dataset)

    def run(self) -> CycleOutcome:
        steps = tuple(self._step(kind) for kind in self.settings.kinds)
        outcome = CycleOutcome(
            cycle=self.folder.name,
            dataset=self.plan.dataset,
            gate_set=self.plan.gate_set,
            n_questions=self.dataset.n_questions,
            feedback_examples=self.plan.feedback_examples,
            left_out=self.plan.left_out,
            steps=steps,
        )
        clean_trials(self.workspace)
        self.folder.write("outcome", asdict(outcome))
        shutil.rmtree(self.folder.path / "rows", ignore_errors=True)  # they are beside the decisions
        return outcome

    def _step(self, kind: ModelKind) -> CycleStep:
        if (done := self.folder.read(kind)) is not None:
            return CycleStep(**{**done, "reasons": tuple(done["reasons"])})
        step = self._run_step(kind)
        verdict = "promoted" if step.promoted else "not promoted"
        self.report(f"{kind} {step.candidate}: {verdict}: {step.reasons[0]}")
        self.folder.write(kind, asdict(step))
        fault_point("after-step")
        return step

    def _run_step(self, kind: ModelKind) -> CycleStep:
        try:
            start, candidate = self._candidate(kind)
        except DataError as error:
            return CycleStep(kind, None, False, (f"no candidate could be trained: {error}",))
        version = candidate["version"]
        if version == (start or _shipped_version(kind)):
            return CycleStep(kind, version, False, ("training changed nothing",))
        folder = decision_folder(self.workspace, kind, version, self.plan.created)
        if not has_decision(folder):
            self._decide(kind, start, candidate)
        fault_point("after-decision")
        decision = read_decision(folder)
        promoted, reasons = bool(decision["promoted"]), tuple(decision["reasons"])
        if promoted and not self._promote(kind, version, start):
            promoted = False
            reasons = (f"another {kind} version was promoted meanwhile; the candidate is kept",)
        fault_point("after-promotion")
        return CycleStep(kind, version, promoted, reasons, folder.relative_to(self.workspace.path).as_posix())

    def _candidate(self, kind: ModelKind) -> tuple[str | None, dict[str, Any]]:
        """Return the version that training started from (None: the shipped one), and the candidate.

        Trains it where it is not noted, or somebody has removed one of the two. Raises DataError.
        """
        noted = self.folder.read(f"{kind}-candidate")
        if noted is not None:
            needed = {noted["start"], noted["candidate"]["version"]} - {None, _shipped_version(kind)}
            if needed <= set(self.workspace.model_versions(kind)):
                return noted["start"], noted["candidate"]
        start = self._start(kind)
        candidate = asdict(self._train(kind, start["generation"]))
        self.folder.write(f"{kind}-candidate", {"start": start[kind], "candidate": candidate})
        fault_point("after-candidate")
        return start[kind], candidate

    def _start(self, kind: ModelKind) -> dict[str, Any]:
        """Return the serving versions and generation, noted so that an interrupted training goes on with the same."""
        current = self.workspace.current()
        serving = {"prep": current.prep, "retrieve": current.retrieve}
        noted = self.folder.read(f"{kind}-start")
        if (
            noted is not None
            and noted["generation"] in self.workspace.generations()
            and serving.items() <= noted.items()
        ):
            return noted
        start = {**serving, "generation": current.generation}
        self.folder.write(f"{kind}-start", start)
        return start

    def _train(self, kind: ModelKind, generation_id: str) -> Candidate:
        self.report(f"training {kind}")
        training = self.settings.training
        if kind == "prep":
            return train_prep_candidate(self.workspace, self.dataset, training, self.settings.prep_stage)
        stage = self.settings.retrieve_stage
        return train_retrieve_candidate(
            self.workspace, self.dataset, training, stage, generation_id=generation_id
        )

    def _decide(self, kind: ModelKind, start: str | None, candidate: Mapping[str, Any]) -> None:
        """Measure the candidate and the version that it started from, and keep the gate's decision."""
        questions = gate_questions(self.workspace, self.gate_set)
        old = self.gate_set.old_questions(self.plan.n_old_layers)
        trials = []
        for version in (start, candidate["version"]):
            name = version or _shipped_version(kind)
            self.report(f"asking {kind} {name} the questions of the gate set")
            trials.append(
                run_trial(
                    self.workspace,
                    questions,
                    name,
                    self._models(kind, version),
                    self.settings.trials,
                    with_retrieval=kind == "prep",
                    old=old,
                    kept=self.folder.path / "rows",
                )
            )
            if len(trials) == 1:
                fault_point("between-trials")
        keep_decision(
            self.workspace,
            kind,
            decide(trials[0], trials[1], self.settings.gate),
            (trials[0], trials[1]),
            self.gate_set,
            created=self.plan.created,
            curves=candidate["curves"],
        )

    def _models(self, kind: ModelKind, version: str | None) -> TrialModels:
        """Return the version with the serving model of the other kind."""
        if kind == "prep":
            return TrialModels(self._load_prep(version), serving_retrieve_path(self.workspace))
        folder = self.workspace.model_path("retrieve", version) if version else shipped_folder("retrieve")
        return TrialModels(serving_prep(self.workspace), folder)

    def _load_prep(self, version: str | None) -> PrepModel:
        from prep.model.prep_model import PrepModel

        return PrepModel.load(self.workspace.model_path("prep", version) if version else None)

    def _promote(self, kind: ModelKind, version: str, start: str | None) -> bool:
        """Let the version serve, in one step; False where the version that it was compared with serves no more."""
        with self.workspace.lock():
            serving = getattr(self.workspace.current(), kind)
            if serving != version and serving != start:
                return False
            if serving == version:
                return True
            if kind == "retrieve":
                self.workspace.promote(kind, version)
            else:  # today's documents are prepared, whatever the version prepared before
                progress = self.settings.trials.progress
                prepare_again(self.workspace, self._load_prep(version), progress=progress)
            return True


def _shipped_version(kind: ModelKind) -> str:
    """Return the name of the version that comes with the package."""
    return str(read_manifest(shipped_folder(kind))["version"])
