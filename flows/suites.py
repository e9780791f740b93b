"""One suite on one labelled set with the models that serve in a workspace, and the usual workflow beside it.

Plain functions: `diptych evaluate`, the `evaluate` flow and the demo call them. What is measured and how is
`training.evaluate`; here the systems are put together and the set's documents are ingested for them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.serving import serving_prep, serving_retrieve_path
from prep.errors import ConfigError
from prep.workspace import Workspace
from training.dataset import LabelledSet, load_set

if TYPE_CHECKING:
    from prep.model import PrepModel
    from training.peers import FrozenPreparer
    from training.results import AnswersResult, Result
    from training.workflow import UsualWorkflow

__all__ = ["SUITES", "measure_answers", "metrics_of", "run_suite", "usual_workflow", "write_results"]

SUITES = ("chunking", "retrieval", "answers")


def run_suite(
    workspace: Workspace,
    suite: str,
    data: str | Path | LabelledSet,
    *,
    beside_workflow: bool = False,
    limit: int | None = None,
    deadline_s: float = 5.0,
    progress: bool = True,
) -> list[Result]:
    """Measure what serves in `workspace` on a labelled set, and beside it the usual workflow if wanted.

    limit: use so many questions, evenly spread. deadline_s: of an answer. Raises ConfigError for an unknown suite, DataError for data
    that does not follow the schema.
    """
    if suite not in SUITES:
        raise ConfigError(f"there is no suite {suite!r}; known are {', '.join(SUITES)}")
    dataset = data if isinstance(data, LabelledSet) else load_set(data)
    prep = serving_prep(workspace)
    if suite == "answers":
        return _answers(workspace, dataset, prep, beside_workflow, limit, deadline_s, progress)
    from training.evaluate import evaluate_chunking, evaluate_retrieval

    measure = evaluate_chunking if suite == "chunking" else evaluate_retrieval
    results: list[Result] = [measure(dataset, prep, limit=limit, label="diptych", progress=progress)]
    if beside_workflow:
        usual = _usual_preparer()
        results.append(measure(dataset, usual, limit=limit, label=usual.version, progress=progress))
    return results


def metrics_of(results: Sequence[Result]) -> dict[str, dict[str, dict[str, float | str | None]]]:
    """Return the results as the page shows them: title → system → metric → value."""
    shown: dict[str, dict[str, dict[str, float | str | None]]] = {}
    for result in results:
        title = f"{result.suite} on {result.dataset}"
        shown.setdefault(title, {})[result.label] = dict(result.columns())
    return shown


def write_results(results: Sequence[Result], path: str | Path) -> Path:
    """Write the results with every row as JSON, and return the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = [result.to_dict() for result in results]
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    partial.replace(target)
    return target


def _answers(
    workspace: Workspace,
    dataset: LabelledSet,
    prep: PrepModel,
    beside_workflow: bool,
    limit: int | None,
    deadline_s: float,
    progress: bool,
) -> list[Result]:
    from prep.ingest import ingest
    from retrieve.model import RetrieveModel
    from retrieve.researcher import Researcher

    place = workspace.path / "evaluations" / f"{dataset.name}-{_digest(dataset)}"
    ingest(place, dataset.documents.values(), prep, progress=progress)
    model = RetrieveModel.load(serving_retrieve_path(workspace))
    with Researcher.open(place, prep=prep, model=model, log=False) as researcher:
        results = [
            measure_answers(
                dataset, researcher, "diptych", limit=limit, deadline_s=deadline_s, progress=progress
            )
        ]
    if beside_workflow:
        usual = usual_workflow(dataset, progress=progress)
        results.append(measure_answers(dataset, usual, usual.name, limit=limit, progress=progress))
    return list(results)


def measure_answers(
    dataset: LabelledSet,
    system: Any,
    label: str,
    *,
    limit: int | None = None,
    withhold_every: int = 5,
    progress: bool = True,
    **options: Any,
) -> AnswersResult:
    """Measure anything that has `ask_many` on the answers suite; options go to `ask_many`."""
    from training.evaluate import evaluate_answers

    return evaluate_answers(
        dataset, system, withhold_every=withhold_every, limit=limit, label=label, progress=progress, **options
    )


def usual_workflow(dataset: LabelledSet, *, progress: bool = True) -> UsualWorkflow:
    """Return the usual workflow over the set's documents, with the same base models as ours."""
    from prep.encoder import Encoder
    from retrieve.base import load_base
    from training.workflow import GreedyCompleter, UsualWorkflow

    return UsualWorkflow(
        dataset.documents.values(), GreedyCompleter(*load_base()), Encoder.load(), progress=progress
    )


def _usual_preparer() -> FrozenPreparer:
    from prep.encoder import Encoder
    from training.peers import FrozenPreparer
    from training.workflow import WorkflowSettings, default_chunker

    encoder = Encoder.load()
    name, chunker = default_chunker(encoder, WorkflowSettings().chunk_tokens)
    return FrozenPreparer(chunker, encoder, name=f"usual workflow ({name})")


def _digest(dataset: LabelledSet) -> str:
    content: Mapping[str, str] = {key: document.text for key, document in dataset.documents.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
