"""The prep model makes searchable chunks of documents; the store keeps them.

Rooms: `prep.files` finds files, `prep.parsing` reads them, `prep.model` cuts documents into chunks with vectors,
`prep.store` keeps and searches them. `prep.ingest` runs all four.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prep.document import ROLES, Chunk, Document, Rejected, Span

if TYPE_CHECKING:
    from prep.ingest_report import IngestReport
    from prep.model.prep_model import PrepModel
    from prep.parsing.readers import read_documents
    from prep.store.workspace import Workspace

__all__ = [
    "ROLES",
    "Chunk",
    "Document",
    "IngestReport",
    "PrepModel",
    "Rejected",
    "Span",
    "Workspace",
    "read_documents",
]

_LAZY = {
    "IngestReport": "prep.ingest_report",
    "PrepModel": "prep.model.prep_model",
    "Workspace": "prep.store.workspace",
    "read_documents": "prep.parsing.readers",
}


def __getattr__(name: str) -> Any:
    """Import the heavy parts on first use, so that `import prep` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
