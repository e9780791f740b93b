"""The HTTP service over one workspace: `create_app` puts it together, `serve` runs it until SIGTERM.

POST /ask /search /feedback          questions, passages, feedback
GET  /documents /documents/{id}      what is in the workspace; POST adds, DELETE deletes
POST /v1/chat/completions            as OpenAI's clients speak it; GET /v1/models
GET  /healthz /readyz /metrics       for those who run it
GET  /docs /openapi.json             the description of the interface
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from flows.server import chat_routes, document_routes, health_routes, question_routes
from flows.server.keys import KeyFile
from flows.server.library import Library
from flows.server.middleware import DOCS_FILES, Gate
from flows.server.question_queue import QuestionQueue, researcher_of
from flows.server.service import Metrics, ServerSettings, Service
from flows.server.service_errors import as_service_error, error_content
from prep.errors import ConfigError, DiptychError
from retrieve.experience.log import ExperienceLog

if TYPE_CHECKING:
    from prep.ingest import Preparer
    from retrieve.researcher import Researcher

__all__ = ["LOOPBACK", "create_app", "serve"]

#: The names of this machine to itself; a server bound to one of them answers to no other.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STOP_WITHIN_S = 10


def create_app(
    workspace: str | Path,
    settings: ServerSettings | None = None,
    *,
    keys: KeyFile | None = None,
    open_researcher: Callable[[], Researcher] | None = None,
    prep: Preparer | None = None,
) -> FastAPI:
    """Return the application; its models are loaded when it starts.

    keys: who may ask; None for everyone. open_researcher, prep: instead of those that the workspace names. Raises
    ConfigError for settings of the workspace or a file of keys that cannot be read.
    """
    settings = settings or ServerSettings()
    if keys is not None:
        keys.accesses()
    log = ExperienceLog.of(workspace)
    queue = QuestionQueue(open_researcher or (lambda: researcher_of(workspace, log)), settings.limits)
    library = Library(workspace, prep=prep)
    service = Service(
        settings=settings,
        queue=queue,
        library=library,
        log=log,
        metrics=Metrics(queue),
        keys=keys,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        queue.start()
        yield
        queue.stop()
        library.close()

    app = FastAPIOffline(  # its page of the interface fetches nothing from elsewhere
        title="Diptych",
        summary="Answers from your own documents, with exact quotes.",
        version=_version(),
        lifespan=lifespan,
        redoc_url=None,
        static_url=DOCS_FILES,
        dependencies=[
            Depends(HTTPBearer(auto_error=False, description="An API key, where the server has keys."))
        ],
    )
    app.state.service = service
    for routes in (question_routes, document_routes, chat_routes, health_routes):
        app.include_router(routes.router)
    app.add_exception_handler(DiptychError, _tell_error)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_middleware(Gate, service=service)
    return app


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; requests that are under way come to their end. Raises ConfigError, OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            raise ConfigError(
                f"{host}:{port} cannot be listened at ({error.strerror}): give another --port"
            ) from error
        service: Service = app.state.service
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(service.settings.limits.max_deadline_s) + _STOP_WITHIN_S,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it logs bytes of malformed bodies
        name, bound = listener.getsockname()[:2]
        logging.getLogger(__name__).info(
            "serving at http://%s:%d", f"[{name}]" if ":" in name else name, bound
        )
        # Uvicorn raises the signal again once it has stopped, and the end by SIGTERM is a good one.
        before = signal.signal(signal.SIGTERM, lambda *_: None)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            signal.signal(signal.SIGTERM, before)


async def _tell_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DiptychError)
    known = as_service_error(error)
    return JSONResponse(error_content(known.status, known.code, str(known)), known.status, known.headers)


async def _tell_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()[:5]]
    message = "; ".join(f"{place}: {said}" for place, said in found)
    return JSONResponse(error_content(422, "invalid", message), 422)


async def _tell_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method", 408: "timeout", 413: "too_large"}
    code = codes.get(error.status_code, "invalid")
    return JSONResponse(
        error_content(error.status_code, code, str(error.detail)), error.status_code, error.headers
    )


def _version() -> str:
    try:
        return version("diptych")
    except PackageNotFoundError:
        return "0"
