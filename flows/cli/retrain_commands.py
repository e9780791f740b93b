"""`diptych retrain` and `diptych drift`: a retraining cycle, and whether one is due, from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

__all__ = ["add_retrain"]


def add_retrain(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the sub-commands. command: makes the parser of one, from its name, function, summary and examples."""
    retrain = command(
        "retrain",
        _retrain,
        "train candidates on the corpus and the experience log, and promote those that pass the gate",
        "diptych retrain\n  diptych retrain --kind retrieve --config retrain.toml",
    )
    retrain.add_argument(
        "--config",
        metavar="FILE",
        help="settings of the cycle as TOML (retrain.toml in the workspace, if there)",
    )
    retrain.add_argument(
        "--kind",
        action="append",
        choices=("prep", "retrieve"),
        help="only this model; may be repeated (both)",
    )
    retrain.add_argument("--json", action="store_true", help="print the result as JSON")
    drift = command(
        "drift",
        _drift,
        "compare questions and documents with what the last retraining saw",
        "diptych drift\n  diptych drift --workspace notes-index --json",
    )
    drift.add_argument("--json", action="store_true", help="print the result as JSON")


def _drift(arguments: argparse.Namespace) -> int:
    from flows.cli.app import print_json
    from flows.retraining.drift import workspace_drift

    found = workspace_drift(arguments.workspace)
    if arguments.json:
        print_json(found)
        return 0
    print("drift: retraining is due" if found.drifted else "no drift")
    for reason in found.reasons:
        print(f"  {reason}")
    return 0


def _retrain(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from flows.cli.app import print_json
    from flows.retraining.cycle import retrain_workspace
    from flows.retraining.cycle_config import cycle_settings
    from prep.store.workspace import Workspace

    workspace = Workspace(arguments.workspace)
    settings = cycle_settings(workspace, arguments.config)
    if arguments.kind:
        settings = replace(settings, kinds=tuple(arguments.kind))
    outcome = retrain_workspace(workspace, settings, told=lambda sentence: print(sentence, file=sys.stderr))
    if arguments.json:
        print_json(outcome)
        return 0
    learned = ", ".join(f"{count} {kind}" for kind, count in outcome.lessons.items()) or "none"
    print(
        f"cycle {outcome.cycle}: {outcome.n_questions} questions to train on; lessons of the log: {learned}"
    )
    for step in outcome.steps:
        print(
            f"{step.kind} {step.candidate or 'candidate'} {'now serves' if step.promoted else 'is not promoted'}"
        )
        for reason in step.reasons:
            print(f"  {reason}")
        if step.decision is not None:
            print(f"  {workspace.path / step.decision / 'index.html'}")
    return 0
