"""Filters by metadata: which documents pass, what is refused, and that a search never leaves them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_prep import LinePrep

from prep.document import Document
from prep.errors import FilterError
from prep.ingest import ingest
from prep.store.metadata_filter import MetadataFilter, MetadataIndex, parse_conditions
from prep.store.origins import DocumentRecord
from prep.store.workspace import Workspace

METADATA: dict[str, dict[str, Any]] = {
    "leave": {
        "path": "policies/hr/leave.md",
        "folder": "policies/hr",
        "Author": ["Ada", "Bo"],
        "modified": "2026-03-01T09:30:00+00:00",
        "version": 2,
        "draft": False,
    },
    "travel": {
        "path": "policies/travel.md",
        "folder": "policies",
        "author": "Cleo",
        "modified": "2025-12-31T23:30:00-01:00",
        "version": "10",
        "draft": True,
    },
    "fees": {
        "path": "policies-old/fees.pdf",
        "folder": "policies-old",
        "modified": "2024-05-05T00:00:00+00:00",
    },
    "readme": {"path": "readme.md", "folder": "", "owner": {"name": "Dee", "teams": ["x", "y"]}},
    "api": {},
}


def passing(where: dict[str, Any]) -> list[str]:
    index = MetadataIndex(DocumentRecord(name, "", "", about, 1) for name, about in METADATA.items())
    chosen = MetadataFilter.of(where)
    assert chosen is not None
    return [name for name, passes in zip(METADATA, index.rows(chosen), strict=True) if passes]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"folder": "policies"}, ["leave", "travel"]),
        ({"folder": "./policies/"}, ["leave", "travel"]),
        ({"folder": "policies/hr"}, ["leave"]),
        ({"folder": "polic"}, []),
        ({"folder": ""}, ["leave", "travel", "fees", "readme"]),
        ({"folder": "pol*"}, ["leave", "travel", "fees"]),
        ({"folder": {"!=": "policies"}}, ["fees", "readme", "api"]),
        ({"path": "*.md"}, ["leave", "travel", "readme"]),
        ({"path": "policies/*.md"}, ["travel"]),
        ({"path": "policies/**/*.md"}, ["leave", "travel"]),
        ({"path": "policies/travel.md"}, ["travel"]),
        ({"path": "travel.md"}, []),
        ({"path": "api"}, ["api"]),
        ({"author": "Bo"}, ["leave"]),
        ({"AUTHOR": ["Bo", "Cleo"]}, ["leave", "travel"]),
        ({"author": {"!=": ["Ada", "Cleo"]}}, ["fees", "readme", "api"]),
        ({"modified": {">=": "2026-01-01"}}, ["leave", "travel"]),  # the latter by UTC
        ({"modified": "2026"}, ["leave", "travel"]),
        ({"modified": {"<=": date(2026, 3, 1)}}, ["leave", "travel", "fees"]),
        ({"modified": {">": date(2026, 3, 1)}}, []),
        ({"modified": {"<": datetime(2026, 3, 1, 9, 30, tzinfo=UTC)}}, ["travel", "fees"]),
        ({"modified": {">=": "2025-06", "<": "2026-02"}}, ["travel"]),
        ({"version": {">": 2}}, ["travel"]),
        ({"version": 2.0}, ["leave"]),
        ({"draft": True}, ["travel"]),
        ({"draft": "false"}, ["leave"]),
        ({"owner.name": "Dee"}, ["readme"]),
        ({"owner.teams": "y"}, ["readme"]),
        ({"folder": "policies", "draft": False}, ["leave"]),
        ({"author": {">=": "Bo"}}, ["leave", "travel"]),
    ],
)
def test_a_filter_lets_through_what_it_says(where: dict[str, Any], expected: list[str]) -> None:
    assert passing(where) == expected


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"auther": "Ada"}, "'auther'.*author, draft, folder, modified, owner.name"),
        ({"author": []}, "author"),
        ({"author": {}}, "no condition"),
        ({"author": None}, "no text, number"),
        ({"author": {"~": "A"}}, "known: =, !=, <"),
        ({"modified": {">": ["2025", "2026"]}}, "one value"),
        ({"": "x"}, "no key"),
        ({3: "x"}, "no key"),
        ({"path": "a[z-a]*"}, "no valid pattern"),
        ("folder=x", "must map"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_an_error_that_says_why(where: Any, words: str) -> None:
    with pytest.raises(FilterError, match=words):
        passing(where)


def test_no_condition_is_no_filter() -> None:
    assert MetadataFilter.of(None) is None
    assert MetadataFilter.of({}) is None
    assert MetadataFilter.of(parse_conditions([])) is None


def test_conditions_of_the_command_line_say_what_python_does() -> None:
    where = parse_conditions(
        ["folder=policies", "author!=Ada", "author!=Bo", "modified >= 2026-01-01", "a==b=c"]
    )
    assert MetadataFilter.of(where) == MetadataFilter.of(
        {"a": "b=c", "author": {"!=": ["Bo", "Ada"]}, "folder": "policies", "modified": {">=": "2026-01-01"}}
    )
    for wrong in ("folder", "=x", ""):
        with pytest.raises(FilterError, match="no condition"):
            parse_conditions([wrong])


DOCUMENTS = [
    Document(
        f"d{number}",
        f"Title{number}",
        f"# Head\ncommon word{number} alpha\n~menu\nother line {number * 7} beta\n",
        metadata={"folder": f"f{number % 9}", "path": f"f{number % 9}/d{number}.md"},
    )
    for number in range(120)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filtered")
    ingest(path, DOCUMENTS, LinePrep(), progress=False)
    return path


def test_a_filtered_search_gives_as_many_of_the_allowed_as_are_wanted_and_no_others(folder: Path) -> None:
    queries = ["common word4 alpha", "title5 line 35", "nothing", "head"]
    vectors = LinePrep().encode_queries(queries)
    where = MetadataFilter.of({"folder": ["f3", "f4"]})
    assert where is not None
    with Workspace(folder).open_generation() as generation:
        allowed = generation.rows_where(where)
        assert allowed is generation.rows_where(where)  # kept
        n_allowed = int(allowed.sum())
        assert n_allowed == sum(document.metadata["folder"] in ("f3", "f4") for document in DOCUMENTS) * 3
        for k in (7, n_allowed, 500):
            rows = generation.search_hybrid(queries, vectors, k, allowed)[1]
            assert ((rows >= 0).sum(axis=1) == min(k, n_allowed)).all()
            found = {chunk.document_id for chunk in generation.chunks(rows[rows >= 0])}
            assert found <= {row.id for row in DOCUMENTS if row.metadata["folder"] in ("f3", "f4")}
        assert generation.document(generation.chunks(rows[0, :1])[0].document_id).id == "d4"


def test_a_filter_that_nothing_passes_finds_nothing(folder: Path) -> None:
    where = MetadataFilter.of({"folder": "f77"})
    assert where is not None
    with Workspace(folder).open_generation() as generation:
        allowed = generation.rows_where(where)
        rows = generation.search_hybrid(["common"], LinePrep().encode_queries(["common"]), 5, allowed)[1]
        assert rows.tolist() == [[-1] * 5]


def test_rows_follow_documents_that_have_none_in_the_index(tmp_path: Path) -> None:
    documents = [
        Document("a", "", "~menu\n", metadata={"n": 1}),
        Document("b", "", "one\n~menu\ntwo\n", metadata={"n": 2}),
        Document("c", "", "", metadata={"n": 3}),
        Document("d", "", "three\n", metadata={"n": 4}),
    ]
    ingest(tmp_path, documents, LinePrep(), progress=False)
    with Workspace(tmp_path).open_generation() as generation:
        for number, texts in ((1, []), (2, ["one\n", "two\n"]), (3, []), (4, ["three\n"])):
            where = MetadataFilter.of({"n": number})
            assert where is not None
            rows = np.flatnonzero(generation.rows_where(where))
            assert [chunk.text for chunk in generation.chunks(rows)] == texts


def test_an_unknown_key_names_those_that_the_generation_has(folder: Path) -> None:
    where = MetadataFilter.of({"author": "Ada"})
    assert where is not None
    with (
        Workspace(folder).open_generation() as generation,
        pytest.raises(FilterError, match="known keys: folder, path"),
    ):
        generation.rows_where(where)
