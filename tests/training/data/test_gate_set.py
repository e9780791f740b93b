"""What is frozen never changes, grows by the same rule, and cannot be trained on under another name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fixture_stages import write_labelled_set

from prep.document import Document
from prep.errors import ChecksumMismatch, ConfigError, DataError
from training.data.gate_set import GateSetConfig, extend_gate_set, normalise_text, read_gate_set

CONFIG = GateSetConfig(held_out_every=3, n_questions=20)


def corpus(*numbers: int) -> dict[str, Document]:
    """Documents of three sentences that a gap can be made in."""
    sentence = (
        "The lighthouse number {n} was repainted by Agnes Corwen{n} in {year} for the harbour of Tarvik{n}."
    )
    found = {}
    for n in numbers:
        text = " ".join(sentence.format(n=10 * n + i, year=1700 + 10 * n + i) for i in range(3))
        found[f"doc{n:02d}"] = Document(f"doc{n:02d}", f"Lighthouse {n}", text)
    return found


def test_every_nth_document_is_frozen_with_questions_on_it(tmp_path):
    frozen = extend_gate_set(tmp_path, corpus(*range(9)), {}, CONFIG)
    assert sorted(frozen.documents) == ["doc00", "doc03", "doc06"]
    assert {question.evidence[0].document_id for question in frozen.questions} == set(frozen.documents)


def test_freezing_again_changes_nothing(tmp_path):
    first = extend_gate_set(tmp_path, corpus(*range(9)), {}, CONFIG)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.json*")}
    assert extend_gate_set(tmp_path, corpus(*range(9)), {}, CONFIG).digest == first.digest
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json*")} == files
    assert read_gate_set(tmp_path).questions == first.questions


def test_documents_that_come_later_make_a_layer_of_their_own_and_leave_the_first_as_it_was(tmp_path):
    first = extend_gate_set(tmp_path, corpus(*range(9)), {}, CONFIG)
    later = extend_gate_set(tmp_path, corpus(*range(15)), {}, CONFIG)
    assert [question.id for question in later.questions][: len(first.questions)] == [
        question.id for question in first.questions
    ]
    assert sorted(later.layers[1].documents) == ["doc09", "doc12"]
    assert later.old_questions(1) == {question.id for question in first.questions}
    assert later.digest != first.digest


def test_a_few_new_documents_wait_until_one_can_be_spared(tmp_path):
    first = extend_gate_set(tmp_path, corpus(*range(9)), {}, CONFIG)
    assert extend_gate_set(tmp_path, corpus(*range(11)), {}, CONFIG).digest == first.digest
    assert sorted(extend_gate_set(tmp_path, corpus(*range(12)), {}, CONFIG).layers[1].documents) == ["doc09"]


def test_a_frozen_document_stays_frozen_when_the_corpus_changes_or_loses_it(tmp_path):
    first = extend_gate_set(tmp_path, corpus(*range(9)), {}, CONFIG)
    changed = corpus(*range(9))
    changed["doc00"] = Document(
        "doc00", "Lighthouse", "Another text altogether, written by Agnes Corwen in 1999."
    )
    del changed["doc03"]
    frozen = extend_gate_set(tmp_path, changed, {}, CONFIG)
    assert frozen.digest == first.digest
    assert frozen.documents == first.documents
    assert frozen.holds_document(changed["doc00"])


def test_what_was_trained_on_is_not_frozen_while_there_is_anything_else(tmp_path):
    trained = frozenset({"doc00", "doc01", "doc02", "doc03"})
    frozen = extend_gate_set(
        tmp_path / "a", corpus(*range(9)), {}, CONFIG, trained=lambda document: document.id in trained
    )
    assert len(frozen.documents) == 3
    assert not trained & set(frozen.documents)
    assert extend_gate_set(
        tmp_path / "b", corpus(*range(9)), {}, CONFIG, trained=lambda document: True
    ).documents


def test_a_copy_under_another_name_and_a_question_in_other_case_are_held(tmp_path):
    frozen = extend_gate_set(tmp_path, corpus(*range(9)), {}, CONFIG)
    text = frozen.documents["doc00"].text
    assert frozen.holds_document(Document("copy", "", f"{text.upper()}\n"))
    assert not frozen.holds_document(Document("other", "", f"{text} And more."))
    asked = frozen.questions[0].question
    assert frozen.holds_question(f" {asked.upper()}? ")
    assert not frozen.holds_question("How tall is it?")


def labelled(folder: Path, name: str = "mine", text: str = "Rhoda keeps the key.") -> Path:
    evidence = [{"document_id": "key", "start": 0, "end": 5}]
    write_labelled_set(
        folder / name,
        [{"id": "key", "title": "Key", "text": text, "format": "text"}],
        [{"id": "q1", "question": "Who keeps the key?", "answers": ["Rhoda"], "evidence": evidence}],
    )
    return folder / name


def test_a_labelled_set_of_the_users_own_is_frozen_as_it_is_now(tmp_path):
    config = GateSetConfig(held_out_every=3, n_questions=20, labelled=(str(labelled(tmp_path)),))
    frozen = extend_gate_set(tmp_path / "frozen", corpus(*range(9)), {}, config)
    assert frozen.layers[0].questions[0].id == "mine/q1"
    assert frozen.holds_question("who keeps the key")
    (tmp_path / "mine" / "questions.jsonl").unlink()
    assert read_gate_set(tmp_path / "frozen").questions == frozen.questions
    with pytest.raises(DataError, match="no questions"):
        extend_gate_set(tmp_path / "frozen", corpus(*range(9)), {}, config)


def test_of_a_labelled_set_the_questions_alone_can_be_frozen(tmp_path):
    documents = {**corpus(*range(9)), "key": Document("key", "", "Rhoda keeps the key.")}
    config = GateSetConfig(held_out_every=3, n_questions=20, labelled_questions=(str(labelled(tmp_path)),))
    frozen = extend_gate_set(tmp_path / "frozen", documents, {}, config)
    assert frozen.holds_question("who keeps the key")
    assert not frozen.holds_document(documents["key"])
    assert frozen.holds_document(documents["doc00"])  # of the corpus documents are frozen all the same
    assert frozen.documents["key"].text == documents["key"].text
    assert read_gate_set(tmp_path / "frozen").open_layers == {0}
    closed = GateSetConfig(held_out_every=3, n_questions=20, labelled=(str(tmp_path / "mine"),))
    with pytest.raises(DataError, match="in the gate set already"):
        extend_gate_set(tmp_path / "frozen", documents, {}, closed)
    assert extend_gate_set(tmp_path / "closed", documents, {}, closed).holds_document(documents["key"])


def test_a_labelled_document_that_differs_from_the_corpus_is_an_error_that_names_it(tmp_path):
    config = GateSetConfig(labelled=(str(labelled(tmp_path)),))
    with pytest.raises(DataError, match="'key' of the labelled set 'mine'"):
        extend_gate_set(tmp_path / "frozen", {"key": Document("key", "", "Another key.")}, {}, config)


def test_a_layer_that_was_changed_is_found_out(tmp_path):
    frozen = extend_gate_set(tmp_path, corpus(*range(9)), {}, CONFIG)
    (path,) = tmp_path.glob("*/questions.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(frozen.questions)
    rows[0]["answers"] = ["an easier one"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(ChecksumMismatch, match=r"questions\.jsonl is damaged"):
        read_gate_set(tmp_path)


def test_nothing_is_frozen_in_an_empty_folder(tmp_path):
    assert read_gate_set(tmp_path / "nowhere").questions == []
    assert not read_gate_set(tmp_path / "nowhere").holds_question("Anything?")


@pytest.mark.parametrize("wrong", [{"held_out_every": 1}, {"n_questions": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GateSetConfig(**wrong)


def test_what_was_trained_on_by_another_name_counts_as_trained_on(tmp_path):
    """As it is called by its text: `flows.retraining.cycle` says so of documents that were moved."""
    moved = {
        f"new/{name}": replace(document, id=f"new/{name}") for name, document in corpus(*range(9)).items()
    }
    known = {normalise_text(document.text) for document in corpus(0, 3, 6).values()}
    frozen = extend_gate_set(
        tmp_path, moved, {}, CONFIG, trained=lambda document: normalise_text(document.text) in known
    )
    assert len(frozen.documents) == 3
    assert not known & {normalise_text(document.text) for document in frozen.documents.values()}


def test_a_frozen_document_by_another_name_repeats_it_and_itself_does_not(tmp_path):
    frozen = extend_gate_set(tmp_path, corpus(*range(9)), {}, CONFIG)
    document = frozen.documents["doc00"]
    assert frozen.repeats(Document("copy", "", document.text.upper()))
    assert not frozen.repeats(document)
    assert not frozen.repeats(Document("other", "", "Another text."))


def test_how_many_layers_a_digest_stands_for(tmp_path):
    first = extend_gate_set(tmp_path, corpus(*range(9)), {}, CONFIG)
    both = extend_gate_set(tmp_path, corpus(*range(18)), {}, CONFIG)
    assert [both.n_layers_of(one) for one in (first.digest, both.digest, "none")] == [1, 2, 0]
