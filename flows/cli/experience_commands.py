"""`diptych experience`: show, export, prune and delete the log of questions, and give feedback."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.command import command, command_group, json_option
from flows.cli.output import plain, print_json

if TYPE_CHECKING:
    from retrieve.experience.record import Experience

__all__ = ["experience"]

YES_OR_NO = click.Choice(["yes", "no"])
_IS_YES = {"yes": True, "no": False, None: None}

document_option = click.option(
    "--document", metavar="ID", help="Only reports that showed a passage of this document."
)
user_option = click.option("--user", metavar="NAME", help="Only questions of this user.")


@command_group(
    "experience",
    "diptych experience show",
    "diptych experience feedback 3f2a… --helpful yes",
    "diptych experience delete --user ada",
)
def experience() -> None:
    """Show and delete logged questions; give feedback."""


@command("show", "diptych experience show", "diptych experience show --user ada --last 50 --json")
@click.option(
    "--last",
    type=int,
    default=10,
    show_default=True,
    metavar="N",
    help="List so many of the newest questions.",
)
@document_option
@user_option
@json_option
def show(workspace: Path, last: int, document: str | None, user: str | None, as_json: bool) -> int:
    """Count reports and feedback, and list the newest questions."""
    from retrieve.experience.log import ExperienceLog

    log = ExperienceLog.of(workspace)
    counts: Counter[str] = Counter(reports=0)
    newest: list[Experience] = []
    for row in log.rows(document_id=document, user=user):
        counts["reports"] += 1
        counts["helpful"] += row.helpful is True
        counts["not helpful"] += row.helpful is False
        counts["corrected"] += row.corrected_answer is not None
        counts["quotes right"] += len(row.quotes(right=True))
        counts["quotes wrong"] += len(row.quotes(right=False))
        counts.update(signal.kind for signal in row.signals)
        newest = [*newest, row][-max(0, last) :] if last > 0 else []
    if as_json:
        print_json({"enabled": log.enabled, **counts, "newest": [row.to_dict() for row in newest]})
        return 0
    if not counts["reports"]:
        print("nothing is kept" if log.enabled else "nothing is kept: the log is switched off")
        return 0
    print(", ".join(f"{number} {name}" for name, number in counts.items() if number))
    for row in newest:
        verdict = {True: "helpful", False: "not helpful", None: ""}[row.helpful]
        answer = row.report.answer or "not answered"
        print(
            f"{row.report.id}  {row.report.created[:16]}  {plain(row.report.question)}\n"
            f"    {plain(answer)}  {verdict}".rstrip()
        )
    return 0


@command("export", "diptych experience export log.jsonl", "diptych experience export ada.jsonl --user ada")
@click.argument("out", metavar="FILE")
@document_option
@user_option
@json_option
def export(workspace: Path, out: str, document: str | None, user: str | None, as_json: bool) -> int:
    """Write the log as JSON Lines."""
    from retrieve.experience.log import ExperienceLog

    n_rows = ExperienceLog.of(workspace).export(out, document_id=document, user=user)
    if as_json:
        print_json({"exported": n_rows, "path": out})
    else:
        print(f"{n_rows} reports written to {out}")
    return 0


@command(
    "delete",
    "diptych experience delete --report 3f2a…",
    "diptych experience delete --document handbook/pay.md",
)
@click.option("--report", metavar="ID", help="One report, by its id or the beginning of its id.")
@document_option
@user_option
@json_option
def delete(workspace: Path, report: str | None, document: str | None, user: str | None, as_json: bool) -> int:
    """Delete reports for good, from training data too.

    One report, all that showed a passage of a document, or all of a user. Versions that were trained with them stay.
    """
    from prep.errors import ConfigError
    from retrieve.experience.log import ExperienceLog

    log = ExperienceLog.of(workspace)
    if sum(name is not None for name in (report, document, user)) != 1:
        raise ConfigError("name what to delete with one of --report, --document and --user")
    if report is not None:
        log.delete_report(log.find(report))
        n_deleted = 1
    elif document is not None:
        n_deleted = log.delete_document(document)
    else:
        assert user is not None
        n_deleted = log.delete_user(user)
    return _finish_deletion(workspace, n_deleted, as_json)


@command("prune", "diptych experience prune")
@json_option
def prune(workspace: Path, as_json: bool) -> int:
    """Delete reports beyond the age and number in experience.toml."""
    from retrieve.experience.log import ExperienceLog

    return _finish_deletion(workspace, ExperienceLog.of(workspace).prune(), as_json)


def _finish_deletion(workspace: Path, n_deleted: int, as_json: bool) -> int:
    """Delete the rows from training data and pages too, and print the counts."""
    from flows.candidates.deletion import delete_from_datasets
    from flows.pages.workspace_page import PAGE
    from flows.retraining.lock import retraining_lock
    from prep.errors import WorkspaceLocked
    from prep.store.workspace import Workspace

    place = Workspace(workspace)
    (place.path / PAGE).unlink(missing_ok=True)  # it shows questions; `diptych report` writes it again
    n_examples, later = 0, ""
    if (place.path / "datasets").is_dir():
        try:
            with retraining_lock(place):
                n_examples = delete_from_datasets(place)
        except WorkspaceLocked:
            later = "; a retraining cycle is running, the next one deletes them from training data"
    if as_json:
        print_json({"deleted": n_deleted, "feedback_examples_deleted": n_examples})
        return 0
    examples = f", and {n_examples} feedback examples in training data" if n_examples else ""
    print(f"{n_deleted} {'report' if n_deleted == 1 else 'reports'} deleted{examples}{later}")
    return 0


@command(
    "feedback",
    "diptych experience feedback 3f2a… --helpful no --answer 'nine turns'",
    "diptych experience feedback 3f2a… --quote 2 --quote-right no",
)
@click.argument("report", metavar="ID")
@click.option("--helpful", type=YES_OR_NO)
@click.option("--answer", metavar="TEXT", help="The right answer.")
@click.option("--quote", type=int, metavar="N", help="A quote of the report, counted from 1.")
@click.option("--quote-right", type=YES_OR_NO)
@json_option
def feedback(
    workspace: Path,
    report: str,
    helpful: str | None,
    answer: str | None,
    quote: int | None,
    quote_right: str | None,
    as_json: bool,
) -> int:
    """Say whether a report helped, the right answer, or of a quote.

    Several commands may add to one report.
    """
    from retrieve.experience.log import ExperienceLog

    log = ExperienceLog.of(workspace)
    report_id = log.find(report)
    log.feedback(report_id, _IS_YES[helpful], answer, quote=quote, quote_right=_IS_YES[quote_right])
    if as_json:
        print_json({"report": report_id, "kept": True})
    else:
        print(f"kept with report {report_id}")
    return 0


for _command in (show, export, delete, prune, feedback):
    experience.add_command(_command)
