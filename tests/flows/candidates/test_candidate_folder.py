"""A training pass makes data and candidates from a workspace's documents, once, and promotes nothing."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import replace
from threading import Event, Thread

import pytest
from filelock import FileLock

from flows.candidates.prep_candidates import _contrastive_config, _reinforcement_config, train_prep_candidate
from flows.candidates.question_sets import generation_pool
from flows.candidates.retrieve_candidates import train_retrieve_candidate
from flows.candidates.supervised_stage import (
    as_ready,
    configure,
    few_gaps,
    is_broad,
    spared_lessons,
    traces_of,
)
from flows.candidates.training_sets import (
    RETRIEVE_STARTS,
    PassSettings,
    find_dataset,
    frozen_path,
    synthesize_data,
)
from flows.models.measurement import SERVING, SuiteSettings, advantages, run_suite, verdict
from flows.models.serving import serving_prep, serving_retrieve_path
from prep.document import Span
from prep.errors import ConfigError, EmptyStore
from prep.manifest import read_manifest
from prep.model.prep_model import PrepModel
from prep.store.workspace import Workspace
from retrieve.episode.episode import NONE
from retrieve.model import RetrieveModel
from retrieve.researcher import Researcher
from training.data.dataset import Question, load_set
from training.data.gate_set import GateSetConfig, extend_gate_set
from training.prep_model.vector_pages import read_pages
from training.retrieve_model.abstention_calibration import abstention_margins, withheld_prompts
from training.traces.traces import TraceConfig

SETTINGS = PassSettings(
    n_examples=40, n_asked=0, held_out_every=4, minutes=0.02, prep_epochs=1, prep_pages=1, cut_steps=2
)


@pytest.fixture(scope="module")
def dataset(workspace):
    return synthesize_data(workspace, SETTINGS)


@pytest.fixture(scope="module")
def retrieve(workspace, dataset):
    return train_retrieve_candidate(workspace, dataset, SETTINGS)


def test_no_document_is_both_trained_on_and_measured_on(dataset):
    trained = {question.evidence[0].document_id for question in dataset.training().questions}
    measured = {question.evidence[0].document_id for question in load_set(dataset.held_out).questions}
    assert trained
    assert measured
    assert not trained & measured
    assert dataset.n_questions == len(dataset.training().questions)


def test_who_wants_the_data_that_another_makes_waits_and_finds_it(workspace, dataset, caplog):
    is_held = Event()

    def make() -> None:
        with FileLock(dataset.folder.with_name(f".{dataset.digest}.lock")):
            is_held.set()
            time.sleep(0.5)

    other = Thread(target=make)
    other.start()
    assert is_held.wait(10)
    found = synthesize_data(workspace, SETTINGS)
    other.join()
    assert (found.digest, found.reused) == (dataset.digest, True)
    assert "waiting until it is through" in caplog.text


def test_what_people_said_is_trained_on_whatever_document_it_is_about(workspace, dataset, tmp_path):
    # Every fourth document is held out here: of each there is something said.
    documents = dataset.training().documents
    lessons = [
        Question(
            f"log:{n}",
            f"What does {name} say first?",
            (document.text[:9],),
            (Span(name, 0, 9),),
            kind="corrected",
        )
        for n, (name, document) in enumerate(sorted(documents.items()))
    ]
    taught = synthesize_data(
        Workspace(shutil.copytree(workspace.path, tmp_path / "w")), SETTINGS, lessons=lessons
    )
    ids = {lesson.id for lesson in lessons}
    assert ids <= {question.id for question in taught.training().questions}
    assert taught.n_lessons == len(lessons)
    assert taught.n_held_out == dataset.n_held_out > 0
    assert taught.trained_documents().keys() == documents.keys() > dataset.trained_documents().keys()
    # Chunk vectors and cuts learn from them, too, not only the model that reads what was found.
    model = serving_prep(workspace)
    for configure_stage in (_contrastive_config, _reinforcement_config):
        sets = configure_stage(taught, SETTINGS, model).sets
        pages = read_pages(taught.folder, sets, model, tmp_path / "cuts", held_out=False)
        assert ids <= {asked.question_id for page in pages for asked in page.questions}


def test_the_same_documents_and_settings_give_the_same_data_which_is_not_made_twice(workspace, dataset):
    again = synthesize_data(workspace, SETTINGS)
    assert again.reused
    assert again.digest == dataset.digest
    other = synthesize_data(workspace, PassSettings(n_examples=41, n_asked=0, held_out_every=4))
    assert not other.reused
    assert other.digest != dataset.digest


def test_a_prep_candidate_is_kept_beside_the_serving_version_and_found_again(workspace, dataset):
    before = workspace.current()
    candidate = train_prep_candidate(workspace, dataset, SETTINGS)
    assert candidate.version in workspace.model_versions("prep")
    assert workspace.current() == before
    assert 0 <= candidate.metrics["candidate"]["paragraph_f1"] <= 1
    assert candidate.curves["loss"]
    again = train_prep_candidate(workspace, dataset, SETTINGS)
    assert again.reused
    assert (again.version, again.metrics, again.curves) == (
        candidate.version,
        candidate.metrics,
        candidate.curves,
    )


def test_vectors_and_then_cuts_are_trained_on_the_questions(workspace, dataset, tmp_path):
    vectors = train_prep_candidate(workspace, dataset, SETTINGS, "contrastive")
    assert vectors.version in workspace.model_versions("prep")
    assert set(vectors.metrics) == {"chunks", "start", "trained"}
    assert vectors.curves["contrast"]
    assert train_prep_candidate(workspace, dataset, SETTINGS, "contrastive").reused
    copy = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    copy.promote("prep", vectors.version)
    cuts = train_prep_candidate(copy, dataset, SETTINGS, "reinforcement")
    assert set(cuts.metrics) == {"candidate", SERVING}
    model, before = (PrepModel.load(copy.model_path("prep", v)) for v in (cuts.version, vectors.version))
    assert model.config.vectors == "shared"
    assert model.updates.keys() == before.updates.keys()
    with pytest.raises(ConfigError, match="there is no stage"):
        train_prep_candidate(workspace, dataset, SETTINGS, "distillation")


def test_a_retrieve_candidate_is_measured_beside_what_serves_and_not_promoted(workspace, dataset, retrieve):
    assert workspace.current().retrieve != retrieve.version
    results = run_suite(
        workspace,
        "answers",
        dataset.held_out,
        SuiteSettings(candidate=retrieve.version, limit=2, deadline_s=1, progress=False),
    )
    assert [result.label for result in results] == [SERVING, f"candidate {retrieve.version}"]
    assert "95% interval" in (verdict(results) or "")


def test_one_lesson_in_six_is_not_trained_on_but_says_how_often_to_refuse():
    made = [Question(f"made-{n}", "What?", ("a",)) for n in range(90)]
    lessons = [Question(f"log:{n}", "What?", ("a",)) for n in range(120)]
    spared = spared_lessons([*made, *lessons], 0)
    assert len(spared) == len({one.id for one in spared}) == 20
    assert {one.id for one in spared} <= {one.id for one in lessons}
    assert spared == spared_lessons([*made, *lessons], 0) != spared_lessons([*made, *lessons], 1)
    late = sum(int(one.id.removeprefix("log:")) >= 60 for one in spared)
    assert 4 < late < 16  # of what people ask now as of what they asked before
    assert len(spared_lessons([*lessons, *(replace(one, id=f"{one.id}-") for one in lessons * 4)], 0)) == 64
    assert spared_lessons([*made, *lessons[:47]], 0) == []


def test_with_lessons_refusals_are_taught_and_it_goes_on_faster_and_longer(workspace, dataset):
    serving = RetrieveModel.load(serving_retrieve_path(workspace)).serving
    plain, taught = (
        configure(workspace.path, serving, SETTINGS, replace(dataset, n_lessons=n)) for n in (0, 5)
    )
    assert plain.learning_rate < taught.learning_rate
    assert plain.n_epochs < taught.n_epochs
    questions = [replace(question, kind="helpful") for question in dataset.training().questions]
    with workspace.open_generation() as generation:
        pool = generation_pool(generation, dataset.training().documents, serving_prep(workspace).encoder)
    made, learned = (traces_of(questions, pool, with_lessons=lessons, seed=0) for lessons in (False, True))
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
    assert [is_broad(one, TraceConfig()) for one in (long, joined, short, refused)] == [
        True,
        True,
        False,
        False,
    ]
    told = traces_of([long, short], pool, with_lessons=False, seed=0)
    assert {trace.kind for trace in told if trace.question_id == "long"} == {"several"}
    assert {trace.kind for trace in told if trace.question_id == "short"} == {"direct"}
    written = [trace.written for trace in told if trace.kind == "several"]
    findings = [re.sub("<.*?>|⟦[0-9]+⟧", "", one).strip() for one in written]
    assert all(finding and finding in " ".join(text.split()) for finding in findings)


def test_a_retrieve_candidate_refuses_as_often_as_what_serves(workspace, dataset, retrieve):
    trained = RetrieveModel.load(workspace.model_path("retrieve", retrieve.version))
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
    folders = serving_retrieve_path(workspace), workspace.model_path("retrieve", retrieve.version)
    ready = as_ready(*folders, questions, pool, settings, SETTINGS.seed)
    assert ready.abstention_bias == trained.serving.abstention_bias
    assert (
        ready.abstention_bias_after_search - 4.0 == ready.abstention_bias - settings.abstention_bias
    )  # moved as far


def test_an_answers_run_that_was_cut_short_asks_only_what_is_left(workspace, dataset, retrieve, monkeypatch):
    settings = SuiteSettings(candidate=retrieve.version, limit=2, deadline_s=1, progress=False)
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
        run_suite(workspace, "answers", dataset.held_out, settings)
    assert len(run_suite(workspace, "answers", dataset.held_out, settings)) == 2
    assert asked == [2, 0, 2]
    run_suite(workspace, "answers", dataset.held_out, settings)
    assert asked == [2, 0, 2, 2, 2]


def test_a_candidate_that_was_deleted_is_trained_again(workspace, dataset, retrieve):
    shutil.rmtree(workspace.model_path("retrieve", retrieve.version))
    again = train_retrieve_candidate(workspace, dataset, SETTINGS)
    assert not again.reused
    assert again.version in workspace.model_versions("retrieve")


def test_stored_chunks_score_as_chunks_prepared_again(workspace, dataset, tmp_path):
    quiet = SuiteSettings(progress=False)
    (stored,) = run_suite(workspace, "retrieval", dataset.held_out, quiet)
    (prepared,) = run_suite(Workspace(tmp_path), "retrieval", dataset.held_out, quiet)
    assert stored.columns() == pytest.approx(prepared.columns(), abs=1e-3)


def test_data_cannot_be_made_from_an_empty_workspace(tmp_path):
    with pytest.raises(EmptyStore):
        synthesize_data(Workspace(tmp_path), SETTINGS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_examples": 0},
        {"held_out_every": 1},
        {"minutes": 0},
        {"prep_epochs": 0},
        {"retrieve_start": "first"},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PassSettings(**wrong)


def test_what_serves_is_compared_with_the_usual_workflow_question_by_question(workspace, dataset):
    quiet = SuiteSettings(beside_workflow=True, progress=False)
    ours, usual = run_suite(workspace, "retrieval", dataset.held_out, quiet)
    ahead = advantages([ours, usual])
    assert set(ahead) == {"ndcg_at_10", "evidence_recall"}
    for metric, difference in ahead.items():
        assert difference.difference == pytest.approx(ours.mean(metric) - usual.mean(metric))
        assert difference.low <= difference.difference <= difference.high
    assert advantages([ours]) == {}


def test_nothing_frozen_is_trained_on_whatever_the_log_holds(workspace, tmp_path):
    copy = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    with copy.open_generation() as generation:
        documents = {document.id: document for document in generation.documents()}
    frozen = extend_gate_set(frozen_path(copy), documents, {}, GateSetConfig(held_out_every=4, n_questions=8))
    on_frozen, free = (
        next(iter(frozen.documents)),
        next(name for name in documents if name not in frozen.documents),
    )
    lessons = [
        Question("log:1", "What is it about?", ("a",), (Span(on_frozen, 0, 9),)),
        Question("log:2", frozen.questions[0].question.upper(), ("a",), (Span(free, 0, 9),)),
        Question("log:3", "What does it say first?", (documents[free].text[:9],), (Span(free, 0, 9),)),
        Question("log:4", "Who won the cup?", (), (), answerable=False),
    ]
    dataset = synthesize_data(copy, SETTINGS, lessons=lessons)
    assert dataset.n_lessons == 2
    parts = [dataset.training(), load_set(dataset.held_out)]
    assert {q.id for part in parts for q in part.questions if q.id.startswith("log:")} == {"log:3", "log:4"}
    for part in parts:
        assert not set(part.documents) & set(frozen.documents)
        assert not any(frozen.holds_question(question.question) for question in part.questions)
    assert find_dataset(copy, dataset.digest).n_lessons == 2
    assert synthesize_data(copy, SETTINGS).digest != dataset.digest


def test_questions_with_a_gap_are_few_where_there_are_others_with_an_answer() -> None:
    gaps = [Question(f"g{i}", "____?", ("x",), kind="cloze") for i in range(100)]
    asked = [Question(f"a{i}", "Who?", ("x",), kind="asked") for i in range(400)]
    refusals = [Question("r", "Why?", answerable=False, kind="refused rightly")]
    assert few_gaps([*gaps, *refusals]) == [*refusals, *gaps]
    assert few_gaps([*gaps, *asked]) == [*asked, *gaps]  # one to four others
    assert few_gaps([*gaps, *asked[:80]]) == [*asked[:80], *gaps[:20]]
    assert few_gaps([*gaps, *asked[:10]]) == [*asked[:10], *gaps[:50]]


def test_a_retrieve_candidate_is_trained_from_what_serves_or_from_what_is_shipped(
    workspace, dataset, retrieve, tmp_path, monkeypatch
):
    shipped = serving_retrieve_path(workspace)
    monkeypatch.setattr("retrieve.model.shipped_retrieve", lambda: shipped)
    copy = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    copy.promote("retrieve", retrieve.version)
    begun = {}
    for start in RETRIEVE_STARTS:
        candidate = train_retrieve_candidate(copy, dataset, replace(SETTINGS, retrieve_start=start))
        begun[start] = read_manifest(copy.model_path("retrieve", candidate.version))["lineage"]["ancestors"]
    assert begun == {"serving": [retrieve.version, shipped.name], "shipped": [shipped.name]}
