"""Documents over HTTP: listed, shown, added beside those that are there, deleted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from fixture_prep import LinePrep

from flows.server.http_app import create_app
from flows.server.library import document_name
from flows.server.service import ServerSettings
from flows.server.service_errors import ServiceError
from prep.store.workspace import Workspace
from retrieve.researcher import Researcher


def ids(client: TestClient) -> list[str]:
    return [row["id"] for row in client.get("/documents").json()["documents"]]


def test_documents_are_listed_and_shown_with_their_chunks(client: TestClient) -> None:
    assert ids(client) == ["bees.md", "notes/glass.md", "kestrel.md"]
    found = client.get("/documents/notes/glass.md").json()
    assert (found["title"], found["text"]) == ("Glass", "Glass is made of sand.\n")
    assert [(chunk["start"], chunk["text"]) for chunk in found["chunks"]] == [(0, "Glass is made of sand.\n")]
    missing = client.get("/documents/glass.md")
    assert missing.status_code == 404
    assert "notes/glass.md" in missing.json()["error"]["message"]


def test_files_are_added_and_found_at_once(client: TestClient) -> None:
    files = [
        ("files", ("notes/tea.md", b"# Tea\nTea is steeped.\n")),
        ("files", ("scan.pdf", b"%PDF-1.4 broken")),
    ]
    added = client.post("/documents", files=files)
    assert added.status_code == 200, added.text
    content = added.json()
    assert content["added"] == ["notes/tea.md"]
    assert content["documents"] == 4
    assert [row["path"] for row in content["rejected"]] == ["scan.pdf"]
    assert ids(client)[0] == "notes/tea.md"
    assert client.get("/documents/notes/tea.md").json()["source"] == "notes/tea.md"
    found = client.post("/search", json={"question": "steeped tea", "k": 1}).json()["passages"]
    assert found[0]["document_id"] == "notes/tea.md"


def test_a_text_takes_the_place_of_the_document_of_its_id(client: TestClient) -> None:
    body = {"documents": [{"id": "bees.md", "text": "Bees sleep.\n", "title": "Sleep"}]}
    assert client.post("/documents", json=body).json()["documents"] == 3
    assert client.get("/documents/bees.md").json()["text"] == "Bees sleep.\n"


def test_a_document_is_deleted_and_a_generation_stays_to_go_back_to(client: TestClient, place: Path) -> None:
    before = Workspace(place).current().generation
    assert client.delete("/documents/notes/glass.md").json()["documents"] == 2
    assert ids(client) == ["bees.md", "kestrel.md"]
    assert client.delete("/documents/notes/glass.md").status_code == 404
    assert Workspace(place).rollback_generation().generation == before
    assert len(ids(client)) == 3


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"files": [("files", ("../../etc/passwd", b"x"))]}, 422, "file_name"),
        ({"files": [("files", (".hidden", b"x"))]}, 422, "file_name"),
        ({"files": [("files", ("a.md", b"x")), ("files", ("a.md", b"y"))]}, 422, "file_name"),
        ({"files": [("files", ("a", b"x")), ("files", ("a/b.md", b"y"))]}, 422, "file_name"),
        ({"files": [("files", ("scan.pdf", b"%PDF-1.4 broken"))]}, 422, "invalid"),
        ({"data": {"a": "b"}}, 415, "content_type"),
        ({"json": {"documents": []}}, 422, "invalid"),
        ({"json": {"documents": [{"id": "a", "text": "b", "path": "/etc"}]}}, 422, "invalid"),
        ({"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "invalid"),
    ],
)
def test_what_cannot_be_added_changes_nothing(
    client: TestClient, place: Path, options: dict[str, object], status: int, code: str
) -> None:
    before = Workspace(place).current()
    answer = client.post("/documents", **options)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert Workspace(place).current() == before


@pytest.mark.parametrize(
    "name", ["", ".", "/etc/passwd", "a/../b", "a\\b", "a/.git/x", "a\x1bb", "\u202ea", "x" * 300]
)
def test_a_name_that_leaves_the_folder_or_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(ServiceError, match="cannot be a document's name"):
        document_name(name)
    assert document_name("handbook/Löhne & Gehälter.md") == "handbook/Löhne & Gehälter.md"


def test_a_body_that_is_too_large_is_refused_by_its_length_and_by_its_bytes(
    place: Path, open_researcher: Callable[[], Researcher]
) -> None:
    settings = ServerSettings(max_body_bytes=200, max_upload_bytes=1_000)
    app = create_app(place, settings, open_researcher=open_researcher, prep=LinePrep())
    with TestClient(app, base_url="http://localhost") as client:
        large = {"question": "x" * 300}
        assert client.post("/ask", json=large).status_code == 413
        parts = iter([b'{"question": "', b"x" * 150, b"x" * 150, b'"}'])
        headers = {"Content-Type": "application/json"}
        answer = client.post("/ask", content=parts, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        assert client.post("/documents", files=[("files", ("a.md", b"x" * 2_000))]).status_code == 413
        assert client.post("/search", json={"question": "sand"}).status_code == 200


def test_an_empty_workspace_says_so_until_the_first_document(
    tmp_path: Path, open_researcher: Callable[[], Researcher]
) -> None:
    app = create_app(tmp_path / "w", open_researcher=open_researcher, prep=LinePrep())
    with TestClient(app, base_url="http://localhost") as client:
        for answer in (client.get("/documents"), client.post("/search", json={"question": "sand"})):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "empty")
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        body = {"documents": [{"id": "a", "text": "Sand is old.\n"}]}
        assert client.post("/documents", json=body).status_code == 200
        assert client.post("/search", json={"question": "sand"}).status_code == 200
        assert client.get("/readyz").json() == {"status": "ready"}


def test_a_damaged_generation_is_a_503_with_the_reason_until_it_is_mended(
    client: TestClient, place: Path
) -> None:
    assert client.post("/search", json={"question": "sand"}).status_code == 200
    body = {"documents": [{"id": "a", "text": "Sand is old.\n"}]}
    generation = client.post("/documents", json=body).json()["generation"]
    table = place / "generations" / generation / "chunks.sqlite"
    Workspace(place).rollback_generation()
    client.post("/search", json={"question": "sand"})
    table.write_bytes(table.read_bytes()[:-1] + b"?")
    Workspace(place).swap(generation=generation)
    for answer in (client.get("/documents"), client.post("/search", json={"question": "sand"})):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store")
        assert "diptych generations rollback" in answer.json()["error"]["message"]


def test_a_workspace_that_cannot_be_written_is_a_503_with_the_reason(client: TestClient, place: Path) -> None:
    (place / "generations").rename(place / "moved")
    (place / "generations").write_text("no folder")
    body = {"documents": [{"id": "a", "text": "Sand is old.\n"}]}
    answer = client.post("/documents", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")
    assert "Traceback" not in answer.text
