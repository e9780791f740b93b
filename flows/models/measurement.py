"""One suite on one labelled set with what serves in a workspace; beside it a candidate or the usual workflow.

Plain functions: `diptych evaluate`, the `evaluate` flow and the demo call them. What is measured and how is
left to the suites of `training.evaluation`; here the systems are put together and given the set's documents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flows.models.serving import serving_prep, serving_retrieve_path
from prep.document import Chunk, Document, Floats
from prep.errors import ConfigError, EmptyStore, VersionMismatch
from prep.store.generation import Generation
from prep.store.workspace import Workspace
from training.data.dataset import LabelledSet, load_set
from training.runs.resumable_rows import KeptRows

if TYPE_CHECKING:
    from prep.model.prep_model import PrepModel
    from training.evaluation.baseline_rag import BaselineRAG
    from training.evaluation.splitters import FrozenEncoderSystem
    from training.metrics.results import AnswersResult, Result
    from training.metrics.significance import Difference

__all__ = [
    "SERVING",
    "SUITES",
    "StoredPreparer",
    "SuiteSettings",
    "advantages",
    "gain",
    "holding_generation",
    "interval_of",
    "metrics_of",
    "run_suite",
    "verdict",
    "write_results",
]

SUITES = ("chunking", "retrieval", "answers")
#: What the serving models are called in results.
SERVING = "diptych"
#: What the usual workflow's label begins with.
USUAL = "baseline RAG"
#: The figure by which a candidate is compared with what serves, for each suite.
HEADLINE = {"chunking": "iou", "retrieval": "evidence_recall", "answers": "f1"}
#: The figures on which what serves is compared with the usual workflow.
COMPARED = {
    "chunking": ("recall", "iou", "precision_omega"),
    "retrieval": ("ndcg_at_10", "evidence_recall"),
    "answers": ("f1", "citation_recall", "abstention_f1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSettings:
    """What is measured beside the serving models, and on how much.

    candidate: a version of the workspace (of retrieve for answers, of prep otherwise). limit: so many questions,
    evenly spread. deadline_s: of one answer of ours. resume: where an earlier run of the answers suite on the same
    questions with the same models was cut short, go on from the answers it gave; its seconds are those of then.
    """

    beside_workflow: bool = False
    candidate: str | None = None
    limit: int | None = None
    deadline_s: float = 5.0
    resume: bool = True
    progress: bool = True


def run_suite(
    workspace: Workspace, suite: str, data: str | Path, settings: SuiteSettings | None = None
) -> list[Result]:
    """Measure what serves in `workspace` on a labelled set; then the candidate, then the usual workflow, if any.

    Documents that the workspace holds already, word for word, are searched there; others are ingested
    beside it. Raises ConfigError for an unknown suite, DataError for data that does not follow the schema,
    StoreError for an unknown candidate.
    """
    if suite not in SUITES:
        raise ConfigError(f"there is no suite {suite!r}; known are {', '.join(SUITES)}")
    dataset = load_set(data)
    settings = settings or SuiteSettings()
    if suite == "answers":
        return list(_answers(workspace, dataset, settings))
    from training.evaluation.retrieval_suites import evaluate_chunking, evaluate_retrieval

    measure = evaluate_chunking if suite == "chunking" else evaluate_retrieval
    return [
        measure(dataset, prep, words=words, limit=settings.limit, label=label, progress=settings.progress)
        for label, prep, words in _preparers(workspace, dataset, settings)
    ]


def interval_of(difference: Difference) -> str:
    """Return a difference and its interval in words."""
    return f"{difference.difference:+.3f}, 95% interval {difference.low:+.3f} to {difference.high:+.3f}"


def gain(results: Sequence[Result]) -> tuple[str, Difference] | None:
    """Return the headline figure and by how much the candidate gains on what serves; None without a candidate."""
    from training.evaluation.gains import compare_results

    ours = next((result for result in results if result.label == SERVING), None)
    candidate = next((result for result in results if result.label.startswith("candidate ")), None)
    if ours is None or candidate is None:
        return None
    metric = HEADLINE[ours.suite]
    return metric, compare_results(cast(Any, ours), cast(Any, candidate), metric)


def verdict(results: Sequence[Result]) -> str | None:
    """Say in a sentence whether the candidate is better for sure; None without a candidate."""
    found = gain(results)
    if found is None:
        return None
    metric, difference = found
    interval = interval_of(difference)
    words = "is better than" if difference.is_gain else "is not surely better than"
    return f"The candidate {words} what serves: {metric} {interval} on {difference.n} questions."


def advantages(results: Sequence[Result]) -> dict[str, Difference]:
    """Return by how much what serves is ahead of the usual workflow, by figure; empty where that was not measured."""
    from training.evaluation.gains import compare_results

    ours = next((result for result in results if result.label == SERVING), None)
    usual = next((result for result in results if result.label.startswith(USUAL)), None)
    if ours is None or usual is None:
        return {}
    return {
        metric: compare_results(cast(Any, usual), cast(Any, ours), metric) for metric in COMPARED[ours.suite]
    }


def metrics_of(results: Sequence[Result]) -> dict[str, dict[str, dict[str, float | str | None]]]:
    """Return the results as the page shows them: title → system → metric → value."""
    shown: dict[str, dict[str, dict[str, float | str | None]]] = {}
    for result in results:
        title = f"{result.suite} on {result.dataset}"
        shown.setdefault(title, {})[result.label] = dict(result.columns())
    return shown


def write_results(results: Sequence[Result], path: str | Path) -> Path:
    """Write the results with every row as JSON, whole or not at all, and return the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = [result.to_dict() for result in results]
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    partial.replace(target)
    return target


class StoredPreparer:
    """A generation's own chunks in the place of preparing the same documents again."""

    def __init__(self, generation: Generation, prep: PrepModel) -> None:
        self._generation = generation
        self._prep = prep
        self.version = generation.prep_version

    def prepare_many(self, documents: Iterable[Document], /) -> Iterator[tuple[Document, list[Chunk]]]:
        for document in documents:
            yield document, self._generation.document_chunks(document.id)

    def encode_queries(self, queries: Sequence[str], /) -> Floats:
        return self._prep.encode_queries(queries)


def _preparers(
    workspace: Workspace, dataset: LabelledSet, settings: SuiteSettings
) -> Iterator[tuple[str, Any, bool]]:
    """Yield what prepares, what it is called, and whether it is searched by words, too, as our store is."""
    from prep.model.prep_model import PrepModel

    prep = serving_prep(workspace)
    generation = holding_generation(workspace, dataset, prep)
    if generation is None:
        yield SERVING, prep, True
    else:
        with generation:
            yield SERVING, StoredPreparer(generation, prep), True
    if settings.candidate is not None:
        folder = workspace.model_path("prep", settings.candidate)
        yield f"candidate {settings.candidate}", PrepModel.load(folder), True
    if settings.beside_workflow:
        usual = _usual_preparer()
        yield usual.version, usual, False


def _answers(workspace: Workspace, dataset: LabelledSet, settings: SuiteSettings) -> Iterator[AnswersResult]:
    from prep.ingest import ingest
    from retrieve.model import RetrieveModel
    from retrieve.researcher import Researcher
    from training.evaluation.answers_suite import evaluate_answers

    prep = serving_prep(workspace)
    place = workspace.path
    aside = workspace.path / "evaluations" / f"{dataset.name}-{_digest(dataset)}"
    generation = holding_generation(workspace, dataset, prep)
    if generation is None:
        place = aside
        ingest(place, dataset.documents.values(), prep, progress=settings.progress)
    else:
        generation.close()
    versions = {SERVING: serving_retrieve_path(workspace)}
    if settings.candidate is not None:
        folder = workspace.model_path("retrieve", settings.candidate)
        versions[f"candidate {settings.candidate}"] = folder
    done: list[KeptRows] = []
    for label, folder in versions.items():
        model = RetrieveModel.load(folder)
        kept = _kept(aside, dataset, settings, [prep.version, model.version, settings.deadline_s])
        with Researcher.open(place, prep=prep, model=model, log=False) as researcher:
            yield evaluate_answers(
                dataset,
                cast(Any, researcher),
                limit=settings.limit,
                label=label,
                progress=settings.progress,
                kept=kept,
                deadline_s=settings.deadline_s,
            )
        done.append(kept)
    if settings.beside_workflow:
        usual = _usual_workflow(dataset, settings.progress)
        kept = _kept(aside, dataset, settings, [usual.name, str(usual.settings)])
        yield evaluate_answers(
            dataset, usual, limit=settings.limit, label=usual.name, progress=settings.progress, kept=kept
        )
        done.append(kept)
    # Only once every system is through: a run cut in the second starts again with the first one's rows at hand.
    for kept in done:
        kept.discard()


def _kept(folder: Path, dataset: LabelledSet, settings: SuiteSettings, system: list[Any]) -> KeptRows:
    """Return where one system's rows on these questions are kept; without those there where it may not resume."""
    questions = [asdict(question) for question in dataset.questions]
    content = json.dumps([questions, settings.limit, system], sort_keys=True, ensure_ascii=False)
    kept = KeptRows(folder / f"rows-{hashlib.sha256(content.encode()).hexdigest()[:12]}.jsonl")
    if not settings.resume:
        kept.discard()
    return kept


def holding_generation(workspace: Workspace, dataset: LabelledSet, prep: PrepModel) -> Generation | None:
    """Return the current generation, open, if it holds the set's documents and nothing else."""
    try:
        generation = workspace.open_generation(prep_version=prep.version)
    except (EmptyStore, VersionMismatch):
        return None
    held = {document.id: document.text for document in generation.documents()}
    if held == {document.id: document.text for document in dataset.documents.values()}:
        return generation
    generation.close()
    return None


def _usual_workflow(dataset: LabelledSet, progress: bool) -> BaselineRAG:
    """Return the usual workflow over the set's documents, with the same base models as ours."""
    from prep.model.encoder import Encoder
    from retrieve.lm.base import load_base
    from training.evaluation.baseline_rag import BaselineRAG, GreedyCompleter

    completer = GreedyCompleter(*load_base())
    return BaselineRAG(dataset.documents.values(), completer, Encoder.load(), progress=progress)


def _usual_preparer() -> FrozenEncoderSystem:
    from prep.model.encoder import Encoder
    from training.evaluation.baseline_rag import BaselineConfig, default_splitter
    from training.evaluation.splitters import FrozenEncoderSystem

    encoder = Encoder.load()
    name, chunker = default_splitter(encoder, BaselineConfig().chunk_tokens)
    return FrozenEncoderSystem(chunker, encoder, name=f"{USUAL} ({name})")


def _digest(dataset: LabelledSet) -> str:
    content = {key: [document.title, document.text] for key, document in dataset.documents.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
