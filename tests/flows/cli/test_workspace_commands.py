"""Seeing into a workspace: what the commands print, for people and as JSON, and without a model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixture_prep import LinePrep

from flows.cli.app import main
from prep.document import Document, Rejected
from prep.ingest import ingest
from prep.store.workspace import Workspace

ROOT = Path(__file__).resolve().parents[3]
ROWS = [
    Document(
        "handbook/pay.md", "Pay", "# Pay\nPaid on Fridays.\x1b]52;c;eA==\x07\n~menu\n", "handbook/pay.md"
    ),
    Document("bees.md", "Bees \x1b[31m", "Bees make honey.\n", "bees.md"),
    Rejected("scan.pdf", "has no text"),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    ingest(tmp_path / "w", ROWS, LinePrep(), progress=False)
    return tmp_path / "w"


def run(place: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words, "--workspace", str(place)]) == 0
    return capsys.readouterr().out


def run_json(place: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(run(place, capsys, *words, "--json"))


def test_status_counts_and_finds_damage(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(place, capsys, "status")
    assert "2, 1 rejected" in shown
    assert "files intact" in shown
    found = run_json(place, capsys, "status")
    assert (found["generation"]["documents"], found["generation"]["chunks"]) == (2, 4)
    assert found["models"] == {"prep": "shipped", "retrieve": "shipped"}
    table = place / "generations" / found["generation"]["id"] / "chunks.sqlite"
    table.write_bytes(table.read_bytes()[:-1] + b"?")
    assert "diptych generations rollback" in run(place, capsys, "status")
    assert main(["list", "--workspace", str(place)]) == 2
    assert "diptych generations rollback" in capsys.readouterr().err


def test_status_of_an_empty_workspace_names_the_command_that_fills_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "diptych ingest PATH" in run(tmp_path, capsys, "status")
    assert run_json(tmp_path, capsys, "status")["generation"] is None
    assert main(["list", "--workspace", str(tmp_path)]) == 2
    assert "diptych ingest" in capsys.readouterr().err


def test_list_and_show_give_documents_and_chunks(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_json(place, capsys, "list")
    assert [(row["id"], row["n_chunks"]) for row in rows] == [("handbook/pay.md", 3), ("bees.md", 1)]
    assert rows[0]["n_characters"] == len(ROWS[0].text)  # type: ignore[union-attr]
    found = run_json(place, capsys, "show", "handbook/pay.md", "--chunks")
    assert found["text"] == ROWS[0].text  # type: ignore[union-attr]
    assert "".join(chunk["text"] for chunk in found["chunks"]) == found["text"]
    assert "0–6  heading, 2 tokens  Pay\n# Pay" in run(place, capsys, "show", "handbook/pay.md", "--chunks")


def test_nothing_of_a_document_reaches_the_terminal_as_a_command(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["list"], ["show", "handbook/pay.md"], ["show", "handbook/pay.md", "--chunks"]):
        shown = run(place, capsys, *words)
        assert "\x1b" not in shown
        assert "\x07" not in shown


def test_an_unknown_document_is_told_with_the_nearest(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "pay.md", "--workspace", str(place)]) == 2
    assert "did you mean 'handbook/pay.md'" in capsys.readouterr().err


def test_delete_generations_and_rollback(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run_json(place, capsys, "generations")[0]["id"]
    assert "brings them back" in run(place, capsys, "delete", "bees.md")
    rows = run_json(place, capsys, "generations")
    assert [(row["documents"], row["current"]) for row in rows] == [(2, False), (1, True)]
    assert "current   1 documents, 3 chunks" in run(place, capsys, "generations")
    assert "2 documents" in run(place, capsys, "generations", "rollback", first)
    assert Workspace(place).current().generation == first
    assert "1 documents" in run(place, capsys, "generations", "rollback")
    assert main(["generations", "rollback", "nothing", "--workspace", str(place)]) == 2
    assert first in capsys.readouterr().err


def test_no_model_library_is_imported(place: Path) -> None:
    code = (
        "import sys\nfrom flows.cli.app import main\n"
        f"for words in (['status'], ['list'], ['show', 'bees.md'], ['delete', 'bees.md']):\n"
        f"    assert main([*words, '--workspace', {str(place)!r}]) == 0\n"
        "assert not {'torch', 'transformers', 'prefect'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
