"""`diptych ingest`, `ask`, `search` and `demo`: documents in, answers out, and the whole loop once."""

from __future__ import annotations

import textwrap
from pathlib import Path

import click

from flows.cli.command import FOLDER, command, json_option, positive_float
from flows.cli.output import print_json

__all__ = ["ask", "demo", "ingest", "search"]


@command(
    "ingest",
    "diptych ingest docs/ handbook.pdf",
    "diptych ingest 'notes/**/*.md' --workspace notes-index",
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--keep-missing", is_flag=True, help="Keep earlier documents that PATH does not name.")
@click.option(
    "--prep",
    type=FOLDER,
    metavar="DIR",
    help="A prep version by its folder, instead of the promoted or the shipped one.",
)
@json_option
def ingest(
    workspace: Path,
    paths: tuple[str, ...],
    keep_missing: bool,
    prep: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Read documents, prepare them and make them searchable."""
    from flows.models.serving import serving_prep
    from prep.ingest import ingest as ingest_documents
    from prep.model.prep_model import PrepModel
    from prep.store.workspace import Workspace

    place = Workspace(workspace)
    with place.lock():  # so that nothing is promoted between loading the serving model and preparing with it
        model = PrepModel.load(prep) if prep else serving_prep(place)
        report = ingest_documents(
            place, list(paths), model, progress=not quiet, remove_missing=not keep_missing
        )
    if as_json:
        print_json(report)
    else:
        print(report.summary())
    return 0


@command(
    "ask",
    "diptych ask 'What does a finally clause do?'",
    "diptych ask 'How is a tuple written?' --max-searches 1 --json",
)
@click.argument("questions", nargs=-1, required=True, metavar="QUESTION...")
@click.option(
    "--max-searches",
    type=click.IntRange(min=1),
    metavar="N",
    default=3,
    show_default=True,
    help="Searches for a question.",
)
@click.option(
    "--deadline",
    type=positive_float,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for a question.",
)
@click.option("--user", metavar="NAME", help="Who asks, for the experience log alone.")
@click.option(
    "--format", "output_format", type=click.Choice(["text", "markdown", "html", "json"]), default="text"
)
@click.option("--json", "output_format", flag_value="json", help="The same as --format json.")
def ask(
    workspace: Path,
    questions: tuple[str, ...],
    max_searches: int,
    deadline: float,
    user: str | None,
    output_format: str,
) -> int:
    """Answer questions from the ingested documents, with quotes.

    Exit status 3: the time ran out before a question was answered.
    """
    from retrieve.researcher import Researcher

    researcher = Researcher.open(workspace)
    reports = researcher.ask_many(list(questions), max_searches=max_searches, deadline_s=deadline, user=user)
    status = 3 if any(report.unfinished for report in reports) else 0
    if output_format == "json":
        print_json([report.to_dict() for report in reports] if len(reports) > 1 else reports[0].to_dict())
        return status
    render = {"text": "to_text", "markdown": "to_markdown", "html": "to_html"}[output_format]
    print("\n\n".join(getattr(report, render)() for report in reports))
    return status


@command("search", "diptych search 'finally clause'", "diptych search 'finally clause' -k 3 --json")
@click.argument("question")
@click.option(
    "-k", "k", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="Passages."
)
@json_option
def search(workspace: Path, question: str, k: int, as_json: bool) -> int:
    """Show the passages that rank best for a question, without an answer."""
    from dataclasses import asdict

    from prep.store.workspace import Workspace
    from retrieve.report.render_text import plain_text
    from retrieve.researcher import Researcher

    with Researcher(Workspace(workspace)) as researcher:  # not `open`, which loads the retrieve model
        passages = researcher.search(question, k)
    if as_json:
        print_json([asdict(passage) for passage in passages])
        return 0
    for number, passage in enumerate(passages, start=1):
        names = dict.fromkeys(filter(None, (passage.title or passage.document_id, *passage.headings)))
        place = plain_text(" › ".join(names))
        print(f"{number:3}  {passage.score:.2f}  {place}, {passage.start}–{passage.end}")
        print(
            textwrap.fill(plain_text(passage.text), 96, initial_indent=" " * 11, subsequent_indent=" " * 11)
        )
    return 0


@command("demo", "diptych demo", "diptych demo --docs ~/papers --workspace papers-demo")
@click.option("--docs", type=FOLDER, metavar="PATH", help="A folder of your own documents.")
@click.option("--question", "questions", multiple=True, metavar="TEXT", help="Ask this; may be repeated.")
def demo(workspace: Path, docs: Path | None, questions: tuple[str, ...]) -> int:
    """Run the whole loop once, from documents to a page.

    On Python's own language reference, or on your documents.
    """
    from flows.deployments import prefect_settings

    prefect_settings.configure(workspace / "prefect")
    from flows.demo.demo import run_demo

    return run_demo(workspace, documents=docs, questions=questions)
