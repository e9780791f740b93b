"""`/v1/chat/completions` and `/v1/models`, as OpenAI's clients speak them.

The answer has what the protocol has no place for beside it: `citations`, one for each quote, and `report_id` for
feedback. Earlier turns are given to the models in the form that the reader was trained on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from flows.server.keys import Access
from flows.server.question_routes import failure, finished
from flows.server.schemas import MAX_QUESTION, ChatRequest, Message
from flows.server.service import Service, access_of, narrowed, service_of, user_of
from flows.server.service_errors import ServiceError
from retrieve.report.data import Quote, dump_json
from retrieve.report.render_text import ABSTAINED, UNFINISHED
from retrieve.report.report import Report

__all__ = ["citations", "conversation_question", "router"]

MODEL = "diptych"
_LOG = logging.getLogger(__name__)
_MAX_CONVERSATION = 4_000
_SPEAKERS = {"user": "User", "assistant": "Assistant"}

router = APIRouter(prefix="/v1")


@router.get("/models")
def list_models() -> dict[str, Any]:
    """List the one model there is."""
    return {"object": "list", "data": [_MODEL]}


@router.get("/models/{model}")
def show_model(model: str) -> dict[str, Any]:
    """Return the model; any name means it."""
    return {**_MODEL, "id": model}


@router.post("/chat/completions")
async def complete(body: ChatRequest, request: Request) -> Response:
    """Answer the last turn of a conversation, with `citations`."""
    service, access = service_of(request), access_of(request)
    question = conversation_question(body.messages)
    _LOG.info("asked: %s", question)
    report = service.queue.ask(
        question,
        deadline_s=service.queue.limits.max_deadline_s,
        where=narrowed(access, body.where),
        user=user_of(access, body.user),
    )
    if body.stream:
        with_usage = bool((body.stream_options or {}).get("include_usage"))
        return StreamingResponse(
            _chunks(service, access, report, body.model, with_usage),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )
    done = await finished(service, report, access)
    content = {
        **_head(done, body.model, "chat.completion"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _answer(done), "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _usage(done),
        **_beside(done),
    }
    return Response(dump_json(content), media_type="application/json")


def conversation_question(messages: Sequence[Message]) -> str:
    """Return the question that a conversation ends with: alone, or after the turns before it as the reader knows them.

    Of a long conversation the last turns. Raises ServiceError (422) where the last turn is no question of a user's.

    >>> said = [("user", "How long is leave?"), ("assistant", "30 days."), ("user", "And in the first year?")]
    >>> print(conversation_question([Message(role=role, content=text) for role, text in said]))
    User: How long is leave?
    Assistant: 30 days.
    User: And in the first year?
    """
    turns = [message for message in messages if message.role in _SPEAKERS and message.text]
    if not turns or turns[-1].role != "user" or len(turns[-1].text) > MAX_QUESTION:
        raise ServiceError(
            422,
            "messages",
            f"the last message must be a question of the user's, of at most {MAX_QUESTION:,} characters",
        )
    if len(turns) == 1:
        return turns[0].text
    lines: list[str] = []
    n_characters = 0
    for turn in reversed(turns):
        line = f"{_SPEAKERS[turn.role]}: {turn.text}"
        n_characters += len(line) + 1
        if lines and n_characters > _MAX_CONVERSATION:
            break
        lines.append(line)
    return "\n".join(reversed(lines))


def citations(report: Report) -> list[dict[str, Any]]:
    """Return each quote of the answer with its document, title, path, page and place in the text."""
    return [
        {
            "document": quote.document_id,
            "title": _title(report, quote),
            "path": getattr(quote, "path", "") or quote.document_id,
            "page": getattr(quote, "page", None),
            "start": quote.start,
            "end": quote.end,
            "text": quote.text,
        }
        for quote in report.answer_quotes
    ]


async def _chunks(
    service: Service, access: Access, future: Future[Report], model: str, with_usage: bool
) -> AsyncIterator[str]:
    """Write a completion as chunks: its words when they are known, then what stands beside them."""
    try:
        report = await finished(service, future, access)
    except Exception as error:
        yield f"data: {dump_json(failure(error))}\n\n"
        return
    head = _head(report, model, "chat.completion.chunk")
    for delta, reason in (
        ({"role": "assistant", "content": ""}, None),
        ({"content": _answer(report)}, None),
        ({}, "stop"),
    ):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        beside = _beside(report) if reason else {}
        yield f"data: {dump_json({**head, 'choices': [choice], **beside})}\n\n"
    if with_usage:
        yield f"data: {dump_json({**head, 'choices': [], 'usage': _usage(report)})}\n\n"
    yield "data: [DONE]\n\n"


def _head(report: Report, model: str, kind: str) -> dict[str, Any]:
    created = int(datetime.fromisoformat(report.created).timestamp())
    return {"id": f"chatcmpl-{report.id}", "object": kind, "created": created, "model": model}


def _beside(report: Report) -> dict[str, Any]:
    return {
        "citations": citations(report),
        "report_id": report.id,
        "status": report.status,
        "confidence": report.confidence,
    }


def _answer(report: Report) -> str:
    if report.answer is None:
        return UNFINISHED if report.unfinished else ABSTAINED
    return report.answer


def _usage(report: Report) -> dict[str, int]:
    read, written = report.usage.prompt_tokens, report.usage.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _title(report: Report, quote: Quote) -> str:
    source = report.source_of(quote)
    return "" if source is None else source.title


_MODEL = {"id": MODEL, "object": "model", "created": 0, "owned_by": "diptych"}
