"""What a client is told when a request fails: a status, a code that programs read, and a sentence for people."""

from __future__ import annotations

from typing import Any

from prep.errors import (
    ConfigError,
    DataError,
    DependencyError,
    DiptychError,
    EmptyStore,
    StoreError,
    WorkspaceLocked,
)

__all__ = ["NotFound", "ServiceError", "as_service_error", "error_content"]


class ServiceError(DiptychError):
    """A request that is not served. retry_after_s: when it may be, in seconds."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with it."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


class NotFound(ServiceError):
    """There is no such document or report."""

    def __init__(self, message: str) -> None:
        super().__init__(404, "not_found", message)


def as_service_error(error: Exception) -> ServiceError:
    """Return what a client is told of an error; of one that is not ours no more than that there was one."""
    message = " ".join(str(error).split())
    match error:
        case ServiceError():
            return error
        case EmptyStore():
            return ServiceError(503, "empty", message)
        case WorkspaceLocked():
            return ServiceError(503, "locked", message, retry_after_s=5)
        case StoreError():
            return ServiceError(503, "store", message)
        case DependencyError():
            return ServiceError(501, "not_installed", message)
        case ConfigError() | DataError():
            return ServiceError(422, "invalid", message)
        case DiptychError():
            return ServiceError(503, "unavailable", message)
        case OSError():
            why = error.strerror or type(error).__name__
            return ServiceError(503, "storage", f"the workspace cannot be read or written: {why}")
        case _:
            return ServiceError(500, "internal", "the server failed: its log says why")


def error_content(status: int, code: str, message: str) -> dict[str, Any]:
    """Return the body of an error, in the form that OpenAI's clients read, too."""
    message = message.encode("utf-8", "replace").decode()  # half a character in a request cannot be written
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
