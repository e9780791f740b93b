"""The whole loop once, as a demo: documents, both models, a training pass, figures, answers, a page.

    1 documents   2 ingest   3 train   4 measure   5 ask   6 page

Each step is one of the flows, or a plain function where there is none. A second run repeats nothing: unchanged
documents are not prepared, finished trainings and figures are found. Nothing is promoted: the serving models answer.
Importing this module imports Prefect, so `flows.deployments.prefect_settings.configure` comes first (`diptych demo`
calls it).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.candidates.candidate_folder import Candidate
from flows.candidates.dataset_folder import Dataset
from flows.candidates.prep_candidates import train_prep_candidate
from flows.candidates.retrieve_candidates import train_retrieve_candidate
from flows.candidates.training_sets import synthesize_data
from flows.candidates.training_settings import TrainingSettings
from flows.demo.demo_corpus import write_corpus
from flows.deployments.evaluate_flow import evaluate
from flows.deployments.ingest_flow import ingest
from flows.deployments.synthesize_flow import synthesize
from flows.deployments.tasks import Receipt
from flows.deployments.train_prep_flow import train_prep
from flows.deployments.train_retrieve_flow import train_retrieve
from flows.models.measurement import HEADLINE
from flows.pages.run_page import write_page
from prep.document import Chunk, Document, Rejected
from prep.manifest import json_digest, write_json
from prep.store.workspace import Workspace
from prep.text import printable_line
from retrieve.report.report import Report
from retrieve.researcher import Researcher

__all__ = ["QUESTIONS", "run_demo"]

#: What people ask about the language. The reference does not answer the last one.
QUESTIONS = (
    "How do I write a tuple with just one item?",
    "Can I use break outside of a loop?",
    "Why are default parameter values a problem with lists?",
    "Who won the football World Cup in 1998?",
)
#: Short, so that the demo shows the loop rather than a result: `diptych train` takes longer and gives more.
PASS = TrainingSettings(n_examples=480, n_generated=8, minutes=1.2, prep_epochs=4, prep_pages=1)
N_MEASURED = 12
N_SAMPLES = 3
# A demo may run beside a browser and a compiler: an answer that takes longer is better than none.
DEADLINE_S = 20.0


def run_demo(
    workspace: str | Path,
    *,
    documents: str | Path | None = None,
    questions: Sequence[str] | None = None,
) -> int:
    """Run the demo and return an exit status.

    documents: a folder of the user's instead of the language reference. questions: what to ask instead of
    QUESTIONS, or, on the user's own documents, of three synthetic ones. Raises the errors of the steps.
    """
    place = Workspace(workspace)
    clock = _Clock()
    with clock.step("documents"):
        folder = Path(documents) if documents is not None else place.path / "python-reference"
        if documents is None:
            print(f"{len(write_corpus(folder))} topics of Python's language reference in {folder}")
    with clock.step("ingest: read, prepare, index"):
        ingested = ingest([str(folder)], str(place.path), sync=True)
        _print_ingested(ingested)
    with clock.step("train both models on questions and structure made from these documents"):
        dataset, prep, retrieve = _train(place)
    with clock.step("measure the serving models, the candidate and baseline RAG"):
        measured = _measure(place, dataset, retrieve)
        _print_measured(measured, prep, retrieve)
    with clock.step("ask"):
        reports = _ask(place, list(questions or _questions(dataset, documents is None)))
    with clock.step("page"):
        page = write_page(
            place.path / "reports" / "demo" / "index.html",
            title="Diptych on " + ("Python's language reference" if documents is None else folder.name),
            reports=reports,
            documents=_samples(place, reports),
            metrics=measured["metrics"],
            training={"prep": prep.curves, "retrieve": retrieve.curves},
            rejected=[Rejected(**row) for row in ingested["rejected"]],
            notes=_notes(measured, prep, retrieve),
        )
        print(f"open {page.resolve().as_uri()}")
    print(f"\ndone in {clock.seconds:.0f} s; ask more with: diptych ask '…' --workspace {place.path}")
    return 0


def _train(place: Workspace) -> tuple[Dataset, Candidate, Candidate]:
    workspace = str(place.path)
    synthesize(workspace, PASS.n_examples, PASS.seed, PASS.n_generated)
    train_prep(
        workspace, PASS.prep_epochs, PASS.prep_pages, PASS.n_examples, PASS.seed, n_generated=PASS.n_generated
    )
    train_retrieve(workspace, PASS.minutes, PASS.n_examples, PASS.seed, PASS.n_generated)
    # The flows return receipts; the data set and the candidates are found by their digests.
    dataset = synthesize_data(place, PASS)
    prep = train_prep_candidate(place, dataset, PASS)
    retrieve = train_retrieve_candidate(place, dataset, PASS)
    for candidate in (prep, retrieve):
        print(f"{candidate.kind} candidate {candidate.version}, trained for {candidate.seconds:.0f} s")
    return dataset, prep, retrieve


def _measure(place: Workspace, dataset: Dataset, retrieve: Candidate) -> Receipt:
    """Return the receipts of two evaluations as one; figures of the same models are read again."""
    current = place.current()
    made_of = [dataset.digest, current.generation, current.retrieve, retrieve.version, N_MEASURED, DEADLINE_S]
    path = place.path / "reports" / "demo" / f"measured-{json_digest(made_of)[:12]}.json"
    if path.is_file():
        print("measured before")
        found: Receipt = json.loads(path.read_text(encoding="utf-8"))
        return found
    workspace, data = str(place.path), str(dataset.held_out)
    retrieval = evaluate(workspace, "retrieval", data, baseline=True)
    answers = evaluate(
        workspace,
        "answers",
        data,
        baseline=True,
        candidate=retrieve.version,
        limit=N_MEASURED,
        deadline_s=DEADLINE_S,
    )
    measured = {"metrics": {**answers["metrics"], **retrieval["metrics"]}, "verdict": answers["verdict"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(write_json(path, measured), path)
    return measured


def _ask(place: Workspace, questions: list[str]) -> list[Report]:
    with Researcher.open(place.path) as researcher:
        reports = []
        for question in questions:
            report = researcher.ask(question, deadline_s=DEADLINE_S)
            print(f"\n{report.to_text()}")
            reports.append(report)
    return reports


def _questions(dataset: Dataset, is_reference: bool) -> Sequence[str]:
    if is_reference:
        return QUESTIONS
    from training.data.dataset import load_set

    held_out = load_set(dataset.held_out).questions or load_set(dataset.folder / "corpus").questions
    return [question.question for question in held_out[:3]]


def _samples(place: Workspace, reports: Sequence[Report]) -> list[tuple[Document, list[Chunk]]]:
    """Return a few documents with their chunks, quoted ones first."""
    with place.open_generation() as generation:
        quoted = [quote.document_id for report in reports for quote in report.quotes]
        others = (document.id for document in generation.documents())
        chosen = list(dict.fromkeys([*quoted, *others]))[:N_SAMPLES]
        return [(generation.document(name), generation.document_chunks(name)) for name in chosen]


def _print_ingested(receipt: Receipt) -> None:
    print(
        f"{receipt['n_documents']} documents ({receipt['n_unchanged']} unchanged), {receipt['n_chunks']} chunks, "
        f"generation {receipt['generation']}"
    )
    for row in receipt["rejected"][:10]:
        print(f"  not read: {printable_line(row['path'])}: {printable_line(row['reason'])}")


def _print_measured(measured: Receipt, prep: Candidate, retrieve: Candidate) -> None:
    for title, systems in measured["metrics"].items():
        print(f"{title} (synthetic questions on held-out documents)")
        for system, figures in systems.items():
            shown = ", ".join(
                f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}"
                for name, value in figures.items()
            )
            print(f"  {system}: {shown}")
    for note in _notes(measured, prep, retrieve):
        print(note)


def _notes(measured: Receipt, prep: Candidate, retrieve: Candidate) -> list[str]:
    boundaries = ", ".join(f"{name} {scores['paragraph_f1']:.3f}" for name, scores in prep.metrics.items())
    return [
        f"Prep candidate {prep.version}: F1 of paragraph boundaries on damaged pages of held-out documents: "
        f"{boundaries}. It is kept and not promoted.",
        f"Retrieve candidate {retrieve.version}: {measured['verdict']} It is kept and not promoted: a pass of "
        f"this length shows the loop, and {N_MEASURED} questions decide nothing ({HEADLINE['answers']} is the "
        "figure compared). To let it serve: diptych models promote retrieve " + retrieve.version,
    ]


class _Clock:
    """Prints which step begins, and how long it took."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._n = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._n += 1
        started_s = self.seconds
        print(f"\n== {self._n}/6 {name} (after {started_s:.0f} s)", flush=True)
        yield
        print(f"== {self._n}/6 took {self.seconds - started_s:.0f} s", flush=True)
