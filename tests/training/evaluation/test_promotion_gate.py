"""The gate lets a sure gain through and nothing else: no luck, no loss on the side, no slowness, no tiny set."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from fixture_rows import answer_row

from prep.errors import ConfigError, DataError
from training.evaluation.promotion_gate import Decision, GateConfig, Trial
from training.evaluation.promotion_gate import decide as decide_gate
from training.metrics.results import AnswerRow, AnswersResult, RetrievalResult, RetrievalRow

N = 120  # questions, six on each document; every fifth one is not answered by the sources


def decide(current: Trial, candidate: Trial, config: GateConfig | None = None) -> Decision:
    """The gate, with fewer resamples than it takes otherwise."""
    return decide_gate(current, candidate, replace(config or GateConfig(), n_resamples=300))


def answer(number: int, *, right: bool = True, **changed: Any) -> AnswerRow:
    """A judged answer: of one that expects none, right means that it abstained."""
    expects = number % 5 != 0
    f1 = float(right and expects)
    values: dict[str, Any] = {
        "question_id": f"q{number}",
        "document_id": f"d{number // 6}",
        "kind": "cloze",
        "expects_answer": expects,
        "withheld": not expects,
        "abstained": right and not expects,
        "exact_match": f1,
        "f1": f1,
        "citation_precision": f1,
        "citation_recall": f1,
        "supported": f1 > 0,
        "seconds": 1.0,
    }
    return answer_row(**(values | changed))


def trial(version: str, right: set[int], n: int = N, **changed: Any) -> Trial:
    rows = tuple(answer(number, right=number in right, **changed) for number in range(n))
    return Trial(version, AnswersResult("frozen", version, 0, rows))


def drawn(share: float, seed: int, n: int = N) -> set[int]:
    return set(random.Random(seed).sample(range(n), round(share * n)))


HALF = drawn(0.5, 1)
MORE = HALF | drawn(0.5, 2)


def retrieval(version: str, shares: list[float], in_budget: list[float] | None = None) -> RetrievalResult:
    rows = tuple(
        RetrievalRow(f"q{n}", f"d{n // 6}", "cloze", share, share, share, share, float(share > 0), budget)
        for n, (share, budget) in enumerate(zip(shares, in_budget or shares, strict=True))
    )
    return RetrievalResult("frozen", version, 10, 5, 500, 100, 80.0, rows)


def test_a_sure_gain_is_promoted_and_says_by_how_much():
    decision = decide(trial("v1", HALF), trial("v2", MORE))
    assert decision.promoted
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith("reward +0.")
    assert decision.gains["reward"].low > 0
    assert decision.figures["candidate"]["f1"] > decision.figures["current"]["f1"]


def test_the_same_answers_are_no_gain_and_are_refused():
    decision = decide(trial("v1", HALF), trial("v2", HALF))
    assert not decision.promoted
    assert decision.gains["reward"].low == decision.gains["reward"].high == 0
    assert "not sure" in decision.reasons[0]


def test_a_gain_that_may_be_luck_is_refused_and_allowed_where_the_user_says_so():
    lucky = (HALF - {min(HALF), max(HALF)}) | set(sorted(set(range(N)) - HALF)[20:23])
    decision = decide(trial("v1", HALF), trial("v2", lucky))
    assert decision.gains["reward"].difference > 0 > decision.gains["reward"].low
    assert not decision.promoted
    allowed = decide(trial("v1", HALF), trial("v2", lucky), GateConfig(least_gain=-0.05))
    assert allowed.promoted
    assert "not worse than is allowed" in allowed.reasons[0]


def test_a_loss_is_refused_as_sure():
    decision = decide(trial("v1", MORE), trial("v2", HALF))
    assert not decision.promoted
    assert "worse for sure" in decision.reasons[0]


def test_better_answers_with_worse_quotes_are_refused():
    worse = trial("v2", MORE)
    rows = [replace(row, citation_precision=row.citation_precision * 0.6) for row in worse.answers.rows]
    decision = decide(trial("v1", HALF, citation_precision=1.0), with_rows(worse, rows))
    assert decision.gains["reward"].low > 0
    assert not decision.promoted
    assert [reason.split()[0] for reason in decision.reasons] == ["citation_precision"]


def test_more_answers_bought_by_never_refusing_are_refused():
    fitting = {number for number in range(N) if number % 5} | set(range(0, N, 10))
    bold = {number for number in range(N) if number % 5}
    decision = decide(trial("v1", HALF & bold | set(range(0, N, 5))), trial("v2", bold))
    assert decision.gains["f1"].low > 0
    assert not decision.promoted
    assert any(reason.startswith("abstention_f1") for reason in decision.reasons)
    assert decide(trial("v1", HALF), trial("v2", fitting | HALF)).promoted


def test_new_topics_may_not_be_bought_with_old_ones():
    """The reward rises over all questions while those of the first documents are lost."""
    old = frozenset(f"q{number}" for number in range(30))
    before = replace(trial("v1", set(range(30)) | HALF), old=old)
    after = replace(trial("v2", set(range(10, N))), old=old)
    decision = decide(before, after)
    assert decision.gains["reward"].low > 0
    assert not decision.promoted
    assert any(reason.startswith("old_f1") for reason in decision.reasons)


def test_a_slower_candidate_is_refused_unless_it_is_quick_all_the_same():
    slow = trial("v2", MORE, seconds=1.4)
    assert not decide(trial("v1", HALF), slow).promoted
    assert "seconds_p95 1.00 to 1.40" in decide(trial("v1", HALF), slow).reasons[0]
    assert decide(trial("v1", HALF), slow, GateConfig(latency_ratio=1.5)).promoted
    assert decide(trial("v1", HALF, seconds=0.01), trial("v2", MORE, seconds=0.05)).promoted


def test_a_small_set_refuses_whatever_it_shows():
    few = decide(trial("v1", set(), n=30), trial("v2", set(range(30)), n=30))
    assert few.gains["reward"].low > 0
    assert not few.promoted
    assert "30 questions on 5 documents cannot tell" in few.reasons[0]
    nowhere = [
        Trial(
            one.version,
            replace(one.answers, rows=tuple(replace(row, document_id="") for row in one.answers.rows)),
        )
        for one in (trial("a", HALF), trial("b", MORE))
    ]
    assert "on 0 documents cannot tell" in decide(*nowhere).reasons[0]
    assert decide(
        trial("v1", set(), n=30), trial("v2", set(range(30)), n=30), GateConfig(min_questions=30)
    ).promoted


def test_a_prep_version_is_judged_by_the_evidence_it_finds():
    answers = trial("v1", HALF)
    low, high = [0.5, 1.0] * (N // 2), [0.75, 1.0] * (N // 2)
    before = replace(answers, retrieval=retrieval("p1", low))
    after = replace(answers, retrieval=retrieval("p2", high))
    assert decide(before, after).promoted
    assert decide(before, after).reasons[0].startswith("evidence_recall +0.125")
    assert not decide(after, before).promoted


def test_larger_chunks_alone_do_not_pass():
    answers = trial("v1", HALF)
    low, high = [0.5, 1.0] * (N // 2), [0.75, 1.0] * (N // 2)
    before = replace(answers, retrieval=retrieval("p1", low, [0.5] * N))
    decision = decide(before, replace(answers, retrieval=retrieval("p2", high, [0.4] * N)))
    assert not decision.promoted
    assert [reason.split()[0] for reason in decision.reasons] == ["evidence_recall_in_budget"]


@pytest.mark.parametrize("seed", range(5))
def test_what_feedback_flipped_for_three_in_ten_teaches_is_refused(seed):
    """It learns what it was told: right of what was right before, where the feedback was true, and a little new."""
    told = random.Random(seed)
    flipped = {number for number in range(N) if told.random() < 0.3}
    learned = (HALF - flipped) | (drawn(0.08, seed) - flipped)
    assert not decide(trial("v1", HALF), trial("v2", learned)).promoted


def test_what_poisoned_documents_teach_is_refused():
    """Better on most documents; but on every sixth question it repeats what the poison says, and quotes that."""
    poisoned = set(range(0, N, 6))
    before = trial("v1", set(range(0, N, 2)), citation_precision=1.0)
    after = trial("v2", set(range(N)) - poisoned, citation_precision=1.0)
    rows = [
        replace(row, citation_precision=0.0) if number in poisoned else row
        for number, row in enumerate(after.answers.rows)
    ]
    decision = decide(before, with_rows(after, rows))
    assert decision.gains["reward"].low > 0
    assert not decision.promoted
    assert any(reason.startswith("citation_precision") for reason in decision.reasons)


def test_a_figure_that_is_not_a_number_refuses():
    broken = trial("v2", MORE, citation_precision=float("nan"))
    assert not decide(trial("v1", HALF), broken).promoted
    timeless = trial("v2", MORE, seconds=float("nan"))
    assert not decide(trial("v1", HALF), timeless).promoted


def test_the_decision_is_the_same_every_time_and_is_plain_json():
    first, again = (decide(trial("v1", HALF), trial("v2", MORE)).to_dict() for _ in range(2))
    assert first == again
    assert json.loads(json.dumps(first)) == first
    assert set(first["gains"]["reward"]) == {"mean", "low", "high"}
    assert first["gains"].keys() <= first["figures"]["current"].keys()


def test_versions_measured_on_different_questions_are_not_compared():
    with pytest.raises(DataError, match="answered different questions"):
        decide(trial("v1", HALF), trial("v2", HALF, n=N - 1))
    with pytest.raises(DataError, match="not measured alike"):
        decide(trial("v1", HALF), replace(trial("v2", HALF), retrieval=retrieval("p2", [1.0] * N)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_questions": 0},
        {"confidence": 1.0},
        {"least_gain": 2.0},
        {"most_fall": -0.1},
        {"latency_ratio": 0.5},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GateConfig(**wrong)


def with_rows(one: Trial, rows: list[AnswerRow]) -> Trial:
    return replace(one, answers=replace(one.answers, rows=tuple(rows)))
