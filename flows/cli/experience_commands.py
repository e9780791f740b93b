"""`diptych experience`: what is kept of questions, answers and feedback, and how to give, take and delete it."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prep.errors import ConfigError, WorkspaceLocked

if TYPE_CHECKING:
    from retrieve.experience.log import ExperienceLog
    from retrieve.experience.record import Experience

__all__ = ["add_experience"]

N_SHOWN = 10


def add_experience(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the sub-commands. command: makes the parser of one, from commands, its name, function, summary, examples."""
    experience = command(
        commands,
        "experience",
        None,
        "show, export, prune and delete what was asked, and say what helped",
        "diptych experience show\n  diptych experience feedback 3f2a… --helpful yes\n"
        "  diptych experience delete --user ada",
        common=False,
    )
    actions = experience.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = command(
        actions,
        "show",
        _show,
        "how much there is, what was said of it, and the newest questions",
        "diptych experience show\n  diptych experience show --user ada --last 50 --json",
    )
    show.add_argument("--last", type=int, default=N_SHOWN, metavar="N", help=f"so many questions ({N_SHOWN})")
    export = command(
        actions,
        "export",
        _export,
        "write it as JSON Lines",
        "diptych experience export log.jsonl\n  diptych experience export ada.jsonl --user ada",
    )
    export.add_argument("out", metavar="FILE")
    delete = command(
        actions,
        "delete",
        _delete,
        "remove one report, or all that a document was shown for or a user asked; for good, and from training data, "
        "too (versions that were trained with it stay)",
        "diptych experience delete --report 3f2a…\n  diptych experience delete --document handbook/pay.md",
    )
    delete.add_argument("--report", metavar="ID", help="one report, by its id or how that begins")
    for parser in (show, export, delete):
        parser.add_argument(
            "--document", metavar="ID", help="only reports that a passage of it was shown for"
        )
        parser.add_argument("--user", metavar="NAME", help="only what this user asked")
    prune = command(
        actions,
        "prune",
        _prune,
        "remove what is older or more than experience.toml in the workspace keeps",
        "diptych experience prune",
    )
    feedback = command(
        actions,
        "feedback",
        _feedback,
        "say of a report whether it helped, what the answer is, or whether a quote is right",
        "diptych experience feedback 3f2a… --helpful no --answer 'nine turns'\n"
        "  diptych experience feedback 3f2a… --quote 2 --quote-right no",
    )
    feedback.add_argument("report", metavar="ID", help="of the report, or how it begins")
    feedback.add_argument("--helpful", choices=("yes", "no"))
    feedback.add_argument("--answer", metavar="TEXT", help="the right answer")
    feedback.add_argument("--quote", type=int, metavar="N", help="a quote of the report, counted from 1")
    feedback.add_argument("--quote-right", choices=("yes", "no"))
    for parser in (show, export, delete, prune, feedback):
        parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _log(arguments: argparse.Namespace) -> ExperienceLog:
    from retrieve.experience.log import ExperienceLog

    return ExperienceLog.of(arguments.workspace)


def _show(arguments: argparse.Namespace) -> int:
    from retrieve.report.render_text import plain_text

    log = _log(arguments)
    counts: Counter[str] = Counter(reports=0)
    newest: list[Experience] = []
    for row in log.rows(document_id=arguments.document, user=arguments.user):
        counts["reports"] += 1
        counts["helpful"] += row.helpful is True
        counts["not helpful"] += row.helpful is False
        counts["corrected"] += row.corrected_answer is not None
        counts["quotes right"] += len(row.quotes(right=True))
        counts["quotes wrong"] += len(row.quotes(right=False))
        counts.update(signal.kind for signal in row.signals)
        newest = [*newest, row][-max(0, arguments.last) :] if arguments.last > 0 else []
    if arguments.json:
        return _print({"enabled": log.enabled, **counts, "newest": [row.to_dict() for row in newest]})
    if not counts["reports"]:
        print("nothing is kept" if log.enabled else "nothing is kept: the log is switched off")
        return 0
    print(", ".join(f"{number} {name}" for name, number in counts.items() if number))
    for row in newest:
        said = {True: "helpful", False: "not helpful", None: ""}[row.helpful]
        answer = row.report.answer or "not answered"
        print(
            f"{row.report.id}  {row.report.created[:16]}  {plain_text(row.report.question)}\n"
            f"    {plain_text(answer)}  {said}".rstrip()
        )
    return 0


def _export(arguments: argparse.Namespace) -> int:
    n_rows = _log(arguments).export(arguments.out, document_id=arguments.document, user=arguments.user)
    if arguments.json:
        return _print({"exported": n_rows, "path": arguments.out})
    print(f"{n_rows} reports written to {arguments.out}")
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    log = _log(arguments)
    named = [name for name in ("report", "document", "user") if getattr(arguments, name) is not None]
    if len(named) != 1:
        raise ConfigError("name what to delete with one of --report, --document and --user")
    if arguments.report is not None:
        log.delete_report(log.find(arguments.report))
        n_deleted = 1
    elif arguments.document is not None:
        n_deleted = log.delete_document(arguments.document)
    else:
        n_deleted = log.delete_user(arguments.user)
    return _deleted(arguments, n_deleted)


def _prune(arguments: argparse.Namespace) -> int:
    return _deleted(arguments, _log(arguments).prune())


def _deleted(arguments: argparse.Namespace, n_deleted: int) -> int:
    """Let the training data forget it, too, and say what came of it."""
    from flows.candidates.deletion import forget_deleted
    from flows.pages.workspace_page import PAGE
    from flows.retraining.cycle import alone
    from prep.store.workspace import Workspace

    place = Workspace(arguments.workspace)
    (place.path / PAGE).unlink(missing_ok=True)  # it shows questions; `diptych report` writes it again
    n_struck = 0
    later = ""
    if (place.path / "datasets").is_dir():
        try:
            with alone(place):
                n_struck = forget_deleted(place)
        except WorkspaceLocked:
            later = "; a cycle is under way, training data forget them as the next one begins"
    if arguments.json:
        return _print({"deleted": n_deleted, "lessons_deleted": n_struck})
    lessons = f", and {n_struck} of the lessons in training data" if n_struck else ""
    print(f"{n_deleted} {'report' if n_deleted == 1 else 'reports'} deleted{lessons}{later}")
    return 0


def _feedback(arguments: argparse.Namespace) -> int:
    yes = {"yes": True, "no": False, None: None}
    log = _log(arguments)
    report_id = log.find(arguments.report)
    log.feedback(
        report_id,
        yes[arguments.helpful],
        arguments.answer,
        quote=arguments.quote,
        quote_right=yes[arguments.quote_right],
    )
    if arguments.json:
        return _print({"report": report_id, "kept": True})
    print(f"kept with report {report_id}")
    return 0


def _print(values: Any) -> int:
    from flows.cli.app import print_json

    print_json(values)
    return 0
