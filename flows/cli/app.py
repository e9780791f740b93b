"""The `diptych` command: ingest, ask, train, evaluate, retrain, drift, models, experience, report, demo.

It parses arguments, calls the plain functions of the packages and prints what they return. Prefect is
imported by `demo` alone. Results go to standard output, progress and errors to standard error. Exit status:
0 done (an answer withheld for want of evidence is done too), 1 nothing came of it, 2 an error that Diptych
explains, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flows.cli.experience_commands import add_experience
from flows.cli.models_commands import add_models
from flows.cli.report_command import add_report
from flows.cli.retrain_commands import add_retrain
from flows.cli.train_command import add_train
from prep.errors import ConfigError, DiptychError

__all__ = ["build_parser", "main", "positive_float", "positive_int", "print_json"]

DEFAULT_WORKSPACE = "workspace"
SUITES = ("chunking", "retrieval", "answers")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Errors of the DiptychError tree become one line."""
    arguments = build_parser().parse_args(argv)
    # Ours to decide as the application: model libraries say on standard error only what concerns the user.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except DiptychError as error:
        if arguments.traceback:
            raise
        print(f"diptych: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("diptych: interrupted; what was complete before stays as it is", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`diptych ask … | head`): nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, UnicodeError) as error:
        if arguments.traceback:
            raise
        print(f"diptych: {' '.join(str(error).split())} (--traceback says where)", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; `run` in its result is the command's function."""
    parser = argparse.ArgumentParser(
        prog="diptych",
        description="From a folder of documents to cited answers, through two trained models.",
        epilog="examples:\n  diptych ingest docs/\n  diptych ask 'Who signs the release?'\n  diptych demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"diptych {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    ingest = _command(
        commands,
        "ingest",
        _ingest,
        "read documents, prepare them and make them searchable",
        "diptych ingest docs/ handbook.pdf\n  diptych ingest 'notes/**/*.md' --workspace notes-index",
    )
    ingest.add_argument("paths", nargs="+", metavar="PATH", help="a folder, a file or a quoted glob pattern")
    ingest.add_argument(
        "--keep-missing", action="store_true", help="keep earlier documents that PATH does not name"
    )
    ingest.add_argument("--prep", metavar="DIR", help="a prep version by path (promoted, else shipped)")
    _json(ingest)

    ask = _command(
        commands,
        "ask",
        _ask,
        "answer questions from the ingested documents, with quotes",
        "diptych ask 'What does a finally clause do?'\n"
        "  diptych ask 'How is a tuple written?' --max-searches 1 --json",
    )
    ask.add_argument("questions", nargs="+", metavar="QUESTION")
    ask.add_argument("--max-searches", type=positive_int, default=3, help="searches a question (3)")
    ask.add_argument("--deadline", type=positive_float, default=5.0, metavar="SECONDS", help="a question (5)")
    ask.add_argument("--user", metavar="NAME", help="who asks, for the experience log alone")
    ask.add_argument("--format", choices=("text", "markdown", "html", "json"), default="text")
    ask.add_argument("--json", action="store_const", const="json", dest="format", help="--format json")

    add_train(partial(_command, commands))

    evaluate = _command(
        commands,
        "evaluate",
        _evaluate,
        "measure a suite on a labelled set",
        "diptych evaluate answers --data sets/mine --beside-workflow",
    )
    evaluate.add_argument("suite", choices=SUITES)
    evaluate.add_argument(
        "--data", required=True, metavar="DIR", help="a folder with documents.jsonl and questions.jsonl"
    )
    evaluate.add_argument(
        "--beside-workflow", action="store_true", help="measure the usual workflow on the same work too"
    )
    evaluate.add_argument(
        "--candidate", metavar="VERSION", help="measure this version too (retrieve for answers, else prep)"
    )
    evaluate.add_argument("--limit", type=positive_int, metavar="N", help="N questions only, evenly spread")
    evaluate.add_argument(
        "--deadline", type=positive_float, default=5.0, metavar="SECONDS", help="an answer (5)"
    )
    evaluate.add_argument(
        "--no-resume",
        dest="resume",
        action="store_false",
        help="ask every question again, even where an answers run was cut short",
    )
    evaluate.add_argument("--out", metavar="FILE", help="write the result as JSON there as well")
    _json(evaluate)

    add_retrain(partial(_command, commands))

    add_models(commands, _command)
    add_experience(commands, _command)
    add_report(partial(_command, commands))

    demo = _command(
        commands,
        "demo",
        _demo,
        "the whole loop on Python's own language reference, or on your documents",
        "diptych demo\n  diptych demo --docs ~/papers --workspace papers-demo",
    )
    demo.add_argument("--docs", metavar="PATH", help="a folder of your own documents")
    demo.add_argument("--question", action="append", metavar="TEXT", help="ask this; may be repeated")
    return parser


def _command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int] | None,
    summary: str,
    examples: str,
    *,
    common: bool = True,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"examples:\n  {examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if common:
        parser.add_argument(
            "--workspace", metavar="DIR", default=DEFAULT_WORKSPACE, help="where it is kept (./workspace)"
        )
        parser.add_argument(
            "--traceback", action="store_true", help="show the whole traceback of an error, for a bug report"
        )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _ingest(arguments: argparse.Namespace) -> int:
    from flows.models.serving import serving_prep
    from prep.ingest import ingest
    from prep.model.prep_model import PrepModel
    from prep.store.workspace import Workspace

    workspace = Workspace(arguments.workspace)
    with workspace.lock():  # so that nothing is promoted between loading what serves and preparing with it
        prep = PrepModel.load(arguments.prep) if arguments.prep else serving_prep(workspace)
        report = ingest(workspace, arguments.paths, prep, remove_missing=not arguments.keep_missing)
    if arguments.json:
        print_json(report)
    else:
        print(report.summary())
    return 0


def _ask(arguments: argparse.Namespace) -> int:
    from retrieve.researcher import Researcher

    researcher = Researcher.open(arguments.workspace)
    reports = researcher.ask_many(
        arguments.questions,
        max_searches=arguments.max_searches,
        deadline_s=arguments.deadline,
        user=arguments.user,
    )
    if arguments.format == "json":
        print_json([report.to_dict() for report in reports] if len(reports) > 1 else reports[0].to_dict())
        return 0
    render = {"text": "to_text", "markdown": "to_markdown", "html": "to_html"}[arguments.format]
    print("\n\n".join(getattr(report, render)() for report in reports))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from flows.models.measurement import (
        SuiteSettings,
        advantages,
        interval_of,
        run_suite,
        verdict,
        write_results,
    )
    from prep.store.workspace import Workspace
    from training.metrics.results import format_table

    if arguments.out and Path(arguments.out).is_dir():
        raise ConfigError(f"--out {arguments.out} is a folder: name a file for the results")
    results = run_suite(
        Workspace(arguments.workspace),
        arguments.suite,
        arguments.data,
        SuiteSettings(
            beside_workflow=arguments.beside_workflow,
            candidate=arguments.candidate,
            limit=arguments.limit,
            deadline_s=arguments.deadline,
            resume=arguments.resume,
        ),
    )
    if arguments.out:
        write_results(results, arguments.out)
    if arguments.json:
        print_json([result.to_dict(rows=False) for result in results])
    else:
        print(format_table(results))
        for metric, difference in advantages(results).items():
            print(f"Ahead of the usual workflow in {metric}: {interval_of(difference)}.")
        if (said := verdict(results)) is not None:
            print(said)
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from flows.deployments import prefect_settings

    prefect_settings.configure(Path(arguments.workspace) / "prefect")
    from flows.demo.demo import run_demo

    return run_demo(arguments.workspace, documents=arguments.docs, questions=arguments.question)


def print_json(value: Any) -> None:
    """Print dataclasses, lists and mappings as indented JSON, with characters of every script as they are."""
    from retrieve.report.data import dump_json

    print(dump_json(_plain(value), indent=2, allow_nan=True))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def positive_int(text: str) -> int:
    """Read an argument that is a whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def positive_float(text: str) -> float:
    """Read an argument that is a number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _version() -> str:
    try:
        return version("diptych")
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
