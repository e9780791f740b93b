"""Examples: right passages with their sentences and tokens, hard negatives, refusing."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from fixture_encoder import make_bert

from prep.document import Document, Span
from prep.model.encoder import Encoder
from retrieve.reader.inputs import InputLimits
from training.data.dataset import Question
from training.reader.examples import (
    ExampleFiles,
    ExampleOptions,
    LexicalCorpus,
    answer_type_of,
    make_examples,
    read_examples,
)
from training.reader.text_windows import cut_windows

TEXT = "\n".join(
    [
        "# Museum {#museum}",
        "The museum stands on the hill. It was built in 1907 by Anna Berg.",
        "",
        "## Hours",
        "The doors open at nine. On Sundays the museum opens at eleven.",
        "",
        "## Prices",
        "A ticket costs four crowns. Children pay nothing.",
    ]
)
DOCUMENT = Document("m", "City", TEXT)
OTHERS = [Document(f"o{n}", "Town", f"The museum of town {n} opens at noon. It is old.") for n in range(8)]


def question(text: str, said: str, **more: object) -> Question:
    at = TEXT.index(said)
    asked = Question("q", text, (said,), (Span("m", at, at + len(said)),), kind="factoid")
    return replace(asked, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(make_bert(tmp_path_factory.mktemp("base")), precision="float32")


@pytest.fixture(scope="module")
def corpus() -> LexicalCorpus:
    rng = random.Random(1)
    return LexicalCorpus([one for document in [DOCUMENT, *OTHERS] for one in cut_windows(document, rng)])


def made(
    questions: list[Question], corpus: LexicalCorpus, encoder: Encoder, **options: object
) -> ExampleFiles:
    files = ExampleFiles()
    settings = replace(ExampleOptions(withheld_share=0.0), **options)  # type: ignore[arg-type]
    make_examples(
        questions,
        corpus,
        encoder,
        files,
        dataset="s",
        options=settings,
        limits=InputLimits(),
        rng=random.Random(3),
    )
    return files


def test_windows_stand_under_their_headings_and_hold_every_sentence() -> None:
    windows = cut_windows(DOCUMENT, random.Random(0))
    assert [window.headings for window in windows] == [("Museum",), ("Museum", "Hours"), ("Museum", "Prices")]
    assert all(window.text == TEXT[window.start : window.end] for window in windows)
    assert "Children pay nothing." in windows[-1].text


def test_the_right_passage_names_its_sentence_and_its_tokens(corpus: LexicalCorpus, encoder: Encoder) -> None:
    files = made([question("when does it open on Sundays", "eleven")], corpus, encoder)
    (example,) = files.examples
    ((place, right),) = example.right.items()
    passage = files.passages[example.passages[place]]
    assert right.sentences == (1,)
    start, end = passage.offsets[right.starts[0]][0], passage.offsets[right.ends[0]][1]
    hours = next(one for one in corpus.passages_of("m") if "eleven" in one.text)
    assert hours.text[start:end] == "eleven"
    assert len(example.passages) > 1
    assert (example.answer_type, example.soft, example.no_span) == ("span", False, False)


def test_what_is_withheld_or_unanswerable_has_nothing_right(corpus: LexicalCorpus, encoder: Encoder) -> None:
    asked = question("when does the museum open on Sundays", "eleven")
    near = replace(asked, id="n", answerable=False, evidence=(), answers=())
    files = made([asked], corpus, encoder, withheld_share=1.0)
    files.examples += made([near], corpus, encoder).examples
    assert [example.right for example in files.examples] == [{}, {}]
    assert all(example.answer_type is None and not example.no_span for example in files.examples)


def test_a_passage_that_holds_the_answer_is_not_taken_for_wrong(encoder: Encoder) -> None:
    windows = cut_windows(DOCUMENT, random.Random(0)) + cut_windows(
        Document("x", "X", "Doors open on Sundays at eleven."), random.Random(0)
    )
    files = made([question("when do doors open on Sundays", "eleven")], LexicalCorpus(windows), encoder)
    assert all("x" not in files.passages[number].header for number in files.examples[0].passages)
    assert len(files.examples[0].passages) == len(windows) - 1


def test_examples_are_read_as_they_were_written(
    corpus: LexicalCorpus, encoder: Encoder, tmp_path: Path
) -> None:
    files = made([question("who built the museum", "Anna Berg")], corpus, encoder)
    files.save(tmp_path / "examples")
    again = read_examples(tmp_path / "examples")
    assert again.examples == files.examples
    assert [(one.header, one.text, one.sentence_of) for one in again.passages] == [
        (one.header, one.text, one.sentence_of) for one in files.passages
    ]
    assert [len(one.sentences) for one in again.passages] == [len(one.sentences) for one in files.passages]


@pytest.mark.parametrize(
    ("kind", "text", "answers", "expected"),
    [
        ("yesno", "is it?", ("No, never",), "no"),
        ("yesno", "is it?", ("perhaps",), None),
        ("list", "which?", ("a; b",), "list"),
        ("howto", "reset it", ("press",), "steps"),
        ("conversation", "User: how do I\nAssistant: so\nUser: and then?", ("x",), "statement"),
        ("factoid", "how do they call it", ("x",), "span"),
        ("why", "why?", ("x",), "statement"),
    ],
)
def test_the_type_of_an_answer(kind: str, text: str, answers: tuple[str, ...], expected: str | None) -> None:
    assert answer_type_of(Question("q", text, answers, kind=kind)) == expected
