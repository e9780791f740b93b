"""`diptych models`: list, show, compare, promote, roll back and prune the versions of a workspace."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prep.errors import ChecksumMismatch

if TYPE_CHECKING:
    from flows.models.registry import Change, ModelVersion
    from prep.store.current import ModelKind

__all__ = ["add_models"]

KINDS: tuple[ModelKind, ...] = ("prep", "retrieve")
#: What `models list` calls a model that came with the package.
SHIPPED = "shipped"
KEPT = 5


def add_models(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the sub-commands. command: makes the parser of one, from commands, its name, function, summary, examples."""
    models = command(
        commands,
        "models",
        None,
        "list, show, compare, promote, roll back and prune trained versions",
        "diptych models list\n  diptych models show retrieve\n  diptych models rollback prep",
        common=False,
    )
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = command(
        actions,
        "list",
        _list,
        "what there is, what serves, what each was made from and what the gate said",
        "diptych models list\n  diptych models list --json",
    )
    show = command(
        actions,
        "show",
        _show,
        "where a version comes from, its settings and figures, and whether its files are intact",
        "diptych models show retrieve\n  diptych models show prep prep-0a1b2c3d4e5f --json",
    )
    show.add_argument("kind", choices=KINDS)
    show.add_argument("version", nargs="?", help='its name, or "shipped" (what serves)')
    diff = command(
        actions,
        "diff",
        _diff,
        "what differs between two versions: settings, data, figures, and how far the weights are apart",
        "diptych models diff retrieve shipped retrieve-0a1b2c3d4e5f\n  diptych models diff prep shipped",
    )
    diff.add_argument("kind", choices=KINDS)
    diff.add_argument("first", metavar="A", help='its name, or "shipped"')
    diff.add_argument("second", metavar="B", nargs="?", help="the other (what serves)")
    promote = command(
        actions,
        "promote",
        _promote,
        "serve this version; one of prep prepares the documents again where it has not before",
        "diptych models promote prep prep-0a1b2c3d4e5f",
    )
    promote.add_argument("kind", choices=KINDS)
    promote.add_argument("version")
    rollback = command(
        actions, "rollback", _rollback, "serve the version before", "diptych models rollback prep"
    )
    rollback.add_argument("kind", choices=KINDS)
    prune = command(
        actions,
        "prune",
        _prune,
        "remove old versions, never one that serves, served before, is under trial or built a generation that is kept",
        "diptych models prune --dry-run\n  diptych models prune --keep 3",
    )
    prune.add_argument(
        "--keep", type=int, default=KEPT, metavar="N", help=f"the newest N of each kind stay ({KEPT})"
    )
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    for parser in (listing, show, diff, promote, rollback, prune):
        parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _list(arguments: argparse.Namespace) -> int:
    from flows.models.registry import list_versions
    from flows.retraining.gate_decisions import read_decisions
    from prep.store.workspace import Workspace

    workspace = Workspace(arguments.workspace)
    decided = {(one.kind, one.candidate): one for one in read_decisions(workspace)[0]}
    rows = []
    for kind in KINDS:
        for version in list_versions(workspace, kind):
            decision = decided.get((kind, version.version))
            lineage = version.lineage
            rows.append(
                {
                    "kind": kind,
                    "version": SHIPPED if version.is_shipped else version.version,
                    "serving": version.is_serving,
                    "served_before": version.is_previous,
                    "created": version.created,
                    "start": lineage.get("start") if not version.is_shipped else None,
                    "dataset": (lineage.get("dataset") or {}).get("digest"),
                    "gate": None if decision is None else "promoted" if decision.promoted else "refused",
                    "damage": version.damage or None,
                }
            )
    if arguments.json:
        _print_json(rows)
        return 0
    _print_columns(
        [
            f"{row['kind']:9} {_plain(row['version'])}{'   serving' if row['serving'] else ''}",
            "damaged" if row["damage"] else "served before" if row["served_before"] else "",
            _moment(row["created"]),
            f"from {_plain(row['start'])}" if row["start"] else "",
            f"gate: {row['gate']}" if row["gate"] else "",
        ]
        for row in rows
    )
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from flows.models.registry import describe_version, find_version
    from prep.store.workspace import Workspace

    workspace = Workspace(arguments.workspace)
    version = find_version(workspace, arguments.kind, arguments.version)
    about = describe_version(workspace, version)
    if arguments.json:
        _print_json(about)
    else:
        _print_version(version, about)
    damaged = [state["name"] for state in about["files"] if not state["is_intact"]]
    if damaged:
        raise ChecksumMismatch(
            f"{version.folder / damaged[0]} is missing or damaged: it does not match its checksum; "
            f"serve another version with `diptych models promote {version.kind} VERSION`"
        )
    return 0


def _print_version(version: ModelVersion, about: Mapping[str, Any]) -> None:
    print(f"{version.kind} {_plain(version.version)}{f'   {version.state}' if version.state else ''}")
    facts = [
        ("kept", _moment(about["created"]) or "not noted"),
        ("made by", _code(about["code"])),
        ("base", ", ".join(_plain(value) for value in about["base"].values())),
        ("data set", _dataset(about["dataset"])),
        ("generation", _plain(about["generation"] or "not noted")),
    ]
    _print_columns([f"  {name}", value] for name, value in facts)
    _print_part("goes back to", [(row["version"], row["state"]) for row in about["ancestors"]])
    _print_part("configuration", about["configuration"].items())
    _print_part("figures", about["metrics"].items())
    _print_part(
        "files",
        [
            (
                state["name"],
                f"{state['n_bytes']:,} bytes",
                state["sha256"],
                "intact" if state["is_intact"] else "DAMAGED",
            )
            for state in about["files"]
        ],
    )
    _print_part(
        "gate",
        [
            (
                _moment(row["created"]),
                "promoted" if row["promoted"] else "refused",
                f"beside {row['current']}",
                "; ".join(row["reasons"]),
            )
            for row in about["gate"]
        ],
    )


def _diff(arguments: argparse.Namespace) -> int:
    from flows.models.registry import compare_versions, find_version
    from prep.store.workspace import Workspace

    workspace = Workspace(arguments.workspace)
    first = find_version(workspace, arguments.kind, arguments.first)
    second = find_version(workspace, arguments.kind, arguments.second)
    difference = compare_versions(first, second)
    if arguments.json:
        parts = ("configuration", "origin", "metrics")
        _print_json(
            {
                "kind": arguments.kind,
                "before": first.version,
                "after": second.version,
                **{part: [_change_row(change) for change in getattr(difference, part)] for part in parts},
                "weights": difference.weights,
            }
        )
        return 0
    print(f"{arguments.kind} {_plain(first.version)} → {_plain(second.version)}")
    for name, changes in (
        ("configuration", difference.configuration),
        ("data and code", difference.origin),
        ("figures", difference.metrics),
    ):
        _print_part(name, [_change_cells(change) for change in changes] or [("the same",)])
    _print_part(
        "weights: distance relative to the larger side (0: the same, 1: one side has none)",
        [
            (name, group, f"{distance:.4f}")
            for name, groups in difference.weights.items()
            for group, distance in groups.items()
        ],
    )
    return 0


def _change_row(change: Change) -> dict[str, Any]:
    return {
        "name": change.name,
        "before": change.before,
        "after": change.after,
        "difference": change.difference,
    }


def _change_cells(change: Change) -> tuple[str, str, str]:
    told = "" if change.difference is None else f"{change.difference:+.4g}"
    return change.name, f"{_value(change.before)} → {_value(change.after)}", told


def _promote(arguments: argparse.Namespace) -> int:
    from flows.models.promotion import promote_version
    from prep.store.workspace import Workspace

    promote_version(Workspace(arguments.workspace), arguments.kind, arguments.version)
    return _say_serving(arguments, arguments.version)


def _rollback(arguments: argparse.Namespace) -> int:
    from flows.models.promotion import roll_back
    from prep.store.workspace import Workspace

    current = roll_back(Workspace(arguments.workspace), arguments.kind)
    return _say_serving(arguments, getattr(current, arguments.kind) or SHIPPED)


def _say_serving(arguments: argparse.Namespace, version: str) -> int:
    if arguments.json:
        _print_json({"kind": arguments.kind, "version": version, "serving": True})
    else:
        print(f"{arguments.kind} {version} now serves")
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from flows.models.registry import list_versions
    from flows.retraining.cycle import versions_under_trial
    from prep.store.workspace import Workspace

    workspace = Workspace(arguments.workspace)
    sizes = {
        (kind, version.version): version.n_bytes
        for kind in KINDS
        for version in list_versions(workspace, kind)
        if not version.is_shipped
    }
    needed = versions_under_trial(workspace)
    removed = workspace.prune_models(arguments.keep, needed=needed, dry_run=arguments.dry_run)
    rows = [(kind, name, sizes.get((kind, name), 0)) for kind, name in removed]
    n_stay, n_bytes = len(sizes) - len(rows), sum(size for _, _, size in rows)
    if arguments.json:
        names = ("kind", "version", "bytes")
        told = [dict(zip(names, row, strict=True)) for row in rows]
        _print_json({"dry_run": arguments.dry_run, "removed": told, "kept": n_stay})
        return 0
    _print_columns([f"{kind:9} {_plain(name)}", f"{size:,} bytes"] for kind, name, size in rows)
    verb = "would be removed" if arguments.dry_run else "removed"
    print(f"{len(rows)} versions {verb}, {n_bytes:,} bytes; {n_stay} stay")
    return 0


def _print_json(value: Any) -> None:
    from flows.cli.app import print_json

    print_json(value)


def _print_part(title: str, rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under a title; nothing where there are none."""
    cells = [[f"  {_value(row[0])}", *(_value(cell) for cell in row[1:])] for row in rows]
    if cells:
        print(f"\n{title}")
        _print_columns(cells)


def _print_columns(rows: Iterable[Sequence[str]]) -> None:
    """Print rows with their cells under one another, the last of each as long as it is."""
    lines = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)] if lines else []
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True) if width)
        print("   ".join(padded).rstrip())


def _moment(created: Any) -> str:
    return _plain(str(created)[:16].replace("T", " ")) if created else ""


def _code(code: Mapping[str, Any] | None) -> str:
    if not code:
        return "not noted"
    commit = f", commit {code['commit'][:12]}" if code.get("commit") else ""
    changed = " with changes" if code.get("changed") else ""
    return _plain(f"diptych {code.get('package')}{commit}{changed}")


def _dataset(dataset: Mapping[str, Any] | None) -> str:
    if not dataset:
        return "not noted"
    counts = [
        f"{count} {_plain(name.replace('_', ' '))}" for name, count in dataset.items() if name != "digest"
    ]
    return ": ".join(part for part in (_plain(dataset.get("digest")), ", ".join(counts)) if part)


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else _plain(value)


def _plain(value: Any) -> str:
    from retrieve.report.render_text import plain_text

    return plain_text(str(value))
