"""Before a request reaches its route: host and origin, the API key, the size of the body. After it: a line in the log.

Health checks, the page and the description of the interface need no key; every other path does, also one that does
not exist.
"""

from __future__ import annotations

import asyncio
import logging
import time
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.server.keys import EVERYTHING, Access
from flows.server.service import Service
from flows.server.service_errors import ServiceError, as_service_error, error_content
from prep.errors import ConfigError

__all__ = ["ACCESS_LOG", "DOCS_FILES", "Gate"]

ACCESS_LOG = "flows.server.access"
#: Where the scripts and styles of /docs lie.
DOCS_FILES = "/docs-files"
_ACCESS = logging.getLogger(ACCESS_LOG)
_LOG = logging.getLogger(__name__)
_OPEN = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json"})
_PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
_MAX_DIGITS = 15
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        access: Access | None = None
        try:
            headers = Headers(scope=scope)
            self._check_origin(scope, headers)
            access = self._authenticate(scope, headers)
            scope.setdefault("state", {})["access"] = access
            await self.app(scope, self._limited(scope, headers, receive), note_status)
        except ServiceError as error:
            if status == 0:
                await _respond(error, scope, receive, note_status)
        except Exception as error:
            _LOG.exception("a request failed")
            if status == 0:
                await _respond(as_service_error(error), scope, receive, note_status)
        finally:
            self._note(scope, status, time.monotonic() - started, access)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Refuse requests that a page of another site makes a browser send."""
        host = headers.get("host", "")
        hosts = self.service.settings.hosts
        if hosts and _split(f"//{host}")[0] not in hosts:
            raise ServiceError(403, "host", "this server answers to " + ", ".join(hosts))
        origin = headers.get("origin")
        if origin and scope["method"] not in _SAFE and _split(origin)[1] != host:
            raise ServiceError(403, "origin", "requests from pages of other sites are refused")

    def _authenticate(self, scope: Scope, headers: Headers) -> Access:
        keys = self.service.keys
        if keys is None:
            return EVERYTHING
        if scope["path"] in _OPEN or scope["path"].startswith(f"{DOCS_FILES}/"):
            return Access()
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        try:
            access = keys.access(secret.strip()) if scheme.lower() == "bearer" else None
        except ConfigError as error:
            _LOG.error("%s", error)
            raise ServiceError(503, "keys", "the server cannot read its keys") from error
        if access is None:
            raise ServiceError(401, "key", "an API key is needed: Authorization: Bearer KEY")
        return access

    def _limited(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Return a `receive` that refuses a body too large or too slow."""
        settings = self.service.settings
        is_upload = scope["path"].rstrip("/") == "/documents"
        most = settings.max_upload_bytes if is_upload else settings.max_body_bytes
        too_large = f"the body is larger than {most:,} bytes"
        declared = headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > _MAX_DIGITS or int(declared) > most):
            raise ServiceError(413, "too_large", too_large)
        n_bytes, is_complete = 0, False

        async def limited() -> Message:
            nonlocal n_bytes, is_complete
            if is_complete:  # what comes now is the end of the connection, at any time
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), settings.body_timeout_s)
            except TimeoutError as error:
                raise HTTPException(408, "the body did not come in time") from error
            n_bytes += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if n_bytes > most:
                raise HTTPException(413, too_large)
            return message

        return limited

    def _note(self, scope: Scope, status: int, seconds: float, access: Access | None) -> None:
        """Log a line and count; by the route's pattern, so that no document is named."""
        route = getattr(scope.get("route"), "path", None) or "other"
        method = scope["method"] if scope["method"] in {*_SAFE, "POST", "DELETE"} else "other"
        metrics = self.service.metrics
        metrics.requests.labels(method, route, str(status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        who = access.name if access is not None and access.name else "-"
        level = logging.DEBUG if route in _PROBES and status == 200 else logging.INFO
        _ACCESS.log(level, "%s %s %d %.3fs %s", method, route, status, seconds, who)


def _split(address: str) -> tuple[str, str]:
    """Return an address's host name, and its host name with the port; both empty where it is none."""
    try:
        parts = urlsplit(address)
        return parts.hostname or "", parts.netloc
    except ValueError:
        return "", ""


async def _respond(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {**error.headers, "WWW-Authenticate": "Bearer"} if error.status == 401 else error.headers
    content = error_content(error.status, error.code, str(error))
    await JSONResponse(content, error.status, headers)(scope, receive, send)
