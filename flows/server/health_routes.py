"""`/healthz`, `/readyz` and `/metrics`, and the page at `/`."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from flows.server.service import service_of
from flows.server.service_errors import ServiceError, error_content

__all__ = ["router"]

router = APIRouter()
_PAGE = Path(__file__).parent / "page" / "index.html"


@router.get("/", include_in_schema=False)
def page() -> Response:
    """Return the page to ask at. It runs its own script and loads nothing from elsewhere."""
    content, headers = _page()
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/healthz")
def healthz() -> dict[str, Any]:
    """Say that the process runs."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request) -> Response:
    """Say whether questions can be asked; 503 with the reason where not. Asking makes the server look again."""
    queue = service_of(request).queue
    reason = queue.reason
    if reason is None:
        return JSONResponse({"status": "ready"})
    if not queue.n_waiting:
        with contextlib.suppress(ServiceError):
            queue.warm()
    return JSONResponse(error_content(503, reason.code, str(reason)), 503, reason.headers)


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Return the counters in Prometheus' text form."""
    return Response(generate_latest(service_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)


@cache
def _page() -> tuple[str, dict[str, str]]:
    """Return the page and headers that let a browser run what is in it, and nothing else."""
    content = _PAGE.read_text(encoding="utf-8")

    def digests(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", content, flags=re.DOTALL)
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" for part in parts
        )

    policy = (
        f"default-src 'none'; script-src {digests('script')}; style-src {digests('style')}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return content, headers
