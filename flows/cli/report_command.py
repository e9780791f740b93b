"""`diptych report`: one page that shows whether a workspace is getting better."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli.command import FILE, command, json_option
from flows.cli.output import print_json

__all__ = ["report"]


@command("report", "diptych report", "diptych report --out standing.html")
@click.option(
    "--out",
    type=FILE,
    metavar="FILE",
    help="Write the page there, instead of reports/index.html in the workspace.",
)
@json_option
def report(workspace: Path, out: Path | None, as_json: bool) -> int:
    """Write one page on a workspace: is it getting better?

    The page shows the serving models, their figures over time, failures, and how the workspace is used.
    """
    from flows.pages.workspace_page import write_workspace_page
    from prep.store.workspace import Workspace

    written = write_workspace_page(Workspace(workspace), out)
    if as_json:
        print_json(written)
    else:
        print(f"{written.verdict}\n{written.path}")
    return 0
