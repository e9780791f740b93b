"""The page after a run: its content, the rest that it counts, and that it needs nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from flows.pages.run_page import MAX_CHARACTERS_PER_DOCUMENT, write_page
from prep.document import Chunk, Document, Rejected
from retrieve.report.data import Finding, Quote, Source, Usage
from retrieve.report.report import Report

VECTOR = np.zeros(2, dtype=np.float32)


VOID = {"meta", "br", "img", "hr", "line", "circle", "polyline"}


class Outline(HTMLParser):
    """Checks that tags nest, and gathers ids, links and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values[name] or "" for name in ("href", "src") if name in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def chunked(document: Document, *ends: int, role: str = "text") -> tuple[Document, list[Chunk]]:
    starts = (0, *ends[:-1])
    return document, [
        Chunk(f"c{start}", document.id, start, end, document.text[start:end], ("Part",), role, 17, VECTOR)  # type: ignore[arg-type]
        for start, end in zip(starts, ends, strict=True)
    ]


def report(report_id: str) -> Report:
    return Report(
        report_id,
        "Which dial?",
        "the brass one",
        False,
        [Finding("the brass one", [Quote("d1", 4, 9, "brass")])],
        ["Which dial?"],
        [Source("d1", "Safes", (), 0, 40, 0.7, True)],
        Usage(10, 2, 1, 0.1),
    )


ALPHA = Document("alpha", "Alpha", "One sentence.\n\nAnother paragraph.\n", "in/alpha.txt")


def test_the_page_is_one_well_formed_file_that_fetches_and_runs_nothing(tmp_path: Path) -> None:
    path = write_page(
        tmp_path / "new" / "page.html",
        title="A run",
        reports=[report("r1"), report("r2")],
        documents=[chunked(ALPHA, 15, 34)],
        metrics={"Answers": {"Diptych": {"F1": 0.6}, "Usual workflow": {"F1": 0.2}}},
        training={"prep": {"loss": [(0, 2.0), (1, 1.0)]}},
        rejected=[Rejected("in/broken.pdf", "no end marker")],
        notes=["Two cores."],
    )
    page = path.read_text(encoding="utf-8")
    outline = Outline(page)
    assert not outline.tags & {"script", "link", "iframe", "img", "object", "embed", "form"}
    assert all(link.startswith("#") for link in outline.links)
    assert {link[1:] for link in outline.links} <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page
    assert "prefers-color-scheme:dark" in page
    for words in ("Which dial?", "brass", "0.600", "in/broken.pdf", "no end marker", "Two cores."):
        assert words in outline.words, words
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]


def test_parts_without_content_are_left_out(tmp_path: Path) -> None:
    outline = Outline(write_page(tmp_path / "page.html", title="Empty").read_text(encoding="utf-8"))
    assert outline.links == []
    assert "There is nothing to show." in outline.words


def test_every_chunk_is_shown_with_role_headings_and_tokens_in_alternating_shades(tmp_path: Path) -> None:
    page = write_page(tmp_path / "page.html", title="Chunks", documents=[chunked(ALPHA, 15, 34)]).read_text()
    shades = re.findall(r'class="band (\w+) (\w+)"', page)
    assert shades == [("odd", "text"), ("even", "text")]
    words = Outline(page).words
    for shown in ("1 · text", "2 · text", "17 tokens", "Part", "One sentence.", "Another paragraph."):
        assert shown in words, shown
    assert "Not shown" not in words
    assert "in/alpha.txt" in words


def test_a_long_document_is_cut_and_the_page_says_by_how_much(tmp_path: Path) -> None:
    size = MAX_CHARACTERS_PER_DOCUMENT
    text = "x" * size + "y" * 2345
    giant = chunked(Document("g", "Giant line", text), len(text))
    many = chunked(Document("m", "Many", text), *range(1000, len(text), 1000), len(text))
    words = Outline(write_page(tmp_path / "1.html", title="t", documents=[giant]).read_text()).words
    assert "Not shown: the last 2,345 characters (0 whole chunks)." in words
    assert words.count("x" * size) == 1
    assert "yy" not in words
    words = Outline(write_page(tmp_path / "2.html", title="t", documents=[many]).read_text()).words
    assert "Not shown: the last 2,345 characters (3 whole chunks)." in words
    assert "8 · text" in words
    assert "9 · text" not in words


def test_text_that_no_chunk_holds_is_shown_as_such(tmp_path: Path) -> None:
    document, chunks = chunked(ALPHA, 15, 34)
    page = write_page(tmp_path / "page.html", title="t", documents=[(document, chunks[1:])]).read_text()
    assert "in no chunk" in page
    assert "One sentence." in page


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_document_is_shown_as_empty(tmp_path: Path, text: str) -> None:
    page = write_page(tmp_path / "p.html", title="t", documents=[(Document("e", "", text), [])]).read_text()
    assert "0 chunks" in Outline(page).words
