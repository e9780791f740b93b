"""`/ask`, `/search` and `/feedback`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from flows.server.keys import Access
from flows.server.schemas import AskRequest, FeedbackRequest, SearchRequest
from flows.server.service import Service, access_of, awaited, narrowed, service_of, user_of
from flows.server.service_errors import NotFound, as_service_error, error_content
from prep.errors import DiptychError, StoreError
from retrieve.report.data import dump_json
from retrieve.report.report import Report

__all__ = ["failure", "finished", "router"]

router = APIRouter()
_LOG = logging.getLogger(__name__)
_KEEP_ALIVE_S = 10.0
_N_SHOWN = 5


@router.post("/ask", responses={200: {"content": {"application/json": {}, "text/event-stream": {}}}})
async def ask(body: AskRequest, request: Request) -> Response:
    """Answer a question, with quotes.

    With `Accept: text/event-stream` the answer comes as events: `search` (what is searched for), `passages` (the
    nearest), `answer` (the report), or `error`.
    """
    service, access = service_of(request), access_of(request)
    where = narrowed(access, body.where)
    _LOG.info("asked: %s", body.question)
    wants_events = "text/event-stream" in request.headers.get("accept", "")
    found = service.queue.search(body.question, _N_SHOWN, where=where) if wants_events else None
    report = service.queue.ask(
        body.question,
        deadline_s=body.deadline_s,
        max_searches=body.max_searches,
        where=where,
        user=user_of(access, body.user),
    )
    if found is None:
        return _json(_report_dict(await finished(service, report, access)))
    steps = _steps(service, access, body.question, found, report)
    return StreamingResponse(
        _events(steps), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


@router.post("/search")
async def search(body: SearchRequest, request: Request) -> Response:
    """Return the passages that rank best, without an answer."""
    service, access = service_of(request), access_of(request)
    where = narrowed(access, body.where)
    _LOG.info("searched: %s", body.question)
    passages = await awaited(service.queue.search(body.question, body.k, where=where), access)
    return _json({"passages": [asdict(passage) for passage in passages]})


@router.post("/feedback")
def feedback(body: FeedbackRequest, request: Request) -> dict[str, Any]:
    """Keep feedback on a report, for the next training."""
    log = service_of(request).log
    try:
        log.feedback(
            body.report_id, body.helpful, body.answer, quote=body.quote, quote_right=body.quote_right
        )
    except StoreError as error:
        if log.enabled and body.report_id not in log.report_ids():
            raise NotFound(
                f"there is no report {body.report_id!r}: it was never kept, or was deleted"
            ) from error
        raise
    return {"report_id": body.report_id, "kept": True}


async def finished(service: Service, future: Future[Report], access: Access) -> Report:
    """Wait for a report, and count it."""
    report = await awaited(future, access)
    service.metrics.reports.labels(report.status).inc()
    return report


async def _events(steps: AsyncIterator[tuple[str, Any]]) -> AsyncIterator[str]:
    """Write steps as server-sent events; an error is the last one. A comment every ten seconds keeps the line open."""
    waiting: asyncio.Future[tuple[str, Any]] | None = None
    try:
        while True:
            waiting = asyncio.ensure_future(anext(steps))
            while not (await asyncio.wait({waiting}, timeout=_KEEP_ALIVE_S))[0]:
                yield ": still at it\n\n"
            name, data = waiting.result()
            yield f"event: {name}\ndata: {dump_json(data)}\n\n"
    except StopAsyncIteration:
        return
    except Exception as error:
        yield f"event: error\ndata: {dump_json(failure(error))}\n\n"
    finally:
        if waiting is not None:
            waiting.cancel()


def failure(error: Exception) -> dict[str, Any]:
    """Return what is told of an error in a stream, where the status is out already; log it where it is not ours."""
    if not isinstance(error, DiptychError):
        _LOG.error("a stream failed", exc_info=error)
    known = as_service_error(error)
    return error_content(known.status, known.code, str(known))


async def _steps(
    service: Service, access: Access, question: str, found: Future[Any], report: Future[Report]
) -> AsyncIterator[tuple[str, Any]]:
    try:
        yield "search", {"query": question}
        yield "passages", [asdict(passage) for passage in await awaited(found, access)]
        yield "answer", _report_dict(await finished(service, report, access))
    finally:
        report.cancel()  # nobody listens any more


def _report_dict(report: Report) -> dict[str, Any]:
    return {**report.to_dict(), "status": report.status, "uncovered_terms": report.uncovered_terms}


def _json(content: Any) -> Response:
    return Response(dump_json(content), media_type="application/json")
