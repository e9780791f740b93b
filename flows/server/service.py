"""What the routes share: the settings, the researcher's thread, the documents, the keys and the counters."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from fastapi import Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from flows.server.keys import Access, KeyFile
from flows.server.library import Library
from flows.server.question_queue import QuestionQueue, QueueLimits, Where
from flows.server.service_errors import ServiceError
from prep.checks import check_counts
from prep.errors import ConfigError
from retrieve.experience.log import ExperienceLog

__all__ = [
    "Metrics",
    "ServerSettings",
    "Service",
    "access_of",
    "awaited",
    "narrowed",
    "service_of",
    "user_of",
]

_T = TypeVar("_T")
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The limits of the server. body_timeout_s: between two parts of a body. hosts: it answers to these names alone."""

    max_body_bytes: int = 1_000_000
    max_upload_bytes: int = 50_000_000
    max_files: int = 100
    body_timeout_s: float = 30.0
    hosts: tuple[str, ...] = ()
    limits: QueueLimits = field(default_factory=QueueLimits)

    def __post_init__(self) -> None:
        check_counts(self, "max_body_bytes", "max_upload_bytes", "max_files")


class Metrics:
    """Counters in Prometheus' form, without the text of a question or the name of a document."""

    def __init__(self, queue: QuestionQueue) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "diptych_requests",
            "Requests by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "diptych_request_seconds",
            "Seconds to the end of an answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.reports = Counter(
            "diptych_reports",
            "Reports by status: answered, abstained, unfinished.",
            ["status"],
            registry=self.registry,
        )
        waiting = Gauge("diptych_waiting", "Requests that wait for the models.", registry=self.registry)
        waiting.set_function(lambda: queue.n_waiting)
        ready = Gauge("diptych_ready", "1 where questions can be asked.", registry=self.registry)
        ready.set_function(lambda: queue.reason is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A workspace that is served. keys: None where everyone may ask, read and write."""

    settings: ServerSettings
    queue: QuestionQueue
    library: Library
    log: ExperienceLog
    metrics: Metrics
    keys: KeyFile | None = None


def service_of(request: Request) -> Service:
    """Return the service that a request is for."""
    service: Service = request.app.state.service
    return service


def access_of(request: Request) -> Access:
    """Return who asks, as the middleware found."""
    access: Access = request.scope["state"]["access"]
    return access


def narrowed(access: Access, where: Where | None) -> Where:
    """Return the filter of a request together with the key's. Raises ServiceError where both speak of one key."""
    fixed = {name.strip().casefold() for name in access.where}
    for name in where or {}:
        if name.strip().casefold() in fixed:
            raise ServiceError(403, "fixed_filter", f"the API key fixes {name!r}: leave it out of where")
    return {**(where or {}), **access.where}


async def awaited(future: Future[_T], access: Access) -> _T:
    """Wait for an answer. What a filter has wrong would tell a key that sees a part which metadata the rest has."""
    try:
        return await asyncio.wrap_future(future)
    except ConfigError as error:
        if access.where:
            raise ServiceError(422, "filter", "no document can be found with this key's filter") from error
        raise


def user_of(access: Access, user: str | None) -> str | None:
    """Return who asks, for the experience log: the key's name before the name that the client gives."""
    return "/".join(part for part in (access.name, user) if part) or None
