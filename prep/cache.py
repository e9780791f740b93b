"""The cache folder of the user, which keeps converted base models between runs."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_directory"]


def cache_directory() -> Path:
    """Return the cache folder: `$DIPTYCH_CACHE`, else `$XDG_CACHE_HOME/diptych`, else `~/.cache/diptych`.

    The folder is not created here.
    """
    explicit = os.environ.get("DIPTYCH_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "diptych"
