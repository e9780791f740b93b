"""Ingest stores all that is read, prepares only what changed, and reports what cannot be read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixture_prep import LinePrep, subprocess_environment

from prep.document import Chunk, Document, Rejected
from prep.errors import ChecksumMismatch, ConfigError, DataError, StoreError, WorkspaceLocked
from prep.ingest import IngestReport, IngestSettings, ingest
from prep.places import Place
from prep.store.vector_index import IndexSettings
from prep.store.workspace import Workspace


def corpus(n: int = 20) -> list[Document]:
    return [
        Document(
            f"d{number}",
            f"T{number}",
            f"# Head\nalpha word{number}\n~menu\nbeta word{number}\n",
            f"{number}.md",
        )
        for number in range(n)
    ]


def run(
    path: Path, rows: Iterable[Document | Rejected], prep: LinePrep | None = None, **options: object
) -> IngestReport:
    return ingest(path, rows, prep or LinePrep(), progress=False, **options)  # type: ignore[arg-type]


def contents(path: Path) -> list[tuple[Document, list[tuple[str, bytes]]]]:
    with Workspace(path).open_generation() as generation:
        return [
            (
                document,
                [(chunk.id, chunk.vector.tobytes()) for chunk in generation.document_chunks(document.id)],
            )
            for document in generation.documents()
        ]


def test_report_counts_what_the_generation_holds(tmp_path: Path) -> None:
    report = run(tmp_path, corpus())
    assert (report.n_documents, report.n_unchanged, report.n_removed, report.n_chunks) == (20, 0, 0, 80)
    assert report.rejected == []
    with Workspace(tmp_path).open_generation() as generation:
        assert generation.id == report.generation
        assert generation.counts["indexed"] == 60
        assert list(generation.documents()) == corpus()


def test_unchanged_documents_are_not_prepared_again(tmp_path: Path) -> None:
    prep = LinePrep()
    run(tmp_path, corpus(), prep)
    prep.prepared.clear()
    rows = corpus()
    rows[3] = Document("d3", "T3", "something else\n", "3.md")
    rows[4] = Document("d4", "another title", rows[4].text, "4.md")
    report = run(tmp_path, [*rows, Document("new", "", "new\n")], prep)
    assert sorted(prep.prepared) == ["d3", "d4", "new"]
    assert (report.n_documents, report.n_unchanged, report.n_removed) == (21, 18, 0)


def test_ingest_of_changes_gives_what_an_ingest_of_everything_gives(tmp_path: Path) -> None:
    changed = [Document("new", "", "first\n"), *corpus()[5:], Document("d2", "", "moved and changed\n")]
    run(tmp_path / "changes", corpus())
    run(tmp_path / "changes", changed, remove_missing=True)
    run(tmp_path / "everything", changed)
    assert contents(tmp_path / "changes") == contents(tmp_path / "everything")
    queries = LinePrep().encode_queries(["alpha word7", "beta"])
    with (
        Workspace(tmp_path / "changes").open_generation() as ours,
        Workspace(tmp_path / "everything").open_generation() as theirs,
    ):
        for a, b in zip(ours.search(queries, 30), theirs.search(queries, 30), strict=True):
            np.testing.assert_array_equal(a, b)


def test_another_prep_version_prepares_everything_again(tmp_path: Path) -> None:
    run(tmp_path, corpus())
    prep = LinePrep("lines-2", dimension=16)
    report = run(tmp_path, corpus(), prep)
    assert len(prep.prepared) == 20
    assert report.n_unchanged == 0
    Workspace(tmp_path).open_generation(prep_version="lines-2").close()


def test_removed_documents_leave_the_index(tmp_path: Path) -> None:
    run(tmp_path, corpus())
    report = run(tmp_path, corpus()[:15], remove_missing=True)
    assert (report.n_documents, report.n_removed) == (15, 5)
    with Workspace(tmp_path).open_generation() as generation:
        rows = generation.search(LinePrep().encode_queries(["alpha word19"]), 100)[1][0]
        found = {chunk.document_id for chunk in generation.chunks(rows[rows >= 0])}
        assert found == {f"d{number}" for number in range(15)}


def test_documents_that_are_not_named_stay_even_with_another_prep_version(tmp_path: Path) -> None:
    run(tmp_path, corpus(3))
    report = run(tmp_path, [Document("d1", "", "changed\n")], LinePrep("lines-2"))
    assert (report.n_documents, report.n_removed) == (3, 0)
    assert [document.id for document, _ in contents(tmp_path)] == ["d1", "d0", "d2"]
    Workspace(tmp_path).open_generation(prep_version="lines-2").close()


def test_nothing_changed_makes_no_new_generation(tmp_path: Path) -> None:
    rows = [*corpus(), Rejected("bad.pdf", "damaged")]
    first = run(tmp_path, rows)
    second = run(tmp_path, rows)
    assert second.generation == first.generation
    assert (second.n_documents, second.n_unchanged, second.n_chunks) == (20, 20, 80)
    assert second.rejected == first.rejected
    assert Workspace(tmp_path).generations() == [first.generation]
    third = run(tmp_path, corpus())  # nothing is rejected any more
    assert third.generation != first.generation


def test_moved_file_is_stored_with_its_new_source_and_not_prepared_again(tmp_path: Path) -> None:
    prep = LinePrep()
    run(tmp_path, [Document("a", "", "text\n", "old.md")], prep)
    run(tmp_path, [Document("a", "", "text\n", "new.md")], prep)
    assert prep.prepared == ["a"]
    assert [document.source for document, _ in contents(tmp_path)] == ["new.md"]


def test_changed_metadata_and_places_are_stored_and_nothing_is_prepared_again(tmp_path: Path) -> None:
    prep = LinePrep()
    before = Document("a", "", "text\n", "a.md", {"modified": "2026-01-01"}, (Place(0, "page", "1"),))
    first = run(tmp_path, [before], prep)
    assert run(tmp_path, [before], prep).generation == first.generation
    for after in (
        replace(before, metadata={"modified": "2026-02-02"}),
        replace(before, places=(Place(0, "page", "2"),)),
    ):
        report = run(tmp_path, [after], prep)
        assert (report.n_unchanged, [document for document, _ in contents(tmp_path)]) == (1, [after])
    assert prep.prepared == ["a"]
    report = run(tmp_path, [replace(before, id="b", metadata={"of": object()}), before], prep)
    assert [row.reason for row in report.rejected] == ["its metadata cannot be stored: object is no JSON"]


def test_rejected_rows_are_reported_and_kept_in_the_manifest(tmp_path: Path) -> None:
    rejected = [Rejected("bad.pdf", "damaged"), Rejected("odd\udc80name.md", "not UTF-8")]
    report = run(tmp_path, [rejected[0], *corpus(2), rejected[1]])
    assert report.rejected == rejected
    assert report.n_documents == 2
    with Workspace(tmp_path).open_generation() as generation:
        stored = [Rejected(**row) for row in generation.manifest["rejected"]]
    assert stored == rejected
    summary = report.summary()
    assert "2 rejected" in summary
    assert "bad.pdf: damaged" in summary
    assert "name.md: not UTF-8" in summary.encode("utf-8").decode("utf-8")


def test_second_document_of_an_id_is_rejected(tmp_path: Path) -> None:
    # Within a batch and across batches alike.
    rows = [
        Document("a", "", "one\n", "1.md"),
        Document("a", "", "two\n", "2.md"),
        Document("b", "", "three\n"),
    ]
    for limit in (1, 10):
        path = tmp_path / str(limit)
        report = run(path, rows, settings=IngestSettings(batch_documents=limit))
        assert [row.path for row in report.rejected] == ["2.md"]
        assert "'a'" in report.rejected[0].reason
        assert [document.text for document, _ in contents(path)] == ["one\n", "three\n"]


def test_text_that_is_not_valid_unicode_is_rejected_with_its_place(tmp_path: Path) -> None:
    report = run(
        tmp_path, [*corpus(1), Document("odd", "", "ab\ud800c", "odd.md"), Document("", "", "x", "no-id")]
    )
    assert [row.path for row in report.rejected] == ["odd.md", "no-id"]
    assert "surrogate at code point 2" in report.rejected[0].reason


@pytest.mark.parametrize("rows", [[], [Rejected("bad.pdf", "damaged")]])
def test_nothing_readable_is_an_error_and_changes_nothing(tmp_path: Path, rows: list[Rejected]) -> None:
    with pytest.raises(DataError, match="not a single document"):
        run(tmp_path, rows)
    assert Workspace(tmp_path).current().generation is None
    first = run(tmp_path, corpus())
    for remove_missing in (True, False):
        with pytest.raises(DataError, match=f"{first.generation} stays"):
            run(tmp_path, rows, remove_missing=remove_missing)
    assert Workspace(tmp_path).current().generation == first.generation
    assert [path.name for path in Workspace(tmp_path).generations_path.iterdir()] == [first.generation]


def test_documents_without_a_single_chunk_to_index_are_stored(tmp_path: Path) -> None:
    run(tmp_path, [Document("a", "", ""), Document("b", "", "~menu\n")])
    with Workspace(tmp_path).open_generation() as generation:
        assert generation.counts == {"documents": 2, "chunks": 1, "indexed": 0, "boilerplate": 1}
        assert generation.search(LinePrep().encode_queries(["x"]), 2)[1].tolist() == [[-1, -1]]


def test_documents_are_prepared_in_bounded_batches(tmp_path: Path) -> None:
    prep = LinePrep()
    run(tmp_path / "few", corpus(), prep, settings=IngestSettings(batch_documents=6))
    assert prep.largest_batch == 6
    prep = LinePrep()
    size = len(corpus()[0].text)
    run(tmp_path / "small", corpus(10), prep, settings=IngestSettings(batch_characters=3 * size))
    assert prep.largest_batch == 3
    assert contents(tmp_path / "few")[:10] == contents(tmp_path / "small")


def test_documents_are_read_no_further_ahead_than_a_batch(tmp_path: Path) -> None:
    prep = LinePrep()
    ahead = []

    def stream() -> Iterator[Document]:
        for number, document in enumerate(corpus(30)):
            ahead.append(number - len(prep.prepared))
            yield document

    run(tmp_path, stream(), prep, settings=IngestSettings(batch_documents=5))
    assert max(ahead) == 4


class FailingPrep(LinePrep):
    """Fails on the document that says so, or leaves it out."""

    def __init__(self, failing: str, *, silently: bool) -> None:
        super().__init__()
        self.failing = failing
        self.silently = silently

    def prepare_many(self, documents: Iterable[Document]) -> Iterator[tuple[Document, list[Chunk]]]:
        for document, chunks in super().prepare_many(documents):
            if document.id != self.failing:
                yield document, chunks
            elif not self.silently:
                raise MemoryError("out of memory")


@pytest.mark.parametrize(("silently", "error"), [(True, StoreError), (False, MemoryError)])
def test_failing_prep_leaves_the_generation_before_and_nothing_half_done(
    tmp_path: Path, silently: bool, error: type[Exception]
) -> None:
    first = run(tmp_path, corpus(5))
    with pytest.raises(error):
        run(
            tmp_path,
            corpus(),
            FailingPrep("d17", silently=silently),
            settings=IngestSettings(batch_documents=4),
        )
    assert Workspace(tmp_path).current().generation == first.generation
    assert [path.name for path in Workspace(tmp_path).generations_path.iterdir()] == [first.generation]


def test_damaged_generation_is_rebuilt_by_the_next_ingest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(tmp_path, corpus())
    with (Workspace(tmp_path).generations_path / first.generation / "chunks.sqlite").open("ab") as file:
        file.write(b"x")
    with pytest.raises(
        ChecksumMismatch, match="--sync"
    ):  # the documents that are to stay are in the damaged file
        run(tmp_path, corpus()[:5])
    prep = LinePrep()
    report = run(tmp_path, corpus(), prep, remove_missing=True)
    assert len(prep.prepared) == 20
    assert "chunks.sqlite" in caplog.text
    assert report.generation != first.generation
    assert contents(tmp_path)


def test_ingest_waits_for_another_writer_no_longer_than_its_timeout(tmp_path: Path) -> None:
    run(tmp_path, corpus(1))
    with Workspace(tmp_path).lock(), pytest.raises(WorkspaceLocked):
        run(tmp_path, corpus(2), settings=IngestSettings(lock_timeout_s=0.1))


def test_half_done_work_of_dead_writers_is_cleaned_up(tmp_path: Path) -> None:
    first = run(tmp_path, corpus(1))
    workspace = Workspace(tmp_path)
    for folder in (
        workspace.generations_path / ".partial-1-ab",
        tmp_path / "models" / "prep" / ".partial-1-cd",
    ):
        folder.mkdir(parents=True)
        (folder / "chunks.sqlite").write_bytes(b"half")
    (tmp_path / ".CURRENT.json.ab.tmp").write_text("{")
    assert workspace.generations() == [first.generation]
    run(tmp_path, corpus(1))
    assert [path for path in tmp_path.rglob("*") if ".partial" in path.name or path.suffix == ".tmp"] == []


def test_index_settings_and_recall_are_in_the_manifest(tmp_path: Path) -> None:
    settings = IngestSettings(index=IndexSettings(exact_limit=50, n_threads=1))
    run(tmp_path, corpus(100), settings=settings)
    with Workspace(tmp_path).open_generation() as generation:
        index = generation.manifest["index"]
    assert index["kind"] == "hnsw"
    assert 0.97 <= index["recall_at_10"] <= 1
    assert index["settings"]["exact_limit"] == 50
    json.dumps(index)


def test_full_disk_is_an_error_that_leaves_the_generation_before(tmp_path: Path) -> None:
    first = run(tmp_path, corpus(5))
    script = (
        "import resource, sys\nfrom test_ingest import corpus, run\nfrom pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "run(Path(sys.argv[1]), corpus(3000))\n"
    )
    full = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).parent,
        env=subprocess_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.returncode == 1
    assert "prep.errors.StoreError" in full.stderr
    assert "cannot be written" in full.stderr
    assert Workspace(tmp_path).current().generation == first.generation
    assert [path.name for path in Workspace(tmp_path).generations_path.iterdir()] == [first.generation]


def test_rows_that_are_neither_paths_nor_documents_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="given 17"):
        run(tmp_path, [*corpus(1), 17])  # type: ignore[list-item]


@pytest.mark.parametrize("wrong", [{"batch_documents": 0}, {"keep_generations": 0}, {"lock_timeout_s": -1.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        IngestSettings(**wrong)
