"""`diptych retrain` and `diptych drift`: a retraining cycle, and whether one is due."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flows.cli.command import FILE, KINDS, Kind, command, json_option
from flows.cli.output import print_json

__all__ = ["drift", "retrain"]


@command("retrain", "diptych retrain", "diptych retrain --kind retrieve --config retrain.toml")
@click.option(
    "--config",
    type=FILE,
    metavar="FILE",
    help="Settings of the cycle as TOML; by default retrain.toml in the workspace, if it exists.",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    help="Only this model; may be repeated. By default both.",
)
@json_option
def retrain(workspace: Path, config: Path | None, kinds: tuple[Kind, ...], as_json: bool, quiet: bool) -> int:
    """Train candidates; promote those that pass the gate.

    Candidates are trained on the corpus and the experience log.
    """
    from dataclasses import replace

    from flows.retraining.cycle import retrain_workspace
    from flows.retraining.cycle_config import cycle_settings
    from prep.store.workspace import Workspace

    place = Workspace(workspace)
    settings = cycle_settings(place, config)
    if kinds:
        settings = replace(settings, kinds=kinds)
    outcome = retrain_workspace(
        place, settings, on_progress=lambda text: None if quiet else print(text, file=sys.stderr)
    )
    if as_json:
        print_json(outcome)
        return 0
    learned = ", ".join(f"{count} {kind}" for kind, count in outcome.feedback_examples.items()) or "none"
    print(f"cycle {outcome.cycle}: {outcome.n_questions} questions to train on; feedback examples: {learned}")
    for step in outcome.steps:
        print(
            f"{step.kind} {step.candidate or 'candidate'} {'now serves' if step.promoted else 'is not promoted'}"
        )
        for reason in step.reasons:
            print(f"  {reason}")
        if step.decision is not None:
            print(f"  {place.path / step.decision / 'index.html'}")
    return 0


@command("drift", "diptych drift", "diptych drift --workspace notes-index --json")
@json_option
def drift(workspace: Path, as_json: bool) -> int:
    """Compare questions and documents with the last retraining's."""
    from flows.retraining.drift import workspace_drift

    found = workspace_drift(workspace)
    if as_json:
        print_json(found)
        return 0
    print("drift: retraining is due" if found.drifted else "no drift")
    for reason in found.reasons:
        print(f"  {reason}")
    return 0
