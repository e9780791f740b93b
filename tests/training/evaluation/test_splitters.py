"""Splitters: exact offsets, sizes, and what happens without their libraries."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prep.document import Document
from prep.errors import ConfigError, DataError, DependencyError
from prep.model.encoder import Encoder
from training.evaluation.splitters import SPLITTERS, FrozenEncoderSystem, locate, make_splitter

TEXT = "First line.\n\nSecond  paragraph, with\ttabs. 中文句子。还有一句。 👩‍👩‍👧 family!\n" * 12


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load()


@given(text=st.text(max_size=300))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_plain_recursive_tiles_any_text_within_its_limit(encoder: Encoder, text: str) -> None:
    spans = make_splitter("plain-recursive", encoder, 8)(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)
    assert all(len(encoder.tokenize([text[start:end]])[0]) <= 9 for start, end in spans)


def test_plain_recursive_prefers_blank_lines_then_lines_then_sentences(encoder: Encoder) -> None:
    chunk = make_splitter("plain-recursive", encoder, 8)
    text = "One two three four five six.\n\nSeven eight nine.\nTen eleven. "
    text += "Twelve thirteen fourteen fifteen sixteen."
    assert [text[start:end] for start, end in chunk(text)] == [
        "One two three four five six.\n\n",
        "Seven eight nine.\nTen eleven. ",
        "Twelve thirteen fourteen fifteen sixteen.",
    ]


@pytest.mark.parametrize("name", SPLITTERS)
def test_every_splitter_gives_exact_ordered_spans_or_says_what_to_install(
    encoder: Encoder, name: str
) -> None:
    library = {"langchain": "langchain_text_splitters", "chonkie": "chonkie", "llama": "llama_index"}
    needed = library.get(name.split("-")[0])
    if needed is not None and importlib.util.find_spec(needed) is None:
        with pytest.raises(DependencyError, match=r"pip install 'diptych\[bench\]'"):
            make_splitter(name, encoder)
        return
    spans = make_splitter(name, encoder, 40)(TEXT)
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(TEXT) for start, end in spans)
    assert {c for c in TEXT if not c.isspace()} == {c for s, e in spans for c in TEXT[s:e] if not c.isspace()}


def test_unknown_splitters_and_sizes_are_refused(encoder: Encoder) -> None:
    with pytest.raises(ConfigError, match="no splitter 'magic'"):
        make_splitter("magic", encoder)
    with pytest.raises(ConfigError, match="chunk_tokens=0"):
        make_splitter("plain-recursive", encoder, 0)


def test_pieces_are_located_in_order_even_when_they_repeat() -> None:
    assert locate("la la la", ["la", " ", "la", "la"]) == [(0, 2), (3, 5), (6, 8)]
    assert locate("abcdef", ["abcd", "cdef"]) == [(0, 4), (2, 6)]


def test_pieces_that_differ_in_blanks_only_are_located() -> None:
    assert locate("one\n\ntwo  three four", ["one two", "three four"]) == [(0, 8), (10, 20)]


def test_rewritten_pieces_have_no_offsets() -> None:
    with pytest.raises(DataError, match="changed the text"):
        locate("One two", ["one two"])


def test_frozen_chunks_quote_their_document_and_have_unit_vectors(encoder: Encoder) -> None:
    preparer = FrozenEncoderSystem(make_splitter("plain-recursive", encoder, 40), encoder, name="plain")
    documents = [Document(str(i), "", TEXT[i:]) for i in range(3)] + [Document("blank", "", " \n")]
    prepared = {d.id: (d, chunks) for d, chunks in preparer.prepare_many(documents)}
    assert prepared["blank"][1] == []
    for document, chunks in prepared.values():
        for chunk in chunks:
            assert chunk.text == document.text[chunk.start : chunk.end]
            assert float(chunk.vector @ chunk.vector) == pytest.approx(1.0, abs=1e-3)
    assert [c.id for c in preparer.prepare(documents[0])] == [c.id for c in prepared["0"][1]]
