"""Promise: an ingest killed at any point leaves the previous generation serving; the next one cleans up."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fixture_prep import LinePrep, subprocess_environment

from prep.document import Document
from prep.fault_injection import FAULT_POINTS, fault_point
from prep.ingest import IngestSettings, ingest
from prep.store.workspace import Workspace

# Two generations are kept when the third is written, so that the oldest is removed in the killed ingest too.
SETTINGS = IngestSettings(batch_documents=4, keep_generations=1)
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from fixture_prep import LinePrep
from test_killed_ingest import SETTINGS, documents
from prep.ingest import ingest

ingest(sys.argv[1], documents(3), LinePrep(), progress=False, settings=SETTINGS)
"""


def documents(state: int) -> list[Document]:
    return [Document(f"d{n}", f"title {state}", f"state {state} word{n}\n~menu\n") for n in range(10 + state)]


def served(workspace: Workspace, generation_id: str | None = None) -> list[object]:
    """Everything a reader can see of a generation: search results, chunks, documents."""
    with workspace.open_generation(generation_id, prep_version="lines-1") as generation:
        scores, rows = generation.search(LinePrep().encode_queries(["state 2", "word7"]), 8)
        texts = [chunk.text for chunk in generation.chunks(rows.ravel())]
        return [generation.id, scores.tolist(), rows.tolist(), texts, list(generation.documents())]


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_killed_ingest_leaves_the_previous_generation_serving(point: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for state in (1, 2):
        ingest(workspace, documents(state), LinePrep(), progress=False, settings=SETTINGS)
    before = served(workspace)
    previous = str(before[0])

    killed = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(Path(__file__).parent)],
        env={**subprocess_environment(), "DIPTYCH_FAULT_AT": point},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    assert served(workspace, previous) == before
    now = served(workspace)
    if FAULT_POINTS.index(point) < FAULT_POINTS.index("after-swap"):
        assert now == before
    else:  # the new one is current, and whole; the previous one is a rollback away
        assert now[-1] == documents(3)
        assert workspace.current().previous["generation"] == previous

    report = ingest(workspace, documents(4), LinePrep(), progress=False, settings=SETTINGS)
    assert served(workspace)[-1] == documents(4)
    assert set(workspace.generations()) == {report.generation, now[0]}
    leftovers = [
        path.name for path in tmp_path.rglob("*") if ".partial" in path.name or path.suffix == ".tmp"
    ]
    assert leftovers == []


def test_ingest_passes_every_fault_point(tmp_path: Path) -> None:
    """A point that no ingest passes would be a point that is never tested."""
    with pytest.raises(ValueError, match="unknown fault point"):
        fault_point("somewhere-else")
    root = Path(__file__).parents[2] / "prep"
    code = "".join(
        (root / name).read_text()
        for name in ("ingest.py", "store/generation.py", "store/workspace.py", "store/current.py")
    )
    assert all(f'fault_point("{point}")' in code for point in FAULT_POINTS)
