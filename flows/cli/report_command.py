"""`diptych report`: one page that shows whether a workspace is getting better."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["add_report"]


def add_report(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the sub-command. command: makes the parser of one, from its name, function, summary and examples."""
    report = command(
        "report",
        _report,
        "write one page on a workspace: what serves, is it getting better, what failed, how it is used",
        "diptych report\n  diptych report --out standing.html",
    )
    report.add_argument(
        "--out", metavar="FILE", help="write the page there (reports/index.html in the workspace)"
    )
    report.add_argument("--json", action="store_true", help="print what the page says first as JSON")


def _report(arguments: argparse.Namespace) -> int:
    from flows.pages.workspace_page import write_workspace_page
    from prep.store.workspace import Workspace

    written = write_workspace_page(Workspace(arguments.workspace), arguments.out)
    if arguments.json:
        from flows.cli.app import print_json

        print_json(written)
    else:
        print(f"{written.verdict}\n{written.path}")
    return 0
