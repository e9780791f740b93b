"""What a flow shows on the Prefect server: tables, a progress bar, a link to a page.

Artifacts are for people who look at a run; nothing reads them back. Importing this module imports Prefect.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

__all__ = ["Progress", "publish_page", "publish_table"]

# A training step takes a second or two; the server need not hear of each.
MIN_SECONDS_BETWEEN_UPDATES = 2.0


def publish_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Show `rows` under `key` (any text: it is turned into lowercase letters, digits and dashes)."""
    create_table_artifact(
        key=_key(key), table=[{str(k): v for k, v in row.items()} for row in rows], description=description
    )


def publish_page(key: str, path: str | Path, description: str) -> None:
    """Show a link to a local HTML page."""
    page = Path(path).resolve()
    create_link_artifact(key=_key(key), link=page.as_uri(), link_text=page.name, description=description)


class Progress:
    """A progress bar on the server; call it with (done, total)."""

    def __init__(self, key: str, description: str) -> None:
        # Typed as "perhaps a coroutine", which it is not outside an event loop.
        self._id = cast(UUID, create_progress_artifact(progress=0.0, key=_key(key), description=description))
        self._updated_s = 0.0

    def __call__(self, done: float, total: float) -> None:
        now = time.monotonic()
        if done < total and now - self._updated_s < MIN_SECONDS_BETWEEN_UPDATES:
            return
        self._updated_s = now
        update_progress_artifact(self._id, progress=min(100.0, 100.0 * done / total) if total else 100.0)


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "diptych"
