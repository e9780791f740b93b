"""The hand-written questions: complete, of every kind, and on the documents that they were written about."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from prep.errors import DataError
from training.data.user_questions import USER_QUESTION_SETS, load_user_questions

FOLDER = files("training.data") / "user_questions"
KINDS = {"fact", "howto", "yesno", "why", "list", "definition", "keyword", "multi", "unanswerable"}
ROWS = {
    name: [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    for name in USER_QUESTION_SETS
}


def test_there_are_more_than_two_thousand_of_every_kind():
    rows = [row for some in ROWS.values() for row in some]
    kinds = Counter(row["kind"] for row in rows)
    assert len(rows) > 2_000
    assert set(kinds) == KINDS
    assert min(kinds.values()) > 80
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["question"].lower() for row in rows}) == len(rows)


@pytest.mark.parametrize("name", USER_QUESTION_SETS)
def test_each_has_what_its_kind_needs(name):
    digests = json.loads((FOLDER / "digests.json").read_text(encoding="utf-8"))[name]
    for row in ROWS[name]:
        assert row["answerable"] == bool(row["evidence"]) == bool(row["answers"]) == bool(row["reference"]), (
            row
        )
        assert row["answerable"] != (row["kind"] == "unanswerable"), row
        assert row["kind"] != "yesno" or row["answers"][0] in {"yes", "no"}, row
        assert (len(row["evidence"]) > 1) == (row.get("needs") in {"any", "all"}), row
        assert all(0 <= span["start"] < span["end"] for span in row["evidence"]), row
        near = [row["near"]] if "near" in row else []
        assert all(span["document_id"] in digests for span in [*row["evidence"], *near]), row


def test_another_text_under_the_same_id_is_refused(tmp_path: Path):
    (tmp_path / "docs_vue").mkdir()
    ids = json.loads((FOLDER / "digests.json").read_text(encoding="utf-8"))["docs_vue"]
    with (tmp_path / "docs_vue" / "documents.jsonl").open("w", encoding="utf-8") as file:
        for number in ids:
            file.write(json.dumps({"id": number, "title": "", "text": "something else " * 4_000}) + "\n")
    with pytest.raises(DataError, match="is another text"):
        load_user_questions("docs_vue", tmp_path)
    with pytest.raises(DataError, match="no user questions on 'nowhere'"):
        load_user_questions("nowhere", tmp_path)


@pytest.mark.needs_data
@pytest.mark.parametrize("name", USER_QUESTION_SETS)
def test_the_evidence_is_whole_in_the_documents(name, data_folder: Path):
    labelled = load_user_questions(name, data_folder)
    assert len(labelled.questions) == len(ROWS[name])
    for question in labelled.questions:
        for span in question.evidence:
            quote = labelled.documents[span.document_id].text[span.start : span.end]
            assert quote == quote.strip(), (question.id, quote)
