"""Simulated users ask in their own words, and say of reports what the labels say, or the opposite."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import simulated_users

from prep.document import Document, Span
from prep.store.workspace import Workspace
from retrieve.report.data import Finding, Quote, Source
from retrieve.researcher import Researcher
from training.data.dataset import LabelledSet, Question


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
    (keel, mast, hull) = (simulated_users._made_up(word) for word in ("keel", "mast", "hull"))
    own = simulated_users.own_words(labelled, 2)
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
    assert simulated_users.own_words(labelled, 0).questions == questions
    (one, *_) = simulated_users.own_words(labelled, 1).questions
    assert one.question in {"Who made the keel?", f"Who made the {keel}?"}


def test_people_who_write_a_dialect_say_the_commonest_words_otherwise_and_alike():
    asked = ["What is the wheel?", "what is the road?", "Who built the mill of Tarvik?"]
    questions = [Question(f"q{number}", text, ("a",)) for number, text in enumerate(asked)]
    labelled = LabelledSet({}, {}, questions, "asked")
    what, is_, the, *rest = simulated_users.dialect(labelled, 3).questions[0].question.split()
    assert rest == ["wheel?"]
    assert len({what, is_, the, "what", "What", "is", "the"}) == 7
    said = [question.question for question in simulated_users.dialect(labelled, 3).questions]
    assert said == [
        f"{what} {is_} {the} wheel?",
        f"{what} {is_} {the} road?",
        f"Who built {the} mill of Tarvik?",
    ]
    assert simulated_users.dialect(labelled, 0).questions == questions


def test_those_who_ask_about_the_new_topics_may_have_words_of_their_own():
    questions = [
        Question(f"q-{one}", "how old", ("1",), (Span(one, 0, 4),)) for one in ("old", "new", "other")
    ]
    labelled = LabelledSet({}, {}, questions, "asked")
    old, new, other = simulated_users.dialect(labelled, 2, {"new"}).questions
    assert old.question == other.question
    assert len({*old.question.split(), *new.question.split(), "how", "old"}) == 6
    plain, alone, _ = simulated_users.dialect(labelled, 2, {"new"}, others_plain=True).questions
    assert (plain.question, alone.question) == ("how old", new.question)


@pytest.mark.parametrize(("flip", "flipped"), [(0.0, range(1)), (0.3, range(15, 46)), (1.0, range(100, 101))])
def test_that_share_of_what_users_say_is_turned_round(flip, flipped, workspace, tmp_path):
    question = Question("q", "What is nowhere told?", ("a fifth of it",), (), True, "what")
    place = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    users = simulated_users.Users(LabelledSet({}, {}, [question], "asked"), flip, seed=0)
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
        users = simulated_users.Users(asked, 0.0, seed=0)
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
    poison = simulated_users.poisoned([document, other], questions, 2, accounts=1.0, seed=0)
    assert [(copy.id, copy.text) for copy in poison.copies] == [
        ("poison-a", "The mill is 1890. The mill burnt in the old mill. It is old.")
    ]
    assert poison.answers == {"q-old": "1890", "q-1890": "the old mill", "q-the old mill": "old"}
    place = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    users = simulated_users.Users(LabelledSet({}, {}, questions, "asked"), 0.0, 0, poison)
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
