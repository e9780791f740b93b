"""Feedback examples of the log: which rows give one, whose word counts, and that nobody steers training alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from prep.document import Document, Span
from prep.errors import ConfigError
from retrieve.experience.log_config import MASK
from retrieve.experience.record import ASKED_AGAIN, FOLLOWED_UP, Experience, Feedback, Signal
from retrieve.report.data import Finding, Quote, Source, Usage
from retrieve.report.report import Report
from training.data.feedback_examples import FeedbackConfig, draw_examples, examples_from_log
from training.data.gate_set import GateSetConfig, extend_gate_set

TEXT = "The vault opens with nine turns of the wheel. The wheel is made of blue steel from Sudlin.\n"
FIRST = "The lighthouse number {n} was repainted by Agnes Corwen{n} in {year} for the harbour of Tarvik{n}. "
DOCUMENTS = {f"d{n}": Document(f"d{n}", "Vaults", FIRST.format(n=n, year=1700 + n) + TEXT) for n in range(12)}
FREE = FeedbackConfig(free=1000.0)


def row(
    name: str,
    *feedback: Feedback,
    question: str | None = None,
    document_id: str = "d1",
    words: str | None = "nine turns",
    user: str | None = None,
    signs: tuple[str, ...] = (),
) -> Experience:
    """A row whose answer is quoted word for word."""
    document = DOCUMENTS[document_id]
    shown = Source(document_id, "Vaults", (), 0, len(document.text), 0.9, words is not None)
    findings = []
    if words is not None:
        start = document.text.index(words)
        findings = [Finding(words, [Quote(document_id, start, start + len(words), words)])]
    report = Report(
        name,
        question or f"How does vault {name} open?",
        words,
        words is None,
        findings,
        ["vault"],
        [shown],
        Usage(1, 1, 1, 0.1),
        created="2025-01-01T00:00:00+00:00",
    )
    return Experience(
        [], report, feedback, user, tuple(Signal(kind, f"x{i}") for i, kind in enumerate(signs))
    )


def said(helpful: bool | None = None, answer: str | None = None, **more: object) -> Feedback:
    return Feedback("2025-01-02T00:00:00+00:00", helpful, answer, **more)  # type: ignore[arg-type]


def span_of(words: str, document_id: str = "d1") -> Span:
    start = DOCUMENTS[document_id].text.index(words)
    return Span(document_id, start, start + len(words))


def test_a_helpful_answer_teaches_itself_with_its_quotes() -> None:
    found = examples_from_log([row("a", said(True))], DOCUMENTS)
    (example,) = found.examples
    assert example.question.answers == ("nine turns",)
    assert example.question.evidence == (span_of("nine turns"),)
    assert (example.question.kind, example.weight, example.report_id) == ("helpful", 1.0, "a")
    assert example.question.statements == ("nine turns",)
    assert found.left_out == Counter()


def test_what_was_less_likely_teaches_nothing() -> None:
    """Neither with the answer's quotes, nor where somebody says that it is quoted rightly."""
    one = row("a")
    other = Finding(
        "blue steel",
        [Quote("d1", span_of("blue steel").start, span_of("blue steel").end, "blue steel")],
        True,
    )
    report = replace(one.report, findings=[*one.report.findings, other])
    helpful = replace(one, report=report, feedback=(said(True),))
    (example,) = examples_from_log([helpful], DOCUMENTS).examples
    assert example.question.evidence == (span_of("nine turns"),)
    right = replace(one, report=report, feedback=(said(quote=2, quote_right=True),))
    assert examples_from_log([right], DOCUMENTS).examples == ()
    assert right.quotes(right=True)
    assert not right.has_quote(right=True)
    both = replace(right, feedback=(said(quote=1, quote_right=True), said(quote=2, quote_right=True)))
    (example,) = examples_from_log([both], DOCUMENTS).examples
    assert (example.question.kind, example.question.evidence) == ("quoted rightly", (span_of("nine turns"),))


def test_a_corrected_answer_teaches_the_sentence_that_holds_it() -> None:
    (example,) = examples_from_log([row("a", said(False, "Blue  steel"))], DOCUMENTS).examples
    assert example.question.answers == ("Blue  steel",)
    assert example.question.evidence == (span_of("The wheel is made of blue steel from Sudlin."),)
    assert (example.question.kind, example.question.statements) == ("corrected", ())
    nowhere = examples_from_log([row("a", said(answer="red brass"))], DOCUMENTS)
    assert nowhere.left_out == {"no sentence found holds the corrected answer": 1}


def test_a_corrected_answer_of_several_sentences_teaches_those() -> None:
    clause = "opens with nine turns of the wheel. The wheel is made of blue steel"
    (example,) = examples_from_log([row("a", said(False, clause))], DOCUMENTS).examples
    assert example.question.answers == (clause,)
    assert example.question.evidence == (span_of(TEXT.strip()),)
    # One sentence that holds it is what is meant, wherever it is shown.
    text = "It lies in Paris. Texas is far. They went to Paris, Texas, by train."
    meant = text.index("They went")
    documents = {"a": Document("a", "Towns", text[:meant]), "b": Document("b", "Towns", text)}
    one = row("a", said(answer="Paris, Texas"), words=None)
    sources = [Source(name, "Towns", (), 0, len(documents[name].text), 0.9, False) for name in ("a", "b")]
    shown = replace(one, report=replace(one.report, sources=sources))
    (example,) = examples_from_log([shown], documents).examples
    assert example.question.evidence == (Span("b", meant, len(text)),)


@pytest.mark.parametrize("answer", ["1906年", "1906", "鐳", "居禮夫人"])
def test_a_corrected_answer_is_found_in_a_script_without_blanks(answer: str) -> None:
    text = "這是第一句話。居禮夫人於1906年、1911年研究鐳。這是最後一句。"
    document = Document("zh", "鐳", text)
    one = row("a", said(answer=answer), words=None)
    report = replace(one.report, sources=[Source("zh", "鐳", (), 0, len(text), 0.9, False)])
    (example,) = examples_from_log([replace(one, report=report)], {"zh": document}).examples
    (span,) = example.question.evidence
    assert text[span.start : span.end] == "居禮夫人於1906年、1911年研究鐳。"


def test_a_corrected_answer_that_was_not_shown_is_searched_for() -> None:
    """It teaches where one sentence holds it; which of several answers the question is not known."""
    one = row("a", said(answer="Agnes Corwen7"), words=None)
    asked: list[str] = []

    def search(*names: str) -> Callable[[str], list[Span]]:
        def find(text: str) -> list[Span]:
            asked.append(text)
            return [Span(name, 0, len(DOCUMENTS[name].text)) for name in names]

        return find

    one = replace(one, report=replace(one.report, sources=[]))
    (example,) = examples_from_log([one], DOCUMENTS, search=search("d3", "d7")).examples
    assert example.question.evidence == (span_of(FIRST.format(n=7, year=1707).strip(), "d7"),)
    assert asked == [f"{one.report.question} Agnes Corwen7"]
    for found, why in (((), "no sentence found holds"), (("d3", "d4"), "several sentences hold")):
        several = replace(one, feedback=(said(answer="blue steel"),))
        nothing = examples_from_log([several], DOCUMENTS, search=search(*found))
        assert nothing.left_out == {f"{why} the corrected answer": 1}
    shown = examples_from_log(
        [row("a", said(answer="blue steel"))], DOCUMENTS, search=search("d3", "d4")
    ).examples
    assert [example.documents for example in shown] == [{"d1"}]


def test_a_part_of_a_word_is_no_answer() -> None:
    nowhere = examples_from_log([row("a", said(answer="ine turns"))], DOCUMENTS)
    assert nowhere.left_out == {"no sentence found holds the corrected answer": 1}


@pytest.mark.parametrize(
    ("feedback", "kind"),
    [
        ((said(False), said(True)), "helpful"),
        ((said(True), said(False)), "did not help, and nobody said what would"),
        ((said(True), said(answer="blue steel"), said(False)), "corrected"),
        ((said(answer="blue steel"), said(True)), "helpful"),
        ((said(True), said(quote=1, quote_right=False)), "no quotes, or all said to be wrong"),
        ((said(quote=1, quote_right=True),), "quoted rightly"),
        ((said(quote=1, quote_right=True), said(quote=1, quote_right=False)), "nobody said anything"),
        ((), "nobody said anything"),
    ],
)
def test_what_was_said_last_counts(feedback: tuple[Feedback, ...], kind: str) -> None:
    found = examples_from_log([row("a", *feedback)], DOCUMENTS)
    assert [*found.kinds, *found.left_out] == [kind]


def test_a_refusal_that_helped_teaches_to_refuse() -> None:
    (example,) = examples_from_log([row("a", said(True), words=None)], DOCUMENTS).examples
    assert not example.question.answerable
    assert example.question.kind == "refused rightly"
    assert example.documents == frozenset()


def test_signals_weigh_less_than_words_and_asking_again_takes_away() -> None:
    rows = [
        row("a", signs=(FOLLOWED_UP,)),
        row("b", signs=(ASKED_AGAIN,)),
        row("c", said(True), signs=(ASKED_AGAIN,)),
        row("d", signs=(FOLLOWED_UP, ASKED_AGAIN)),
    ]
    found = examples_from_log(rows, DOCUMENTS)
    assert [(example.report_id, example.weight) for example in found.examples] == [("a", 0.2), ("c", 0.5)]
    assert found.left_out == {"asked again, and nobody said anything": 2}


def test_of_one_question_the_newest_judgement_counts() -> None:
    rows = [
        row("a", said(True), question="How does it open?"),
        row("b", said(False, "blue steel"), question="how does it OPEN"),
        row("c", question="How does it open?"),
    ]
    found = examples_from_log(rows, DOCUMENTS)
    assert [example.report_id for example in found.examples] == ["b"]
    assert found.left_out == {"judged again later": 1, "nobody said anything": 1}


def test_people_who_contradict_each_other_teach_nothing() -> None:
    rows = [
        row("a", said(True), question="How does it open?", user="ada"),
        row("b", said(False), question="How does it open?", user="ben"),
        row("c", said(True), question="How is it shut?", user="ada"),
        row("d", said(True), question="How is it shut?", user="ben"),
    ]
    found = examples_from_log(rows, DOCUMENTS)
    assert [example.report_id for example in found.examples] == ["d"]
    assert found.left_out == {"people contradict each other": 2, "judged again later": 1}
    changed = [*rows[:2], row("e", said(False), question="How does it open?", user="ada")]
    assert examples_from_log(changed, DOCUMENTS).left_out["people contradict each other"] == 0


OPEN = "How does it open?"


@pytest.mark.parametrize(
    ("rows", "examples"),
    [
        ([("ada", said(answer="blue steel")), ("ben", said(False))], ["0"]),
        ([("ada", said(answer="blue steel")), ("ada", said(False))], ["0"]),
        ([(None, said(answer="blue steel")), ("ada", said(answer="steel")), (None, said(False))], ["1"]),
        ([*[(f"u{n}", said(True)) for n in range(3)], (None, said(answer="blue steel"))], []),
        ([("ada", said(answer="blue steel")), ("ben", said(answer="Sudlin"))], []),
        ([("ada", said(answer="blue steel")), ("ada", said(answer="Sudlin"))], ["1"]),
        ([("ada", said(True)), ("ada", said(False))], []),
    ],
)
def test_a_bare_no_takes_back_no_correction_and_who_is_not_named_is_heard(
    rows: list[tuple[str | None, Feedback]], examples: list[str]
) -> None:
    log = [row(str(n), feedback, question=OPEN, user=user) for n, (user, feedback) in enumerate(rows)]
    assert [example.report_id for example in examples_from_log(log, DOCUMENTS).examples] == examples


def test_a_correction_that_itself_did_not_help_teaches_nothing() -> None:
    log = [row("a", said(answer="blue steel"), question=OPEN, user="ada")]
    log.append(row("b", said(False), question=OPEN, user="ada", words="blue steel"))
    assert examples_from_log(log, DOCUMENTS).examples == ()


def test_what_was_said_later_counts_whenever_it_was_asked() -> None:
    late = Feedback("2025-03-01T00:00:00+00:00", answer="blue steel")
    log = [row("a", late, question=OPEN, user="ada"), row("b", said(True), question=OPEN, user="ada")]
    (example,) = examples_from_log(log, DOCUMENTS).examples
    assert (example.report_id, example.question.kind) == ("a", "corrected")


def test_documents_that_changed_teach_nothing() -> None:
    changed = DOCUMENTS | {"d1": Document("d1", "Vaults", "Something else.")}
    assert examples_from_log([row("a", said(True))], changed).left_out == {
        "the documents do not say it any more": 1
    }
    assert examples_from_log([row("a", said(True))], {}).left_out == {
        "the documents do not say it any more": 1
    }


def test_no_user_and_no_document_has_more_than_its_share() -> None:
    config = FeedbackConfig(free=2.0)
    rows = [row(f"u{n}", said(True), user="loud", document_id=f"d{n % 12}") for n in range(40)]
    rows += [row(f"q{n}", said(True), user=f"quiet{n}", document_id=f"d{n % 12}") for n in range(20)]
    found = examples_from_log(rows, DOCUMENTS, config=config)
    by_user = Counter(example.user for example in found.examples)
    assert by_user["loud"] <= 0.2 * len(found.examples)
    assert by_user.total() - by_user["loud"] == 20
    assert found.left_out == {"more than the share of one user": 40 - by_user["loud"]}
    assert [example.report_id for example in found.examples if example.user == "loud"] == [
        f"u{n}" for n in range(40 - by_user["loud"], 40)
    ]
    poisoned = [row(f"p{n}", said(True), document_id="d3") for n in range(40)]
    poisoned += [row(f"q{n}", said(True), document_id=f"d{n % 12}") for n in range(24)]
    found = examples_from_log(poisoned, DOCUMENTS, config=config)
    in_document = sum("d3" in example.documents for example in found.examples)
    assert in_document <= 0.2 * len(found.examples)
    assert len(examples_from_log(rows, DOCUMENTS, config=FREE).examples) == 60


def test_few_sources_teach_too_and_none_of_them_alone() -> None:
    few = [row(f"f{n}", said(True), user=f"s{n % 3}", document_id=f"d{n % 4}") for n in range(120)]
    assert len(examples_from_log(few, DOCUMENTS).examples) == 120
    assert (
        len(
            examples_from_log([row(f"a{n}", said(True), user="owner") for n in range(40)], DOCUMENTS).examples
        )
        == 40
    )
    loud = [row(f"l{n}", said(True), user="s0", document_id="d0") for n in range(400)]
    found = examples_from_log([*loud, *few], DOCUMENTS).examples
    for sources in (
        Counter(one.user for one in found),
        Counter(*[[d for one in found for d in one.documents]]),
    ):
        ((_, most),) = sources.most_common(1)
        assert 40 < most <= 0.5 * len(found)
    unnamed = [row(f"n{n}", said(True), document_id=f"d{n % 4}") for n in range(20)]
    found = examples_from_log([*unnamed, *loud], DOCUMENTS, config=FeedbackConfig(free=5.0)).examples
    assert 0 < sum(example.user == "s0" for example in found) <= 0.75 * len(found)


def test_a_user_keeps_to_the_share_of_what_documents_leave() -> None:
    rows = [row(f"u{n}", said(True), user="loud", document_id=f"d{n % 12}") for n in range(20)]
    rows += [row(f"p{n}", said(True), user=f"s{n}", document_id="d3") for n in range(100)]
    found = examples_from_log(rows, DOCUMENTS, config=FeedbackConfig(free=2.0))
    by_user = Counter(example.user for example in found.examples)
    assert 0 < by_user["loud"] <= max(2.0, 0.2 * len(found.examples))
    assert len(found.examples) + found.left_out.total() == len(rows)


def test_refusals_together_have_no_more_than_the_share_of_a_document() -> None:
    rows = [row(f"p{n}", said(True), words=None) for n in range(100)]
    rows += [row(f"q{n}", said(True), document_id=f"d{n % 12}") for n in range(24)]
    found = examples_from_log(rows, DOCUMENTS, config=FeedbackConfig(free=2.0))
    assert found.kinds == {"helpful": 24, "refused rightly": 6}
    assert found.left_out == {"more than the share of one document": 94}


def test_a_long_log_of_one_user_is_weighed_at_once() -> None:
    """Leaving out 20,000 examples one by one, each at the price of all others, took minutes."""
    rows = [row(f"u{n}", said(True), user="loud", document_id=f"d{n % 12}") for n in range(20_000)]
    rows += [row(f"q{n}", said(True), user=f"s{n}", document_id=f"d{n}") for n in range(12)]
    started = time.process_time()
    found = examples_from_log(rows, DOCUMENTS)
    assert time.process_time() - started < 20
    loud = [example.report_id for example in found.examples if example.user == "loud"]
    assert loud == [f"u{n}" for n in range(19_990, 20_000)]


def test_what_was_blacked_out_is_not_taught() -> None:
    hidden = row("a", said(True), question=f"What did {MASK * 4} open?")
    answer = row("b", said(True))
    answer = replace(answer, report=replace(answer.report, answer=f"{MASK * 4} turns"))
    refused = row("c", said(True), question=f"Who is {MASK * 4}?", words=None)
    corrected = row("d", said(False, f"{MASK * 4} steel"))
    found = examples_from_log([hidden, answer, refused, corrected], DOCUMENTS)
    assert (found.examples, found.left_out) == ((), {"blacked out": 4})


def test_a_weight_is_the_chance_to_be_trained_on_and_always_the_same() -> None:
    examples = examples_from_log(
        [row(f"a{n}", signs=(FOLLOWED_UP,)) for n in range(300)], DOCUMENTS, config=FREE
    ).examples
    drawn = draw_examples(examples)
    assert 30 < len(drawn) < 90
    assert drawn == draw_examples(examples)
    whole = examples_from_log([row(f"a{n}", said(True)) for n in range(30)], DOCUMENTS, config=FREE).examples
    assert len(draw_examples(whole)) == 30


def test_the_gate_set_is_never_trained_on(tmp_path: Path) -> None:
    frozen = extend_gate_set(tmp_path, DOCUMENTS, {}, GateSetConfig(held_out_every=3, n_questions=5))
    assert frozen.holds_document(DOCUMENTS["d0"])
    asked = frozen.questions[0].question
    rows = [
        row("a", said(True), document_id="d0"),
        row("b", said(True), document_id="d1", question=asked),
        row("c", said(answer="blue steel"), document_id="d0"),
    ]
    found = examples_from_log(rows, DOCUMENTS, frozen)
    assert found.examples == ()
    assert found.left_out == {"on a document of the gate set": 2, "a question of the gate set": 1}


@pytest.mark.parametrize(
    "wrong",
    [{"helpful": 1.5}, {"user_share": 0.0}, {"document_share": 2.0}, {"free": -1.0}, {"free": float("nan")}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FeedbackConfig(**wrong)
