"""The page on generated questions: its counts, its samples, and that their words stay text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from fixture_pages import PageMarkup

from prep.document import Document, Span
from training.data.dataset import Question
from training.questions.generated_questions import GeneratedQuestions
from training.questions.questions_page import render_questions, write_questions_page


def generated(words: str, other: str) -> tuple[GeneratedQuestions, dict[str, Document]]:
    """Two questions kept and two refused, with `words` or `other` in every field that is text."""
    text = f"before {other} | {words} | after {other}"
    start = text.index(words)
    evidence = (Span("d", start, start + len(words)),)
    kept = [
        Question(
            id=name, question=question, answers=(words,), evidence=evidence, answerable=True, kind="when"
        )
        for name, question in (("q1", words), ("q2", "q" + other))
    ]
    refused = [(words, other, "r" + words), ("q" + other, words, other), ("", "", "not finished")]
    found = GeneratedQuestions(
        kept, refused, 5, Counter({words: 2, "r" + other: 1}), Counter({words: 1, other: 1}), seconds=30.0
    )
    return found, {"d": Document("d", words + other, text)}


def test_the_page_has_yield_speed_and_samples(tmp_path: Path) -> None:
    found, documents = generated("1893", "a bridge")
    page = write_questions_page(tmp_path / "questions.html", found, documents).read_text(encoding="utf-8")
    assert "2 kept of 5 generated (40%), 4.0 a minute." in page
    assert "before a bridge | <b>1893</b> | after a bridge" in page
    assert "default-src 'none'" in page
    words = PageMarkup(render_questions(GeneratedQuestions(), {})).words
    assert "0 kept of 0 generated (none), not timed." in words


def test_no_field_of_a_question_becomes_markup() -> None:
    def tags(words: str, other: str) -> list[tuple[str, tuple[str, ...]]]:
        page = PageMarkup(render_questions(*generated(words, other)))
        assert page.words.count(words) > 5
        assert page.words.count(other) > 5
        return page.tags

    for hostile in ("</pre></td><script>x</script>", '" onclick="x', "<b>", "&lt;i&gt;", "{{ 7 * 7 }}"):
        assert tags(hostile, "xyz") == tags("abc", "xyz")
        assert tags("abc", hostile) == tags("abc", "xyz")


def test_the_seed_draws_the_samples() -> None:
    found, documents = generated("1893", "a bridge")
    pages = {render_questions(found, documents, samples=1, seed=seed) for seed in range(8)}
    assert len(pages) > 1
    assert render_questions(found, documents, samples=1, seed=3) == render_questions(
        found, documents, samples=1, seed=3
    )
