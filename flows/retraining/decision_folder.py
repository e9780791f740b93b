"""Keeps a decision of the gate with its evidence: figures, every row, and a page to look at.

reports/gate/<created>-<kind>-<candidate>/   decision.json  rows.json  index.html
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.models.gate_decisions import DECISION
from flows.models.measurement import write_results
from flows.pages.run_page import Curves, write_page
from prep.manifest import read_json, sync_folder, sync_tree, write_json
from prep.store.current import ModelKind
from prep.store.workspace import Workspace

if TYPE_CHECKING:
    from training.data.gate_set import GateSet
    from training.evaluation.promotion_gate import Decision, Trial

__all__ = ["decision_folder", "has_decision", "keep_decision", "read_decision"]

FORMAT = 1


def keep_decision(
    workspace: Workspace,
    kind: ModelKind,
    decision: Decision,
    trials: tuple[Trial, Trial],
    gate_set: GateSet,
    *,
    created: str,
    curves: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Path:
    """Write the decision on the second of `trials` against the first, whole or not at all; return its folder.

    created: ISO 8601 in UTC; it names the folder, with the kind and the candidate. An existing decision stays.
    """
    current, candidate = trials
    folder = decision_folder(workspace, kind, candidate.version, created)
    if has_decision(folder):
        return folder
    content = {
        "format": FORMAT,
        "created": created,
        "kind": kind,
        "candidate": candidate.version,
        "current": current.version,
        **decision.to_dict(),
        "questions": {"set": gate_set.digest, "n": len(candidate.answers.rows), "n_old": len(candidate.old)},
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".partial-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        results = [r for trial in trials for r in (trial.answers, trial.retrieval) if r is not None]
        write_results(results, temporary / "rows.json")
        _write_page(temporary / "index.html", content, curves or {})
        os.replace(write_json(temporary / DECISION, content), temporary / DECISION)
        sync_tree(temporary)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def read_decision(folder: Path) -> dict[str, Any]:
    """Return the content of decision.json in `folder`. Raises FileNotFoundError, StoreError where it is damaged."""
    return read_json(folder / DECISION)


def decision_folder(workspace: Workspace, kind: ModelKind, candidate: str, created: str) -> Path:
    """Return the folder of the decision on a candidate, made or not."""
    moment = "".join(character for character in created[:19] if character.isalnum())
    return workspace.path / "reports" / "gate" / f"{moment}Z-{kind}-{candidate}"


def has_decision(folder: Path) -> bool:
    """Whether the decision was made."""
    return (folder / DECISION).is_file()


def _write_page(path: Path, content: Mapping[str, Any], curves: Mapping[str, Any]) -> None:
    verdict = "is promoted" if content["promoted"] else "is refused"
    named = {
        f"{content['current']} (serving)": content["figures"]["current"],
        f"{content['candidate']} (candidate)": content["figures"]["candidate"],
    }
    gains = {
        name: f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
        for name, gain in content["gains"].items()
    }
    count = f"{content['questions']['n']} questions of the gate set {content['questions']['set']}"
    training: Curves = {f"Training of the {content['kind']} candidate": curves} if curves else {}
    write_page(
        path,
        title=f"Gate: {content['kind']} candidate {content['candidate']} {verdict}",
        metrics={f"On {count}": named, "Candidate minus serving version, with its interval": {"gain": gains}},
        training=training,
        notes=[f"{content['created']}: the candidate {verdict}.", *content["reasons"]],
    )
