"""The `diptych` command: which commands there are, and what becomes of their errors.

Results go to standard output, progress and errors to standard error. Exit status: 0 done (an answer withheld for want
of evidence is done too), 2 a line that cannot be parsed or an error that Diptych explains, 3 the time of a question ran
out, 130 interrupted. Nothing
heavy is imported before a command runs; `demo` alone imports Prefect.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import click

from flows.cli.basic_commands import ask, demo, ingest, search
from flows.cli.command import ParsedCommand, command_group
from flows.cli.evaluate_command import evaluate
from flows.cli.experience_commands import experience
from flows.cli.models_commands import models
from flows.cli.report_command import report
from flows.cli.retrain_commands import drift, retrain
from flows.cli.service_commands import keys, mcp, serve
from flows.cli.train_command import train
from flows.cli.workspace_commands import delete, generations, list_documents, show, status

__all__ = ["main", "parse"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Errors of the DiptychError tree become one line."""
    command = parse(sys.argv[1:] if argv is None else argv)
    # Ours to decide as the application: model libraries say on standard error only what concerns the user.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _log_to_stderr(command.verbosity)
    try:
        return command.run()
    except KeyboardInterrupt:
        print("diptych: interrupted; what was complete before stays as it is", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`diptych ask … | head`): nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        explanation = _explanation(error)
        if explanation is None or command.show_traceback:
            raise
        print(f"diptych: {explanation}", file=sys.stderr)
        return 2


def parse(words: Sequence[str]) -> ParsedCommand:
    """Return the command that the words name, with its arguments. Raises SystemExit once help or an error is shown."""
    try:
        parsed = diptych.main(list(words), prog_name="diptych", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from error
    if not isinstance(parsed, ParsedCommand):
        raise SystemExit(parsed)  # --help and --version
    return parsed


def _show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    del parameter
    if wanted:
        try:
            print(f"diptych {version('diptych')}")
        except PackageNotFoundError:
            print("diptych not installed")
        ctx.exit()


@command_group(
    "diptych",
    "diptych ingest docs/",
    "diptych ask 'Who signs the release?'",
    "diptych demo",
    commands=[
        ingest,
        ask,
        search,
        status,
        list_documents,
        show,
        delete,
        generations,
        serve,
        keys,
        mcp,
        train,
        evaluate,
        retrain,
        drift,
        models,
        experience,
        report,
        demo,
    ],
    context_settings={"max_content_width": 110},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
def diptych() -> None:
    """From a folder of documents to cited answers, through two trained models."""


def _log_to_stderr(verbosity: int) -> None:
    """Show what our packages log from a level on; of libraries, warnings, or errors alone where quiet."""
    logging.basicConfig(
        format="%(name)s: %(message)s", level=logging.ERROR if verbosity < 0 else logging.WARNING
    )
    if verbosity > 0:
        for package in ("prep", "retrieve", "training", "flows"):
            logging.getLogger(package).setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)


def _explanation(error: Exception) -> str | None:
    """Return in one line what an expected error says; None for any other."""
    from prep.errors import DiptychError

    sentence = " ".join(str(error).split())
    if isinstance(error, DiptychError):
        return sentence
    return f"{sentence} (--traceback says where)" if isinstance(error, OSError | UnicodeError) else None
