from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prep.document import ROLES
from prep.model.line_features import FEATURES, rule_predictions, surface_features
from prep.model.markup import heading_text, markup
from prep.model.units import MAX_UNIT_CHARACTERS, Unit, read_units
from prep.text import MAX_SENTENCE_CHARACTERS


def words(texts: list[str] | tuple[str, ...]) -> list[int]:
    return [len(text.split()) for text in texts]


def word_offsets(text: str) -> list[tuple[int, int]]:
    spans, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        spans.append((at, at + len(word)))
        at += len(word)
    return spans


def units_of(text: str, most: int = 20) -> list[Unit]:
    return read_units(text, most, lambda texts: words(list(texts)), word_offsets)


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\n\n\r .!?。|#-`"), max_size=300))
def test_units_tile_any_text_and_lines_are_counted_in_order(text: str) -> None:
    units = units_of(text)
    assert "".join(text[unit.start : unit.end] for unit in units) == text
    for left, right in pairwise(units):
        assert left.end == right.start
        assert right.line - left.line in (0, 1)
        assert right.first == left.last or not text.strip()
    if units:
        assert units[0].first
        assert units[-1].last
        marks = markup(text, units)
        features = surface_features(text, units, marks, "title")
        assert features.shape == (len(units), len(FEATURES))
        assert features.min() >= 0.0
        assert features.max() <= 1.6
        predictions = rule_predictions(text, units, marks)
        assert predictions.boundary.sum(1) == pytest.approx(1.0, abs=1e-5)


def test_a_sentence_or_a_line_closes_a_unit_and_blanks_go_to_the_one_before() -> None:
    text = "\n One. Two\nthree.\n\n\nFour"
    units = units_of(text)
    assert [text[u.start : u.end] for u in units] == ["\n One. ", "Two\n", "three.\n\n\n", "Four"]
    assert [u.line for u in units] == [0, 0, 1, 2]
    assert [u.blanks for u in units] == [0, 0, 2, 0]
    assert [u.sentence for u in units] == [True, False, True, True]


def test_an_overlong_sentence_is_cut_between_words() -> None:
    text = "word " * 100
    units = units_of(text.strip(), most=30)
    assert max(words([text[u.start : u.end] for u in units])) <= 30
    assert all(text[u.end - 1] == " " for u in units[:-1])
    assert [u.forced for u in units] == [True] * (len(units) - 1) + [False]


def test_an_endless_word_is_cut_by_characters() -> None:
    units = units_of("x" * 5000)
    assert max(u.end - u.start for u in units) == MAX_SENTENCE_CHARACTERS <= MAX_UNIT_CHARACTERS
    assert len(units) == 7


MARKDOWN = """# Title

Intro text
goes on.

```python
def f():

    return 1
```

- one
  goes on
  - nested
- two

| a | b |
|---|---|
| 1 | 2 |

Setext
------
done
"""


def test_explicit_markup_is_read() -> None:
    units = units_of(MARKDOWN)
    marks = markup(MARKDOWN, units)
    lines = [line for line in MARKDOWN.split("\n") if line.strip()]
    assert [lines[i] for i, level in enumerate(marks.heading) if level] == ["# Title", "Setext"]
    assert [lines[i] for i, on in enumerate(marks.fenced) if on] == [
        "```python",
        "def f():",
        "    return 1",
        "```",
    ]
    assert [lines[i].strip() for i, on in enumerate(marks.item) if on] == ["- one", "- nested", "- two"]
    assert sum(marks.row) == 3
    assert [lines[i] for i, on in enumerate(marks.underline) if on] == ["------"]


def test_fences_items_with_what_they_hold_and_headings_with_underlines_are_kept_together() -> None:
    units = units_of(MARKDOWN)
    kept = [MARKDOWN[units[a].start : units[b - 1].end].strip() for a, b in markup(MARKDOWN, units).keep]
    assert any(text.startswith("```python") and text.endswith("```") for text in kept)
    assert "- one\n  goes on\n  - nested" in kept
    assert "Setext\n------" in kept


def test_rest_underlines_get_levels_in_order_of_appearance() -> None:
    text = "Top\n===\n\nSub\n---\n\ntext\n\nNext\n====\n\nbody::\n\n    code here\n    more\n\nafter\n"
    units = units_of(text)
    marks = markup(text, units)
    assert [level for level in marks.heading if level] == [1, 2, 1]
    assert [text[u.start : u.end].strip() for u in units if marks.fenced[u.line]] == ["code here", "more"]


def test_wiki_headings_get_their_level() -> None:
    text = " = Title = \n\n text here . \n\n = = Part = = \n\n more \n"
    units = units_of(text)
    assert markup(text, units).heading == [1, 0, 2, 0]
    assert heading_text(" = = Part = = ") == "Part"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("## Why `this` {#why}\n", "Why this"),
        ("**Bold heading**", "Bold heading"),
        ("### [Link](x.md) ###", "Link"),
        ("2.1 Numbers stay", "2.1 Numbers stay"),
    ],
)
def test_heading_text_loses_marks_only(line: str, expected: str) -> None:
    assert heading_text(line) == expected


def test_rules_find_what_is_marked() -> None:
    units = units_of(MARKDOWN)
    predictions = rule_predictions(MARKDOWN, units, markup(MARKDOWN, units), "Title")
    roles = [ROLES[i] for i in predictions.role.argmax(1)]
    assert roles[0] == "title"
    assert roles.count("code") == 4
    assert roles.count("table") == 3
    assert "heading" in roles
    # The unit before the second heading ends a section; headings end nothing.
    before = roles.index("heading") - 1
    assert predictions.boundary[before].argmax() == 3
    assert predictions.boundary[0].argmax() == 0


@pytest.mark.parametrize("unit", ["#", "- ", "|", "a\n", "[", "`", "  \n", "\t", "=", "1.1 "])
def test_features_of_a_long_run_of_anything_take_linear_time(unit: str) -> None:
    """A quadratic pattern would take minutes at this length."""
    text = unit * (100_000 // len(unit))
    units = units_of(text, most=100)
    marks = markup(text, units)
    assert surface_features(text, units, marks).shape[0] == len(units)
