"""`/documents`: what is in the workspace, added to and deleted from. Keys that see a part of it have no access here."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from flows.server.library import document_name
from flows.server.schemas import TextDocuments
from flows.server.service import Service, access_of, service_of
from flows.server.service_errors import ServiceError
from prep.document import Document
from prep.ingest import IngestReport
from retrieve.report.data import dump_json

__all__ = ["router"]

router = APIRouter()
_T = TypeVar("_T")
_ROLES = ("id", "start", "end", "role", "n_tokens", "headings", "text")
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            "application/json": {"schema": TextDocuments.model_json_schema()},
        },
    }
}


@router.get("/documents")
def list_documents(request: Request) -> Response:
    """List the documents: id, title, source, characters, chunks."""
    _check_reads_all(request)
    rows = service_of(request).library.documents()
    return _json({"documents": [asdict(row) for row in rows]})


@router.get("/documents/{document_id:path}")
def show_document(document_id: str, request: Request) -> Response:
    """Return a document: its text, and its chunks with their places in it."""
    _check_reads_all(request)
    document, chunks = service_of(request).library.document(document_id)
    about = {
        "id": document.id,
        "title": document.title,
        "source": document.source,
        "metadata": dict(document.metadata),
        "places": [asdict(place) for place in document.places],
        "text": document.text,
        "chunks": [{name: getattr(chunk, name) for name in _ROLES} for chunk in chunks],
    }
    return _json(about)


@router.post("/documents", openapi_extra=_BODY)
async def add_documents(request: Request) -> Response:
    """Add documents: files (multipart/form-data) or texts (JSON). One whose id is there already takes its place."""
    _check_writes(request)
    service = service_of(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        with tempfile.TemporaryDirectory(prefix="diptych-upload-") as folder:
            await _save_files(request, Path(folder), service.settings.max_files)
            report, ids = await _in_thread(lambda: service.library.add_files(Path(folder)))
    elif kind == "application/json":
        try:
            body = TextDocuments.model_validate_json(await request.body())
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_input=False, include_context=False)) from error
        documents = [Document(row.id, row.title, row.text, row.id, row.metadata) for row in body.documents]
        ids = [document.id for document in documents]
        report = await _in_thread(lambda: service.library.add(documents))
    else:
        raise ServiceError(
            415, "content_type", "send files as multipart/form-data, or texts as application/json"
        )
    return _json({"added": ids, **_counts(service, report)})


@router.delete("/documents/{document_id:path}")
def delete_document(document_id: str, request: Request) -> Response:
    """Delete a document. Its file stays where it came from: an ingest that names it brings the document back."""
    _check_writes(request)
    service = service_of(request)
    return _json({"deleted": document_id, **_counts(service, service.library.delete(document_id))})


def _check_reads_all(request: Request) -> None:
    if access_of(request).where:
        raise ServiceError(
            403, "filtered_key", "an API key with a filter may ask and search, not read whole documents"
        )


def _check_writes(request: Request) -> None:
    if not access_of(request).may_write:
        raise ServiceError(403, "read_only", "this API key may not change documents")


async def _save_files(request: Request, folder: Path, max_files: int) -> None:
    names: set[str] = set()
    async with request.form(max_files=max_files, max_fields=max_files) as form:
        for _, value in form.multi_items():
            if not isinstance(value, UploadFile):
                raise ServiceError(422, "no_file", "every part of the form must be a file")
            name = document_name(value.filename or "")
            if name in names:
                raise ServiceError(422, "file_name", f"two files have the name {name!r}")
            names.add(name)
            target = folder / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    while part := await value.read(1 << 20):
                        file.write(part)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise ServiceError(422, "file_name", f"{name!r} is a file and a folder at once") from error
    if not names:
        raise ServiceError(422, "no_file", "the form holds no file")


def _counts(service: Service, report: IngestReport) -> dict[str, Any]:
    with contextlib.suppress(ServiceError):  # where many wait, the next of them finds the generation
        service.queue.warm()
    return {
        "generation": report.generation,
        "documents": report.n_documents,
        "chunks": report.n_chunks,
        "rejected": [asdict(row) for row in report.rejected],
    }


async def _in_thread(run: Callable[[], _T]) -> _T:
    return await anyio.to_thread.run_sync(run)


def _json(content: Any) -> Response:
    return Response(dump_json(content), media_type="application/json")
