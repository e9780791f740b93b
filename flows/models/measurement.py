"""Measures the serving models of a workspace on a labelled set, beside a candidate or baselines.

`diptych evaluate`, the `evaluate` flow and the demo call these functions. They put the systems together and give them
the set's documents; the suites of `training.evaluation` measure.
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
    "EVALUATIONS",
    "SERVING",
    "EvaluationSettings",
    "StoredPreparer",
    "advantages",
    "gain",
    "holding_generation",
    "interval_of",
    "metrics_of",
    "run_evaluation",
    "verdict",
    "write_results",
]

EVALUATIONS = ("chunking", "retrieval", "answers")
#: The label of the serving models in results.
SERVING = "diptych"
#: The prefix of baseline RAG's label.
BASELINE = "baseline RAG"
#: The figure by which a candidate is compared with the serving version, for each suite.
HEADLINE = {"chunking": "iou", "retrieval": "evidence_recall", "answers": "f1"}
#: The figures by which the serving models are compared with baseline RAG.
BASELINE_FIGURES = {
    "chunking": ("recall", "iou", "precision_omega"),
    "retrieval": ("ndcg_at_10", "evidence_recall"),
    "answers": ("f1", "citation_recall", "abstention_f1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """What is measured beside the serving models, and on how many questions.

    baseline: baseline RAG, with the same base models as ours. instruct_baseline: the same with an instruction-tuned
    model, for answers only.
    candidate: a version of the workspace (of retrieve for answers, of prep otherwise). limit: so many questions,
    evenly spread. deadline_s: for an answer of ours. resume: where an earlier run on answers to the same questions by
    the same models was interrupted, keep its answers and their seconds.
    """

    baseline: bool = False
    instruct_baseline: bool = False
    candidate: str | None = None
    limit: int | None = None
    deadline_s: float = 5.0
    resume: bool = True
    progress: bool = True


def run_evaluation(
    workspace: Workspace, suite: str, data: str | Path, settings: EvaluationSettings | None = None
) -> list[Result]:
    """Measure the serving models on a labelled set; then the candidate, then the baselines, if any.

    Where the workspace holds just these documents, they are searched there; otherwise they are ingested into a
    workspace of their own. Raises ConfigError for an unknown suite, or one that the instruct baseline has no part in,
    DataError for data that does not follow the schema, StoreError for an unknown candidate, DependencyError where the
    instruct baseline's model is not installed.
    """
    if suite not in EVALUATIONS:
        raise ConfigError(f"there is no suite {suite!r}; known are {', '.join(EVALUATIONS)}")
    dataset = load_set(data)
    settings = settings or EvaluationSettings()
    if settings.instruct_baseline and suite != "answers":
        raise ConfigError(f"the instruct baseline answers and is not measured by {suite!r}: leave it out")
    if suite == "answers":
        return list(_answers(workspace, dataset, settings))
    from training.evaluation.retrieval_suites import evaluate_chunking, evaluate_retrieval

    measure = evaluate_chunking if suite == "chunking" else evaluate_retrieval
    return [
        measure(dataset, prep, words=words, limit=settings.limit, label=label, progress=settings.progress)
        for label, prep, words in _preparers(workspace, dataset, settings)
    ]


def interval_of(difference: Difference) -> str:
    """Return a difference and its interval as text."""
    return f"{difference.difference:+.3f}, 95% interval {difference.low:+.3f} to {difference.high:+.3f}"


def gain(results: Sequence[Result]) -> tuple[str, Difference] | None:
    """Return the headline figure and the candidate's gain on the serving version; None without a candidate."""
    from training.evaluation.gains import compare_results

    ours = next((result for result in results if result.label == SERVING), None)
    candidate = next((result for result in results if result.label.startswith("candidate ")), None)
    if ours is None or candidate is None:
        return None
    metric = HEADLINE[ours.suite]
    return metric, compare_results(cast(Any, ours), cast(Any, candidate), metric)


def verdict(results: Sequence[Result]) -> str | None:
    """Return a sentence that says whether the candidate is surely better; None without a candidate."""
    found = gain(results)
    if found is None:
        return None
    metric, difference = found
    interval = interval_of(difference)
    words = "is better than" if difference.is_gain else "is not surely better than"
    return f"The candidate {words} the serving version: {metric} {interval} on {difference.n} questions."


def advantages(results: Sequence[Result]) -> dict[str, dict[str, Difference]]:
    """Return the serving models' lead over each baseline, by its label and by figure."""
    from training.evaluation.gains import compare_results

    ours = next((result for result in results if result.label == SERVING), None)
    if ours is None:
        return {}
    return {
        rag.label: {
            metric: compare_results(cast(Any, rag), cast(Any, ours), metric)
            for metric in BASELINE_FIGURES[ours.suite]
        }
        for rag in results
        if rag.label.startswith(BASELINE)
    }


def metrics_of(results: Sequence[Result]) -> dict[str, dict[str, dict[str, float | str | None]]]:
    """Return the results as pages show them: title → system → metric → value."""
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
    """Returns a generation's chunks instead of preparing the same documents again."""

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
    workspace: Workspace, dataset: LabelledSet, settings: EvaluationSettings
) -> Iterator[tuple[str, Any, bool]]:
    """Yield each system's label, the system, and whether words are searched as well as vectors."""
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
    if settings.baseline:
        rag = _baseline_preparer()
        yield rag.version, rag, False


def _answers(
    workspace: Workspace, dataset: LabelledSet, settings: EvaluationSettings
) -> Iterator[AnswersResult]:
    from prep.ingest import ingest
    from retrieve.model import RetrieveModel
    from retrieve.researcher import Researcher
    from training.evaluation.answers_suite import evaluate_answers
    from training.evaluation.smollm2 import smollm2_folder

    if settings.instruct_baseline:
        smollm2_folder()  # missing or damaged: said before anything is measured
    prep = serving_prep(workspace)
    place = workspace.path
    folder = workspace.path / "evaluations" / f"{dataset.name}-{_digest(dataset)}"
    generation = holding_generation(workspace, dataset, prep)
    if generation is None:
        place = folder
        ingest(place, dataset.documents.values(), prep, progress=settings.progress, remove_missing=True)
    else:
        generation.close()
    versions = {SERVING: serving_retrieve_path(workspace)}
    if settings.candidate is not None:
        versions[f"candidate {settings.candidate}"] = workspace.model_path("retrieve", settings.candidate)
    done: list[KeptRows] = []
    for label, version in versions.items():
        model = RetrieveModel.load(version)
        kept = _kept(folder, dataset, settings, [prep.version, model.version, settings.deadline_s])
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
    baselines = []
    if settings.baseline:
        baselines.append(_baseline_rag)
    if settings.instruct_baseline:
        baselines.append(_instruct_baseline_rag)
    for open_baseline in baselines:
        rag = open_baseline(dataset, settings.progress)
        kept = _kept(folder, dataset, settings, [rag.name, rag.format.name, str(rag.settings)])
        yield evaluate_answers(
            dataset, rag, limit=settings.limit, label=rag.name, progress=settings.progress, kept=kept
        )
        done.append(kept)
    # Not before every system is through: a run interrupted in the second goes on with the rows of the first.
    for kept in done:
        kept.discard()


def _kept(folder: Path, dataset: LabelledSet, settings: EvaluationSettings, system: list[Any]) -> KeptRows:
    """Return the file for one system's rows on these questions, emptied where the run may not resume."""
    questions = [asdict(question) for question in dataset.questions]
    content = json.dumps([questions, settings.limit, system], sort_keys=True, ensure_ascii=False)
    kept = KeptRows(folder / f"rows-{hashlib.sha256(content.encode()).hexdigest()[:12]}.jsonl")
    if not settings.resume:
        kept.discard()
    return kept


def holding_generation(workspace: Workspace, dataset: LabelledSet, prep: PrepModel) -> Generation | None:
    """Return the current generation, open, if it holds exactly the set's documents."""
    try:
        generation = workspace.open_generation(prep_version=prep.version)
    except (EmptyStore, VersionMismatch):
        return None
    held = {document.id: document.text for document in generation.documents()}
    if held == {document.id: document.text for document in dataset.documents.values()}:
        return generation
    generation.close()
    return None


def _baseline_rag(dataset: LabelledSet, progress: bool) -> BaselineRAG:
    """Return baseline RAG over the set's documents, with the same base models as ours."""
    from prep.model.encoder import Encoder
    from retrieve.lm.base import load_base
    from training.evaluation.baseline_rag import BaselineRAG, GreedyCompleter

    completer = GreedyCompleter(*load_base())
    return BaselineRAG(dataset.documents.values(), completer, Encoder.load(), progress=progress)


def _instruct_baseline_rag(dataset: LabelledSet, progress: bool) -> BaselineRAG:
    """Return baseline RAG over the set's documents, with an instruction-tuned model."""
    from prep.model.encoder import Encoder
    from training.evaluation.instruct_baseline import instruct_baseline
    from training.evaluation.smollm2 import SMOLLM2, load_smollm2

    model, tokenizer = load_smollm2()
    return instruct_baseline(
        dataset.documents.values(),
        model,
        tokenizer,
        Encoder.load(),
        language_model=SMOLLM2,
        progress=progress,
    )


def _baseline_preparer() -> FrozenEncoderSystem:
    from prep.model.encoder import Encoder
    from training.evaluation.baseline_rag import BaselineConfig, default_splitter
    from training.evaluation.splitters import FrozenEncoderSystem

    encoder = Encoder.load()
    name, chunker = default_splitter(encoder, BaselineConfig().chunk_tokens)
    return FrozenEncoderSystem(chunker, encoder, name=f"{BASELINE} ({name})")


def _digest(dataset: LabelledSet) -> str:
    content = {key: [document.title, document.text] for key, document in dataset.documents.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
