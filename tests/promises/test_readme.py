"""What README shows can be typed: make's targets exist, `diptych` lines parse, the Python example runs."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from flows.cli.app import parse

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [
    line for language, body in BLOCKS if language == "sh" for line in body.splitlines() if line.strip()
]


def test_readme_shows_the_two_commands():
    assert {"make demo", "make test"} <= set(COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_a_make_command_of_the_readme_names_a_target(command):
    targets = [word for word in shlex.split(command)[1:] if "=" not in word]
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", *shlex.split(command)[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert targets


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("diptych ")])
def test_a_diptych_command_of_the_readme_parses(command):
    assert callable(parse(shlex.split(command)[1:]).function)


def test_a_curl_command_of_the_readme_names_a_route(tmp_path):
    from flows.server.http_app import create_app

    paths = create_app(tmp_path).openapi()["paths"]
    asked = [re.search(r"http://127\.0\.0\.1:8000(/\S*)", c) for c in COMMANDS if c.startswith("curl ")]
    assert asked
    assert all(found is not None and found[1] in paths for found in asked)


def test_every_command_of_the_readme_is_one_that_is_checked_here():
    assert all(command.split()[0] in {"make", "diptych", "curl"} for command in COMMANDS)


def test_ci_runs_the_test_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_the_python_example_of_the_readme_runs_on_a_folder_of_documents(tmp_path, monkeypatch, capsys):
    (example,) = [body for language, body in BLOCKS if language == "python"]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "records.md").write_text(
        "# Records\n\n## Invoices\n\nInvoices are kept for seven years. After that they are shredded.\n\n"
        "## Visitors\n\nThe visitor book is kept for one year.\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {"__name__": "__main__"})
    assert "1 documents (1 added, 0 changed, 0 unchanged, 0 removed)" in capsys.readouterr().out
