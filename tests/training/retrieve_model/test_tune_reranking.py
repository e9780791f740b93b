"""What settings of reranking come to, from candidates that were judged once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fixture_rows import answer_row

from prep.errors import DataError
from retrieve.decoding.reranking import CandidateReport, RerankingConfig
from retrieve.episode.episode import PromptParts
from training.retrieve_model.candidate_sets import CandidateSet, read_candidate_sets
from training.retrieve_model.tune_reranking import coordinate_search, main, reranked_rows, split
from training.rewards import Prices, reward

CANDIDATES = (
    CandidateReport("<report> 1883⟦2⟧</report>", -1.0, -30.0, 6),
    CandidateReport("<report> 1901⟦3⟧</report>", -2.0, -20.0, 6),
    CandidateReport("<report> 1905⟦3⟧</report>", -6.0, -10.0, 6),
)
ROWS = tuple(answer_row(prediction=text, f1=f1) for text, f1 in (("1883", 0.0), ("1901", 1.0), ("1905", 0.5)))
PROMPT = PromptParts("<results>\n</results>\n", "<question>When?</question>\n")
UNSURE = CandidateSet(PROMPT, CANDIDATES, ROWS, n_question_tokens=10)
SETTINGS = RerankingConfig(n_candidates=8, max_logprob_gap=8.0, report_weight=0.2, channel_weight=0.2)


@pytest.mark.parametrize(
    ("settings", "wanted", "tokens"),
    [
        (SETTINGS, 2, 3 * 6 + 3 * (6 + 2 + 10)),  # the question is likeliest behind it
        (replace(SETTINGS, max_logprob_gap=4.0), 1, 2 * 6 + 2 * (6 + 2 + 10)),
        (replace(SETTINGS, n_candidates=2), 1, 2 * 6 + 2 * (6 + 2 + 10)),
        (replace(SETTINGS, channel_weight=0.0), 0, 3 * 6 + 3 * (6 + 2 + 10)),
        (replace(SETTINGS, max_logprob_gap=0.5), 0, 6),  # nobody to compare with
        (replace(SETTINGS, sure_probability=0.3), 0, 0),  # sure enough
        (replace(SETTINGS, max_tokens=5), 0, 0),
    ],
)
def test_a_setting_gives_the_report_that_serving_would(
    settings: RerankingConfig, wanted: int, tokens: int
) -> None:
    assert UNSURE.reranked(settings) == (ROWS[wanted], tokens)


def test_an_alternative_adds_its_quotes_and_not_its_statement() -> None:
    rows = (
        replace(
            ROWS[0], f1=0.8, citation_precision=0.5, citation_recall=0.5, n_quotes=2, quoted_characters=9
        ),
        replace(ROWS[1], citation_precision=1.0, citation_recall=1.0, n_quotes=1, quoted_characters=5),
    )
    candidates = (CANDIDATES[0], replace(CANDIDATES[1], channel_score=-30.0))
    found = CandidateSet(PROMPT, candidates, rows, n_question_tokens=10)
    alone = replace(SETTINGS, channel_weight=0.0)
    assert found.reranked(alone)[0] == rows[0]
    row, _ = found.reranked(replace(alone, alternative_share=0.2))
    assert (row.prediction, row.f1) == ("1883", 0.8)
    assert (row.n_quotes, row.quoted_characters) == (3, 14)
    assert row.citation_precision == pytest.approx(2 / 3)
    assert row.citation_recall == 1.0
    assert found.reranked(replace(alone, alternative_share=0.3))[0] == rows[0]  # e^-1 / (1 + e^-1) = 0.27


def test_a_sure_answer_costs_nothing_and_the_mean_is_over_all_questions() -> None:
    alone = CandidateSet(PROMPT, CANDIDATES[:1], ROWS[:1], n_question_tokens=10)
    rows, tokens = reranked_rows([alone, UNSURE], SETTINGS)
    assert rows == (ROWS[0], ROWS[2])
    assert tokens == (0 + 72) / 2


def test_one_setting_after_another_is_bettered_until_none_can_be() -> None:
    start = RerankingConfig(n_candidates=3, max_logprob_gap=2.5, report_weight=0.8, channel_weight=0.0)
    tried = list(coordinate_search([UNSURE], start))
    assert (tried[0].config, tried[0].reward) == (start, reward(ROWS[0], Prices(token=0.0)))
    best = max(tried, key=lambda one: one.reward)
    assert best.reward == reward(ROWS[1], Prices(token=0.0))
    assert best.config.channel_weight > 0
    assert len({one.config for one in tried}) == len(tried)


def kept(path: Path, n_examples: int) -> Path:
    """Write candidate sets of two questions on each of so many packed examples."""
    sets = [
        replace(
            UNSURE,
            prompt=replace(PROMPT, results=f"<results>{example}</results>"),
            rows=tuple(
                replace(row, question_id=f"{example}/{number}", document_id=str(example)) for row in ROWS
            ),
        )
        for example in range(n_examples)
        for number in range(2)
    ]
    path.write_text("".join(json.dumps(one.as_json()) + "\n" for one in sets), encoding="utf-8")
    assert read_candidate_sets(path) == sets
    return path


def test_settings_are_chosen_on_one_half_of_the_documents_and_measured_on_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kept(tmp_path / "sets.jsonl", 5)
    halves = split(read_candidate_sets(path))
    documents = [{one.rows[0].document_id for one in half} for half in halves]
    assert [len(half) for half in halves] == [6, 4]
    assert not documents[0] & documents[1]
    monkeypatch.setattr("training.retrieve_model.tune_reranking._N", (4,))
    monkeypatch.setattr("training.retrieve_model.tune_reranking._GRID", {"channel_weight": (0.0, 0.2)})
    main(["--sets", str(path), "--json", str(tmp_path / "chosen.json"), "--most-tokens", "100"])
    told = capsys.readouterr().out
    assert "4 questions: greedy" in told
    assert "f1 +0.500" in told
    chosen = json.loads((tmp_path / "chosen.json").read_text(encoding="utf-8"))["chosen"]
    assert RerankingConfig(**chosen) == RerankingConfig(n_candidates=4)


def test_a_line_that_is_no_candidate_set_is_named(tmp_path: Path) -> None:
    path = kept(tmp_path / "sets.jsonl", 1)
    path.write_text(path.read_text(encoding="utf-8") + '{"prompt": 1}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 3: no candidate set"):
        read_candidate_sets(path)
