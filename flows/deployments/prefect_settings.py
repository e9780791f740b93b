"""How Diptych runs Prefect: quietly, locally, with results as JSON.

Prefect reads its settings when it is first imported, so `configure` has to run before any module of `flows`
that defines a flow is imported. What the user has set in the environment wins. Nothing here imports Prefect.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["SETTINGS", "configure"]

# The ephemeral server takes 11 to 25 seconds to start on two idle cores, over 90 on two busy ones; Prefect's own
# limit is 20. Waiting longer costs nothing where it is not needed.
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_CLI_COLORS": "false",
    "PREFECT_LOGGING_COLORS": "false",
}


def configure(home: str | Path) -> Path:
    """Set Prefect's environment for this process and those it starts; return the home directory used.

    home: where Prefect keeps its database and results, used unless PREFECT_HOME is set; created if missing.
    Raises RuntimeError if Prefect is already imported, because its settings would be read no more.
    """
    if "prefect" in sys.modules and "PREFECT_HOME" not in os.environ:
        raise RuntimeError("prefect is already imported: call configure() before importing a flow")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    used = Path(os.environ.setdefault("PREFECT_HOME", str(Path(home).absolute())))
    used.mkdir(parents=True, exist_ok=True)
    return used
