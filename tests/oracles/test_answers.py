"""Answer metrics against scikit-learn, difflib and a second plain reading of the SQuAD rules."""

import re
from collections import Counter
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from training.metrics.answer_metrics import abstention_scores, exact_match, f1

vocabulary = ["the", "The", "a", "An", "cat,", "cat.", "CAT", "dog's", "1.5", "(x)", "-", "état", "the-cat"]
words = st.lists(st.sampled_from(vocabulary), max_size=6)
english = words.map(" ".join) | st.text(alphabet="aAntTheE .,!-'\t\n é", max_size=25)
chinese = st.text(alphabet="北京大学四分钟，。《》", min_size=1, max_size=10)


def squad_tokens(text: str) -> list[str]:
    """SQuAD normalisation by regular expressions, in another order of steps."""
    without_marks = re.sub(r"[!-/:-@\[-`{-~]", "", text.lower())
    return re.findall(r"\S+", re.sub(r"(?<!\w)(?:an|a|the)(?!\w)", " ", without_marks))


def squad_f1(prediction: str, answer: str) -> float:
    left, right = squad_tokens(prediction), squad_tokens(answer)
    if not left or not right:
        return float(left == right)
    common = sum(min(left.count(word), n) for word, n in Counter(right).items())
    if common == 0:
        return 0.0
    precision, recall = common / len(left), common / len(right)
    return 2 * precision * recall / (precision + recall)


@given(prediction=english, answers=st.lists(english, min_size=1, max_size=3))
def test_em_and_f1_follow_the_squad_rules(prediction: str, answers: list[str]) -> None:
    expected = max(squad_f1(prediction, answer) for answer in answers)
    assert f1(prediction, answers, by_character=False) == pytest.approx(expected)
    same = any(squad_tokens(prediction) == squad_tokens(answer) for answer in answers)
    assert exact_match(prediction, answers, by_character=False) == float(same)


@given(prediction=chinese, answer=chinese)
def test_chinese_f1_is_that_of_the_longest_common_run(prediction: str, answer: str) -> None:
    left, right = (re.sub("[，。《》]", "", text) for text in (prediction, answer))
    found = f1(prediction, [answer], by_character=True)
    if not left or not right:
        assert found == float(left == right)
        return
    run = SequenceMatcher(None, left, right, autojunk=False).find_longest_match().size
    assert found == pytest.approx(2 * run / (len(left) + len(right)))
    assert exact_match(prediction, [answer], by_character=True) == float(left == right)


@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_abstention_scores_are_those_of_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    abstained, unanswerable = [a for a, _ in pairs], [u for _, u in pairs]
    precision, recall, f, _ = precision_recall_fscore_support(
        unanswerable, abstained, average="binary", zero_division=0
    )
    found = abstention_scores(abstained, unanswerable)
    assert (found.precision, found.recall, found.f1) == pytest.approx((precision, recall, f))
