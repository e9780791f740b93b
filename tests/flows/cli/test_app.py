"""The command line: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixture_causal_lm import serve_tiny_model

from flows.candidates import prep_candidates, retrieve_candidates
from flows.candidates.training_settings import TrainingSettings
from flows.cli import command, evaluate_command, train_command
from flows.cli.app import main, parse
from flows.models import measurement
from flows.models.measurement import EvaluationSettings
from prep.store.current import MODEL_KINDS
from prep.store.workspace import Workspace

ROOT = Path(__file__).resolve().parents[3]
LEAVES = [
    "ingest",
    "ask",
    "status",
    "list",
    "show",
    "delete",
    "generations list",
    "generations rollback",
    "serve",
    "mcp",
    "keys add",
    "keys list",
    "keys remove",
    "train",
    "evaluate",
    "retrain",
    "drift",
    "models list",
    "models promote",
    "models rollback",
    "models show",
    "models diff",
    "models prune",
    "experience show",
    "experience export",
    "experience delete",
    "experience prune",
    "experience feedback",
    "report",
    "demo",
]


def add_version(workspace: Path, kind: str, version: str) -> None:
    with Workspace(workspace).new_model(kind, version) as folder:
        (folder / "weights.bin").write_bytes(version.encode())


@pytest.mark.parametrize("command", LEAVES)
def test_help_of_every_command_shows_an_example_and_the_workspace(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    assert f"examples:\n  diptych {command.split()[0]}" in shown
    assert "--workspace DIR" in shown


@pytest.mark.parametrize("command", LEAVES)
def test_the_workspace_is_the_folder_of_that_name_unless_said_otherwise(command):
    needed = {
        "ingest": ["x"],
        "ask": ["x"],
        "show": ["x"],
        "delete": ["x"],
        "keys add": ["x", "--keys", "k"],
        "keys list": ["--keys", "k"],
        "keys remove": ["x", "--keys", "k"],
        "train": ["prep"],
        "evaluate": ["answers", "--data", "x"],
        "models promote": ["prep", "v"],
        "models rollback": ["prep"],
        "models show": ["prep"],
        "models diff": ["prep", "v"],
        "experience export": ["x"],
        "experience feedback": ["x"],
    }
    words = [*command.split(), *needed.get(command, [])]
    assert parse(words).arguments["workspace"] == Path("workspace")
    assert parse([*words, "--workspace", "other"]).arguments["workspace"] == Path("other")


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "q", "--deadline", "0"],
        ["ask", "q", "--max-searches", "0"],
        ["ask", "q", "--deadline", "nan"],
        ["train", "nothing"],
        ["evaluate", "answers"],
    ],
)
def test_a_setting_out_of_range_is_refused_before_anything_runs(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "diptych" in capsys.readouterr().err


def test_models_are_listed_with_the_one_that_serves(tmp_path, capsys):
    add_version(tmp_path, "prep", "v1")
    add_version(tmp_path, "prep", "v2")
    assert main(["models", "promote", "prep", "v2", "--workspace", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["models", "list", "--workspace", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [{key: row[key] for key in ("kind", "version", "serving")} for row in rows] == [
        {"kind": "prep", "version": "v1", "serving": False},
        {"kind": "prep", "version": "v2", "serving": True},
        {"kind": "retrieve", "version": "shipped", "serving": True},
    ]
    assert main(["models", "list", "--workspace", str(tmp_path)]) == 0
    assert "retrieve  shipped   serving" in capsys.readouterr().out


def test_rollback_takes_a_promotion_back(tmp_path, capsys):
    add_version(tmp_path, "retrieve", "v1")
    main(["models", "promote", "retrieve", "v1", "--workspace", str(tmp_path)])
    assert main(["models", "rollback", "retrieve", "--workspace", str(tmp_path)]) == 0
    assert "shipped now serves" in capsys.readouterr().out
    assert Workspace(tmp_path).current().retrieve is None


def test_an_error_that_diptych_explains_is_one_line_and_status_2(tmp_path, capsys):
    assert main(["models", "promote", "prep", "nowhere", "--workspace", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("diptych: ")
    assert shown.err.count("\n") == 1
    assert "nowhere" in shown.err


def test_an_error_of_the_file_system_is_one_line_too(tmp_path, capsys):
    (tmp_path / "a-file").write_text("no folder")
    assert main(["models", "list", "--workspace", str(tmp_path / "a-file")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"diptych: .*a-file.*\(--traceback says where\)\n", said.err)


def test_a_folder_for_results_is_refused_before_anything_is_measured(tmp_path, capsys):
    words = ["evaluate", "answers", "--data", "nowhere", "--out", str(tmp_path)]
    assert main([*words, "--workspace", str(tmp_path / "workspace")]) == 2
    assert "is a folder: name a file" in capsys.readouterr().err


def test_traceback_shows_where_an_explained_error_comes_from(tmp_path):
    with pytest.raises(Exception, match="nowhere"):
        main(["models", "promote", "prep", "nowhere", "--traceback", "--workspace", str(tmp_path)])


def test_evaluate_refuses_a_folder_without_a_labelled_set(tmp_path, capsys):
    assert main(["evaluate", "answers", "--data", str(tmp_path), "--workspace", str(tmp_path / "w")]) == 2
    assert "documents.jsonl" in capsys.readouterr().err


def test_asking_before_anything_was_ingested_says_what_to_do(tmp_path, capsys):
    assert main(["ask", "Who?", "--workspace", str(tmp_path)]) == 2
    assert "diptych ingest" in capsys.readouterr().err


def test_ingesting_nothing_readable_is_an_error_that_names_the_first_file(tmp_path, capsys):
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing follows")
    assert main(["ingest", str(tmp_path / "broken.pdf"), "--workspace", str(tmp_path / "w")]) == 2
    assert "broken.pdf" in capsys.readouterr().err


def test_ingest_and_ask_do_their_work_without_prefect_or_a_network(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "tea.md").write_text(
        "# Tea\n\nBlack tea is steeped for four minutes.\n", encoding="utf-8"
    )
    place = tmp_path / "workspace"
    serve_tiny_model(Workspace(place), tmp_path / "model")
    code = (
        "import sys, socket\n"
        "def refuse(*_): raise AssertionError('a connection was opened')\n"
        "socket.socket.connect = refuse\n"
        "from flows.cli.app import main\n"
        f"assert main(['ingest', {str(tmp_path / 'docs')!r}, '--workspace', {str(place)!r}]) == 0\n"
        f"assert main(['ask', 'How long?', '--workspace', {str(place)!r}, '--deadline', '20', '--json']) == 0\n"
        "assert not {'prefect', 'trl', 'fastapi'} & set(sys.modules), 'too much is imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    first, _, rest = done.stdout.partition("\n")
    assert first.startswith("1 documents (1 added, 0 changed, 0 unchanged, 0 removed)")
    report = json.loads(rest)
    assert report["question"] == "How long?"
    assert report["generation"] == Workspace(place).current().generation


def test_an_interrupt_ends_with_status_130_and_one_line(tmp_path):
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where a shell runs us with &
        "import flows.cli.app as cli\n"
        "import flows.cli.models_commands\n"
        "def slow(**_):\n"
        "    print('running', flush=True)\n"
        "    time.sleep(60)\n"
        "flows.cli.models_commands.list_models.callback = slow\n"
        f"sys.exit(cli.main(['models', 'list', '--workspace', {str(tmp_path)!r}]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "diptych: interrupted; what was complete before stays as it is\n"


def test_the_choices_offered_are_those_that_exist():
    """The command line names them itself, so that `--help` imports nothing heavy."""
    both = (*prep_candidates.STAGES, *retrieve_candidates.RETRIEVE_STAGES)
    assert list(train_command.STAGES) == list(dict.fromkeys(both))
    assert command.KINDS == MODEL_KINDS
    assert evaluate_command.EVALUATIONS == measurement.EVALUATIONS


def test_the_defaults_offered_are_those_of_the_settings():
    train = parse(["train", "prep"]).arguments
    settings = TrainingSettings()
    assert (train["minutes"], train["seed"]) == (settings.minutes, settings.seed)
    assert (train["examples"], train["examples"] // 4) == (settings.n_examples, settings.n_generated)
    evaluate = parse(["evaluate", "answers", "--data", "x"]).arguments
    expected = EvaluationSettings()
    assert (evaluate["baseline"], evaluate["candidate"], evaluate["limit"], evaluate["deadline"]) == (
        expected.baseline,
        expected.candidate,
        expected.limit,
        expected.deadline_s,
    )
    assert evaluate["instruct_baseline"] is expected.instruct_baseline
    assert evaluate["no_resume"] is not expected.resume


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["ak", "q"], "'ask'"),
        (["ask", "q", "--workpace", "w"], "'--workspace'"),
        (["models", "rolback", "prep"], "'rollback'"),
        (["generations", "rolback"], "'rollback'"),
        (["statsu"], "'status'"),
    ],
)
def test_a_word_that_is_nearly_right_is_suggested(words, suggestion, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(words)
    assert stopped.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"Did you mean {suggestion}?" in shown.err


def test_the_corpus_may_be_several_paths_and_ends_at_the_next_option():
    words = ["train", "retrieve", "--corpus", "a", "b", "--seed", "1", "--corpus", "c"]
    assert parse(words).arguments["corpus"] == ("a", "b", "c")


def test_json_is_a_format_of_the_answer():
    assert parse(["ask", "q"]).arguments["output_format"] == "text"
    assert parse(["ask", "q", "--json"]).arguments["output_format"] == "json"
    assert parse(["ask", "--format", "html", "one", "two"]).arguments["output_format"] == "html"


def test_verbosity_is_counted_and_quiet_excludes_it(capsys):
    assert [parse(["status", *words]).verbosity for words in (["-q"], [], ["-v"], ["-vv"])] == [-1, 0, 1, 2]
    with pytest.raises(SystemExit):
        parse(["status", "-v", "-q"])
    assert "exclude one another" in capsys.readouterr().err


def test_the_version_is_shown(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(["--version"])
    assert stopped.value.code == 0
    assert re.fullmatch(r"diptych \S+\n", capsys.readouterr().out)


def test_a_stage_that_a_model_lacks_is_refused_before_anything_is_ingested(tmp_path, capsys):
    (tmp_path / "a.md").write_text("# Bees\n\nBees make honey.\n", encoding="utf-8")
    place = tmp_path / "w"
    train = ["train", "retrieve", "--stage", "contrastive", "--corpus", str(tmp_path / "a.md")]
    assert main([*train, "--workspace", str(place)]) == 2
    assert "there is no stage 'contrastive' of retrieve" in capsys.readouterr().err
    assert not place.exists()
