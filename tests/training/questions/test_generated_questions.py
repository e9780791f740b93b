"""Questions written on a corpus: what is kept leads back to its passage; counts, kinds and resuming are right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest
from fixture_causal_lm import make_causal_lm, make_retrieve_version
from fixture_prep import LinePrep

from prep.document import Document, Span
from prep.errors import ConfigError
from retrieve.episode.episode import Passage
from retrieve.episode.grammar import Grammar
from retrieve.episode.question_writing import GeneratedQuestion
from retrieve.model import RetrieveModel
from training.data.dataset import Question
from training.data.passage_pool import PassagePool
from training.questions.generated_questions import (
    GeneratedQuestions,
    LocalGenerator,
    QuestionGenerationConfig,
    generate_questions,
    target_sentences,
)
from training.questions.question_generator import ModelQuestionGenerator, TargetSentence
from training.questions.questions_page import render_questions
from training.questions.round_trip import (
    DUPLICATE,
    AnsweringModel,
    DuplicateFilter,
    RoundTrip,
    RoundTripConfig,
    form_problem,
    kind_of,
)
from training.traces.question_traces import question_traces

YEARS = {"Barlin": "1893", "Tolgate": "1712", "Mermot": "1544", "Sudlin": "1231"}
TEXTS = {
    name: (
        f"The old bridge of {name} was opened in {year} by its proud people.\n"
        f"Everybody in {name} knows the blue fountain behind the market hall.\n"
    )
    for name, year in YEARS.items()
}
DOCUMENTS = {name: Document(name, name, text) for name, text in TEXTS.items()}


@pytest.fixture(scope="module")
def pool() -> PassagePool:
    return PassagePool.build(DOCUMENTS.values(), [LinePrep()])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> RetrieveModel:
    folder = tmp_path_factory.mktemp("ask")
    make_retrieve_version(folder / "version", make_causal_lm(folder / "base"))
    return RetrieveModel.load(folder / "version")


class ReadsYears:
    """Reads the year in a passage, and points at its first sentence, whatever is asked."""

    version = "years-1"

    def read(self, questions: Sequence[str], passages: Sequence[Passage]) -> list[tuple[str, list[Span]]]:
        read: list[tuple[str, list[Span]]] = []
        for passage in passages:
            year = next((word for word in passage.text.split() if word.isdecimal()), "")
            at = Span(passage.document_id, passage.start, passage.end)
            read.append((year, [at] if year else []))
        return read


class AsksForYears:
    """Writes one question a sentence: when the bridge was opened where it says so, else something about nothing."""

    name = "years"

    def __init__(self) -> None:
        self.n_batches = 0

    def write(self, places: Sequence[TargetSentence], seed: int) -> list[GeneratedQuestion | None]:
        self.n_batches += 1
        return [self._asked(place) for place in places]

    def _asked(self, place: TargetSentence) -> GeneratedQuestion | None:
        name = place.passage.document_id
        evidence = place.prompt.locate(place.number, YEARS[name])
        if evidence is None:
            return None
        return GeneratedQuestion(f"When was the old bridge of {name} opened?", YEARS[name], evidence)


def asked(
    question: str, name: str = "Barlin", answer: str | None = None
) -> tuple[GeneratedQuestion, Passage]:
    answer = answer or YEARS[name]
    start = TEXTS[name].index(answer)
    line_end = TEXTS[name].index("\n", start) + 1
    line_start = TEXTS[name].rfind("\n", 0, start) + 1
    passage = Passage(name, name, (), line_start, line_end, TEXTS[name][line_start:line_end])
    return GeneratedQuestion(question, answer, Span(name, start, start + len(answer))), passage


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ("When was the old bridge of Barlin opened?", ""),
        ("The bridge of Barlin was opened in spring.", "no question mark"),
        ("Since when?", "too short"),
        ("What happened in Barlin in 1893?", "gives its answer away"),
        ("What does the passage say about Barlin?", "leans on a text that is not there"),
        ("In which year did they open it?", "leans on a text that is not there"),
        ("Did they open the bridge of Barlin in spring?", ""),
        ("巴林的桥是什么时候建成的？", ""),
    ],
)
def test_a_question_must_be_one_and_stand_by_itself(question: str, problem: str) -> None:
    assert form_problem(asked(question)[0], RoundTripConfig()) == problem


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who opened it, and when?", "who"),
        ("In what year was it opened?", "when"),
        ("At which place?", "which"),
        ("How many people came?", "how many"),
        ("How was it built?", "how"),
        ("Is it old?", "other"),
        ("桥在哪里？", "where"),
    ],
)
def test_the_first_asking_word_is_the_kind(question: str, kind: str) -> None:
    assert kind_of(question) == kind


def ask_for_years(
    pool: PassagePool, config: QuestionGenerationConfig, notes: Path | None = None
) -> tuple[GeneratedQuestions, int]:
    """Ask and judge by the two above; returns what came of it and how many batches were written."""
    writer = AsksForYears()
    drafting = LocalGenerator(writer, RoundTrip(pool, ReadsYears()))
    apart = replace(config, duplicate=0.99)  # these questions differ in a name alone
    return generate_questions(pool, drafting, apart, notes=notes, progress=False), writer.n_batches


def test_each_check_leaves_out_what_it_is_for(pool: PassagePool) -> None:
    check = RoundTrip(pool, ReadsYears(), RoundTripConfig(depth=1))
    reasons = check.reject_reasons(
        [
            asked("When was the old bridge of Barlin opened?"),
            asked("When was the old bridge of Tolgate opened?"),  # about another town than its passage
            asked("What does everybody in Barlin know behind the market hall?", answer="blue fountain"),
            asked("Who opened the old bridge of Barlin?", answer="its proud people"),
            asked("Barlin", answer="1893"),
        ]
    )
    assert reasons == [
        "",
        "its passage is not found",
        "the model finds no answer",
        "the model answers something else",
        "no question mark",
    ]


def test_what_is_nearly_asked_before_is_a_repeat(pool: PassagePool) -> None:
    duplicates = DuplicateFilter(pool.encoder.encode_queries, 0.99)
    barlin, tolgate = (f"When was the old bridge of {name} opened?" for name in ("Barlin", "Tolgate"))
    assert duplicates.are_duplicates([]) == []
    assert duplicates.are_duplicates([barlin, tolgate, barlin]) == [False, False, True]
    assert duplicates.are_duplicates(["Who opened the market hall?", tolgate]) == [False, True]


def test_of_two_that_are_nearly_the_same_the_first_is_kept(pool: PassagePool) -> None:
    drafting = LocalGenerator(AsksForYears(), RoundTrip(pool, ReadsYears()))
    config = QuestionGenerationConfig(n=4, batch=2, kind_share=1, duplicate=0.0)
    found = generate_questions(pool, drafting, config, progress=False)
    assert len(found.questions) == 1
    assert found.refused[DUPLICATE] == 3


def test_the_real_reader_reports_what_stands_in_the_passage(model: RetrieveModel, pool: PassagePool) -> None:
    passages = pool.passages[:3]
    read = AnsweringModel(model).read(["When was it opened?"] * 3, passages)
    assert len(read) == 3
    for (statement, spans), passage in zip(read, passages, strict=True):
        assert bool(statement) == bool(spans)
        assert all(passage.start <= span.start < span.end <= passage.end for span in spans)


def test_documents_take_turns_and_the_seed_decides(pool: PassagePool) -> None:
    config = QuestionGenerationConfig(seed=3)
    places = list(target_sentences(pool, config))
    assert {place.passage.document_id for place in places[:4]} == set(YEARS)
    assert len(places) == 8
    assert places == list(target_sentences(pool, config))
    assert places != list(target_sentences(pool, replace(config, seed=4)))
    assert len(list(target_sentences(pool, replace(config, shortest_sentence=65)))) < 8


def test_what_is_kept_is_a_question_with_its_evidence(pool: PassagePool) -> None:
    found, _ = ask_for_years(pool, QuestionGenerationConfig(n=5, kind_share=1))
    assert {question.answers for question in found.questions} == {(year,) for year in YEARS.values()}
    for question in found.questions:
        (span,) = question.evidence
        assert TEXTS[span.document_id][span.start : span.end] == question.answers[0]
        assert question.kind == "asked"
    about = found.describe()
    assert about["written"] == about["kept"] + sum(about["refused"].values())
    assert about["kinds"] == {"when": 4}
    page = render_questions(found, DOCUMENTS)
    assert "<b>1893</b>" in page
    assert "not finished" in page


def test_of_no_kind_there_are_more_than_its_share(pool: PassagePool) -> None:
    found, _ = ask_for_years(pool, QuestionGenerationConfig(n=4, kind_share=0.5))
    assert len(found.questions) == 2
    assert found.refused["enough of its kind"] == 2


def test_a_run_goes_on_behind_what_it_noted_and_comes_to_the_same(pool: PassagePool, tmp_path: Path) -> None:
    config = QuestionGenerationConfig(n=4, batch=2, kind_share=1)
    whole, n_batches = ask_for_years(pool, config)
    notes = tmp_path / "notes.jsonl"
    ask_for_years(pool, config, notes)
    lines = notes.read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(lines) == 1 + n_batches > 2
    # Killed while it wrote the second batch.
    notes.write_text("".join(lines[:2]) + lines[2][:20], encoding="utf-8")
    resumed, n_again = ask_for_years(pool, config, notes)
    assert n_again == n_batches - 1
    assert resumed.questions == whole.questions
    assert resumed.refused == whole.refused
    assert len([json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]) == 1 + n_batches


def test_notes_of_another_run_are_not_gone_on_with(pool: PassagePool, tmp_path: Path) -> None:
    config = QuestionGenerationConfig(n=4, batch=2, kind_share=1)
    notes = tmp_path / "notes.jsonl"
    ask_for_years(pool, config, notes)
    other = replace(config, seed=9)
    alone, n_alone = ask_for_years(pool, other)
    assert ask_for_years(pool, other, notes) == (replace(alone, seconds=ANY), n_alone)
    assert json.loads(notes.read_text(encoding="utf-8").splitlines()[0])["config"]["seed"] == 9


def test_the_real_writer_asks_about_the_sentence_it_is_given(model: RetrieveModel, pool: PassagePool) -> None:
    writer = ModelQuestionGenerator(model, temperature=1.0)
    places = list(target_sentences(pool, QuestionGenerationConfig()))
    written = writer.write(places, seed=5)
    assert written == writer.write(places, seed=5)
    assert written != writer.write(places, seed=6)
    sound = [(one, place) for one, place in zip(written, places, strict=True) if one is not None]
    assert sound
    for one, place in sound:
        sentence = place.prompt.sentences[place.number - 1]
        assert sentence.start <= one.evidence.start < one.evidence.end <= sentence.end
        text = TEXTS[place.passage.document_id]
        assert " ".join(text[one.evidence.start : one.evidence.end].split()) == one.answer
    drafting = LocalGenerator(writer, RoundTrip(pool, AnsweringModel(model)))
    found = generate_questions(pool, drafting, QuestionGenerationConfig(n=2), progress=False)
    assert found.n_written == len(found.questions) + found.refused.total() > 0


def test_traces_teach_what_people_asked(model: RetrieveModel, pool: PassagePool) -> None:
    grammar = Grammar(model.tokenizer, model.model.get_input_embeddings().weight.shape[0])
    start = TEXTS["Barlin"].index("1893")
    right = Question("q1", "When was it <report> opened?", ("1893",), (Span("Barlin", start, start + 4),))
    questions = [
        right,
        replace(right, id="q2"),
        replace(right, id="q3", answers=("89",), evidence=(Span("Barlin", start + 1, start + 3),)),
        replace(right, id="q4", answerable=False),
        replace(right, id="q5", evidence=(Span("Barlin", 60, 80),)),
    ]
    traces, refused = question_traces(questions, pool, grammar)
    assert [trace.question_id for trace in traces] == ["q1"]
    (prompt, of_prompt), (target, of_target) = traces[0].segments
    assert (of_prompt, of_target) == (False, True)
    assert prompt.startswith("<ask>\nBarlin\n⟦1⟧ The old bridge")
    assert target == "⟦1⟧ 1893\n<question> When was it ‹report> opened?</question>"
    assert refused == {
        "asked already": 1,
        "the answer is no run of whole tokens": 1,
        "no answer": 1,
        "the answer stands in no sentence shown": 1,
    }


@pytest.mark.parametrize("wrong", [{"n": 0}, {"kind_share": 0.0}, {"batch": 0}, {"duplicate": 1.5}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        QuestionGenerationConfig(**wrong)


def test_checks_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="depth"):
        RoundTripConfig(depth=0)
    with pytest.raises(ConfigError, match="least_f1"):
        RoundTripConfig(least_f1=1.5)
