"""`diptych ingest`, `ask`, `search` and `demo`: documents in, answers out, and the whole loop once."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.command import FOLDER, command, json_option, positive_float
from flows.cli.output import print_json

if TYPE_CHECKING:
    from prep.ingest_report import IngestPlan, IngestReport

__all__ = ["ask", "demo", "ingest", "search"]

where_option = click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="KEY=VALUE",
    help="Search only documents with this metadata, as in folder=policies, path=*.md, author!=Ada, "
    "modified>=2026-01-01; may be repeated.",
)


@command(
    "ingest",
    "diptych ingest docs/ handbook.pdf",
    "diptych ingest docs/ --sync --dry-run",
    "diptych ingest notes/ --exclude 'drafts/' --include '.wiki/**/*.md'",
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--sync", is_flag=True, help="Remove the documents that PATH does not hold; says first which.")
@click.option("--dry-run", is_flag=True, help="Only say what would be added, changed and removed.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out what fits, as in .gitignore; may be repeated.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help="Read what fits although it would be left out; may be repeated.",
)
@click.option(
    "--no-ignore", is_flag=True, help="Read hidden, installed and built files, and what .gitignore names."
)
@click.option("--follow-links", is_flag=True, help="Read links that lead out of PATH.")
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
    sync: bool,
    dry_run: bool,
    exclude: tuple[str, ...],
    include: tuple[str, ...],
    no_ignore: bool,
    follow_links: bool,
    prep: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Read documents, prepare them and make them searchable, beside those that are there.

    Hidden files, what .gitignore names, and folders of installed packages and built files are left out.
    """
    from flows.models.serving import serving_prep
    from prep.files.ignore_rules import FileRules
    from prep.ingest import ingest as ingest_documents
    from prep.ingest import plan_ingest
    from prep.model.prep_model import PrepModel
    from prep.store.workspace import Workspace

    place = Workspace(workspace)
    rules = FileRules(exclude=exclude, include=include, ignore=not no_ignore, follow_links=follow_links)
    result: IngestPlan | IngestReport
    if dry_run:
        model = PrepModel.load(prep) if prep else serving_prep(place)
        result = plan_ingest(place, list(paths), model.version, remove_missing=sync, rules=rules)
    else:
        # Under the lock nothing is promoted between loading the serving model and preparing with it.
        with place.lock():
            model = PrepModel.load(prep) if prep else serving_prep(place)
            result = ingest_documents(
                place,
                list(paths),
                model,
                progress=not quiet,
                remove_missing=sync,
                rules=rules,
                on_removal=_tell_removal,
            )
    if as_json:
        print_json(result)
    else:
        print(result.summary())
    return 0


def _tell_removal(leaving: list[str]) -> None:
    from prep.ingest_report import first_names

    print(f"{len(leaving)} documents leave the workspace: {first_names(leaving)}", file=sys.stderr)


@command(
    "ask",
    "diptych ask 'What does a finally clause do?'",
    "diptych ask 'How is a tuple written?' --max-searches 1 --json",
    "diptych ask 'Who signs?' --where folder=policies --where 'modified>=2026-01-01'",
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
@where_option
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
    conditions: tuple[str, ...],
    user: str | None,
    output_format: str,
) -> int:
    """Answer questions from the ingested documents, with quotes.

    Exit status 3: the time ran out before a question was answered.
    """
    from prep.store.metadata_filter import parse_conditions
    from retrieve.researcher import Researcher

    where = parse_conditions(conditions)
    researcher = Researcher.open(workspace)
    reports = researcher.ask_many(
        list(questions), max_searches=max_searches, deadline_s=deadline, where=where, user=user
    )
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
@where_option
@json_option
def search(workspace: Path, question: str, k: int, conditions: tuple[str, ...], as_json: bool) -> int:
    """Show the passages that rank best for a question, without an answer."""
    from dataclasses import asdict

    from prep.store.metadata_filter import parse_conditions
    from prep.store.workspace import Workspace
    from retrieve.report.data import breadcrumb
    from retrieve.report.render_text import plain_text
    from retrieve.researcher import Researcher

    with Researcher(Workspace(workspace)) as researcher:  # not `open`, which loads the retrieve model
        passages = researcher.search(question, k, where=parse_conditions(conditions))
    if as_json:
        print_json([asdict(passage) for passage in passages])
        return 0
    for number, passage in enumerate(passages, start=1):
        names = breadcrumb(passage.title, passage.document_id, passage.headings, passage.distinct_path)
        place = plain_text(" › ".join(filter(None, (*names, passage.page))))
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
