"""The notes of a cycle are read as they were written, by older versions too."""

from __future__ import annotations

from flows.retraining.cycle_config import CycleSettings
from flows.retraining.cycle_folder import CycleFolder, CyclePlan, cycles, last_plan, unfinished_cycle
from prep.manifest import write_json
from prep.store.workspace import Workspace

PLAN = CyclePlan(
    created="2026-01-01T00:00:00+00:00",
    settings=CycleSettings().to_json(),
    generation="g1",
    gate_set="a1",
    n_old_layers=1,
    dataset="d1",
    feedback_examples={"helpful": 3},
    left_out={"blacked out": 1},
)


def test_a_cycle_is_unfinished_until_it_has_an_outcome(tmp_path):
    workspace = Workspace(tmp_path)
    assert (last_plan(workspace), unfinished_cycle(workspace)) == (None, None)
    first = CycleFolder.create(workspace, PLAN)
    assert (first.name, last_plan(workspace), unfinished_cycle(workspace)) == ("0001", PLAN, first)
    first.write("prep", {"candidate": "p1"})
    assert (first.read("prep"), first.read("retrieve")) == ({"candidate": "p1"}, None)
    first.give_up()
    assert unfinished_cycle(workspace) is None
    assert CycleFolder.create(workspace, PLAN).name == "0002"
    assert [path.name for path in cycles(workspace)] == ["0001", "0002"]


def test_a_plan_of_an_older_version_is_read(tmp_path):
    settings = CycleSettings().to_json()
    settings["lessons"] = settings.pop("feedback_examples")
    settings["lesson_weights"] = settings.pop("feedback_weights")
    settings["frozen"] = settings.pop("gate_set")
    settings["training"]["share"] = settings["training"].pop("interpolation")
    settings["training"]["n_asked"] = settings["training"].pop("n_generated")
    older = {
        "format": 1,
        "created": PLAN.created,
        "settings": settings,
        "generation": "g1",
        "frozen": "a1",
        "n_old_layers": 1,
        "dataset": "d1",
        "lessons": {"helpful": 3},
        "left_out": {"blacked out": 1},
    }
    folder = tmp_path / "retrain" / "0001"
    folder.mkdir(parents=True)
    write_json(folder / "plan.json", older).replace(folder / "plan.json")
    assert last_plan(Workspace(tmp_path)) == PLAN
