"""Commands that pages, model cards, recipes and module docstrings show can be typed: each is parsed by what it starts.

A block of code holds whole commands. A span of code in a sentence may leave out what is required, but names options
that exist. In usage lines optional parts are parsed as if given, of alternatives the first; a word in capitals stands
for any value. Lines that a "…" shortens are skipped.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flows.cli.app import parse
from retrieve.decoding.reranking import RerankingConfig
from retrieve.model import ServingConfig
from training.prep_model.contrastive_config import ContrastiveConfig
from training.prep_model.structure_config import StructureConfig
from training.prep_model.vector_pages import read_sets
from training.rl.reinforce_config import ReinforceConfig

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "training" / "recipes"
SCRIPTS = sorted(RECIPES.glob("*.sh"))
CARDS = sorted((ROOT / "prep/weights").rglob("*.md")) + sorted((ROOT / "retrieve/weights").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", RECIPES / "README.md", *CARDS]
CONFIGS = {
    "training.prep_model.contrastive": ContrastiveConfig,
    "training.prep_model.structure_training": StructureConfig,
    "training.rl.reinforce": ReinforceConfig,
}
COMMAND = re.compile(
    r"python -m training\.\w+|python tests/bench/\w+\.py|tests/bench/\w+\.py|training/recipes/\w+\.sh"
    r"|training(\.\w+)+ --|diptych \w"
)
PLACEHOLDER = re.compile(r"[A-Z][A-Z_0-9]*")


class Shown(NamedTuple):
    """A command, and whether it stands whole in a block or as a span in a sentence."""

    source: str
    command: str
    whole: bool


def shown_in(source: str, text: str) -> Iterator[Shown]:
    """Yield the commands of a page or docstring: of its blocks and of its code spans.

    A block is fenced or indented by four; a line that starts with "python" is one, too.
    """
    sentences: list[str] = []
    block: list[str] = []
    fenced = False
    for line in [*text.splitlines(), ""]:
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith(("    ", "python ")) or (block and block[-1].endswith("\\")):
            deeper = line.startswith("      ") and block  # a usage line goes on, further in
            if deeper or (block and block[-1].endswith("\\")):
                block[-1] = f"{block[-1].removesuffix(chr(92))} {line.strip()}"
            else:
                block.append(line.strip())
            continue
        else:
            sentences.append(line)
        yield from (Shown(source, one, True) for one in block if COMMAND.match(one))
        block = []
    for span in re.findall(r"`([^`]+)`", "\n".join(sentences)):
        if COMMAND.match(span):
            yield Shown(source, " ".join(span.split()), False)


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the module docstrings that show commands, each with its file's name."""
    for folder in ("prep", "retrieve", "training", "flows", "tests/bench"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if "python -m training" in text or "python tests/bench" in text:
                yield str(path.relative_to(ROOT)), ast.get_docstring(ast.parse(text)) or ""


def every_command() -> Iterator[Any]:
    pages = [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in PAGES]
    for source, text in [*pages, *docstrings()]:
        for shown in shown_in(source, text):
            shortened = [pytest.mark.skip(reason="shortened by …")] if "…" in shown.command else []
            yield pytest.param(shown, id=f"{source}: {shown.command}", marks=shortened)


def words_of(command: str) -> list[str]:
    """Return the words as they are typed: optional parts given, of alternatives the first."""
    command = re.sub(r"\[([^][|]*)\|[^][]*\]", r"\1", command)
    return shlex.split(command.replace("[", "").replace("]", "").replace(" ...", ""), comments=True)


class Parsed(Exception):
    """The command line was parsed."""


def parse_arguments(run: Any, words: Sequence[str], *, whole: bool) -> None:
    """Call `run` with a command line until argparse has read it. Raises Parsed, or SystemExit as argparse does."""
    parse_known = argparse.ArgumentParser.parse_known_args
    stand_ins = [word for word in words if PLACEHOLDER.fullmatch(word)]

    def read(kind: Any, word: str) -> Any:
        return word if word in stand_ins else kind(word)

    def parse_until_read(parser: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> None:
        for action in parser._actions:
            if action.type is not None:
                action.type = lambda word, kind=action.type: read(kind, word)
            if action.choices is not None:
                action.choices = [*action.choices, *stand_ins]
            if not whole:
                action.required = False
                action.nargs = {None: "?", "+": "*"}.get(action.nargs, action.nargs)
        for group in parser._mutually_exclusive_groups:
            group.required = group.required and whole
        unknown = parse_known(parser, args, namespace)[1]
        if unknown:
            parser.error(f"unknown arguments: {unknown}")
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", parse_until_read)
        patch.setattr(sys, "argv", ["command", *words])
        run()
    raise AssertionError("the command reads no arguments")


def check(command: str, *, whole: bool = True) -> None:
    """Parse one command as the program that it starts does. Raises what the program raises, or AssertionError."""
    words = words_of(command)
    if words[0] == "python":
        del words[0]
    if words[0] == "-m":
        del words[0]
    program, arguments = words[0], words[1:]
    try:
        if program == "diptych":
            assert callable(parse(arguments if whole else [*arguments, "--help"]).function)
        elif program.endswith(".sh"):
            assert os.access(ROOT / program, os.X_OK), f"{program} cannot be run"
            assert not whole or arguments == usage(ROOT / program)
        elif program.endswith(".py"):
            script = partial(runpy.run_path, str(ROOT / program), run_name="__main__")
            parse_arguments(script, arguments, whole=whole)
        else:
            parse_arguments(importlib.import_module(program).main, arguments, whole=whole)
    except Parsed:
        pass
    except SystemExit as end:
        if end.code != 0:  # 0: --help
            raise AssertionError(f"{command} does not parse") from end


def usage(script: Path) -> list[str]:
    """Return the arguments in a recipe's usage line."""
    (line,) = re.findall(
        rf"^#   training/recipes/{script.name}(.*)$", script.read_text("utf-8"), re.MULTILINE
    )
    return shlex.split(line)


@pytest.mark.parametrize("shown", list(every_command()))
def test_a_command_that_is_shown_parses(shown: Shown):
    check(shown.command, whole=shown.whole)


@pytest.mark.parametrize(
    "command",
    [
        "python -m training.rl.reinforce --sheets FOLDER --run RUN",
        "python -m training.retrieve_model.supervised --traces TRACES",
        "python -m training.retrieve_model.supervised --traces TRACES --out RUN --learning-rate fast",
        "python -m training.prep_model.no_such_stage --data DATA",
        "python tests/bench/compare_chunkers.py --data DATA --only no-such-splitter",
        "diptych evaluate answers --data DATA --no-such-option",
        "training/recipes/prep_0_3.sh DATA",
        "training/recipes/no_such_recipe.sh",
    ],
)
def test_a_command_that_cannot_be_typed_is_found(command: str):
    with pytest.raises((AssertionError, ModuleNotFoundError)):
        check(command)


@pytest.mark.parametrize(
    "mention",
    [
        "training.rl.reinforce --sheets",
        "diptych retrain --no-such-option",
        "diptych no-such-command",
        "tests/bench/none.py",
    ],
)
def test_a_mention_of_what_does_not_exist_is_found(mention: str):
    with pytest.raises((AssertionError, FileNotFoundError)):
        check(mention, whole=False)


def test_commands_are_found_in_blocks_and_in_sentences():
    page = "Say `diptych ask`.\n\n    python -m training.a \\\n        --b C\n    ls\n\n```sh\ndiptych drift\n```\n"
    assert [(one.command, one.whole) for one in shown_in("page", page)] == [
        ("python -m training.a  --b C", True),
        ("diptych drift", True),
        ("diptych ask", False),
    ]


@pytest.mark.parametrize("card", CARDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_model_card_names_its_recipe(card: Path):
    named = re.findall(r"Recipe: `(training/recipes/\w+\.sh)`", card.read_text(encoding="utf-8"))
    assert len(named) == 1
    assert (ROOT / named[0]).is_file()


def run_recipe(script: Path, tmp_path: Path, **environment: str) -> list[list[str]]:
    """Run a recipe with a `python` that notes its arguments and does nothing; returns the arguments of every call."""
    notes = tmp_path / "notes"
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\037" "$@" >> "$NOTES"\necho >> "$NOTES"\n', encoding="utf-8")
    stand_in.chmod(0o755)
    inputs = [str(tmp_path / word) for word in usage(script)]
    subprocess.run(
        ["bash", str(script), *inputs],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "NOTES": str(notes), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [line.split("\037")[:-1] for line in notes.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("environment", [{}, {"FIRST_S": "60", "THEN_S": "60"}], ids=["", "stopped"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_step_of_a_recipe_parses(script: Path, environment: dict[str, str], tmp_path: Path):
    steps = run_recipe(script, tmp_path, **environment)
    assert steps
    for step in steps:
        assert step[0] == "-m"
        check(shlex.join(["python", *step]))
        for option, value in pairwise(step):
            if option == "--config":
                CONFIGS[step[1]].from_toml(value)
            if option in {"--card", "--reranking"}:
                assert Path(value).is_file()


def test_every_settings_file_beside_the_recipes_is_used():
    text = "".join(script.read_text(encoding="utf-8") for script in SCRIPTS)
    settings = [path.name for path in RECIPES.iterdir() if path.suffix in {".toml", ".json"}]
    assert settings
    assert [name for name in settings if f"$RECIPES/{name}" not in text] == []


def test_the_settings_of_the_recipes_are_those_of_the_shipped_versions():
    prep = json.loads((ROOT / "prep/weights/0.3/manifest.json").read_text(encoding="utf-8"))
    retrieve = json.loads((ROOT / "retrieve/weights/0.9/manifest.json").read_text(encoding="utf-8"))
    contrastive = prep["training"]["vectors"]["config"]
    sets = {name: read_sets(contrastive[name]) for name in ("sets", "measured")}
    contrastive = ContrastiveConfig(**{**contrastive, **sets, "sizes": tuple(contrastive["sizes"])})
    reranking = json.loads((RECIPES / "retrieve_0_8_reranking.json").read_text(encoding="utf-8"))["chosen"]
    assert ContrastiveConfig.from_toml(RECIPES / "prep_0_3_contrastive.toml") == contrastive
    assert json.loads(json.dumps(StructureConfig().to_json())) == prep["training"]["config"]
    assert RerankingConfig(**reranking) == ServingConfig.from_json(retrieve["serving"]).reranking


def test_the_ranking_weights_recipe_names_the_sets_that_the_shipped_weights_name(tmp_path: Path):
    (step,) = run_recipe(RECIPES / "ranking_weights.sh", tmp_path)
    training = json.loads((ROOT / "prep/weights/ranking.json").read_text(encoding="utf-8"))["training"]
    assert {Path(word).name for word in step[step.index("--data") + 1 :]} == set(training["examples"])
