"""A generation gives back exactly what went in, and refuses what was altered or built by another version."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fixture_prep import LinePrep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prep.document import Chunk, Document
from prep.errors import ChecksumMismatch, DimensionMismatch, StoreError, VersionMismatch
from prep.manifest import write_manifest
from prep.places import Place
from prep.store.bm25 import CANDIDATES, LexicalIndex
from prep.store.generation import Generation, GenerationWriter
from prep.store.metadata_filter import MetadataFilter
from prep.store.ranking import Ranker

DOCUMENTS = [
    Document("first", "First", "# Top\nalpha beta\n~menu\ngamma delta\n", "first.md"),
    Document("empty", "Empty", "", "empty.md"),
    Document("second", "", "naïve 😀 text\nepsilon\x00zeta\n"),
]


def write(folder: Path, documents: Sequence[Document], prep: LinePrep | None = None) -> Path:
    prep = prep or LinePrep()
    with GenerationWriter(folder, prep_version=prep.version, dimension=prep.dimension) as writer:
        for document in documents:
            writer.add(document, "hash of " + document.id, prep.prepare(document))
        return folder / writer.finish({})


def same(ours: Chunk, theirs: Chunk) -> bool:
    names = ("id", "document_id", "start", "end", "text", "headings", "role", "n_tokens")
    return all(getattr(ours, name) == getattr(theirs, name) for name in names) and np.array_equal(
        ours.vector, theirs.vector
    )


def test_documents_and_chunks_come_back_as_they_went_in(tmp_path: Path) -> None:
    with Generation(write(tmp_path, DOCUMENTS)) as generation:
        assert list(generation.documents()) == DOCUMENTS
        for document in DOCUMENTS:
            assert generation.document(document.id) == document
            expected = LinePrep().prepare(document)
            found = generation.document_chunks(document.id)
            assert len(found) == len(expected)
            assert all(same(a, b) for a, b in zip(found, expected, strict=True))


def test_boilerplate_is_kept_and_not_indexed(tmp_path: Path) -> None:
    with Generation(write(tmp_path, DOCUMENTS)) as generation:
        assert generation.counts == {"documents": 3, "chunks": 6, "indexed": 5, "boilerplate": 1}
        indexed = generation.chunks(range(5))
        assert "boilerplate" not in {chunk.role for chunk in indexed}
        assert [chunk.role for chunk in generation.document_chunks("first")].count("boilerplate") == 1
        rows = generation.search(LinePrep().encode_queries(["~menu"]), 9)[1]
        assert sorted(rows[0].tolist()) == [-1, -1, -1, -1, 0, 1, 2, 3, 4]


def test_search_finds_the_chunk_whose_vector_was_asked_for(tmp_path: Path) -> None:
    with Generation(write(tmp_path, DOCUMENTS)) as generation:
        scores, rows = generation.search(LinePrep().encode_queries(["gamma delta"]), 1)
        assert scores[0, 0] == pytest.approx(1, abs=1e-6)
        assert [chunk.text for chunk in generation.chunks(rows[0])] == ["gamma delta\n"]


def test_a_hybrid_search_is_brute_force_over_cosines_and_words(tmp_path: Path) -> None:
    documents = [
        Document(f"d{number}", f"Title{number}", f"word{number} common\nother line {number * 7}\n" * 2)
        for number in range(90)
    ]
    queries = ["common word3", "title88 line", "nothing of it", "~"]
    vectors = LinePrep().encode_queries(queries)
    with Generation(write(tmp_path, documents)) as generation:
        scores, rows = generation.search_hybrid(queries, vectors, 7)
        chunks = generation.chunks(range(len(documents) * 4))
        headed = [(generation.title(chunk.document_id), chunk.text) for chunk in chunks]
        lexical = LexicalIndex.build([" ".join(parts) for parts in headed])
        ranker = Ranker(lexical, lambda rows: [headed[row] for row in rows])
        for at, query in enumerate(queries):
            cosines = np.stack([chunk.vector for chunk in chunks]) @ vectors[at]
            words = lexical.search(query, CANDIDATES)
            expected = ranker.scores(query, np.arange(len(chunks)), cosines, words)
            order = np.argsort(-expected, kind="stable")[:7]
            np.testing.assert_allclose(scores[at], expected[order], atol=1e-5)
            np.testing.assert_allclose(expected[rows[at]], expected[order], atol=1e-5)
            assert generation.search_words(query, 7) == list(lexical.search(query, 7))
        few = generation.search_hybrid(["common"], vectors[:1], 500)[1][0]
        assert (few >= 0).sum() <= 360
        assert len(set(few[few >= 0].tolist())) == (few >= 0).sum()


def test_a_generation_without_words_says_to_ingest_again(tmp_path: Path) -> None:
    folder = write(tmp_path, DOCUMENTS)
    with sqlite3.connect(folder / "chunks.sqlite") as connection:
        connection.execute("DROP TABLE lexicon_terms")
        connection.execute("DROP TABLE lexicon")
    content = json.loads((folder / "manifest.json").read_text())
    del content["files"], content["digest"]
    write_manifest(folder, content)
    with Generation(folder) as generation:
        vectors = LinePrep().encode_queries(["gamma"])
        assert generation.search(vectors, 1)[1][0, 0] >= 0
        with pytest.raises(StoreError, match="diptych ingest"):
            generation.search_hybrid(["gamma"], vectors, 1)
        with pytest.raises(StoreError, match="diptych ingest"):
            generation.search_words("gamma", 1)


def test_metadata_and_places_come_back_as_they_were_stored(tmp_path: Path) -> None:
    metadata = {"tags": ["a", "b"], "n": 3, "ok": True, "odd": "\ud800", "owner": {"name": "Ada"}}
    places = (Place(0, "page", "iv"), Place(6, "page", "5"))
    documents = [Document("a", "A", "alpha\nbeta\n", "/x/a.pdf", metadata, places), *DOCUMENTS]
    with Generation(write(tmp_path, documents)) as generation:
        assert generation.document("a") == documents[0]
        assert list(generation.documents()) == documents
        assert next(iter(generation.records())).n_rows == 2
        assert generation.origin("a").page(7) == "page 5"


def test_documents_of_one_title_are_told_apart_by_the_shortest_path(tmp_path: Path) -> None:
    paths = ["desk/north.md", "desk/south.md", "old/south.md", "fees.md"]
    documents = [Document(path, "Hours", "one\n", metadata={"path": path}) for path in paths]
    documents += [Document("alone", "Alone", "one\n"), Document("api", "Hours", "one\n")]
    with Generation(write(tmp_path, documents)) as generation:
        shown = {one.id: generation.origin(one.id).distinct_path for one in documents}
        assert [generation.origin(name).path for name in ("fees.md", "alone")] == ["fees.md", "alone"]
    assert list(shown.values()) == ["north.md", "desk/south.md", "old/south.md", "fees.md", "", "api"]


def test_a_generation_of_the_format_before_opens_without_metadata(tmp_path: Path) -> None:
    folder = write(tmp_path, DOCUMENTS)
    with sqlite3.connect(folder / "chunks.sqlite") as connection:
        for column in ("metadata", "places", "n_rows"):
            connection.execute(f"ALTER TABLE documents DROP COLUMN {column}")
    content = json.loads((folder / "manifest.json").read_text())
    del content["files"], content["digest"]
    write_manifest(folder, content)
    with Generation(folder) as generation:
        assert list(generation.documents()) == DOCUMENTS
        records = list(generation.records())
        assert [record.id for record in records] == [document.id for document in DOCUMENTS]
        assert sum(record.n_rows for record in records) == generation.counts["indexed"]
        assert generation.origin(DOCUMENTS[0].id).path == DOCUMENTS[0].id
        where = MetadataFilter.of({"path": DOCUMENTS[0].id})
        assert where is not None
        found = generation.chunks(np.flatnonzero(generation.rows_where(where)))
        assert {chunk.document_id for chunk in found} == {DOCUMENTS[0].id}


def test_chunks_come_in_the_order_asked_even_twice(tmp_path: Path) -> None:
    documents = [Document("many", "", "".join(f"line {number}\n" for number in range(1200)))]
    with Generation(write(tmp_path, documents)) as generation:
        rows = np.array([1199, 3, 3, 700, *range(900)])
        assert [chunk.text for chunk in generation.chunks(rows)] == [f"line {row}\n" for row in rows]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_unicode_text_comes_back_exactly(texts: list[str], tmp_path: Path) -> None:
    documents = [Document(f"d{number}", text[:3], text, text[-3:]) for number, text in enumerate(texts)]
    with Generation(write(tmp_path, documents)) as generation:
        assert list(generation.documents()) == documents
        for document in documents:
            chunks = generation.document_chunks(document.id)
            assert "".join(chunk.text for chunk in chunks) == document.text
            assert all(chunk.text == document.text[chunk.start : chunk.end] for chunk in chunks)


def test_one_flipped_bit_in_any_file_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path, DOCUMENTS)
    for name in ("chunks.sqlite", "index.faiss"):
        intact = (folder / name).read_bytes()
        for place in (0, len(intact) // 2, len(intact) - 1):
            damaged = bytearray(intact)
            damaged[place] ^= 4
            (folder / name).write_bytes(damaged)
            with pytest.raises(ChecksumMismatch, match=name):
                Generation(folder)
        (folder / name).write_bytes(intact)
    Generation(folder).close()


def test_altered_manifest_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path, DOCUMENTS)
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"lines-1"', '"lines-2"'))
    with pytest.raises(ChecksumMismatch, match=r"manifest\.json was altered"):
        Generation(folder)


def test_missing_file_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path, DOCUMENTS)
    (folder / "index.faiss").unlink()
    with pytest.raises(ChecksumMismatch, match=r"index\.faiss is missing"):
        Generation(folder)


def test_damage_after_opening_is_found_by_verify(tmp_path: Path) -> None:
    folder = write(tmp_path, DOCUMENTS)
    with Generation(folder) as generation:
        generation.verify()
        with (folder / "index.faiss").open("ab") as file:
            file.write(b"\0")
        with pytest.raises(ChecksumMismatch):
            generation.verify()


def test_another_prep_version_is_refused_with_both_names_and_what_to_do(tmp_path: Path) -> None:
    folder = write(tmp_path, DOCUMENTS)
    Generation(folder, prep_version="lines-1").close()
    with pytest.raises(VersionMismatch, match=r"'lines-1'.*'lines-2'.*diptych ingest"):
        Generation(folder, prep_version="lines-2")


def test_unknown_rows_and_documents_are_errors(tmp_path: Path) -> None:
    with Generation(write(tmp_path, DOCUMENTS)) as generation:
        for row in (-1, 5):
            with pytest.raises(StoreError, match=f"row {row}"):
                generation.chunks([0, row])
        with pytest.raises(StoreError, match="'third'"):
            generation.document("third")
        with pytest.raises(StoreError, match="'third'"):
            generation.document_chunks("third")


def test_many_threads_read_one_generation(tmp_path: Path) -> None:
    documents = [Document(f"d{number}", "", f"word{number} common\n" * 5) for number in range(40)]
    generation = Generation(write(tmp_path, documents))
    wrong: list[str] = []

    def read(number: int) -> None:
        query = LinePrep().encode_queries([f"word{number} common"])
        for _ in range(20):
            rows = generation.search(query, 5)[1]
            texts = {chunk.text for chunk in generation.chunks(rows[0])}
            if texts != {f"word{number} common\n"} or rows[0].tolist() != sorted(rows[0].tolist()):
                wrong.append(f"{number}: {texts}")

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    generation.close()
    assert wrong == []


def test_closed_generation_says_so(tmp_path: Path) -> None:
    generation = Generation(write(tmp_path, DOCUMENTS))
    generation.close()
    generation.close()
    with pytest.raises(StoreError, match="closed"):
        generation.chunks([0])


def test_reading_writes_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path, DOCUMENTS)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    with Generation(folder) as generation:
        list(generation.documents())
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert set(before) == {"chunks.sqlite", "index.faiss", "manifest.json"}


def test_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="'first'"):
        write(tmp_path, [DOCUMENTS[0], DOCUMENTS[0]])
    assert list(tmp_path.iterdir()) == []


def test_writer_refuses_chunks_that_are_not_what_the_document_says(tmp_path: Path) -> None:
    chunks = LinePrep().prepare(DOCUMENTS[0])
    other = Document("first", "First", DOCUMENTS[0].text.upper())
    with GenerationWriter(tmp_path, prep_version="lines-1", dimension=32) as writer:
        with pytest.raises(StoreError, match="is not what document 'first' says at 0"):
            writer.add(other, "", chunks)
        with pytest.raises(DimensionMismatch, match=r"\(16,\).*\(32,\)"):
            writer.add(DOCUMENTS[0], "", LinePrep(dimension=16).prepare(DOCUMENTS[0]))
        chunks[1].vector[3] = np.inf
        with pytest.raises(StoreError, match="not finite"):
            writer.add(DOCUMENTS[0], "", chunks)
