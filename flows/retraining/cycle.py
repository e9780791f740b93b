"""A retraining cycle: from the corpus and the experience log to versions that serve, through the gate.

    1 freeze     what of the corpus candidates are judged by (`training.data.gate_set`)
    2 data       questions made from the rest of the corpus, and the log's lessons
    3 each kind  a candidate is trained, is put before the gate beside what serves, and is promoted or kept

    retrain/<number>/   plan.json   <kind>-start.json  <kind>-candidate.json  <kind>.json   outcome.json

Every note is written when its step is done, whole or not at all; a cycle that was killed anywhere goes on from the
last one, and comes to the same end. One whose settings were changed since, or of whose lessons somebody deleted any, is
given up for a new one. Plain functions: `diptych retrain` and the `retrain` flow call them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from flows.candidates.candidate_folder import Candidate
from flows.candidates.deletion import forget_deleted
from flows.candidates.feedback_data import log_lessons
from flows.candidates.prep_candidates import train_prep_candidate
from flows.candidates.retrieve_candidates import train_retrieve_candidate
from flows.candidates.training_sets import (
    Dataset,
    document_formats,
    find_dataset,
    frozen_path,
    synthesize_data,
)
from flows.models.promotion import prepare_again
from flows.retraining.cycle_config import CycleSettings
from flows.retraining.gate_trial import (
    Bench,
    clean_trials,
    decision_folder,
    keep_decision,
    measured_set,
    read_decision,
    run_trial,
)
from prep.document import Document
from prep.errors import DataError, StoreError, WorkspaceLocked
from prep.fault_injection import fault_point
from prep.manifest import MANIFEST_NAME, read_json, sync_folder, write_json
from prep.store.current import MODEL_KINDS, ModelKind
from prep.store.workspace import Workspace
from retrieve.experience.log import ExperienceLog
from training.data.gate_set import extend_gate_set, plain, read_gate_set
from training.evaluation.promotion_gate import decide

if TYPE_CHECKING:
    from prep.model.prep_model import PrepModel

__all__ = ["Outcome", "Step", "alone", "cycles", "last_plan", "retrain_workspace", "versions_under_trial"]

FORMAT = 1
PLAN = "plan.json"
OUTCOME = "outcome.json"
#: What is called with a sentence at every step.
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one kind: its candidate (None: none could be trained), and why it was promoted or kept.

    decision: the folder of the gate's decision, below the workspace.
    """

    kind: ModelKind
    candidate: str | None
    promoted: bool
    reasons: tuple[str, ...]
    decision: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished cycle. lessons: how many of each kind the log taught; left_out: why others were not learned from."""

    cycle: str
    dataset: str
    frozen: str
    n_questions: int
    lessons: dict[str, int]
    left_out: dict[str, int]
    steps: tuple[Step, ...]


def retrain_workspace(
    workspace: Workspace | str | Path, settings: CycleSettings | None = None, *, told: Told | None = None
) -> Outcome:
    """Run a cycle, or go on with the one that was cut short, and return what it came to.

    told: called with a sentence at every step. Raises EmptyStore, DataError where the corpus gives nothing to train
    on or to measure with, WorkspaceLocked while another process retrains.
    """
    place = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    settings = settings or CycleSettings()
    say = told or (lambda sentence: None)
    if place.current().generation is None:
        place.open_generation()  # raises, saying what to do first
    with alone(place):
        cycle = _Cycle(place, settings, say)
        return cycle.run()


def cycles(workspace: Workspace) -> list[Path]:
    """Return the folders of all cycles that were begun, oldest first."""
    return sorted(path.parent for path in (workspace.path / "retrain").glob(f"[0-9]*/{PLAN}"))


def versions_under_trial(workspace: Workspace) -> frozenset[tuple[ModelKind, str]]:
    """Return kind and version of the candidates of a cycle that is not finished, and of what they are compared with."""
    if (cycle := _under_way(workspace)) is None:
        return frozenset()
    noted = [(kind, cycle / f"{kind}-candidate.json") for kind in MODEL_KINDS]
    found = [(kind, read_json(path)) for kind, path in noted if path.is_file()]
    return frozenset(
        (kind, version)
        for kind, note in found
        for version in (note["start"], note["candidate"]["version"])
        if version is not None
    )


def last_plan(workspace: Workspace) -> dict[str, Any] | None:
    """Return what the newest cycle was begun with: created, dataset, frozen, generation; None before the first."""
    begun = cycles(workspace)
    return read_json(begun[-1] / PLAN) if begun else None


class _Cycle:
    """One cycle under way."""

    def __init__(self, place: Workspace, settings: CycleSettings, say: Told) -> None:
        self.place = place
        self.settings = settings
        self.say = say
        ExperienceLog.of(place.path).prune()  # what is not to be kept is not to be learned
        forget_deleted(place)
        self.folder, self.plan = self._open_plan() or self._make_plan()
        self.frozen = read_gate_set(frozen_path(place))
        self.dataset: Dataset = find_dataset(place, self.plan["dataset"])

    def run(self) -> Outcome:
        steps = tuple(self._step(kind) for kind in self.settings.kinds)
        outcome = Outcome(
            cycle=self.folder.name,
            dataset=self.plan["dataset"],
            frozen=self.plan["frozen"],
            n_questions=self.dataset.n_questions,
            lessons=self.plan["lessons"],
            left_out=self.plan["left_out"],
            steps=steps,
        )
        clean_trials(self.place)
        self._note("outcome", asdict(outcome))
        shutil.rmtree(self.folder / "rows", ignore_errors=True)  # they are beside the decisions
        return outcome

    # The plan

    def _open_plan(self) -> tuple[Path, dict[str, Any]] | None:
        """Return the cycle that was cut short; None where there is none, or it cannot go on as it was begun."""
        if (cycle := _under_way(self.place)) is None:
            return None
        plan = read_json(cycle / PLAN)
        if (why := self._why_not(plan)) is None:
            self.say(f"going on with cycle {cycle.name}, begun {plan['created']}")
            return cycle, plan
        self.say(f"cycle {cycle.name} is given up: {why}")
        os.replace(write_json(cycle / OUTCOME, {"given_up": True}), cycle / OUTCOME)
        return None

    def _why_not(self, plan: Mapping[str, Any]) -> str | None:
        """Return why a cycle cannot go on, if so."""
        if plan["settings"] != self.settings.to_json():
            return "it was begun with other settings"
        try:
            dataset = find_dataset(self.place, plan["dataset"])
        except StoreError:
            return "its training data are gone"
        return "people have deleted what it was to learn from" if dataset.n_struck else None

    def _make_plan(self) -> tuple[Path, dict[str, Any]]:
        clean_trials(self.place)
        n_old = self._n_old_layers()
        with self.place.open_generation() as generation:
            documents = {document.id: document for document in generation.documents()}
            generation_id = generation.id
        frozen = extend_gate_set(
            frozen_path(self.place),
            documents,
            document_formats(documents),
            self.settings.frozen,
            trained=_trained_on(self.place),
        )
        measured_set(
            self.place, frozen
        )  # raises now, before anything is trained, where nothing can be measured
        lessons = (
            log_lessons(self.place, frozen, self.settings.lesson_weights) if self.settings.lessons else None
        )
        dataset = synthesize_data(
            self.place,
            self.settings.training,
            lessons=lessons.questions if lessons else (),
            teacher=self.settings.teacher,
        )
        fault_point("after-dataset")
        plan = {
            "format": FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": self.settings.to_json(),
            "generation": generation_id,
            "frozen": frozen.digest,
            "n_old_layers": n_old,
            "dataset": dataset.digest,
            "lessons": dict(lessons.kinds) if lessons else {},
            "left_out": dict(lessons.left_out) if lessons else {},
        }
        number = 1 + max((int(path.name) for path in cycles(self.place)), default=0)
        folder = self.place.path / "retrain" / f"{number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        os.replace(write_json(folder / PLAN, plan), folder / PLAN)
        sync_folder(folder)
        self.say(
            f"cycle {folder.name}: {dataset.n_questions} questions, {dataset.n_lessons} of them from the log; "
            f"{len(frozen.questions)} frozen"
        )
        fault_point("after-plan")
        return folder, plan

    def _n_old_layers(self) -> int:
        """Return how many layers were frozen when the last cycle that came to its end began.

        What a cycle froze that was killed before it had a plan, or was given up, is as new as it was then.
        """
        ended = [path for path in cycles(self.place) if _came_to_its_end(path)]
        if not ended:
            return 0
        return read_gate_set(frozen_path(self.place)).n_layers_of(read_json(ended[-1] / PLAN)["frozen"])

    # One kind

    def _step(self, kind: ModelKind) -> Step:
        if (done := self._noted(kind)) is not None:
            return Step(**{**done, "reasons": tuple(done["reasons"])})
        step = self._try(kind)
        self.say(
            f"{kind} {step.candidate}: {'promoted' if step.promoted else 'not promoted'}: {step.reasons[0]}"
        )
        self._note(kind, asdict(step))
        fault_point("after-step")
        return step

    def _try(self, kind: ModelKind) -> Step:
        noted = self._noted(f"{kind}-candidate")
        if noted is None or not self._is_there(kind, noted):
            start = self._start(kind)
            try:
                candidate = self._train(kind, start["generation"])
            except DataError as error:
                return Step(kind, None, False, (f"no candidate could be trained: {error}",))
            noted = {"start": start[kind], "candidate": asdict(candidate)}
            self._note(f"{kind}-candidate", noted)
            fault_point("after-candidate")
        start_version, version = noted["start"], noted["candidate"]["version"]
        if version == (start_version or self._shipped(kind)):
            return Step(kind, version, False, ("training changed nothing",))
        folder = decision_folder(self.place, kind, version, self.plan["created"])
        if not (folder / "decision.json").is_file():
            self._judge(kind, start_version, noted["candidate"])
        fault_point("after-decision")
        decision = read_decision(folder)
        promoted, reasons = bool(decision["promoted"]), tuple(decision["reasons"])
        if promoted and not self._promote(kind, version, start_version):
            promoted, reasons = (
                False,
                (f"another {kind} version was promoted meanwhile; the candidate is kept",),
            )
        fault_point("after-promotion")
        return Step(kind, version, promoted, reasons, folder.relative_to(self.place.path).as_posix())

    def _is_there(self, kind: ModelKind, noted: Mapping[str, Any]) -> bool:
        """Whether nobody has removed the candidate meanwhile, or what it is compared with."""
        wanted = {noted["start"], noted["candidate"]["version"]} - {None, self._shipped(kind)}
        return wanted <= set(self.place.model_versions(kind))

    def _start(self, kind: ModelKind) -> dict[str, Any]:
        """Return what serves as training begins, noted so that one that was cut short goes on with the same."""
        current = self.place.current()
        serving = {"prep": current.prep, "retrieve": current.retrieve}
        noted = self._noted(f"{kind}-start")
        if (
            noted is not None
            and noted["generation"] in self.place.generations()
            and serving.items() <= noted.items()
        ):
            return noted
        start = {**serving, "generation": current.generation}
        self._note(f"{kind}-start", start)
        return start

    def _train(self, kind: ModelKind, generation_id: str) -> Candidate:
        self.say(f"training {kind}")
        if kind == "prep":
            return train_prep_candidate(
                self.place, self.dataset, self.settings.training, self.settings.prep_stage
            )
        return train_retrieve_candidate(
            self.place,
            self.dataset,
            self.settings.training,
            self.settings.retrieve_stage,
            generation_id=generation_id,
        )

    def _judge(self, kind: ModelKind, start: str | None, candidate: Mapping[str, Any]) -> None:
        """Measure the candidate and what served when it was begun, and keep the gate's decision."""
        questions = measured_set(self.place, self.frozen)
        old = self.frozen.old_questions(self.plan["n_old_layers"])
        trials = []
        for version in (start, candidate["version"]):
            bench = self._bench(kind, version)
            name = version or self._shipped(kind)
            self.say(f"asking {kind} {name} the frozen questions")
            trials.append(
                run_trial(
                    self.place,
                    questions,
                    name,
                    bench,
                    self.settings.trials,
                    with_retrieval=kind == "prep",
                    old=old,
                    kept=self.folder / "rows",
                )
            )
            if len(trials) == 1:
                fault_point("between-trials")
        decision = decide(trials[0], trials[1], self.settings.gate)
        keep_decision(
            self.place,
            kind,
            decision,
            (trials[0], trials[1]),
            self.frozen,
            created=self.plan["created"],
            curves=candidate["curves"],
        )

    def _bench(self, kind: ModelKind, version: str | None) -> Bench:
        """Return the version beside the other model that serves."""
        from flows.models.serving import serving_prep, serving_retrieve_path
        from retrieve.model import shipped_retrieve

        if kind == "prep":
            return Bench(self._prep(version), serving_retrieve_path(self.place))
        folder = self.place.model_path("retrieve", version) if version else shipped_retrieve()
        return Bench(serving_prep(self.place), folder)

    def _prep(self, version: str | None) -> PrepModel:
        from prep.model.prep_model import PrepModel

        return PrepModel.load(self.place.model_path("prep", version) if version else None)

    def _shipped(self, kind: ModelKind) -> str:
        """Return the name of the version that comes with the package."""
        from prep.model.prep_version import shipped_version
        from retrieve.model import shipped_retrieve

        folder = shipped_version() if kind == "prep" else shipped_retrieve()
        return str(read_json(folder / MANIFEST_NAME)["version"])

    def _promote(self, kind: ModelKind, version: str, start: str | None) -> bool:
        """Let the version serve, in one step; False where what it was compared with serves no more."""
        with self.place.lock():
            serving = getattr(self.place.current(), kind)
            if serving != version and serving != start:
                return False
            if serving == version:
                return True
            if kind == "retrieve":
                self.place.promote(kind, version)
            else:  # the documents of now are prepared, whatever else it prepared before
                prepare_again(self.place, self._prep(version), progress=self.settings.trials.progress)
            return True

    # Notes

    def _noted(self, name: str) -> dict[str, Any] | None:
        try:
            return read_json(self.folder / f"{name}.json")
        except FileNotFoundError:
            return None

    def _note(self, name: str, content: Mapping[str, Any]) -> None:
        path = self.folder / f"{name}.json"
        os.replace(write_json(path, content), path)
        sync_folder(self.folder)


def _under_way(workspace: Workspace) -> Path | None:
    """Return the folder of the cycle that is neither at its end nor given up, if there is one."""
    begun = cycles(workspace)
    return begun[-1] if begun and not (begun[-1] / OUTCOME).exists() else None


def _came_to_its_end(cycle: Path) -> bool:
    path = cycle / OUTCOME
    return path.exists() and not read_json(path).get("given_up")


@contextmanager
def alone(place: Workspace) -> Iterator[None]:
    """Be the only process that retrains the workspace; ingesting and asking go on beside it. Raises WorkspaceLocked."""
    folder = place.path / "retrain"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise WorkspaceLocked(f"another process retrains {place.path}: wait until it is through") from error
    try:
        yield
    finally:
        lock.release()


def _trained_on(place: Workspace) -> Callable[[Document], bool]:
    """Return what says of a document whether some earlier data set trains on it, be it by another id."""
    ids: set[str] = set()
    texts: set[str] = set()
    for path in (place.path / "datasets").glob(f"*/{MANIFEST_NAME}"):
        try:
            trained = find_dataset(place, path.parent.name).trained_documents()
        except (StoreError, DataError):
            continue  # a damaged one is not trained on again, and what it held is not known
        ids |= trained.keys()
        texts |= {plain(document.text) for document in trained.values()}
    return lambda document: document.id in ids or plain(document.text) in texts
