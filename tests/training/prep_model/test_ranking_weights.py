"""Training the ranking: the weights go to what tells the evidence, and the file that is written is read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fixture_prep import LinePrep

import training.prep_model.ranking_weights
from prep.document import Document, Span
from prep.errors import DataError
from prep.store.ranking import FEATURES, Ranking
from training.data.dataset import LabelledSet, Question
from training.prep_model.ranking_weights import RankingExample, fit_weights, main, ranking_examples

TOWNS = ["Arden", "Brill", "Corve", "Dunster", "Elmet", "Frome", "Garth", "Hexham"]


def example(rng: np.random.Generator, telling: int, *, unspaced: bool = False) -> RankingExample:
    """Thirty candidates with random features, one of which tells where the evidence is."""
    features = rng.uniform(0, 1, (30, len(FEATURES))).astype(np.float32)
    noisy = features[:, telling] + rng.normal(0, 0.05, 30)
    held = np.zeros(30, dtype=np.float32)
    held[np.argmax(noisy)] = 1
    return RankingExample(features, held, unspaced)


@pytest.mark.parametrize("telling", range(len(FEATURES)))
def test_weight_goes_to_the_feature_that_tells_the_evidence(telling: int) -> None:
    rng = np.random.default_rng(telling)
    weights = fit_weights([[example(rng, telling) for _ in range(200)]])
    assert weights.values().argmax() == telling
    assert weights.values()[telling] > 0.8
    assert weights.values().sum() == pytest.approx(1)


def test_a_set_of_many_questions_does_not_decide_alone() -> None:
    rng = np.random.default_rng(0)
    many = [example(rng, 0) for _ in range(400)]
    few = [example(rng, 1) for _ in range(100)]
    apart, together = fit_weights([many, few]), fit_weights([many + few])
    assert together.bm25 < apart.bm25 < apart.cosine


def test_without_evidence_there_is_nothing_to_train_on() -> None:
    with pytest.raises(DataError, match="evidence"):
        fit_weights([[], []])


def towns() -> LabelledSet:
    """Towns that are told apart by their names alone, asked about in English and in Chinese."""
    text = "".join(f"{town} was built by settlers. {town}由移民建造。\n" for town in TOWNS)
    documents = {"towns": Document("towns", "Towns", text), "none": Document("none", "", "")}
    questions = []
    for number, town in enumerate(TOWNS):
        start = text.index(town)
        evidence = (Span("towns", start, start + 20),)
        for asked in (f"Who built {town}?", f"{town}由誰建造？"):
            questions.append(Question(f"q{len(questions)}", asked, ("settlers",), evidence, kind="factoid"))
        questions.append(Question(f"n{number}", f"Who sank {town}?", (), (), answerable=False))
    return LabelledSet(documents, {}, questions, "towns")


def test_examples_say_which_candidate_holds_the_evidence() -> None:
    dataset = towns()
    examples = ranking_examples(dataset, LinePrep())
    assert [one.unspaced for one in examples] == [False, True] * len(TOWNS)
    for number, one in enumerate(examples):
        assert one.features.shape == (len(TOWNS), len(FEATURES))
        assert np.flatnonzero(one.held).tolist() == [number // 2]
        assert int(one.features[:, FEATURES.index("sentence_coverage")].argmax()) == number // 2


def test_what_is_written_is_a_ranking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.prep_model.ranking_weights.PrepModel, "load", lambda: LinePrep())
    monkeypatch.setattr(training.prep_model.ranking_weights, "load_set", lambda folder: towns())
    monkeypatch.setattr(training.prep_model.ranking_weights, "part_of", lambda dataset, held_out: dataset)
    out = tmp_path / "ranking.json"
    main(["--data", "towns", "--out", str(out)])
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["training"] == {"prep": "lines-1", "examples": {"towns": 2 * len(TOWNS)}}
    ranking = Ranking.from_json(content)
    assert ranking.of("Who built Arden?") == ranking.spaced
    with pytest.raises(SystemExit):
        main([])
