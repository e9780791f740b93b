"""The retrain and check-drift flows do what the plain functions do, and show it on the Prefect server."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from fixture_cycle import TOML, log_questions

from flows.retraining.cycle_folder import cycles
from prep.store.workspace import Workspace

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def copy(workspace, tmp_path_factory):
    place = Workspace(shutil.copytree(workspace.path, tmp_path_factory.mktemp("flow") / "workspace"))
    (place.path / "retrain.toml").write_text(TOML, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def receipt(prefect_server, copy):
    from flows.deployments.retrain_flow import retrain

    log_questions(
        copy, [f"What does statement {n} do?" for n in range(40)], datetime.now(UTC) - timedelta(days=1)
    )
    return retrain(str(copy.path))


def artifacts(key):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))


def test_the_flow_shows_the_gates_decision_and_links_its_page(receipt, copy):
    assert [path.name for path in cycles(copy)] == [receipt["cycle"]]
    assert json.loads(json.dumps(receipt))["gate_set"] == receipt["gate_set"]
    (step,) = receipt["steps"]
    shown = artifacts("gate-retrieve")[-1]
    assert "candidate" in shown.data
    assert step["candidate"] in shown.description
    assert "index.html" in artifacts("gate-retrieve-page")[-1].data
    assert step["candidate"] in artifacts("retrain")[-1].data


def test_drift_is_looked_for_and_what_was_found_is_shown(receipt, copy):
    from flows.deployments.drift_flow import check_drift

    quiet = check_drift(str(copy.path))
    assert not quiet["drifted"]
    assert (quiet["n_before"], quiet["n_recent"]) == (40, 0)
    assert artifacts("drift")[-1].description == "; ".join(quiet["reasons"])
