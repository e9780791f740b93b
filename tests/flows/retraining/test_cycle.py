"""A retraining cycle trains, judges, and promotes or keeps; killed anywhere, it comes to the same end."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from fixture_cycle import LENIENT, STRICT, TOML, answers
from fixture_prep import subprocess_environment

from flows.candidates.dataset_folder import find_dataset, gate_set_path
from flows.candidates.feedback_data import logged_examples
from flows.cli.app import main
from flows.models.serving import serving_prep
from flows.retraining.cycle import retrain_workspace
from flows.retraining.cycle_folder import OUTCOME, cycles, last_plan, versions_under_trial
from flows.retraining.decision_folder import read_decision
from prep.errors import DataError, EmptyStore, WorkspaceLocked
from prep.fault_injection import RETRAINING_FAULT_POINTS
from prep.ingest import ingest
from prep.store.workspace import Workspace
from retrieve.researcher import Researcher
from training.data.dataset import load_set
from training.data.feedback_examples import FeedbackConfig
from training.data.gate_set import GateSet, read_gate_set

QUESTIONS = ["What does the break statement do?", "What is None?", "Who won the cup?"]
RETRIEVE = replace(LENIENT, kinds=("retrieve",))


@pytest.fixture
def copy(workspace, tmp_path):
    return Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))


@pytest.fixture(scope="module")
def promoted(workspace, tmp_path_factory):
    """A workspace in which both models were promoted, the answers before, and what the cycle came to."""
    place = Workspace(shutil.copytree(workspace.path, tmp_path_factory.mktemp("promoted") / "workspace"))
    before = answers(place, QUESTIONS)
    return place, before, retrain_workspace(place, LENIENT)


def test_a_cycle_promotes_what_passes_and_keeps_the_evidence(promoted, workspace):
    place, _, outcome = promoted
    assert [(step.kind, step.promoted) for step in outcome.steps] == [("prep", True), ("retrieve", True)]
    current = place.current()
    assert (current.prep, current.retrieve) == tuple(step.candidate for step in outcome.steps)
    assert current.generation != workspace.current().generation
    for step in outcome.steps:
        folder = place.path / str(step.decision)
        decision = read_decision(folder)
        assert (decision["kind"], decision["candidate"]) == (step.kind, step.candidate)
        assert decision["promoted"] is True
        assert decision["questions"] == {"set": outcome.gate_set, "n": 6, "n_old": 0}
        assert set(decision["figures"]) == {"current", "candidate"}
        assert "is promoted" in (folder / "index.html").read_text(encoding="utf-8")
        rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
        assert {row["label"] for row in rows} == {decision["current"], decision["candidate"]}


def test_rollback_of_both_answers_byte_for_byte_as_before(promoted, tmp_path):
    place = Workspace(shutil.copytree(promoted[0].path, tmp_path / "workspace"))
    assert answers(place, QUESTIONS) != promoted[1]
    for kind in ("retrieve", "prep"):
        assert main(["models", "rollback", kind, "--workspace", str(place.path)]) == 0
    assert json.dumps(answers(place, QUESTIONS)) == json.dumps(promoted[1])


def test_what_is_not_surely_better_is_kept_and_does_not_serve(copy):
    before = copy.current()
    outcome = retrain_workspace(copy, replace(STRICT, kinds=("retrieve",)))
    (step,) = outcome.steps
    assert not step.promoted
    assert step.candidate in copy.model_versions("retrieve")
    assert copy.current() == before
    assert "not sure" in " ".join(step.reasons) or "for sure" in " ".join(step.reasons)
    assert read_decision(copy.path / str(step.decision))["promoted"] is False


def test_the_log_teaches_and_cannot_reach_the_gate_set(copy):
    with Researcher.open(copy.path) as researcher:
        with copy.open_generation() as generation:
            documents = list(generation.documents())
        asked = researcher.ask_many(["What is the first word?", "What is the second word?"], deadline_s=60.0)
        texts = {document.id: document.text for document in documents}
        for report in asked:
            source = report.sources[0]
            word = re.search(r"\b[a-z]{6,}\b", texts[source.document_id][source.start : source.end])
            assert word is not None
            researcher.feedback(report.id, answer=word.group())
    outcome = retrain_workspace(copy, RETRIEVE)
    gate_set = read_gate_set(gate_set_path(copy))
    assert (
        outcome.feedback_examples.get("corrected", 0)
        + outcome.left_out.get("on a document of the gate set", 0)
        == 2
    )
    dataset = find_dataset(copy, outcome.dataset)
    assert dataset.n_feedback_examples == outcome.feedback_examples.get("corrected", 0)
    for part in (dataset.training(), load_set(dataset.held_out)):
        assert not set(part.documents) & set(gate_set.documents)


def test_what_no_source_shown_holds_is_searched_for(copy):
    """A word that one chunk alone holds, as the answer to a question that was shown none of that chunk."""
    with copy.open_generation() as generation:
        documents = {document.id: document.text for document in generation.documents()}
    words = Counter(word for text in documents.values() for word in re.findall(r"[a-z]{6,}", text.lower()))
    with Researcher.open(copy.path) as researcher:
        (report,) = researcher.ask_many(["What is it?"], deadline_s=60.0)
        shown = "".join(documents[one.document_id][one.start : one.end] for one in report.sources)
        answer = next(word for word, times in words.items() if times == 1 and word not in shown.lower())
        researcher.feedback(report.id, answer=answer)
    found = logged_examples(copy, GateSet(), FeedbackConfig(free=1e6))
    (span,) = next(question for question in found.questions if question.answers == (answer,)).evidence
    assert answer in documents[span.document_id][span.start : span.end].lower()


def test_the_gate_set_stays_when_the_next_cycle_comes(copy):
    first = retrain_workspace(copy, RETRIEVE)
    again = retrain_workspace(copy, RETRIEVE)
    assert [path.name for path in cycles(copy)] == [first.cycle, again.cycle] == ["0001", "0002"]
    assert again.gate_set == first.gate_set
    assert read_decision(copy.path / str(again.steps[0].decision))["questions"]["n_old"] == 6
    assert again.steps[0].candidate != first.steps[0].candidate


# The libraries are imported once; each point then has a process of its own, forked before anything was computed.
FORKER = """
import json, os, sys
from dataclasses import replace
import faiss, peft, transformers
from fixture_cycle import LENIENT
from flows.retraining.cycle import retrain_workspace
import prep.model.prep_model, retrieve.researcher, training.prep_model.contrastive, training.retrieve_model.supervised

for line in sys.stdin:
    place, points, kinds = json.loads(line)
    ends = []
    for point in points:
        child = os.fork()
        if child == 0:
            os.environ["DIPTYCH_FAULT_AT"] = point
            retrain_workspace(place, replace(LENIENT, kinds=tuple(kinds)))
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(ends), flush=True)
"""


class KillAt(Protocol):
    def __call__(self, points: Sequence[str], place: Workspace, *kinds: str) -> None: ...


@pytest.fixture(scope="module")
def kill_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillAt]:
    """Retrains in processes one after the other, each killed at one of the points, or at none where it is empty."""
    log = tmp_path_factory.mktemp("forker") / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", FORKER],
            env=subprocess_environment() | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as forker,
    ):

        def retrain_and_kill(points: Sequence[str], place: Workspace, *kinds: str) -> None:
            assert forker.stdin is not None
            assert forker.stdout is not None
            forker.stdin.write(json.dumps([str(place.path), points, kinds]) + "\n")
            forker.stdin.flush()
            ends = forker.stdout.readline()
            expected = [-signal.SIGKILL if point else 0 for point in points]
            assert ends == json.dumps(expected) + "\n", log.read_text(encoding="utf-8")

        yield retrain_and_kill


def outcome_of(place: Workspace) -> dict[str, object]:
    """What the only cycle came to, without the times in the names of its decisions' folders."""
    (cycle,) = cycles(place)
    outcome = json.loads((cycle / OUTCOME).read_text(encoding="utf-8"))
    for step in outcome["steps"]:
        step["decision"] = step["decision"].split("Z-")[1]
    return outcome


@pytest.mark.slow
def test_killed_at_every_point_in_turn_it_comes_to_the_same_end(copy, tmp_path, kill_at):
    """Each process goes on with what the one before left, and is killed at the next point."""
    unhurt = Workspace(shutil.copytree(copy.path, tmp_path / "unhurt"))
    kill_at([""], unhurt, "retrieve")
    kill_at([*RETRAINING_FAULT_POINTS, ""], copy, "retrieve")
    assert outcome_of(copy) == outcome_of(unhurt)
    assert copy.current().retrieve == outcome_of(unhurt)["steps"][0]["candidate"]
    assert answers(copy, QUESTIONS) == answers(unhurt, QUESTIONS)
    assert not [path for path in copy.path.rglob(".partial*") if "datasets" not in path.parts]


@pytest.mark.slow
def test_killed_once_prep_serves_it_trains_no_second_prep_candidate(copy, kill_at):
    before = set(copy.model_versions("prep"))
    kill_at(["after-promotion"], copy, "prep", "retrieve")
    serving = copy.current().prep
    assert set(copy.model_versions("prep")) - before == {serving}
    kill_at([""], copy, "prep", "retrieve")
    assert set(copy.model_versions("prep")) - before == {serving}
    assert [(step["kind"], step["promoted"]) for step in outcome_of(copy)["steps"]] == [
        ("prep", True),
        ("retrieve", True),
    ]


def test_a_cycle_begun_with_other_settings_is_given_up(copy, kill_at):
    kill_at(["after-plan"], copy, "prep", "retrieve")
    assert last_plan(copy).settings == LENIENT.to_json()
    assert retrain_workspace(copy, RETRIEVE).cycle == "0002"
    assert json.loads((cycles(copy)[0] / "outcome.json").read_text(encoding="utf-8")) == {"given_up": True}


@pytest.mark.slow
def test_a_layer_of_the_gate_set_that_a_killed_cycle_added_is_still_new_as_it_goes_on(copy, kill_at):
    """The figure on old topics is that on the layers of before, wherever the cycle was cut short."""
    kill_at(["after-plan"], copy, "retrieve")
    (cycle,) = cycles(copy)
    (cycle / OUTCOME).write_text("{}", encoding="utf-8")  # it came to its end
    with copy.open_generation() as generation:
        more = [
            replace(one, id=f"more/{one.id}", text=f"{one.text}\n\n{one.title}: told of here as well.\n")
            for one in generation.documents()
        ]
    ingest(copy, more, serving_prep(copy), remove_missing=False, progress=False)
    kill_at(["after-freeze", "after-plan"], copy, "retrieve")
    assert last_plan(copy).n_old_layers == 1
    assert len(read_gate_set(gate_set_path(copy)).layers) == 2


@pytest.mark.slow
def test_a_cycle_whose_feedback_examples_were_deleted_is_given_up_and_its_data_lose_them(
    copy, capsys, kill_at
):
    with copy.open_generation() as generation:
        texts = {document.id: document.text for document in generation.documents()}
    with Researcher.open(copy.path) as researcher:
        for user in ("ada", "ben"):
            asked = [f"What is told of {name} for {user}?" for name in texts]
            for report in researcher.ask_many(asked, deadline_s=60.0, user=user):
                source = report.sources[0]
                (word, *_) = re.findall(r"[a-z]{6,}", texts[source.document_id][source.start : source.end])
                researcher.feedback(report.id, answer=word)
    kill_at(["after-plan"], copy, "retrieve")
    digest = last_plan(copy).dataset
    taught = find_dataset(copy, digest)
    of_ada = [question for question in taught.training().questions if "for ada" in question.question]
    assert 0 < len(of_ada) < taught.n_feedback_examples
    assert main(["experience", "delete", "--user", "ada", "--workspace", str(copy.path)]) == 0
    assert f"12 reports deleted, and {len(of_ada)} feedback examples" in capsys.readouterr().out
    struck = find_dataset(copy, digest)
    assert (struck.n_deleted, struck.n_feedback_examples) == (
        len(of_ada),
        taught.n_feedback_examples - len(of_ada),
    )
    assert not [
        path
        for path in (copy.path / "datasets").rglob("*")
        if path.is_file() and "for ada" in path.read_text()
    ]
    kill_at(["after-plan"], copy, "retrieve")
    assert [path.name for path in cycles(copy)] == ["0001", "0002"]
    assert json.loads((cycles(copy)[0] / OUTCOME).read_text(encoding="utf-8")) == {"given_up": True}
    assert find_dataset(copy, last_plan(copy).dataset).n_feedback_examples == struck.n_feedback_examples


@pytest.mark.slow
def test_a_candidate_that_was_removed_before_its_cycle_ended_is_trained_again(copy, kill_at):
    kill_at(["after-candidate"], copy, "retrieve")
    (version,) = {name for _, name in versions_under_trial(copy)} - {copy.current().retrieve}
    shutil.rmtree(copy.model_path("retrieve", version))
    outcome = retrain_workspace(copy, RETRIEVE)
    assert [(step.candidate, step.promoted) for step in outcome.steps] == [(version, True)]
    assert not versions_under_trial(copy)


def test_two_processes_do_not_retrain_one_workspace(copy):
    from filelock import FileLock

    (copy.path / "retrain").mkdir()
    with FileLock(copy.path / "retrain" / ".lock"), pytest.raises(WorkspaceLocked, match="retrains"):
        retrain_workspace(copy, RETRIEVE)


def test_nothing_is_trained_where_nothing_could_be_measured(copy):
    with pytest.raises(DataError, match="no questions in its gate set"):
        retrain_workspace(copy, replace(RETRIEVE, gate_set=replace(RETRIEVE.gate_set, held_out_every=50)))
    assert cycles(copy) == []
    with pytest.raises(EmptyStore):
        retrain_workspace(copy.path / "nothing-here", RETRIEVE)


def test_the_command_prints_what_became_of_each_candidate(copy, tmp_path, capsys):
    (tmp_path / "cycle.toml").write_text(TOML, encoding="utf-8")
    words = [
        "retrain",
        "--workspace",
        str(copy.path),
        "--kind",
        "retrieve",
        "--config",
        str(tmp_path / "cycle.toml"),
    ]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "is not promoted" in shown.out
    assert re.search(r"  6 questions on \d documents cannot tell: ", shown.out)
    page = next(line.strip() for line in shown.out.splitlines() if line.endswith("index.html"))
    assert Path(page).is_file()
    assert "training retrieve" in shown.err
