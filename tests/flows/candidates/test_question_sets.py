"""Which questions are trained on."""

from __future__ import annotations

from flows.candidates.question_sets import limit_cloze
from training.data.dataset import Question


def test_cloze_questions_are_few_where_there_are_others_with_an_answer() -> None:
    cloze = [Question(f"g{i}", "____?", ("x",), kind="cloze") for i in range(100)]
    asked = [Question(f"a{i}", "Who?", ("x",), kind="asked") for i in range(400)]
    refusals = [Question("r", "Why?", answerable=False, kind="refused rightly")]
    assert limit_cloze([*cloze, *refusals]) == [*refusals, *cloze]
    assert limit_cloze([*cloze, *asked]) == [*asked, *cloze]  # one to four others
    assert limit_cloze([*cloze, *asked[:80]]) == [*asked[:80], *cloze[:20]]
    assert limit_cloze([*cloze, *asked[:10]]) == [*asked[:10], *cloze[:50]]
