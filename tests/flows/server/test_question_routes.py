"""Asking over HTTP: reports, events, passages, feedback, and what a client is told of a request that is wrong."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient

QUESTION = "What do Bees make honey from nectar. for?"
ASK = {"question": QUESTION, "deadline_s": 30}


def read_events(text: str) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n") if not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_a_question_is_answered_with_quotes_of_the_documents(client: TestClient) -> None:
    answer = client.post("/ask", json={**ASK, "user": "ada"})
    assert answer.status_code == 200
    report = answer.json()
    assert (report["status"], report["question"]) == ("answered", QUESTION)
    quotes = [quote for finding in report["findings"] for quote in finding["quotes"]]
    assert quotes
    for quote in quotes:
        text = client.get(f"/documents/{quote['document_id']}").json()["text"]
        assert text[quote["start"] : quote["end"]] == quote["text"]


def test_an_answer_comes_as_events(client: TestClient) -> None:
    answer = client.post("/ask", json=ASK, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = read_events(answer.text)
    assert [name for name, _ in events] == ["search", "passages", "answer"]
    assert events[0][1] == {"query": QUESTION}
    assert events[1][1][0]["document_id"] == "bees.md"
    assert events[2][1]["status"] == "answered"


def test_a_search_gives_passages_without_an_answer(client: TestClient) -> None:
    passages = client.post("/search", json={"question": "sand", "k": 2}).json()["passages"]
    assert len(passages) == 2
    assert passages[0]["document_id"] == "notes/glass.md"


def test_feedback_is_kept_with_the_report(client: TestClient) -> None:
    report = client.post("/ask", json=ASK).json()
    said = {"report_id": report["id"], "helpful": False, "answer": "for winter"}
    assert client.post("/feedback", json=said).json() == {"report_id": report["id"], "kept": True}
    (row,) = client.app.state.service.log.rows()  # type: ignore[attr-defined]
    assert (row.helpful, row.corrected_answer) == (False, "for winter")
    unknown = client.post("/feedback", json={"report_id": "nothing", "helpful": True})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert client.post("/feedback", json={"report_id": report["id"]}).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"question": "  "},
        {"question": "x" * 9_000},
        {"question": "why?", "deadline_s": 0},
        {"question": "why?", "max_searches": 0},
        {"question": "why?", "temperature": 1},
        {"question": ["why?"]},
        [],
    ],
)
def test_a_request_that_is_wrong_is_told_where(client: TestClient, body: Any) -> None:
    answer = client.post("/ask", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid"
    assert answer.json()["error"]["message"].startswith("body")


@pytest.mark.parametrize(
    "body", [b"{", b'{"question": "\\ud83d?"}', b"\xff\xfe", b'{"question": "a", "deadline_s": NaN}']
)
def test_bodies_that_are_no_json_or_no_text_are_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/ask", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]


def test_the_log_has_a_line_a_request_and_no_question(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "flows.server.access"):
        client.post("/ask", json=ASK)
        client.get("/documents/bees.md")
        client.get("/nothing/here")
    lines = [record.getMessage() for record in caplog.records if record.name == "flows.server.access"]
    assert [line.rpartition(" ")[0].rpartition(" ")[0] for line in lines] == [
        "POST /ask 200",
        "GET /documents/{document_id:path} 200",
        "GET other 404",
    ]
    assert QUESTION not in caplog.text
    with caplog.at_level(logging.INFO, "flows.server"):
        client.post("/ask", json=ASK)
    assert QUESTION in caplog.text


def test_no_body_makes_the_server_fail(client: TestClient) -> None:
    """Half characters, NULs, numbers without end and deep nesting, wherever a value can stand."""
    odd = [None, True, -1, 10**40, "\ud83d", "\x00", "x" * 9_000, [], {}, {"\ud83d": [{"\x00": "\u202e"}]}]
    fields = {
        "/ask": {"question": "q", "where": None, "user": "u", "max_searches": 1},
        "/search": {"question": "q", "k": 1, "where": {}},
        "/feedback": {"report_id": "r", "helpful": True, "quote": 1, "\ud83d": 1},
        "/v1/chat/completions": {
            "messages": [{"role": "user", "content": "q"}],
            "stream": False,
            "where": {},
        },
        "/documents": {"documents": [{"id": "a", "text": "b"}]},
    }
    headers = {"Content-Type": "application/json"}
    for path, good in fields.items():
        bodies = [json.dumps({**good, name: value}).encode() for name in good for value in odd]
        for body in [*bodies, b"[" * 50_000, b"\xff", b""]:
            answer = client.post(path, content=body, headers=headers)
            assert answer.status_code != 500, (path, body[:200])
            assert answer.status_code < 400 or answer.json()["error"]["message"]
