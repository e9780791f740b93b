"""`diptych ingest` of folders and `diptych search` in a part of them, with the shipped prep model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli.app import main
from prep.store.workspace import Workspace

pytestmark = pytest.mark.slow


def hours(folder: Path, desk: str, opening: str) -> None:
    folder.mkdir(parents=True)
    (folder / "hours.md").write_text(
        f"---\nauthor: {desk.title()}\n---\n\n# Opening hours\n\nThe {desk} desk opens at {opening}.\n",
        encoding="utf-8",
    )


def test_folders_are_added_searched_by_their_metadata_and_synchronised(tmp_path, capsys):
    place = tmp_path / "w"

    def say(*words: str) -> tuple[int, str, str]:
        status = main([*words, "--workspace", str(place)])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    hours(tmp_path / "docs" / "north", "north", "nine")
    hours(tmp_path / "docs" / "south", "south", "noon")
    (tmp_path / "docs" / ".draft.md").write_text("hidden")
    status, out, _ = say("ingest", str(tmp_path / "docs"), "--exclude", "south/")
    assert (status, "1 documents (1 added" in out, "1 excluded, 1 hidden" in out) == (0, True, True)
    status, out, _ = say("ingest", str(tmp_path / "docs" / "south"))
    assert "2 documents (1 added, 0 changed, 1 unchanged, 0 removed)" in out

    status, out, _ = say("search", "When does the desk open?")
    assert "Opening hours (north/hours.md)" in out
    assert "Opening hours (hours.md)" in out or "Opening hours (south/hours.md)" in out
    status, out, _ = say("search", "When does the desk open?", "--where", "author!=South", "--json")
    assert {row["path"] for row in json.loads(out)} == {"north/hours.md"}
    status, out, _ = say("search", "noon south", "--where", "folder=north", "--where", "path=*.md")
    assert "south" not in out
    status, _, err = say("search", "noon", "--where", "colour=red")
    assert (status, "known keys: author, folder, format, modified, path" in err) == (2, True)
    status, _, err = say("search", "noon", "--where", "colour")
    assert (status, "KEY=VALUE" in err) == (2, True)

    generation = Workspace(place).current().generation
    status, out, _ = say("ingest", str(tmp_path / "docs" / "north"), "--sync", "--dry-run", "--json")
    plan = json.loads(out)
    assert (status, plan["unchanged"], len(plan["removed"])) == (0, ["north/hours.md"], 1)
    assert Workspace(place).current().generation == generation
    status, out, err = say("ingest", str(tmp_path / "docs" / "north"), "--sync")
    assert "1 documents leave the workspace: " in err
    assert "1 documents (0 added, 0 changed, 1 unchanged, 1 removed)" in out
