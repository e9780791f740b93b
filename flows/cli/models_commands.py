"""`diptych models`: list, show, compare, promote, roll back and prune the versions of a workspace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.command import KINDS, Kind, command, command_group, json_option, kind_argument
from flows.cli.output import format_moment, format_value, plain, print_columns, print_json

if TYPE_CHECKING:
    from flows.models.registry import ModelVersion, ValueChange

__all__ = ["models"]

#: What `models list` calls a model that came with the package.
SHIPPED = "shipped"


@command_group(
    "models", "diptych models list", "diptych models show retrieve", "diptych models rollback prep"
)
def models() -> None:
    """List, compare, promote, roll back and prune versions."""


@command("list", "diptych models list", "diptych models list --json")
@json_option
def list_models(workspace: Path, as_json: bool) -> int:
    """List the versions, their origin, the gate's verdict.

    Of each: whether it serves, when it was kept, what it was trained from.
    """
    from flows.models.gate_decisions import read_decisions
    from flows.models.registry import list_versions
    from prep.store.workspace import Workspace

    place = Workspace(workspace)
    decided = {(one.kind, one.candidate): one for one in read_decisions(place)[0]}
    rows = []
    for kind in KINDS:
        for version in list_versions(place, kind):
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
    if as_json:
        print_json(rows)
        return 0
    print_columns(
        [
            f"{row['kind']:9} {plain(row['version'])}{'   serving' if row['serving'] else ''}",
            "damaged" if row["damage"] else "served before" if row["served_before"] else "",
            format_moment(row["created"]),
            f"from {plain(row['start'])}" if row["start"] else "",
            f"gate: {row['gate']}" if row["gate"] else "",
        ]
        for row in rows
    )
    return 0


@command("show", "diptych models show retrieve", "diptych models show prep prep-0a1b2c3d4e5f --json")
@kind_argument
@click.argument("version", required=False)
@json_option
def show(workspace: Path, kind: Kind, version: str | None, as_json: bool) -> int:
    """Show a version's origin, settings, figures and files.

    Every file is read and checked.
    """
    from flows.models.registry import describe_version, find_version
    from prep.errors import ChecksumMismatch
    from prep.store.workspace import Workspace

    place = Workspace(workspace)
    found = find_version(place, kind, version)
    about = describe_version(place, found)
    if as_json:
        print_json(about)
    else:
        _print_version(found, about)
    damaged = [state["name"] for state in about["files"] if not state["is_intact"]]
    if damaged:
        raise ChecksumMismatch(
            f"{found.folder / damaged[0]} is missing or damaged: it does not match its checksum; "
            f"serve another version with `diptych models promote {found.kind} VERSION`"
        )
    return 0


def _print_version(version: ModelVersion, about: Mapping[str, Any]) -> None:
    print(f"{version.kind} {plain(version.version)}{f'   {version.state}' if version.state else ''}")
    facts = [
        ("kept", format_moment(about["created"]) or "not noted"),
        ("made by", _code(about["code"])),
        ("base", ", ".join(plain(value) for value in about["base"].values())),
        ("data set", _dataset(about["dataset"])),
        ("generation", plain(about["generation"] or "not noted")),
    ]
    print_columns([f"  {name}", value] for name, value in facts)
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
                format_moment(row["created"]),
                "promoted" if row["promoted"] else "refused",
                f"beside {row['current']}",
                "; ".join(row["reasons"]),
            )
            for row in about["gate"]
        ],
    )


@command(
    "diff",
    "diptych models diff retrieve shipped retrieve-0a1b2c3d4e5f",
    "diptych models diff prep shipped",
)
@kind_argument
@click.argument("first", metavar="A")
@click.argument("second", metavar="[B]", required=False)
@json_option
def diff(workspace: Path, kind: Kind, first: str, second: str | None, as_json: bool) -> int:
    """Show what differs between two versions.

    Settings, data, figures, and how far the weights are apart.
    """
    from flows.models.registry import compare_versions, find_version
    from prep.store.workspace import Workspace

    place = Workspace(workspace)
    before, after = find_version(place, kind, first), find_version(place, kind, second)
    difference = compare_versions(before, after)
    if as_json:
        parts = ("configuration", "origin", "metrics")
        print_json(
            {
                "kind": kind,
                "before": before.version,
                "after": after.version,
                **{part: [_change_row(change) for change in getattr(difference, part)] for part in parts},
                "weights": difference.weights,
            }
        )
        return 0
    print(f"{kind} {plain(before.version)} → {plain(after.version)}")
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


def _change_row(change: ValueChange) -> dict[str, Any]:
    return {
        "name": change.name,
        "before": change.before,
        "after": change.after,
        "difference": change.difference,
    }


def _change_cells(change: ValueChange) -> tuple[str, str, str]:
    amount = "" if change.difference is None else f"{change.difference:+.4g}"
    return change.name, f"{format_value(change.before)} → {format_value(change.after)}", amount


@command("promote", "diptych models promote prep prep-0a1b2c3d4e5f")
@kind_argument
@click.argument("version")
@json_option
def promote(workspace: Path, kind: Kind, version: str, as_json: bool) -> int:
    """Let a version serve.

    A prep version prepares the documents again where it has not before.
    """
    from flows.models.promotion import promote_version
    from prep.store.workspace import Workspace

    promote_version(Workspace(workspace), kind, version)
    return _print_serving(kind, version, as_json)


@command("rollback", "diptych models rollback prep")
@kind_argument
@json_option
def rollback(workspace: Path, kind: Kind, as_json: bool) -> int:
    """Let the version serve that served before."""
    from flows.models.promotion import roll_back
    from prep.store.workspace import Workspace

    current = roll_back(Workspace(workspace), kind)
    return _print_serving(kind, getattr(current, kind) or SHIPPED, as_json)


def _print_serving(kind: Kind, version: str, as_json: bool) -> int:
    if as_json:
        print_json({"kind": kind, "version": version, "serving": True})
    else:
        print(f"{kind} {version} now serves")
    return 0


@command("prune", "diptych models prune --dry-run", "diptych models prune --keep 3")
@click.option(
    "--keep", type=int, default=5, show_default=True, metavar="N", help="The newest N of each kind stay."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def prune(workspace: Path, keep: int, dry_run: bool, as_json: bool) -> int:
    """Remove old versions that nothing needs.

    A version stays that serves, served before, is on trial or built a generation that is kept.
    """
    from flows.models.registry import list_versions
    from flows.retraining.cycle_folder import versions_under_trial
    from prep.store.workspace import Workspace

    place = Workspace(workspace)
    sizes = {
        (kind, version.version): version.n_bytes
        for kind in KINDS
        for version in list_versions(place, kind)
        if not version.is_shipped
    }
    needed = versions_under_trial(place)
    removed = place.prune_models(keep, needed=needed, dry_run=dry_run)
    rows = [(kind, name, sizes.get((kind, name), 0)) for kind, name in removed]
    n_stay, n_bytes = len(sizes) - len(rows), sum(size for _, _, size in rows)
    if as_json:
        names = ("kind", "version", "bytes")
        removals = [dict(zip(names, row, strict=True)) for row in rows]
        print_json({"dry_run": dry_run, "removed": removals, "kept": n_stay})
        return 0
    print_columns([f"{kind:9} {plain(name)}", f"{size:,} bytes"] for kind, name, size in rows)
    verb = "would be removed" if dry_run else "removed"
    print(f"{len(rows)} versions {verb}, {n_bytes:,} bytes; {n_stay} stay")
    return 0


def _print_part(title: str, rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under a title; nothing where there are none."""
    cells = [[f"  {format_value(row[0])}", *(format_value(cell) for cell in row[1:])] for row in rows]
    if cells:
        print(f"\n{title}")
        print_columns(cells)


def _code(code: Mapping[str, Any] | None) -> str:
    if not code:
        return "not noted"
    commit = f", commit {code['commit'][:12]}" if code.get("commit") else ""
    changed = " with changes" if code.get("changed") else ""
    return plain(f"diptych {code.get('package')}{commit}{changed}")


def _dataset(dataset: Mapping[str, Any] | None) -> str:
    if not dataset:
        return "not noted"
    counts = [
        f"{count} {plain(name.replace('_', ' '))}" for name, count in dataset.items() if name != "digest"
    ]
    return ": ".join(part for part in (plain(dataset.get("digest")), ", ".join(counts)) if part)


for _command in (list_models, show, diff, promote, rollback, prune):
    models.add_command(_command)
