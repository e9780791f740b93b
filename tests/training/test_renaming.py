"""Names exchanged on a sheet: labels hold, nothing is known by heart, and what was taken away is refused."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from prep.errors import ConfigError
from training.mixture import read_traces, write_traces
from training.renaming import AWAY, Names, RenamingConfig, main, renamed, renamed_traces
from training.traces import Trace

SENTENCES = (
    "In 1883 the engineer Ada Quill opened Marsh Bridge.",
    "It cost 1,200 pounds and was 45.5 metres long.",
    "On 12 May the town of Harrow Vale built the mill beside Ada Quill.",
    "Its wheel was moved by the Tarn in 1790.",
)
RESULTS = (
    "<results>\nMarsh Bridge\n"
    + "".join(f"⟦{n}⟧ {text}" for n, text in enumerate(SENTENCES, 1))
    + "\n</results>\n"
)
ASKED = (
    ("When did Ada Quill open the bridge?", "1883", 1),
    ("Who opened Marsh Bridge?", "the engineer Ada Quill", 1),
    ("What did it cost?", "1,200 pounds", 2),
    ("Which town built the mill?", "Harrow Vale", 3),
    ("What moved the wheel in 1790?", "the Tarn", 4),
)
ALL = RenamingConfig(share=1.0, away=0.0)
OTHERS = Names({1: ["Ember", "Ostrava"], 2: ["Pale Orchard", "Nils Okafor", "Vera Stone"]})


def trace(question: str, answer: str, pointer: int, results: str = RESULTS) -> Trace:
    report = f"<report> {answer}⟦{pointer}⟧</report>"
    return Trace(
        question, "direct", ((results, False), (f"<question>{question}</question>\n", False), (report, True))
    )


SHEET = [trace(*asked) for asked in ASKED]


def stated(one: Trace) -> tuple[str, str]:
    """Return a trace's statement, and the sentence it points at."""
    statement, number = re.findall(r"<report> ([^⟦]*)⟦(\d+)⟧", one.segments[-1][0])[0]
    (sentence,) = re.findall(rf"⟦{number}⟧([^⟦\n]*)", one.segments[0][0])
    return statement, sentence


def draws(sheet: Sequence[Trace], config: RenamingConfig, n: int = 40) -> list[list[Trace]]:
    return [renamed(sheet, OTHERS, config, random.Random(seed)) for seed in range(n)]


def test_every_label_holds_and_answers_are_others() -> None:
    changed = set()
    for sheet in draws(SHEET, ALL):
        assert len({one.segments[0] for one in sheet}) == 1  # still one sheet
        assert [one.question_id for one in sheet] == [one.question_id for one in SHEET]
        for one, was in zip(sheet, SHEET, strict=True):
            statement, sentence = stated(one)
            assert statement in sentence
            assert re.findall(r"⟦\d+⟧", one.text) == re.findall(r"⟦\d+⟧", was.text)
            if statement != stated(was)[0]:
                changed.add(was.question_id)
                assert stated(was)[0] not in one.segments[0][0]
    assert changed == {question for question, _, _ in ASKED}


def test_what_a_question_names_is_exchanged_in_it_as_well() -> None:
    for sheet in draws(SHEET, ALL):
        opened = re.findall(r"engineer ([\w ]+) opened", sheet[0].segments[0][0])[0]
        assert f"When did {opened} open the bridge?" in sheet[0].segments[1][0]


def test_numbers_stay_numbers_of_their_kind() -> None:
    for sheet in draws(SHEET, ALL):
        year, cost, length, day = re.findall(
            r"In (\S+) the .* cost (\S+) pounds and was (\S+) metres .* On (\d+) May", sheet[0].segments[0][0]
        )[0]
        assert re.fullmatch(r"\d{4}", year)
        assert abs(int(year) - 1883) <= 40
        assert re.fullmatch(r"\d{3}|\d,\d{3}", cost)
        assert re.fullmatch(r"\d+\.\d", length)
        assert 1 <= int(day) <= 28


def test_a_question_whose_name_was_taken_away_is_refused_and_no_other_is_spoiled() -> None:
    taken = set()
    for sheet in draws(SHEET, RenamingConfig(share=0.0, away=1.0, refused=0.7)):
        away = [one for one in sheet if one.kind == AWAY]
        taken |= {one.question_id for one in away}
        for one in away:
            assert one.segments[-1] == ("<report> none</report>", True)
            assert one.segments[0][0] != RESULTS
        for one in sheet:
            if one.kind != AWAY:
                statement, sentence = stated(one)
                assert sentence in RESULTS
                assert statement in sentence
    # The cost names nothing, nor does the town; the bridge is named in a title alone beside its sentence.
    assert taken == {
        "When did Ada Quill open the bridge?",
        "Who opened Marsh Bridge?",
        "What moved the wheel in 1790?",
    }


def test_what_may_be_told_from_elsewhere_is_not_refused() -> None:
    twice = RESULTS.replace("Its wheel", "Since 1883 its wheel")
    sheet = [trace(*ASKED[0], results=twice)]
    for some in draws(sheet, RenamingConfig(share=0.0, away=1.0, refused=1.0)):
        assert [one.kind for one in some] == ["direct"]


def test_names_come_from_answers_that_several_sheets_speak_of() -> None:
    sheets = {RESULTS.replace("1883", str(year)): [trace(*ASKED[3])] for year in range(1883, 1886)}
    assert Names.of(sheets).by_length == {2: ["Harrow Vale"]}
    assert Names.of(dict(list(sheets.items())[:2])).by_length == {}
    assert Names().other("Harrow Vale", "a text", random.Random(0)) is None


def test_it_is_deterministic_and_leaves_out_little(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_traces(tmp_path / "in" / "train.jsonl", SHEET)
    write_traces(tmp_path / "in" / "held_out.jsonl", SHEET[:1])
    main(["--traces", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--seed", "3"])
    found = read_traces(tmp_path / "out" / "train.jsonl")
    assert found == renamed_traces(SHEET, RenamingConfig(seed=3))
    assert found != renamed_traces(SHEET, RenamingConfig(seed=4))
    assert read_traces(tmp_path / "out" / "held_out.jsonl") == SHEET[:1]


def test_of_what_stays_as_it_was_a_share_is_kept() -> None:
    sheets = [
        [trace(*asked, results=RESULTS.replace("1883", str(year))) for asked in ASKED]
        for year in (1883, 1884)
    ]
    traces = [one for sheet in sheets for one in sheet]
    config = RenamingConfig(share=0.5, away=0.0)
    known = {(one.question_id, one.segments[1:]) for one in traces}
    every = renamed_traces(traces, config)
    changed = [one for one in every if (one.question_id, one.segments[1:]) not in known]
    assert 0 < len(changed) < len(every) == len(traces)
    assert renamed_traces(traces, replace(config, known=0.0)) == changed


def test_shares_lie_between_none_and_all() -> None:
    with pytest.raises(ConfigError, match="away"):
        RenamingConfig(away=1.5)
