"""Versions compared from the command line, and the packed examples that are drawn from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fixture_causal_lm import make_causal_lm, make_retrieve_version
from fixture_prep import LinePrep

from prep.document import Document, Span
from retrieve.episode.episode import EpisodeLimits
from retrieve.episode.grammar import ActionLimits
from retrieve.model import ADAPTER, ServingConfig, save_retrieve_version
from training.data.dataset import LabelledSet, Question, save_set
from training.retrieve_model import compare_retrieve
from training.traces import packed_example_set
from training.traces.mixture import DEVELOPMENT, part_of
from training.traces.packed_example_set import BROAD_SETS, PackedExampleSet, unseen_part

TERSE = ActionLimits(query_tokens=3, statement_tokens=3, max_findings=1, max_pointers=1)
WORDS = [
    f"{first}{last}"
    for first in ("bar", "tol", "mer", "sud", "ken", "ral")
    for last in ("lin", "gate", "mot", "wick", "ham", "bury")
]


class Lines:
    """Stands where `PrepModel` does."""

    @staticmethod
    def load(version: str | None = None) -> LinePrep:
        assert version is None
        return LinePrep()


def save(data: Path, name: str, kind: str) -> LabelledSet:
    """A set whose documents say three things each; of each document two are asked for."""
    documents, questions = {}, []
    for word in WORDS:
        text = f"The {word} is old.\nIt is the {word} of all.\nNobody doubts the {word}.\n"
        document = documents[f"{name}-{word}"] = Document(f"{name}-{word}", word, text)
        for number, asked in enumerate((f"how old is the {word}", f"who doubts the {word}")):
            start = 0 if number == 0 else text.index("Nobody")
            answers = () if kind == "long" else ("old" if number == 0 else "Nobody",)
            span = Span(document.id, start, text.index("\n", start))
            questions.append(Question(f"{document.id}-{number}", asked, answers, (span,), kind=kind))
    made = LabelledSet(documents=documents, formats={}, questions=questions, name=name)
    save_set(made, data / name)
    return made


def run(module: object, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(f"{module.__name__}.PrepModel", Lines)  # type: ignore[attr-defined]
    monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
    module.main()  # type: ignore[attr-defined]


def test_two_versions_are_asked_the_same_questions_once_and_what_the_second_gains_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = save(tmp_path / "data", DEVELOPMENT, "factoid")
    base = make_causal_lm(tmp_path / "base")
    make_retrieve_version(tmp_path / "made", base)
    folders = {}
    for name, n_passages in (("first", 3), ("second", 1)):
        folders[name] = tmp_path / name
        action = replace(TERSE, statement_tokens=n_passages)
        serving = ServingConfig(action=action, episode=EpisodeLimits(passages_per_search=n_passages))
        save_retrieve_version(
            folders[name], tmp_path / "made" / ADAPTER, serving=serving, source=str(base), name=name
        )
    given = ["--data", tmp_path / "data", "--first", folders["first"], "--second", folders["second"]]
    given += ["--out", tmp_path / "out", "--base", base, "--searches", 1]
    run(compare_retrieve, monkeypatch, *given)
    held = part_of(whole, held_out=True)
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert told == json.loads(capsys.readouterr().out)
    assert told["questions"] == len(held.questions) > 10
    first, second = told["first"], told["second"]
    assert [one.pop("version").split("-")[0] for one in (first, second)] == ["first", "second"]
    assert first != second
    for figure, gain in told["gains"].items():
        assert gain["difference"] == pytest.approx(second[figure] - first[figure])
        assert gain["low"] <= gain["difference"] <= gain["high"]
    rows = {path: path.read_bytes() for path in (tmp_path / "out").glob("*.jsonl")}
    assert [len(kept.splitlines()) for kept in rows.values()] == [len(held.questions)] * 2
    run(compare_retrieve, monkeypatch, *given)
    assert {path: path.read_bytes() for path in (tmp_path / "out").glob("*.jsonl")} == rows
    run(compare_retrieve, monkeypatch, *given, "--unpractised")
    left = unseen_part(whole, reading=False, measured=True)
    again = json.loads((tmp_path / "out" / "result.json").read_text())
    assert again["questions"] == len(left.questions) < len(held.questions)


def test_broad_packed_examples_are_drawn_of_documents_that_no_stage_has_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = {name: save(tmp_path / "data", name, "long") for name in BROAD_SETS}
    given = ["--data", tmp_path / "data", "--broad", "--questions", 1, "--passages", 2]
    asked = {}
    for name, more in (("practice", []), ("few", ["--most", 1]), ("held", ["--held-out"])):
        run(packed_example_set, monkeypatch, *given, *more, "--out", tmp_path / name)
        asked[name] = PackedExampleSet.load(tmp_path / name)
    documents = {name: set(drawn.dataset.documents) for name, drawn in asked.items()}
    unseen = {id for one in sets.values() for id in part_of(one, held_out=True).documents}
    assert documents["practice"]
    assert documents["practice"] | documents["held"] <= unseen
    assert not documents["practice"] & documents["held"]
    assert len(asked["few"].examples) == len(BROAD_SETS)
    assert {one.kind for one in asked["practice"].dataset.questions} == {"long"}
    assert capsys.readouterr().out.count(" packed examples\n") == 3 * len(BROAD_SETS)
    for example in asked["practice"].examples:
        for question in example.questions:
            touched = any(span.overlaps(one) for span in question.evidence for one in example.passages)
            assert touched is not question.withheld


def test_what_is_broad_is_asked_without_answers_and_short_questions_are_not(tmp_path: Path) -> None:
    broad = save(tmp_path, "broad", "long")
    drawn = PackedExampleSet.draw(broad, LinePrep(), 1, n_passages=2, broad=True)
    assert all(not question.answers for example in drawn.examples for question in example.questions)
    with pytest.raises(Exception, match="no passages have 1 questions"):
        PackedExampleSet.draw(replace(broad, questions=broad.questions[:4]), LinePrep(), 1, n_passages=2)
