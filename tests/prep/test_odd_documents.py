"""The shipped model on what corpora really hold: frames alone, one endless line, tables in tables, other scripts."""

from __future__ import annotations

import random

import numpy as np
import pytest

from prep.document import Chunk, Document
from prep.model.prep_model import PrepModel

MENU = "Home\nAbout us\nProducts\nContact\nLog in\nSearch\n\nWe use cookies. Accept all cookies | Cookie settings\n\n"
FOOTER = "© 2024 Acme Inc. All rights reserved.\nPrivacy policy | Terms of use | Sitemap\nFollow us on social media\n"
NESTED = (
    "<table><tr><td><table><tr><td>a</td><td>b</td></tr></table></td></tr></table>\n"
    "| x | | a | b | |\n|---|---|---|---|---|\n" + "| 1 | | 2 | 3 | |\n" * 40
)
CHINESE = [
    "北京是中华人民共和国的首都。这座城市有三千多年的历史。它位于华北平原的北部。",
    "长江是亚洲最长的河流。它发源于青藏高原。全长约六千三百公里。",
    "围棋是一种策略棋类游戏。两名玩家轮流下棋。目标是围住更多的地盘。",
]


@pytest.fixture(scope="module")
def model() -> PrepModel:
    return PrepModel.load()


def check(model: PrepModel, document: Document) -> list[Chunk]:
    chunks = model.prepare(document)
    position = 0
    for chunk in chunks:
        assert (chunk.start, chunk.text) == (position, document.text[chunk.start : chunk.end])
        assert chunk.n_tokens <= model.limits.max_tokens
        assert np.linalg.norm(chunk.vector) == pytest.approx(1, abs=1e-3)
        position = chunk.end
    assert position == len(document.text)
    return chunks


@pytest.mark.parametrize(
    "text",
    [
        "Thirty bytes of text, no more.",
        "a",
        NESTED,
        "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪 " * 300,
        "مرحبا بالعالم، هذا نص طويل. " * 60 + "\u202eمعكوس\u202c שלום עולם. " * 40,
        "\u0301" * 500,
        "x" * 20_000,
        "\x00\x01\x02" * 100,
    ],
    ids=[
        "30 bytes",
        "a letter",
        "tables in tables",
        "emoji",
        "right to left",
        "marks",
        "one word",
        "controls",
    ],
)
def test_odd_texts_have_exact_offsets(model: PrepModel, text: str) -> None:
    assert check(model, Document("d", "Title", text))


def test_frames_alone_are_boilerplate_and_a_text_between_them_is_not(model: PrepModel) -> None:
    frames = check(model, Document("d", "Acme", MENU + FOOTER))
    share = sum(len(c.text) for c in frames if c.role == "boilerplate") / len(MENU + FOOTER)
    assert share > 0.7
    story = "The company was founded in a small garage. It made wooden toys at first. " * 8
    framed = check(model, Document("d", "Acme", MENU + story + "\n\n" + FOOTER))
    kept = "".join(chunk.text for chunk in framed if chunk.role != "boilerplate")
    assert "wooden toys" in kept


def test_chinese_chunks_end_where_sentences_do(model: PrepModel) -> None:
    text = "\n\n".join(CHINESE[i % 3] * 2 for i in range(9))
    chunks = check(model, Document("d", "百科", text))
    assert len(chunks) > 4
    assert all(chunk.text.rstrip().endswith("。") for chunk in chunks)
    # Paragraphs are where the cuts fall, not the middle of one, wherever a paragraph fits.
    at_paragraphs = sum(chunk.text.endswith("\n\n") for chunk in chunks[:-1])
    assert at_paragraphs >= 0.6 * (len(chunks) - 1)
    assert {chunk.role for chunk in chunks} <= {"text", "reference", "list"}


def test_a_line_of_a_megabyte_is_prepared_in_parts() -> None:
    rng = random.Random(3)
    words = [f"w{i}" for i in range(997)]
    text = " ".join(rng.choice(words) for _ in range(260_000))
    assert len(text) > 1_000_000
    model = PrepModel.untrained()
    model.encoder.encode_tokens = lambda rows, **_: np.zeros((len(rows), 384), np.float32)  # type: ignore[method-assign]
    document = Document("d", "", text)
    position = 0
    for chunk in model.prepare(document):
        assert chunk.start == position
        assert chunk.n_tokens <= model.limits.max_tokens
        position = chunk.end
    assert position == len(text)
