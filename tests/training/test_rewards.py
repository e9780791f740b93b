"""Rewards: bands that cannot overlap, whatever was cited and however long it took."""

from __future__ import annotations

from typing import Any

import pytest
from fixture_rows import answer_row
from hypothesis import given
from hypothesis import strategies as st

from prep.errors import ConfigError
from training.metrics.results import AnswerRow
from training.rewards import MALFORMED, Prices, is_right, reward

SHARE = st.floats(0, 1)


def band(one: AnswerRow) -> int:
    """From worst to best, as the issue orders them."""
    if not one.expects_answer:
        return 3 if one.abstained else 0
    if one.abstained:
        return 1
    return 0 if one.f1 < 0.3 else 2 if one.f1 < 0.5 else 3


ROWS = st.builds(
    answer_row,
    expects_answer=st.booleans(),
    abstained=st.booleans(),
    f1=SHARE,
    citation_precision=SHARE,
    citation_recall=SHARE,
    completion_tokens=st.integers(1, 5000),
    n_searches=st.integers(1, 9),
)


@given(ROWS, ROWS)
def test_a_better_kind_of_answer_is_always_worth_more(one: AnswerRow, other: AnswerRow) -> None:
    if band(one) < band(other):
        assert MALFORMED < reward(one) < reward(other) <= 1.0


@given(ROWS)
def test_words_and_searches_cost_and_citations_pay(one: AnswerRow) -> None:
    terse = answer_row(**{**fields(one), "completion_tokens": 1, "n_searches": 1})
    assert reward(terse) >= reward(one)
    cited = answer_row(**{**fields(one), "citation_precision": 1.0, "citation_recall": 1.0})
    assert reward(cited) >= reward(one)


def fields(one: AnswerRow) -> dict[str, Any]:
    return {name: getattr(one, name) for name in AnswerRow.__dataclass_fields__}


def test_the_worth_of_plain_cases() -> None:
    free = Prices(token=0.0, search=0.0)
    assert reward(answer_row(), free) == pytest.approx(1.0)
    assert reward(answer_row(f1=0.5, citation_recall=0.0), free) == pytest.approx(0.8)
    assert reward(answer_row(f1=0.3, citation_recall=0.0), free) == pytest.approx(0.4)
    assert reward(answer_row(abstained=True, f1=0.0), free) == pytest.approx(0.3)
    assert reward(answer_row(f1=0.0), free) == pytest.approx(0.2)
    assert reward(answer_row(expects_answer=False), free) == pytest.approx(0.1)
    assert reward(answer_row(completion_tokens=20, n_searches=2)) == pytest.approx(1.0 - 0.01 - 0.02)


SAYS = "The committee decided to leave the microphone procedures as they had been"


def broad(**changed: Any) -> AnswerRow:
    """A report on a broad question, whose words no short answer is close to."""
    return answer_row(**({"kind": "long", "f1": 0.1, "statements": (SAYS,), "n_quotes": 2} | changed))


def test_a_broad_question_is_paid_for_what_its_report_quotes_and_says() -> None:
    free = Prices(token=0.0, search=0.0)
    assert reward(broad(), free) == pytest.approx(0.9)
    assert reward(broad(n_quotes=4), free) == reward(broad(n_quotes=9), free) == pytest.approx(1.0)
    assert reward(broad(f1=0.9), free) == reward(broad(), free)
    assert reward(broad(citation_precision=0.0, citation_recall=0.0), free) == pytest.approx(0.1)
    assert reward(broad(abstained=True, n_quotes=0), free) == pytest.approx(0.3)
    assert reward(broad(expects_answer=False), free) == pytest.approx(0.1)
    assert reward(broad(expects_answer=False, abstained=True), free) == pytest.approx(1.0)


def test_findings_on_a_broad_question_that_prove_or_say_nothing_new_take_from_it() -> None:
    free = Prices(token=0.0, search=0.0)
    best = reward(broad(n_quotes=4), free)
    # Half of what it quotes is beside the matter.
    spread = reward(broad(n_quotes=12, citation_precision=0.5), free)
    assert spread == pytest.approx(0.9)
    again, empty = (
        reward(broad(n_quotes=4, statements=(SAYS, more)), free) for more in (SAYS.upper(), "Great .")
    )
    assert again == empty == pytest.approx(0.9)
    another = "Bees visit clover before noon on dry days"
    assert reward(broad(n_quotes=4, statements=(SAYS, another)), free) == best == pytest.approx(1.0)
    assert (
        reward(broad(n_quotes=4, statements=("蜜蜂在春天采集花蜜",)), free) == best
    )  # a script without blanks


def test_a_statement_with_a_semicolon_counts_as_one() -> None:
    free = Prices(token=0.0, search=0.0)
    joined = broad(n_quotes=4, statements=(f"{SAYS}; Great .",), prediction=f"{SAYS}; Great .")
    assert reward(joined, free) == pytest.approx(1.0)
    apart = broad(n_quotes=4, statements=(SAYS, "Great ."), prediction=f"{SAYS}; Great .")
    assert reward(apart, free) == pytest.approx(0.9)


@given(st.integers(1, 9), st.sampled_from([0.2, 0.4]), st.sampled_from(["", "yes", "two words"]))
def test_of_a_broad_question_what_says_or_proves_little_is_only_partly_right(
    n_quotes: int, share: float, words: str
) -> None:
    refused, right = reward(broad(abstained=True)), reward(broad(n_quotes=1))
    for one in (broad(n_quotes=n_quotes, statements=(words,)), broad(n_quotes=5, citation_precision=share)):
        assert refused < reward(one) < right


@given(ROWS)
def test_what_is_right_is_in_the_highest_band(one: AnswerRow) -> None:
    assert is_right(one) is (band(one) == 3)
    assert is_right(one) is (reward(one) > 0.7)


def test_prices_that_could_cross_a_band_are_refused() -> None:
    for wrong in ({"most": 0.1}, {"token": -1.0}):
        with pytest.raises(ConfigError):
            Prices(**wrong)
