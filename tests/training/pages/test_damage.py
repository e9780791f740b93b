from __future__ import annotations

import random

import pytest

from prep.errors import ConfigError
from training.pages.damage import CATALOGUE, damage_page, random_damages
from training.pages.render import Page, Style, render
from training.pages.structured_documents import parse_document

TEXT = """# Guide to things

This paragraph has quite a few words so that it must be wrapped somewhere, extraordinarily. It goes on
with a second sentence that nobody needs. And a third one for good measure, of some length.

## First part

- an item of a list
- another item of it

## Second part

```
x = 1
y = 2
```

| name | value |
|---|---|
| a | 1 |

The last paragraph, which ends here.
"""


@pytest.fixture
def page() -> Page:
    return render(parse_document("d", "t", TEXT, "markdown"), Style())


def squeeze(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("name", sorted(CATALOGUE))
@pytest.mark.parametrize("seed", range(4))
def test_a_damage_is_seeded_and_keeps_labels_in_range(page: Page, name: str, seed: int) -> None:
    damaged = damage_page(page, (name,), random.Random(seed))
    again = damage_page(page, (name,), random.Random(seed))
    assert damaged == again
    assert damaged.damages == (name,)
    assert all(0 <= piece.after <= 3 for piece in damaged.pieces)
    # No damage loses a topic boundary: as many sections end as before (frames may add some).
    before = sum(piece.after == 3 for piece in page.pieces)
    assert sum(piece.after == 3 for piece in damaged.pieces) >= before


@pytest.mark.parametrize(
    "name",
    ["rewrap", "lose_blank_lines", "double_spacing", "left_margin", "merge_lists", "table_rows", "one_line"],
)
def test_damages_to_blanks_and_marks_keep_every_letter(page: Page, name: str) -> None:
    damaged = damage_page(page, (name,), random.Random(3))
    letters = [c for c in squeeze(page.text) if c.isalnum()]
    assert [c for c in squeeze(damaged.text) if c.isalnum()] == letters


def test_flattened_headings_have_no_marks(page: Page) -> None:
    damaged = damage_page(page, ("flatten_headings",), random.Random(0))
    assert "#" not in damaged.text
    assert sum(piece.role == "heading" for piece in damaged.pieces) == 2
    underlined = render(parse_document("d", "t", TEXT, "markdown"), Style(markup="rst"))
    flat = damage_page(underlined, ("flatten_headings",), random.Random(0))
    assert "----" not in flat.text
    assert all(piece.plain for piece in flat.pieces if piece.role == "heading")


def test_rewrapped_lines_end_nothing_but_sentences(page: Page) -> None:
    damaged = damage_page(page, ("rewrap",), random.Random(1))
    lines = [piece for piece in damaged.pieces if piece.block == 1]
    assert len(lines) > 1
    assert lines[-1].after == 3
    for piece in lines[:-1]:
        assert piece.after == (1 if piece.text.endswith(".") else 0)


def test_hyphens_part_long_words() -> None:
    words = " ".join(["extraordinarily complicated considerations"] * 12)
    page = render(parse_document("d", "t", words, "text"), Style())
    damaged = damage_page(page, ("hyphenate",), random.Random(2))
    assert "-\n" in damaged.text
    assert squeeze(damaged.text).replace("-", "") == squeeze(words)


def test_running_headers_are_boilerplate_and_repeat() -> None:
    text = "\n\n".join(f"Paragraph number {i} is here." for i in range(200))
    page = render(parse_document("d", "My Title", text, "text"), Style())
    damaged = damage_page(page, ("running_headers",), random.Random(4))
    inserted = [piece for piece in damaged.pieces if piece.role == "boilerplate"]
    assert len(inserted) >= 3
    assert all(piece.block == -1 for piece in inserted)
    assert [p for p in damaged.pieces if p.block >= 0 and p.role == "text"] != []


def test_navigation_frames_the_page_and_ends_sections(page: Page) -> None:
    damaged = damage_page(page, ("navigation",), random.Random(0))
    runs = [piece for piece in damaged.pieces if piece.role == "boilerplate"]
    assert runs
    edges = [
        piece
        for piece, following in zip(damaged.pieces, damaged.pieces[1:], strict=False)
        if piece.role == "boilerplate" and following.role != "boilerplate"
    ]
    assert all(piece.after == 3 for piece in edges)


def test_noise_changes_a_few_letters_only(page: Page) -> None:
    damaged = damage_page(page, ("ocr_noise",), random.Random(5))
    assert damaged.text != page.text
    assert abs(len(damaged.text) - len(page.text)) < 0.1 * len(page.text)
    assert len(damaged.pieces) == len(page.pieces)


def test_lost_fences_leave_the_code(page: Page) -> None:
    damaged = damage_page(page, ("lost_fences",), random.Random(0))
    assert "```" not in damaged.text
    code = [piece for piece in damaged.pieces if piece.role == "code"]
    assert [piece.text.strip() for piece in code] == ["x = 1", "y = 2"]
    assert code[-1].after == 2


def test_one_line_runs_prose_together(page: Page) -> None:
    damaged = damage_page(page, ("one_line",), random.Random(1))
    assert "First part an item" in damaged.text


def test_an_unknown_damage_is_an_error(page: Page) -> None:
    with pytest.raises(ConfigError, match="'earthquake'"):
        damage_page(page, ("earthquake",), random.Random(0))


def test_drawn_damages_come_in_catalogue_order_and_do_not_contradict() -> None:
    order = list(CATALOGUE)
    for seed in range(200):
        drawn = random_damages(random.Random(seed))
        assert list(drawn) == sorted(drawn, key=order.index)
        assert len({"rewrap", "hyphenate", "one_line"} & set(drawn)) <= 1
        assert len({"lose_blank_lines", "double_spacing"} & set(drawn)) <= 1
