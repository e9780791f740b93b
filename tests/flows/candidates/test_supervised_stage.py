"""The supervised stage: what it trains on, how fast, and how often the candidate abstains."""

from __future__ import annotations

import re
from dataclasses import replace

from fixture_candidates import SETTINGS

from flows.candidates.question_sets import generation_pool
from flows.candidates.supervised_stage import (
    calibrated_serving,
    calibration_examples,
    configure,
    has_several_findings,
    traces_of,
)
from flows.models.serving import serving_prep, serving_retrieve_path
from retrieve.episode.episode import NONE
from retrieve.model import RetrieveModel
from training.data.dataset import FROM_LOG, Question, load_set
from training.retrieve_model.abstention_calibration import abstention_margins, withheld_prompts
from training.traces.traces import TraceConfig


def test_one_feedback_example_in_six_calibrates_abstention_and_is_not_trained_on():
    made = [Question(f"made-{n}", "What?", ("a",)) for n in range(90)]
    logged = [Question(str(n), "What?", ("a",), source=FROM_LOG) for n in range(120)]
    spared = calibration_examples([*made, *logged], 0)
    assert len(spared) == len({one.id for one in spared}) == 20
    assert {one.id for one in spared} <= {one.id for one in logged}
    assert spared == calibration_examples([*made, *logged], 0) != calibration_examples([*made, *logged], 1)
    late = sum(int(one.id) >= 60 for one in spared)
    assert 4 < late < 16  # of what people ask now as of what they asked before
    assert (
        len(calibration_examples([*logged, *(replace(one, id=f"{one.id}-") for one in logged * 4)], 0)) == 64
    )
    assert calibration_examples([*made, *logged[:47]], 0) == []


def test_with_feedback_examples_refusals_are_taught_and_training_is_faster_and_longer(workspace, dataset):
    serving = RetrieveModel.load(serving_retrieve_path(workspace)).serving
    plain, taught = (
        configure(workspace.path, serving, SETTINGS, replace(dataset, n_feedback_examples=n)) for n in (0, 5)
    )
    assert plain.learning_rate < taught.learning_rate
    assert plain.n_epochs < taught.n_epochs
    questions = [replace(question, kind="helpful") for question in dataset.training().questions]
    with workspace.open_generation() as generation:
        pool = generation_pool(generation, dataset.training().documents, serving_prep(workspace).encoder)
    made, learned = (
        traces_of(questions, pool, with_feedback=with_feedback, seed=0) for with_feedback in (False, True)
    )
    # Without its evidence, or near a passage that does not say it, a question is refused.
    refusals = [
        sum(trace.written == f"<report> {NONE}</report>" for trace in some) for some in (made, learned)
    ]
    assert refusals[0] == 0 < refusals[1] < len(learned) / 3


def test_what_was_said_at_length_is_taught_as_findings_in_the_documents_words(workspace, dataset):
    with workspace.open_generation() as generation:
        pool = generation_pool(generation, dataset.training().documents, serving_prep(workspace).encoder)
    questions = [question for question in dataset.training().questions if question.kind == "cloze"]
    first, second = (question.evidence[0] for question in questions[:2])
    text = "\n".join(passage.text for passage in pool.passages_of(first.document_id))
    long = replace(questions[0], id="long", answers=(text,))
    joined = replace(questions[1], id="joined", evidence=(second, first), statements=("one", "another"))
    short = replace(questions[2], id="short", answers=("one; another",), evidence=(second, first))
    refused = replace(questions[3], id="refused", answerable=False, answers=(), evidence=())
    assert [has_several_findings(one, TraceConfig()) for one in (long, joined, short, refused)] == [
        True,
        True,
        False,
        False,
    ]
    traces = traces_of([long, short], pool, with_feedback=False, seed=0)
    assert {trace.kind for trace in traces if trace.question_id == "long"} == {"several"}
    of_short = {trace.kind for trace in traces if trace.question_id == "short"}
    assert of_short in ({"direct"}, {"again"})  # one finding, found at the first search or the second
    written = [trace.written for trace in traces if trace.kind == "several"]
    findings = [re.sub("<.*?>|⟦[0-9]+⟧", "", one).strip() for one in written]
    assert all(finding and finding in " ".join(text.split()) for finding in findings)


def test_a_retrieve_candidate_refuses_as_often_as_what_serves(workspace, dataset, retrieve_candidate):
    trained = RetrieveModel.load(workspace.model_path("retrieve", retrieve_candidate.version))
    serving = RetrieveModel.load(serving_retrieve_path(workspace))
    questions = [*load_set(dataset.held_out).questions, *dataset.training().questions]
    with workspace.open_generation() as generation:
        pool = generation_pool(generation, dataset.training().documents, serving_prep(workspace).encoder)
    prompts = withheld_prompts(questions, pool, serving.serving.episode, seed=SETTINGS.seed)
    refused = [
        sum(score + model.serving.abstention_bias > 0 for score in abstention_margins(model, prompts))
        for model in (serving, trained)
    ]
    assert len(prompts) == len(questions) < 64
    assert refused[0] == refused[1]
    settings = replace(serving.serving, abstention_bias_after_search=4.0)
    folders = serving_retrieve_path(workspace), workspace.model_path("retrieve", retrieve_candidate.version)
    ready = calibrated_serving(*folders, questions, pool, settings, SETTINGS.seed)
    assert ready.abstention_bias == trained.serving.abstention_bias
    assert (
        ready.abstention_bias_after_search - 4.0 == ready.abstention_bias - settings.abstention_bias
    )  # moved as far
