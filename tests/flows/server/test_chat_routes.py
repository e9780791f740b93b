"""Conversations: how turns become a question, and OpenAI's protocol as its own client speaks it (`test_serving`)."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from flows.server.chat_routes import conversation_question
from flows.server.schemas import Message
from flows.server.service_errors import ServiceError


def question(*turns: tuple[str, object]) -> str:
    return conversation_question([Message(role=role, content=text) for role, text in turns])  # type: ignore[arg-type]


def test_one_turn_is_the_question_itself() -> None:
    assert question(("system", "Be brief."), ("user", "How long\n is leave?")) == "How long is leave?"
    parts = [
        {"type": "text", "text": "How long"},
        {"type": "image_url"},
        {"type": "text", "text": "is leave?"},
    ]
    assert question(("user", parts)) == "How long is leave?"


def test_the_oldest_turns_of_a_long_conversation_are_left_out() -> None:
    turns = [(("user", "assistant")[number % 2], f"turn {number} " + "x" * 300) for number in range(41)]
    lines = question(*turns).split("\n")
    assert len("\n".join(lines)) <= 4_000
    assert lines[-1].startswith("User: turn 40 ")
    assert len(lines) > 10


@pytest.mark.parametrize("turns", [[("system", "x")], [("user", "x"), ("assistant", "y")], [("user", "")]])
def test_a_conversation_ends_with_a_question(turns: list[tuple[str, str]]) -> None:
    with pytest.raises(ServiceError, match="last message"):
        question(*turns)


def test_errors_have_the_form_that_clients_read(client: TestClient) -> None:
    for body in ({"messages": []}, {"messages": [{"role": "nobody", "content": "x"}]}, {}):
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 422
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_counts_of_reports_and_requests_are_told_to_prometheus(client: TestClient) -> None:
    body = {"messages": [{"role": "user", "content": "What do bees make?"}]}
    assert client.post("/v1/chat/completions", json=body).status_code == 200
    told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    assert 'diptych_reports_total{status="answered"} 1.0' in told.text
    assert 'diptych_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0' in told.text
    assert "diptych_ready 1.0" in told.text
    assert "bees" not in told.text
