"""Suites are measured on the serving models, beside a candidate or baseline RAG."""

from __future__ import annotations

import pytest

from flows.models.measurement import SERVING, EvaluationSettings, advantages, run_evaluation, verdict
from prep.errors import ConfigError
from prep.store.workspace import Workspace
from retrieve.researcher import Researcher


def test_a_retrieve_candidate_is_measured_beside_what_serves_and_not_promoted(
    workspace, dataset, retrieve_candidate
):
    assert workspace.current().retrieve != retrieve_candidate.version
    results = run_evaluation(
        workspace,
        "answers",
        dataset.held_out,
        EvaluationSettings(candidate=retrieve_candidate.version, limit=2, deadline_s=1, progress=False),
    )
    assert [result.label for result in results] == [SERVING, f"candidate {retrieve_candidate.version}"]
    assert "95% interval" in (verdict(results) or "")


def test_an_answers_run_that_was_cut_short_asks_only_what_is_left(
    workspace, dataset, retrieve_candidate, monkeypatch
):
    settings = EvaluationSettings(candidate=retrieve_candidate.version, limit=2, deadline_s=1, progress=False)
    asked: list[int] = []
    ask_many = Researcher.ask_many

    def cut_in_the_second_system(researcher, questions, **options):
        if len(asked) == 1:
            asked.append(0)
            raise KeyboardInterrupt
        asked.append(len(questions))
        return ask_many(researcher, questions, **options)

    monkeypatch.setattr(Researcher, "ask_many", cut_in_the_second_system)
    with pytest.raises(KeyboardInterrupt):
        run_evaluation(workspace, "answers", dataset.held_out, settings)
    assert len(run_evaluation(workspace, "answers", dataset.held_out, settings)) == 2
    assert asked == [2, 0, 2]
    run_evaluation(workspace, "answers", dataset.held_out, settings)
    assert asked == [2, 0, 2, 2, 2]


def test_stored_chunks_score_as_chunks_prepared_again(workspace, dataset, tmp_path):
    quiet = EvaluationSettings(progress=False)
    (stored,) = run_evaluation(workspace, "retrieval", dataset.held_out, quiet)
    (prepared,) = run_evaluation(Workspace(tmp_path), "retrieval", dataset.held_out, quiet)
    assert stored.columns() == pytest.approx(prepared.columns(), abs=1e-3)


def test_what_serves_is_compared_with_the_usual_workflow_question_by_question(workspace, dataset):
    quiet = EvaluationSettings(baseline=True, progress=False)
    ours, usual = run_evaluation(workspace, "retrieval", dataset.held_out, quiet)
    ahead = advantages([ours, usual])[usual.label]
    assert set(ahead) == {"ndcg_at_10", "evidence_recall"}
    for metric, difference in ahead.items():
        assert difference.difference == pytest.approx(ours.mean(metric) - usual.mean(metric))
        assert difference.low <= difference.difference <= difference.high
    assert advantages([ours]) == {}


def test_the_instruct_baseline_only_answers(workspace, dataset):
    with pytest.raises(ConfigError, match="is not measured by 'chunking'"):
        run_evaluation(workspace, "chunking", dataset.held_out, EvaluationSettings(instruct_baseline=True))
