"""Training data are made from a workspace's documents once, without the gate set's."""

from __future__ import annotations

import shutil
import time
from functools import partial
from threading import Event, Thread

import pytest
from filelock import FileLock
from fixture_candidates import SETTINGS

from flows.candidates.dataset_folder import find_dataset, gate_set_path
from flows.candidates.prep_candidates import _contrastive_config, _reinforcement_config
from flows.candidates.training_sets import synthesize_data
from flows.candidates.training_settings import TrainingSettings
from flows.models.serving import serving_prep
from prep.document import Span
from prep.errors import EmptyStore
from prep.store.workspace import Workspace
from training.data.dataset import FROM_LOG, Question, load_set
from training.data.gate_set import GateSetConfig, extend_gate_set
from training.prep_model.vector_pages import read_pages


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
    examples = [
        Question(
            f"r{n}",
            f"What does {name} say first?",
            (document.text[:9],),
            (Span(name, 0, 9),),
            kind="corrected",
            source=FROM_LOG,
        )
        for n, (name, document) in enumerate(sorted(documents.items()))
    ]
    taught = synthesize_data(
        Workspace(shutil.copytree(workspace.path, tmp_path / "w")), SETTINGS, feedback_examples=examples
    )
    ids = {example.id for example in examples}
    assert ids <= {question.id for question in taught.training().questions}
    assert taught.n_feedback_examples == len(examples)
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
    other = synthesize_data(workspace, TrainingSettings(n_examples=41, n_generated=0, held_out_every=4))
    assert not other.reused
    assert other.digest != dataset.digest


def test_data_cannot_be_made_from_an_empty_workspace(tmp_path):
    with pytest.raises(EmptyStore):
        synthesize_data(Workspace(tmp_path), SETTINGS)


def test_nothing_of_the_gate_set_is_trained_on_whatever_the_log_holds(workspace, tmp_path):
    copy = Workspace(shutil.copytree(workspace.path, tmp_path / "workspace"))
    with copy.open_generation() as generation:
        documents = {document.id: document for document in generation.documents()}
    gate_set = extend_gate_set(
        gate_set_path(copy), documents, {}, GateSetConfig(held_out_every=4, n_questions=8)
    )
    gated, free = (
        next(iter(gate_set.documents)),
        next(name for name in documents if name not in gate_set.documents),
    )
    logged = partial(Question, source=FROM_LOG)
    examples = [
        logged("1", "What is it about?", ("a",), (Span(gated, 0, 9),)),
        logged("2", gate_set.questions[0].question.upper(), ("a",), (Span(free, 0, 9),)),
        logged("3", "What does it say first?", (documents[free].text[:9],), (Span(free, 0, 9),)),
        logged("4", "Who won the cup?", (), (), answerable=False),
    ]
    dataset = synthesize_data(copy, SETTINGS, feedback_examples=examples)
    assert dataset.n_feedback_examples == 2
    parts = [dataset.training(), load_set(dataset.held_out)]
    assert {q.id for part in parts for q in part.questions if q.source == FROM_LOG} == {"3", "4"}
    for part in parts:
        assert not set(part.documents) & set(gate_set.documents)
        assert not any(gate_set.holds_question(question.question) for question in part.questions)
    assert find_dataset(copy, dataset.digest).n_feedback_examples == 2
    assert synthesize_data(copy, SETTINGS).digest != dataset.digest
