"""The shipped models, from a folder of files to a report: what README promises of two commands."""

from __future__ import annotations

import pytest

from flows.candidates.dataset_folder import QUESTIONS_PAGE
from flows.candidates.training_sets import synthesize_data
from flows.candidates.training_settings import TrainingSettings
from prep import PrepModel, Workspace, read_documents
from prep.ingest import ingest
from retrieve import Report, Researcher
from training.data.dataset import load_set

FILES = {
    "mill.md": (
        "# The mill at Thorn\n\n## History\n\nThe mill was built in 1743 by the carpenter Anna Reed. "
        "It ground rye for three villages until a flood took its wheel.\n\n## Today\n\n"
        "The building has been a school of weaving since 1988. Forty pupils live there.\n"
    ),
    "bridge.txt": (
        "The bridge over the Lorne was opened by the mayor of Halden on a cold morning. It replaced a ferry that "
        "carried sheep. Steel for its arches came from the yards of Brenwick.\n"
    ),
    "bees.html": (
        "<html><head><title>Keeping bees</title></head><body><h1>Keeping bees</h1><p>A hive in winter needs about "
        "fifteen kilograms of honey. Open it only on days without wind.</p></body></html>"
    ),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def researcher(tmp_path_factory: pytest.TempPathFactory) -> Researcher:
    folder = tmp_path_factory.mktemp("documents")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    workspace = tmp_path_factory.mktemp("workspace")
    report = ingest(workspace, read_documents(folder), PrepModel.load(), progress=False)
    assert (report.n_documents, report.rejected) == (3, [])
    return Researcher.open(workspace)


@pytest.fixture(scope="module")
def answered(researcher: Researcher) -> list[Report]:
    return researcher.ask_many(
        [
            "Who built the mill at Thorn?",
            "When was the mill at Thorn built?",
            "Who opened the bridge over the Lorne?",
        ],
        deadline_s=60.0,
    )


def test_a_plain_question_is_answered_with_the_words_of_its_source(answered: list[Report]) -> None:
    given = [report.answer or "" for report in answered]
    expected = ["Anna Reed", "1743", "mayor of Halden"]
    right = [wanted in answer for wanted, answer in zip(expected, given, strict=True)]
    assert sum(right) >= 2, given


def test_every_quote_is_its_source_to_the_letter(researcher: Researcher, answered: list[Report]) -> None:
    quotes = [quote for report in answered for quote in report.quotes]
    assert quotes
    with researcher.workspace.open_generation() as generation:
        for quote in quotes:
            assert generation.document(quote.document_id).text[quote.start : quote.end] == quote.text


def test_a_report_says_which_models_and_generation_gave_it(
    researcher: Researcher, answered: list[Report]
) -> None:
    current = Workspace(researcher.workspace.path).current()
    assert all(report.generation == current.generation for report in answered)
    assert all(report.models["retrieve"].startswith("retrieve-") for report in answered)
    assert all(report.models["prep"] == PrepModel.load().version for report in answered)


def test_what_no_document_says_is_never_answered_without_a_quote(researcher: Researcher) -> None:
    report = researcher.ask("What is the boiling point of tungsten?", deadline_s=60.0)
    assert report.abstained or report.quotes


def test_feedback_on_a_report_is_kept(researcher: Researcher, answered: list[Report]) -> None:
    researcher.feedback(answered[0].id, helpful=True, answer="Anna Reed")
    assert researcher.log is not None
    row = next(row for row in researcher.log.rows() if row.report.id == answered[0].id)
    assert (row.helpful, row.corrected_answer) == (True, "Anna Reed")


def test_questions_are_written_on_the_documents_and_lead_back_to_them(researcher: Researcher) -> None:
    """Without labels and without an outside model: the version that asks, and the one that answers as its judge."""
    settings = TrainingSettings(n_examples=8, n_generated=3, held_out_every=3)
    dataset = synthesize_data(researcher.workspace, settings)
    about = dataset.generated
    assert about["written"] == about["kept"] + sum(about["refused"].values())
    training = dataset.training()
    asked = [
        question
        for part in (training, load_set(dataset.held_out))
        for question in part.questions
        if question.kind == "asked"
    ]
    assert len(asked) == about["kept"] >= 1
    for question in asked:
        (span,) = question.evidence
        assert (
            " ".join(training.documents[span.document_id].text[span.start : span.end].split())
            in question.answers
        )
        assert question.question.endswith("?")
    assert "Kept, a sample" in (dataset.folder / QUESTIONS_PAGE).read_text(encoding="utf-8")
    assert synthesize_data(researcher.workspace, settings).reused
    assert not list((researcher.workspace.path / "datasets").glob(".generated-*"))
