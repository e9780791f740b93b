"""API keys: kept as hashes, told once, read again where the file has changed, and what each may do over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from fixture_prep import LinePrep

from flows.cli.app import main
from flows.server.http_app import create_app
from flows.server.keys import Access, KeyFile
from flows.server.service import ServerSettings, narrowed
from flows.server.service_errors import ServiceError
from prep.errors import ConfigError
from retrieve.researcher import Researcher

QUESTION = "What do Bees make honey from nectar. for?"


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def guarded(
    place: Path, keys: KeyFile, open_researcher: Callable[[], Researcher]
) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """The application with keys, and an `Authorization` header for each."""
    secrets = {
        "reader": keys.add("reader"),
        "writer": keys.add("writer", may_write=True),
        "guest": keys.add("guest", where={"label": "open"}),
    }
    app = create_app(place, keys=keys, open_researcher=open_researcher, prep=LinePrep())
    with TestClient(app, base_url="http://localhost") as client:
        yield client, {name: f"Bearer {secret}" for name, secret in secrets.items()}


def status(client: TestClient, method: str, path: str, authorization: str | None, **options: object) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return client.request(method, path, headers=headers, **options).status_code  # type: ignore[arg-type]


def test_a_key_is_found_and_kept_as_a_hash(keys: KeyFile) -> None:
    secret = keys.add("ada", where={"folder": ["a", "b"]})
    assert keys.access(secret) == Access("ada", {"folder": ["a", "b"]}, may_write=False)
    assert keys.access(secret + "x") is None
    assert keys.access("") is None
    assert secret not in keys.path.read_text(encoding="utf-8")
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert list(keys.path.parent.glob(".keys.json.*")) == []


def test_a_change_of_the_file_counts_at_once(keys: KeyFile) -> None:
    secret = keys.add("ada")
    elsewhere = KeyFile(keys.path)
    assert keys.access(secret) is not None
    other = elsewhere.add("bob")
    assert keys.access(other) is not None
    elsewhere.remove("ada")
    assert keys.access(secret) is None


def test_a_file_that_is_missing_or_damaged_lets_nobody_in(keys: KeyFile) -> None:
    with pytest.raises(ConfigError, match="diptych keys add"):
        keys.access("x")
    for content in (
        "",
        "{}",
        '{"format": 1, "keys": [{"name": "ada", "sha256": "x"}]}',
        '{"format": 2, "keys": []}',
    ):
        keys.path.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError, match="damaged"):
            keys.access("x")


def test_names_are_used_once_and_a_filter_excludes_writing(keys: KeyFile) -> None:
    keys.add("ada")
    with pytest.raises(ConfigError, match="already"):
        keys.add("ada")
    with pytest.raises(ConfigError, match="cannot write"):
        keys.add("bob", where={"folder": "a"}, may_write=True)
    with pytest.raises(ConfigError, match="no key 'eve'"):
        keys.remove("eve")


def test_without_a_key_there_is_health_and_the_page_and_nothing_else(
    guarded: tuple[TestClient, dict[str, str]],
) -> None:
    client, _ = guarded
    for path in ("/healthz", "/docs", "/openapi.json", "/docs-files/swagger-ui.css"):
        assert status(client, "GET", path, None) == 200
    for wrong in (None, "Bearer ", "Bearer dpt_x", "Basic YTpi", "dpt_x"):
        for method, path in (
            ("POST", "/ask"),
            ("GET", "/documents"),
            ("GET", "/metrics"),
            ("GET", "/v1/models"),
            ("GET", "/docs-files/../documents"),
            ("GET", "/nothing"),
        ):
            assert status(client, method, path, wrong) == 401, (path, wrong)
    answer = client.post("/ask", json={"question": "Who?"})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "key"


def test_a_key_may_do_what_it_was_made_for(guarded: tuple[TestClient, dict[str, str]]) -> None:
    client, authorization = guarded
    document = {"documents": [{"id": "a", "text": "Sand is old.\n"}]}
    for name, reads, writes in (("reader", 200, 403), ("writer", 200, 200), ("guest", 403, 403)):
        assert status(client, "GET", "/documents", authorization[name]) == reads
        assert status(client, "GET", "/documents/bees.md", authorization[name]) == reads
        assert status(client, "POST", "/documents", authorization[name], json=document) == writes
    assert status(client, "DELETE", "/documents/a", authorization["reader"]) == 403
    assert status(client, "DELETE", "/documents/a", authorization["writer"]) == 200
    assert status(client, "POST", "/search", authorization["reader"], json={"question": "sand"}) == 200


def test_a_key_with_a_filter_finds_nothing_of_another_label(
    guarded: tuple[TestClient, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    client, authorization = guarded
    headers = {"Authorization": authorization["guest"]}
    chat = {"messages": [{"role": "user", "content": QUESTION}]}
    question = {"question": QUESTION, "deadline_s": 30}
    search = {"question": "bees honey nectar", "k": 100}
    with caplog.at_level("INFO", "flows.server.access"):
        for path, body in (("/ask", question), ("/search", search), ("/v1/chat/completions", chat)):
            for more in ({}, {"where": {"path": "bees.md"}}):
                answer = client.post(path, json={**body, **more}, headers=headers)
                assert answer.status_code == 200, answer.text
                told = answer.text.replace(QUESTION, "").replace(json.dumps({"=": ["bees.md"]}), "")  # echoes
                assert not any(word in told for word in ("bees.md", "nectar.", "dance", "Ada", "secret")), (
                    told
                )
        stream = client.post("/ask", json=question, headers={**headers, "Accept": "text/event-stream"})
        assert "bees.md" not in stream.text
        assert "notes/glass.md" in client.post("/search", json=search, headers=headers).text
    assert "bees" not in caplog.text
    wider = {**question, "where": {" Label": "secret"}}
    assert client.post("/ask", json=wider, headers=headers).status_code == 403


def test_a_wrong_filter_tells_a_key_with_a_filter_nothing_of_other_metadata(
    guarded: tuple[TestClient, dict[str, str]],
) -> None:
    client, authorization = guarded
    body = {"question": "sand", "where": {"colour": "blue"}}
    answers = {
        name: client.post("/search", json=body, headers={"Authorization": authorization[name]})
        for name in ("guest", "reader")
    }
    assert all(answer.status_code == 422 for answer in answers.values())
    assert "author" in answers["reader"].text
    assert "author" not in answers["guest"].text


def test_filters_are_joined_and_the_keys_cannot_be_replaced() -> None:
    access = Access("guest", {"folder": "notes"})
    assert narrowed(access, {"author": "Ada"}) == {"author": "Ada", "folder": "notes"}
    assert narrowed(Access(), None) == {}
    with pytest.raises(ServiceError, match="fixes 'FOLDER'"):
        narrowed(access, {"FOLDER": "secret"})


def test_pages_of_other_sites_and_names_of_other_hosts_are_refused(
    place: Path, open_researcher: Callable[[], Researcher]
) -> None:
    app = create_app(place, ServerSettings(hosts=("localhost", "::1")), open_researcher=open_researcher)
    with TestClient(app, base_url="http://localhost:8000") as client:
        body = {"question": "sand"}
        assert client.post("/search", json=body, headers={"Origin": "http://evil.example"}).status_code == 403
        assert client.post("/search", json=body, headers={"Origin": "null"}).status_code == 403
        assert (
            client.post("/search", json=body, headers={"Origin": "http://localhost:8000"}).status_code == 200
        )
        for host in ("evil.example", "[", "localhost.evil.example", ""):
            assert client.get("/healthz", headers={"Host": host}).status_code == 403
        assert client.post("/search", json=body, headers={"Origin": "http://["}).status_code == 403
        assert client.get("/healthz", headers={"Host": "[::1]:8000"}).status_code == 200


def test_the_commands_make_list_and_remove_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ["--keys", str(tmp_path / "keys.json")]
    assert main(["keys", "add", "guests", "--where", "folder=a", "--where", "folder=b", *file]) == 0
    secret = capsys.readouterr().out.strip()
    access = KeyFile(tmp_path / "keys.json").access(secret)
    assert access == Access("guests", {"folder": ["a", "b"]})
    assert main(["keys", "add", "editor", "--write", "--json", *file]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "editor"
    assert main(["keys", "list", *file]) == 0
    shown = capsys.readouterr().out
    assert "guests" in shown
    assert "writes" in shown
    assert secret not in shown
    assert main(["keys", "remove", "guests", *file]) == 0
    assert KeyFile(tmp_path / "keys.json").access(secret) is None
