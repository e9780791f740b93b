"""Asking: whatever is drawn under the grammar has its answer in the sentence it was to ask about."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import gemma_tokenizer, make_llama

from prep.document import Span
from prep.errors import ConfigError
from retrieve.episode.episode import Passage
from retrieve.episode.grammar import Grammar
from retrieve.episode.question_writing import QuestionLimits, QuestionPrompt, QuestionState
from retrieve.lm.base import load_base
from retrieve.lm.special_tokens import escape

TEXT = (
    "The bridge of Barlin was built in 1893 by the\nbrothers Holt. Its arches are made of (red) sandstone, "
    "which came from Mergate <report>.\n这座桥建于1893年。Nobody doubts it! "
)
PASSAGE = Passage("d", "Barlin <ask>", ("Bridges",), 100, 100 + len(TEXT), TEXT)
PROMPT = QuestionPrompt.of(PASSAGE)


@pytest.fixture(scope="module", params=["pruned", "byte-level"])
def grammar(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Grammar:
    if request.param == "pruned":
        tokenizer: Any = gemma_tokenizer()
    else:
        tokenizer = load_base(make_llama(tmp_path_factory.mktemp("llama")))[1]
    return Grammar(tokenizer, len(tokenizer) + 5)


def state_of(grammar: Grammar, number: int, **limits: int) -> QuestionState:
    return QuestionState(grammar, number, grammar.encode(PROMPT.sentence(number)), QuestionLimits(**limits))


def write(state: QuestionState, text: str) -> None:
    """Write what a trace would have, token by token, as the grammar lets it."""
    grammar = state.grammar
    answer, question = text.split("\n")
    words = question.removeprefix("<question>").removesuffix("</question>")
    for token in [
        grammar.markers[state.number - 1],
        *grammar.encode(answer.split("⟧")[1]),
        grammar.newline,
        grammar.question,
        *grammar.encode(words),
        grammar.end_question,
    ]:
        state.advance(token)


def test_the_prompt_shows_the_passage_numbered_and_escaped() -> None:
    assert PROMPT.text.startswith(
        "<ask>\nBarlin ‹ask> › Bridges\n⟦1⟧ The bridge of Barlin was built in 1893 by the"
    )
    assert PROMPT.text.endswith("</ask>\n")
    assert "‹report>" in PROMPT.text
    assert [PASSAGE.text[span.start - 100 : span.end - 100][:3] for span in PROMPT.sentences][:2] == [
        "The",
        "Its",
    ]


def test_what_a_person_asked_can_be_written_and_is_located_in_the_document(grammar: Grammar) -> None:
    state = state_of(grammar, 1)
    write(state, QuestionPrompt.target(1, " the brothers Holt", "Who built the bridge of Barlin?"))
    asked = PROMPT.generated(state)
    assert asked is not None
    assert (asked.question, asked.answer) == ("Who built the bridge of Barlin?", "the brothers Holt")
    start = 100 + TEXT.index("the\nbrothers")
    assert asked.evidence == Span("d", start, start + len("the brothers Holt"))


@pytest.mark.parametrize(
    ("number", "answer"), [(2, " 1893"), (1, " bridges"), (1, " Holt the"), (1, " arlin"), (1, "")]
)
def test_an_answer_that_is_no_run_of_whole_words_of_the_sentence_is_refused(
    grammar: Grammar, number: int, answer: str
) -> None:
    state = state_of(grammar, number)
    with pytest.raises(ValueError, match="not allowed"):
        write(state, QuestionPrompt.target(number, answer, "Which?"))


def test_the_model_cannot_ask_about_another_sentence(grammar: Grammar) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        state_of(grammar, 1).advance(grammar.markers[1])


def test_random_walks_end_and_their_answers_stand_in_the_sentence(grammar: Grammar) -> None:
    generator = torch.Generator().manual_seed(2)
    n_whole = 0
    for turn in range(300):
        number = 1 + turn % len(PROMPT.sentences)
        state = state_of(grammar, number, answer_tokens=4, question_tokens=6)
        for _ in range(20):
            if state.done:
                break
            allowed = state.allowed()
            if state.place == "answer" and bool(allowed[grammar.newline]) and turn % 2:
                allowed[grammar.newline] = (
                    bool(torch.rand((), generator=generator) < 0.3) or int(allowed.sum()) == 1
                )
            state.advance(int(torch.multinomial(allowed.float(), 1, generator=generator)))
        assert state.done
        asked = PROMPT.generated(state)
        if asked is None:
            continue
        n_whole += 1
        sentence = PROMPT.sentences[number - 1]
        assert sentence.start <= asked.evidence.start < asked.evidence.end <= sentence.end
        shown = TEXT[asked.evidence.start - 100 : asked.evidence.end - 100]
        assert asked.answer == " ".join(shown.split())
        assert escape(asked.question) == asked.question
    assert n_whole > 60


def test_a_sentence_that_says_nothing_gives_nothing(grammar: Grammar) -> None:
    state = QuestionState(grammar, 1, [grammar.end_report], QuestionLimits())
    state.advance(grammar.markers[0])
    state.advance(grammar.newline)
    state.advance(grammar.question)
    state.advance(int(grammar.solid.nonzero()[0]))
    state.advance(grammar.end_question)
    assert PROMPT.generated(state) is None


def test_limits_must_leave_room() -> None:
    with pytest.raises(ConfigError, match="answer_tokens=0"):
        QuestionLimits(answer_tokens=0)
    assert QuestionPrompt.of(Passage("d", "", (), 0, 3, " \n ")).sentences == ()
