"""`prefect.yaml` is what Prefect reads: every deployment names a flow that is there, and what it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows import prefect_settings

ROOT = Path(__file__).resolve().parents[2]
CONTENT = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS = {deployment["name"]: deployment for deployment in CONTENT["deployments"]}


@pytest.fixture(autouse=True)
def prefect_home(tmp_path_factory):
    prefect_settings.configure(tmp_path_factory.mktemp("prefect-home"))


def test_prefect_accepts_the_file():
    from prefect.cli.deploy._models import PrefectYamlModel

    model = PrefectYamlModel.model_validate(CONTENT)
    assert [deployment.name for deployment in model.deployments] == list(DEPLOYMENTS)


def test_the_five_flows_are_deployed():
    flows = {deployment["entrypoint"].split(":")[1] for deployment in DEPLOYMENTS.values()}
    assert flows == {"ingest", "synthesize", "train_prep", "train_retrieve", "evaluate"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_names_a_flow_and_parameters_it_takes(name, monkeypatch):
    from prefect.flows import load_flow_from_entrypoint

    monkeypatch.chdir(ROOT)
    flow = load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"], use_placeholder_flow=False)
    assert flow.name == DEPLOYMENTS[name]["entrypoint"].split(":")[1].replace("_", "-")
    flow.validate_parameters(DEPLOYMENTS[name]["parameters"])


@pytest.mark.parametrize("name", [n for n in DEPLOYMENTS if n != "suites"])
def test_a_deployment_that_writes_runs_one_at_a_time(name):
    assert DEPLOYMENTS[name]["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_no_schedule_is_active_unless_someone_turns_it_on(name):
    assert not any(schedule["active"] for schedule in DEPLOYMENTS[name].get("schedules", []))
