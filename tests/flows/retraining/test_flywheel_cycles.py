"""The bench of two retraining cycles runs, says what users said, and goes on where it was cut short."""

from __future__ import annotations

import pytest
from bench import flywheel_cycles
from fixture_causal_lm import serve_tiny_model
from fixture_cycle import TOML

from flows.candidates.dataset_folder import document_formats, find_dataset
from flows.retraining.cycle_folder import cycles
from prep.document import Document, Span
from prep.manifest import read_json
from prep.store.workspace import Workspace
from training.data.cloze_questions import synthesize_cloze
from training.data.dataset import LabelledSet, Question, load_set, save_set

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def options(workspace, tmp_path_factory):
    """A labelled set of the session's documents, a workspace with a tiny model, settings for a tiny cycle."""
    folder = tmp_path_factory.mktemp("flywheel")
    with workspace.open_generation() as generation:
        documents = {document.id: document for document in generation.documents()}
    questions = synthesize_cloze(documents.values(), n=120, seed=1)
    save_set(LabelledSet(documents, document_formats(documents), questions, "mine"), folder / "mine")
    serve_tiny_model(Workspace(folder / "out"), folder / "model")
    (folder / "cycle.toml").write_text(TOML, encoding="utf-8")
    words = ["--data", folder / "mine", "--workspace", folder / "out", "--config", folder / "cycle.toml"]
    return [str(word) for word in words] + "--questions 6 --measured 4 --flip 0.3 --poison 2".split()


@pytest.fixture(scope="module")
def done(options):
    return flywheel_cycles.run(options)


def test_two_cycles_run_and_every_stage_has_its_figures(done):
    for stage in ("figures before", "figures after cycle 1", "figures after cycle 2"):
        assert set(done[stage]) == {"old", "new"}
        assert set(done[stage]["new"]) == set(flywheel_cycles.FIGURES.values())
    assert [len(done[stage]) - 1 for stage in ("cycle 1", "cycle 2")] == [1, 1]


def test_every_stage_has_its_gains_on_what_was_before(options, done, capsys):
    flywheel_cycles.run(options)
    said = capsys.readouterr().out
    for stage in ("cycle 1", "cycle 2"):
        for topic in ("old", "new"):
            for figure in ("evidence", "F1"):
                assert f"figures after {stage}, {topic} {figure}: +" in said.replace("-0.", "+0.")
    for stage in [stage for stage in done if stage.startswith("figures")]:
        rows = read_json(Workspace(options[3]).path.parent / "out-gate" / f"{stage}.json")
        for topic, found in done[stage].items():
            values = [value for _, value in rows[topic]["evidence"]]
            assert sum(values) / len(values) == pytest.approx(found["evidence"], abs=1e-4)


@pytest.mark.parametrize("promoted", [False, True])
def test_what_serves_is_measured_again_where_a_cycle_promoted(promoted, options, monkeypatch, tmp_path):
    words = [word.replace(options[3], str(tmp_path / "again")) for word in options]
    flywheel = flywheel_cycles.Flywheel(flywheel_cycles.parse(words))
    monkeypatch.setattr(flywheel, "measure", lambda when: f"measured {when}")
    flywheel.values_path("before").write_text("{}", encoding="utf-8")
    flywheel.figures("before")
    flywheel.stage("cycle 1", lambda: [{"questions": 6}, {"promoted": promoted}])
    flywheel.figures("after cycle 1", since="before", cycle="cycle 1")
    assert flywheel.done["figures after cycle 1"] == (
        "measured after cycle 1" if promoted else "measured before"
    )
    assert flywheel.values_path("after cycle 1").exists() is not promoted


def test_the_new_topics_may_be_another_set_s():
    def labelled(name, n):
        documents = {f"{name}-{i}": Document(f"{name}-{i}", name, f"{name} {i} is old.") for i in range(n)}
        questions = [
            Question(f"{one}-{number}", "how old", ("old",), (Span(one, 0, 4),))
            for one in documents
            for number in range(4)
        ]
        return LabelledSet(documents, dict.fromkeys(documents, "text"), questions, name)

    old, new = labelled("a", 6), labelled("b", 3)
    stream = flywheel_cycles.deal(old.joined(new), 0, new.documents)
    assert {topic: {one.id for one in some} for topic, some in stream.documents.items()} == {
        "old": set(old.documents),
        "new": set(new.documents),
    }
    for part in (stream.asked, stream.measured, {topic: one.questions for topic, one in stream.gate.items()}):
        assert {question.evidence[0].document_id for question in part["new"]} == set(new.documents)
    assert [len(stream.asked["new"]), len(stream.measured["new"]), len(stream.gate["new"].questions)] == [
        6,
        3,
        3,
    ]
    dealt = flywheel_cycles.deal(old, 0)
    assert {one.id for some in dealt.documents.values() for one in some} == set(old.documents)
    assert len(dealt.documents["new"]) == 1  # the gate wants its questions on five documents


def test_users_say_something_of_every_answer(done):
    one, two = done["questions of cycle 1"], done["questions of cycle 2"]
    aside = ("flipped", "wrong quote")
    assert [sum(n for what, n in said.items() if what not in aside) for said in (one, *two)] == [6, 1, 5]


def test_models_that_learned_nothing_are_refused(done):
    assert [step["promoted"] for stage in ("cycle 1", "cycle 2") for step in done[stage][1:]] == [
        False,
        False,
    ]


def test_poisoned_copies_are_in_the_corpus_and_no_question_of_the_gate_is_trained_on(done, options):
    place = Workspace(options[3])
    with place.open_generation() as generation:
        copies = [document for document in generation.documents() if document.id.startswith("poison-")]
        assert all(copy.text != generation.document(copy.id.removeprefix("poison-")).text for copy in copies)
    assert len(copies) == 2
    sets = [load_set(place.path.parent / "out-gate" / f"gate-{topic}") for topic in ("old", "new")]
    gate = {question.question for labelled in sets for question in labelled.questions}
    assert gate
    for cycle in cycles(place):
        trained = find_dataset(place, read_json(cycle / "plan.json")["dataset"]).training()
        assert set(trained.documents) >= {copy.id for copy in copies}
        assert not gate & {question.question for question in trained.questions}


def test_a_second_run_finds_everything_done(done, options, capsys):
    assert flywheel_cycles.run(options) == done
    assert "== " not in capsys.readouterr().out
    assert len(cycles(Workspace(options[3]))) == 2
