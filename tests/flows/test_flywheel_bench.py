"""The bench of two retraining cycles runs, says what users said, and goes on where it was cut short."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from bench import flywheel_cycles
from fixture_causal_lm import serve_tiny_model
from fixture_cycle import TOML

from flows.cycle import cycles
from flows.datasets import document_formats, find_dataset
from prep.document import Document, Span
from prep.manifest import read_json
from prep.workspace import Workspace
from retrieve.report import Finding, Quote, Source
from retrieve.researcher import Researcher
from training.dataset import LabelledSet, Question, load_set, save_set
from training.synthesize import synthesize_cloze

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


def test_people_call_a_document_s_things_by_their_own_words():
    documents = {name: Document(name, name, "The keel. The mast.") for name in "abc"}

    def asked(document_id, *texts):
        evidence = (Span(document_id, 0, 9),)
        return [Question(f"{document_id}{n}", text, ("The keel.",), evidence) for n, text in enumerate(texts)]

    questions = [
        *asked("a", "Who made the keel?", "What keel and mast?", "Keel or mast?", "The mast, or a?"),
        *asked("b", "Which keel was first?", "Which hull was first?", "Which hull?", "What hull is it?"),
        Question("none", "Which keel?", answerable=False),
    ]
    labelled = LabelledSet(documents, dict.fromkeys(documents, "text"), questions, "boats")
    (keel, mast, hull) = (flywheel_cycles._made_up(word) for word in ("keel", "mast", "hull"))
    own = flywheel_cycles.own_words(labelled, 2)
    assert [question.question for question in own.questions] == [
        f"Who made the {keel}?",
        f"What {keel} and {mast}?",
        f"{keel} or {mast}?",
        f"The {mast}, or a?",
        "Which keel was first?",
        f"Which {hull} was first?",
        f"Which {hull}?",
        f"What {hull} is it?",
        "Which keel?",
    ]
    assert [replace(q, question="") for q in own.questions] == [replace(q, question="") for q in questions]
    assert len({keel, mast, hull}) == 3
    assert flywheel_cycles.own_words(labelled, 0).questions == questions
    (one, *_) = flywheel_cycles.own_words(labelled, 1).questions
    assert one.question in {"Who made the keel?", f"Who made the {keel}?"}


def test_people_who_write_a_dialect_say_the_commonest_words_otherwise_and_alike():
    asked = ["What is the wheel?", "what is the road?", "Who built the mill of Tarvik?"]
    questions = [Question(f"q{number}", text, ("a",)) for number, text in enumerate(asked)]
    labelled = LabelledSet({}, {}, questions, "asked")
    what, is_, the, *rest = flywheel_cycles.dialect(labelled, 3).questions[0].question.split()
    assert rest == ["wheel?"]
    assert len({what, is_, the, "what", "What", "is", "the"}) == 7
    said = [question.question for question in flywheel_cycles.dialect(labelled, 3).questions]
    assert said == [
        f"{what} {is_} {the} wheel?",
        f"{what} {is_} {the} road?",
        f"Who built {the} mill of Tarvik?",
    ]
    assert flywheel_cycles.dialect(labelled, 0).questions == questions


def test_those_who_ask_about_the_new_topics_may_have_words_of_their_own():
    questions = [
        Question(f"q-{one}", "how old", ("1",), (Span(one, 0, 4),)) for one in ("old", "new", "other")
    ]
    labelled = LabelledSet({}, {}, questions, "asked")
    old, new, other = flywheel_cycles.dialect(labelled, 2, {"new"}).questions
    assert old.question == other.question
    assert len({*old.question.split(), *new.question.split(), "how", "old"}) == 6
    plain, alone, _ = flywheel_cycles.dialect(labelled, 2, {"new"}, others_plain=True).questions
    assert (plain.question, alone.question) == ("how old", new.question)


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


@pytest.mark.parametrize(("flip", "flipped"), [(0.0, range(1)), (0.3, range(15, 46)), (1.0, range(100, 101))])
def test_that_share_of_what_users_say_is_turned_round(flip, flipped, workspace, tmp_path):
    question = Question("q", "What is nowhere told?", ("a fifth of it",), (), True, "what")
    place = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    users = flywheel_cycles.Users(LabelledSet({}, {}, [question], "asked"), flip, seed=0)
    with Researcher.open(place.path) as researcher:
        report = researcher.ask(question.question, deadline_s=60.0)
        for _ in range(100):
            users.say(researcher, question, report, ["something else"])
    assert users.said["flipped"] in flipped
    assert users.said["helpful"] == users.said["flipped"]


def test_of_what_helped_the_quotes_that_are_wrong_are_said_to_be(workspace, tmp_path):
    place = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    with place.open_generation() as generation:
        (document, *_) = generation.documents()
    asked = LabelledSet({document.id: document}, {}, [], "asked")
    quotes = [Quote(document.id, at, at + 9, document.text[at : at + 9]) for at in (0, 9)]
    with Researcher.open(place.path) as researcher:
        report = replace(
            researcher.ask("What is nowhere told?", deadline_s=60.0),
            id="marked",
            answer="stone bridge crosses river",
            abstained=False,
            findings=[Finding("stone bridge crosses river", quotes)],
            sources=[Source(document.id, "", (), 0, 18, 0.9, used=True)],
        )
        researcher.log.record(report)
        question = Question("q", report.question, ("that",), (Span(document.id, 0, 9),), True, "clause")
        users = flywheel_cycles.Users(asked, 0.0, seed=0)
        users.say(researcher, question, report, [])
        (row,) = (row for row in researcher.log.rows() if row.report.id == "marked")
    assert (users.said["helpful"], users.said["wrong quote"]) == (1, 1)
    assert row.quotes(right=False) == [quotes[1]]


def test_poison_says_other_answers_and_accounts_push_them(workspace, tmp_path):
    text = "The mill is old. The mill burnt in 1890. It is the old mill."
    spans = {"old": (12, 15), "1890": (35, 39), "the old mill": (47, 59)}
    assert [text[start:end] for start, end in spans.values()] == list(spans)
    questions = [Question(f"q-{one}", "What of it?", (one,), (Span("a", *spans[one]),)) for one in spans]
    document, other = Document("a", "Mills", text), Document("b", "Other", "Nothing is asked of it.")
    poison = flywheel_cycles.poisoned([document, other], questions, 2, accounts=1.0, seed=0)
    assert [(copy.id, copy.text) for copy in poison.copies] == [
        ("poison-a", "The mill is 1890. The mill burnt in the old mill. It is old.")
    ]
    assert poison.answers == {"q-old": "1890", "q-1890": "the old mill", "q-the old mill": "old"}
    place = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    users = flywheel_cycles.Users(LabelledSet({}, {}, questions, "asked"), 0.0, 0, poison)
    with Researcher.open(place.path) as researcher:
        plain = replace(researcher.ask("What of it?", deadline_s=60.0), id="pushed")
        quoting = replace(
            plain,
            answer="1890",
            abstained=False,
            findings=[Finding("1890", [Quote("poison-a", 12, 16, "1890")])],
            sources=[Source("poison-a", "", (), 0, 40, 0.9, used=True)],
        )
        researcher.log.record(quoting)
        for report in (plain, quoting):
            users.say(researcher, questions[0], report, [])
        (row,) = (row for row in researcher.log.rows() if row.report.id == "pushed")
    assert [(said.helpful, said.answer) for said in row.feedback] == [(False, "1890"), (True, None)]
    assert (users.said["corrected to poison"], users.said["praised poison"]) == (1, 1)


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
