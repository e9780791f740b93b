"""The `check-drift` flow: says on the Prefect server when a workspace has drifted, so that retraining is triggered.

The event `diptych.drift` names the workspace as its resource; the deployment `on-drift` in prefect.yaml waits
for it. The work is `flows.retraining.drift`. Importing this module imports Prefect.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.events import emit_event

from flows.deployments.artifacts import publish_table
from flows.deployments.tasks import TASK, Receipt
from flows.retraining.drift import workspace_drift

__all__ = ["EVENT", "check_drift", "compare"]

EVENT = "diptych.drift"


@flow(name="check-drift", result_serializer="json", persist_result=False)
def check_drift(workspace: str = "workspace") -> Receipt:
    """Compare questions and documents with those of the last cycle; emit `diptych.drift` where they moved.

    Returns the drift. Raises EmptyStore, StoreError.
    """
    receipt = compare(workspace)
    row = {name: value for name, value in receipt.items() if name != "reasons"}
    publish_table("drift", [row], "; ".join(receipt["reasons"]))
    if receipt["drifted"]:
        path = Path(workspace).resolve()
        resource = {
            "prefect.resource.id": f"diptych.workspace.{path.name}",
            "prefect.resource.name": str(path),
        }
        emit_event(EVENT, resource=resource, payload=row | {"reasons": receipt["reasons"]})
    return receipt


@task(name="compare with the last training", **TASK)
def compare(workspace: str) -> Receipt:
    """Return the drift of the workspace as plain values."""
    found = workspace_drift(workspace)
    for reason in found.reasons:
        get_run_logger().info("%s", reason)
    return asdict(found) | {"reasons": list(found.reasons)}
