"""The labelled-set schema: what is read, what is refused, and which questions are withheld."""

import json
from pathlib import Path

import pytest

from prep.document import Span
from prep.errors import ConfigError, DataError
from training.data.dataset import (
    FROM_LOG,
    Question,
    Topic,
    documents_of,
    load_set,
    sample,
    save_set,
    withhold_every,
)

DOCUMENT = {"id": "d", "title": "T", "text": "héllo 🌍 world", "format": "markdown"}
QUESTION = {
    "id": "q",
    "question": "Which planet?",
    "answers": ["🌍"],
    "evidence": [{"document_id": "d", "start": 6, "end": 7}],
    "answerable": True,
    "kind": "factoid",
}


def write(folder: Path, documents: list[object], questions: list[object] | None = None) -> Path:
    (folder / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents), "utf-8")
    if questions is not None:
        (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions), "utf-8")
    return folder


def test_offsets_are_code_points_of_the_text(tmp_path: Path) -> None:
    labelled = load_set(write(tmp_path, [DOCUMENT], [QUESTION]))
    span = labelled.questions[0].evidence[0]
    assert labelled.documents["d"].text[span.start : span.end] == "🌍"
    assert labelled.formats == {"d": "markdown"}
    assert labelled.name == tmp_path.name


def test_only_ids_texts_and_questions_are_required(tmp_path: Path) -> None:
    labelled = load_set(write(tmp_path, [{"id": "d", "text": ""}], [{"id": "q", "question": "?"}]))
    assert labelled.questions == [Question("q", "?")]
    assert labelled.formats == {"d": "text"}


def test_blank_questions_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"id": "a", "question": " "}, {"id": "b", "question": "?"}]
    assert load_set(write(tmp_path, [DOCUMENT], rows)).questions == [Question("b", "?")]
    assert "1 blank questions are left out" in caplog.text


def test_a_set_without_questions_file_has_no_questions(tmp_path: Path) -> None:
    assert load_set(write(tmp_path, [DOCUMENT])).questions == []


def test_line_separators_inside_a_text_do_not_end_a_row(tmp_path: Path) -> None:
    row = json.dumps({"id": "d", "text": "one\u2028two\x85three"}, ensure_ascii=False)
    (tmp_path / "documents.jsonl").write_text(row + "\n\n", "utf-8")
    assert load_set(tmp_path).documents["d"].text == "one\u2028two\x85three"


def test_a_saved_set_reads_back_equal(tmp_path: Path) -> None:
    topics = [{"title": "greeting", "start": 0, "end": 5}]
    labelled = load_set(
        write(tmp_path, [DOCUMENT | {"topics": topics}], [QUESTION | {"statements": ["a; b", "c"]}])
    )
    assert labelled.topics == {"d": (Topic("greeting", 0, 5),)}
    assert labelled.questions[0].statements == ("a; b", "c")
    save_set(labelled, tmp_path / "again" / tmp_path.name)
    again = load_set(tmp_path / "again" / tmp_path.name)
    assert (again.questions, again.formats, again.topics) == (
        labelled.questions,
        labelled.formats,
        labelled.topics,
    )
    assert [d.text for d in again.documents.values()] == [d.text for d in labelled.documents.values()]


def test_a_question_of_the_log_is_known_by_its_source_alone(tmp_path: Path) -> None:
    rows = [
        QUESTION | {"id": "r1", "source": "log"},
        QUESTION | {"id": "log:2"},
        QUESTION | {"id": "q3", "source": {"book": 7}},  # other sets have sources of their own
    ]
    labelled = load_set(write(tmp_path, [DOCUMENT], rows))
    assert [question.source for question in labelled.questions] == [FROM_LOG, "", ""]
    save_set(labelled, tmp_path / "again")
    assert load_set(tmp_path / "again").questions == labelled.questions


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"evidence": [{"document_id": "d", "start": 6, "end": 99}]}, "outside its document"),
        ({"evidence": [{"document_id": "d", "start": 6, "end": 6}]}, "outside its document"),
        ({"evidence": [{"document_id": "d", "start": True, "end": 7}]}, "integer"),
        ({"evidence": [{"document_id": "x", "start": 6, "end": 7}]}, "not in documents.jsonl"),
        ({"evidence": [None]}, "not in documents.jsonl"),
        ({"evidence": "d"}, "must be a list"),
        ({"answers": "🌍"}, "list of strings"),
        ({"answers": [1]}, "list of strings"),
        ({"answerable": "yes"}, "true or false"),
        ({"question": None}, "must be a string"),
        ({"question": "half \ud83c"}, "surrogate"),
        ({"id": ""}, "empty"),
    ],
)
def test_a_bad_question_is_refused_with_its_line(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    write(tmp_path, [DOCUMENT], [QUESTION, QUESTION | {"id": "q2"} | change])
    with pytest.raises(DataError, match=rf"questions\.jsonl:2: .*{complaint}"):
        load_set(tmp_path)


@pytest.mark.parametrize("key", ["id", "text"])
def test_a_document_without_id_or_text_is_refused(tmp_path: Path, key: str) -> None:
    row = {k: v for k, v in DOCUMENT.items() if k != key}
    with pytest.raises(DataError, match=rf"documents\.jsonl:1: '{key}' must be a string, found nothing"):
        load_set(write(tmp_path, [row]))


def test_an_id_used_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="document id 'd' is used twice"):
        load_set(write(tmp_path, [DOCUMENT, DOCUMENT]))
    with pytest.raises(DataError, match="question id 'q' is used twice"):
        load_set(write(tmp_path, [DOCUMENT], [QUESTION, QUESTION]))


def test_broken_json_bytes_and_missing_files_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no documents\.jsonl"):
        load_set(tmp_path)
    (tmp_path / "documents.jsonl").write_text('{"id": "d", \n', "utf-8")
    with pytest.raises(DataError, match=r"documents\.jsonl:1: not valid JSON"):
        load_set(tmp_path)
    (tmp_path / "documents.jsonl").write_bytes(b'{"id": "d", "text": "\xff"}\n')
    with pytest.raises(DataError, match="not valid UTF-8"):
        load_set(tmp_path)
    (tmp_path / "documents.jsonl").write_text("[1]\n", "utf-8")
    with pytest.raises(DataError, match="expected a JSON object, found list"):
        load_set(tmp_path)


def questions(n: int) -> list[Question]:
    return [Question(str(i), "?", ("a",), (Span(f"d{i // 2}", 0, 1),)) for i in range(n)]


def test_every_fifth_answerable_question_is_withheld() -> None:
    rows = questions(12)
    rows.insert(2, Question("no", "?", answerable=False))
    marked = withhold_every(rows, 5)
    assert [q.id for q in marked] == [q.id for q in rows]
    assert [q.id for q in marked if q.withheld] == ["4", "9"]
    assert [q.id for q in marked if not q.expects_answer] == ["no", "4", "9"]


def test_withholding_none_and_negative_steps() -> None:
    assert not any(q.withheld for q in withhold_every(questions(9), 0))
    with pytest.raises(ConfigError, match="withhold_every=-1"):
        withhold_every(questions(9), -1)


def test_a_sample_is_spread_over_the_documents() -> None:
    picked = sample(questions(12), 6)
    assert documents_of(picked) == [f"d{i}" for i in range(6)]
    assert sample(questions(3), 5) == questions(3)
    assert sample(questions(3), None) == questions(3)
    with pytest.raises(ConfigError, match="limit=0"):
        sample(questions(3), 0)
