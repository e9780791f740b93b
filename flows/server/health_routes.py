"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import contextlib
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from flows.server.errors import ServiceError, as_service_error, error_content
from flows.server.service import service_of

__all__ = ["router"]

router = APIRouter()


@router.get("/healthz")
def healthz() -> dict[str, Any]:
    """Say that the process runs."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request) -> Response:
    """Say whether questions can be asked; 503 with the reason where not. Asking makes the server look again."""
    answering = service_of(request).answering
    reason = answering.reason
    if reason is None:
        return JSONResponse({"status": "ready"})
    if not answering.n_waiting:
        with contextlib.suppress(ServiceError):
            answering.warm()
    error = as_service_error(reason)
    return JSONResponse(error_content(503, error.code, str(error)), 503, error.headers)


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Return the counters in Prometheus' text form."""
    return Response(generate_latest(service_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)
