"""The log behind a researcher: what a real episode leaves in it, and that it never costs an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fixture_prep import LinePrep
from tiny_models import make_gemma

from prep.document import Document
from prep.errors import ConfigError, DataError
from prep.ingest import ingest
from retrieve.episode.grammar import ActionLimits
from retrieve.experience.log import ExperienceLog
from retrieve.experience.log_config import MASK
from retrieve.experience.record import ASKED_AGAIN
from retrieve.lm.base import load_base
from retrieve.model import RetrieveModel, ServingConfig
from retrieve.researcher import Researcher

DOCUMENTS = [
    Document("bees", "Bees", "# Food\nBees make honey from nectar. It keeps for years.\nThey dance.\n"),
    Document("staff", "Staff", "Ask ada@example.org about honey. She keeps bees.\n"),
]
QUESTION = "What does ada@example.org know about honey?"
NO_HURRY_S = 600.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> RetrieveModel:
    loaded, tokenizer = load_base(make_gemma(tmp_path_factory.mktemp("base")), dtype=torch.float32)
    action = ActionLimits(query_tokens=4, statement_tokens=6, max_findings=2, max_pointers=2)
    return RetrieveModel("tiny-1", loaded, tokenizer, ServingConfig(abstention_bias=-1_000.0, action=action))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    ingest(tmp_path / "w", DOCUMENTS, LinePrep(), progress=False)
    return tmp_path / "w"


def open_one(workspace: Path, model: RetrieveModel) -> Researcher:
    return Researcher.open(workspace, prep=LinePrep(), model=model)


def kept_bytes(workspace: Path) -> bytes:
    """The log's file, its write-ahead log and whatever else lies beside it under its name."""
    return b"".join(path.read_bytes() for path in sorted(workspace.glob("experience.sqlite*")))


def test_who_asks_is_kept_and_no_model_sees_it(workspace: Path, model: RetrieveModel) -> None:
    with open_one(workspace, model) as researcher:
        named = researcher.ask(QUESTION, deadline_s=NO_HURRY_S, user="zebedee")
        others = researcher.ask_many([QUESTION, "Who dances?"], deadline_s=NO_HURRY_S)
    rows = list(ExperienceLog(workspace / "experience.sqlite").rows())
    assert [row.user for row in rows] == ["zebedee", None, None]
    assert [row.report for row in rows] == [named, *others]
    assert rows[0].trace == rows[1].trace
    assert "zebedee" not in "".join(text for text, _ in rows[0].trace)
    assert named.answer == others[0].answer


def test_a_question_asked_again_is_noted_and_a_quote_is_judged(workspace: Path, model: RetrieveModel) -> None:
    with open_one(workspace, model) as researcher:
        first = researcher.ask("What do bees make honey from?", deadline_s=NO_HURRY_S, user="ben")
        again = researcher.ask("what do bees make honey from", deadline_s=NO_HURRY_S, user="ben")
        researcher.feedback(again.id, True, quote=1, quote_right=False)
        with pytest.raises(DataError, match="quote=99"):
            researcher.feedback(again.id, quote=99, quote_right=True)
    before, after = ExperienceLog(workspace / "experience.sqlite").rows()
    assert [(signal.kind, signal.by_report) for signal in before.signals] == [(ASKED_AGAIN, again.id)]
    assert (before.report, before.helpful, after.signals) == (first, None, ())
    assert (after.helpful, after.quotes(right=False)) == (True, [again.quotes[0]])


def test_a_whole_episode_is_blacked_out_before_it_is_written(workspace: Path, model: RetrieveModel) -> None:
    (workspace / "experience.toml").write_text("redact = ['[a-z]+@[a-z.]+[a-z]']\n")
    with open_one(workspace, model) as researcher:
        shown = researcher.ask(QUESTION, deadline_s=NO_HURRY_S, user="ada@example.org")
        assert "ada@example.org" in shown.question
        assert "staff" in {source.document_id for source in shown.sources}
        while_open = kept_bytes(workspace)
        researcher.feedback(shown.id, answer="ask ada@example.org")
    content = while_open + kept_bytes(workspace)
    assert shown.id.encode() in content
    assert b"ada@example" not in content
    (row,) = ExperienceLog(workspace / "experience.sqlite").rows()
    assert row.report.question == QUESTION.replace("ada@example.org", MASK * 15)
    assert f"Ask {MASK * 15} about honey." in "".join(text for text, _ in row.trace)


def test_settings_that_cannot_work_are_said_when_a_workspace_is_opened(
    workspace: Path, model: RetrieveModel
) -> None:
    (workspace / "experience.toml").write_text('redact = ["("]\n')
    with pytest.raises(ConfigError, match=r"experience\.toml.*no regular expression"):
        open_one(workspace, model)


def test_a_log_that_cannot_be_written_costs_no_answer(
    workspace: Path, model: RetrieveModel, caplog: pytest.LogCaptureFixture
) -> None:
    (workspace / "experience.sqlite").write_bytes(b"not a database at all" * 100)
    with open_one(workspace, model) as researcher:
        reports = researcher.ask_many([QUESTION, "Who dances?"], deadline_s=NO_HURRY_S, user="ada")
    assert len(reports) == 2
    assert caplog.text.count("cannot be written") == 1
    assert kept_bytes(workspace) == b"not a database at all" * 100
