"""`prefect.yaml` is what Prefect reads: every deployment names a flow that is there, and what it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows.deployments import prefect_settings

ROOT = Path(__file__).resolve().parents[3]
CONTENT = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS = {deployment["name"]: deployment for deployment in CONTENT["deployments"]}


@pytest.fixture(autouse=True)
def prefect_home(tmp_path_factory):
    prefect_settings.configure(tmp_path_factory.mktemp("prefect-home"))


def test_prefect_accepts_the_file():
    from prefect.cli.deploy._models import PrefectYamlModel

    model = PrefectYamlModel.model_validate(CONTENT)
    assert [deployment.name for deployment in model.deployments] == list(DEPLOYMENTS)


def test_every_flow_is_deployed():
    flows = {deployment["entrypoint"].split(":")[1] for deployment in DEPLOYMENTS.values()}
    training = {"synthesize", "train_prep", "train_retrieve", "retrain"}
    assert flows == {"ingest", "evaluate", "check_drift", *training}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_names_a_flow_and_parameters_it_takes(name, monkeypatch):
    from prefect.flows import load_flow_from_entrypoint

    monkeypatch.chdir(ROOT)
    flow = load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"], use_placeholder_flow=False)
    assert flow.name == DEPLOYMENTS[name]["entrypoint"].split(":")[1].replace("_", "-")
    flow.validate_parameters(DEPLOYMENTS[name]["parameters"])


@pytest.mark.parametrize("name", [n for n in DEPLOYMENTS if n not in ("evaluation", "drift")])
def test_a_deployment_that_writes_runs_one_at_a_time(name):
    assert DEPLOYMENTS[name]["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_ingest_is_hourly_drift_is_looked_for_daily_and_retraining_is_weekly():
    schedules = {
        name: [schedule["cron"] for schedule in deployment["schedules"]]
        for name, deployment in DEPLOYMENTS.items()
        if "schedules" in deployment
    }
    assert schedules == {"documents": ["0 * * * *"], "drift": ["0 1 * * *"], "weekly": ["30 2 * * 0"]}


def test_retraining_waits_for_the_event_that_the_drift_check_emits():
    from prefect.cli.deploy._triggers import _initialize_deployment_triggers

    from flows.deployments.drift_flow import EVENT

    (trigger,) = _initialize_deployment_triggers("on-drift", DEPLOYMENTS["on-drift"]["triggers"])
    assert trigger.expect == {EVENT}
    assert trigger.enabled
    assert [name for name, deployment in DEPLOYMENTS.items() if "triggers" in deployment] == ["on-drift"]
