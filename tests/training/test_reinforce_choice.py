"""Reinforcement of the choice: the report that is worth more comes to be chosen, and reports stay as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_causal_lm import make_causal_lm, make_retrieve_version
from fixture_rows import answer_row

from prep.errors import ConfigError, DataError
from retrieve.comparing import Compared, Comparing, Told
from retrieve.decoding import Decoder
from retrieve.episode import EpisodeLimits
from retrieve.model import ADAPTER, BACKWARDS, RetrieveModel, ServingConfig, save_retrieve_version
from retrieve.rivals import backwards_logprobs
from training.reinforce_choice import ChoiceConfig, main, reinforce_choice
from training.rival_sets import RivalSet, read_rival_sets
from training.run_folder import read_log
from training.supervised import SupervisedConfig, train_supervised
from training.traces import Trace

# The adapter library asks transformers for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
RESULTS = "<results>\nHoney\n⟦1⟧ bees make honey.⟦2⟧ kestrel in the nest.\n</results>\n"
ASKED = ("what is from bees", "the nest of what", "honey is what")
CONFIG = ChoiceConfig(
    learning_rate=2e-2, warmup_steps=1, sets_per_step=2, n_epochs=12, checkpoint_every=4, evaluate_every=6
)
CHOOSING = Comparing(n=3, likely=0.0, backwards=5.0)


def rival_set(number: int) -> RivalSet:
    """Of three reports the last one is right, and it is the least likely."""
    rivals = tuple(
        Compared(f"<report> {words}</report>", -1.0 - at, 0.0, 4)
        for at, words in enumerate(("honey⟦1⟧", "bees⟦1⟧", "kestrel⟦2⟧"))
    )
    rows = tuple(
        replace(answer_row(prediction=words, f1=f1), question_id=str(number), document_id=str(number))
        for words, f1 in (("honey", 0.0), ("bees", 0.4), ("kestrel", 1.0))
    )
    return RivalSet(Told(RESULTS, f"<question>{ASKED[number]}</question>\n"), rivals, rows, 6)


SETS = [rival_set(number) for number in range(len(ASKED))]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_causal_lm(tmp_path_factory.mktemp("base") / "lm")


@pytest.fixture(scope="module")
def version(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version that tells backwards."""
    folder = tmp_path_factory.mktemp("version")
    make_retrieve_version(folder / "first", base)
    first = RetrieveModel.load(folder / "first", base=base, device="cpu")
    traces = [
        Trace("", "", ((RESULTS, False), (one.told.asked, False), (one.rivals[0].text, True))) for one in SETS
    ]
    config = SupervisedConfig(
        rank=2,
        alpha=4,
        frozen_layers=1,
        packed=True,
        behind=first.version,
        lengths=(400,),
        n_epochs=2,
        compile="never",
    )
    told = train_supervised(first.model, first.tokenizer, traces, folder / "told", config, progress=False)
    save_retrieve_version(
        folder / "second",
        folder / "first" / ADAPTER,
        serving=ServingConfig(comparing=CHOOSING, episode=EpisodeLimits(question_last=True)),
        backwards=told.adapter,
        source=str(base),
    )
    return folder / "second"


def train(version: Path, base: Path, out: Path, **more: Any) -> Path:
    return reinforce_choice(version, SETS, out, CONFIG, held=SETS, base=base, progress=False, **more)


def test_the_better_report_comes_to_be_chosen_and_serving_measures_what_training_did(
    version: Path, base: Path, tmp_path: Path
) -> None:
    adapter = train(version, base, tmp_path / "run")
    log = read_log(tmp_path / "run" / "log.jsonl")
    rewards = [row["expected_reward"] for row in log if "expected_reward" in row]
    assert rewards[-1] > rewards[0] + 0.1
    held = [row["held_reward"] for row in log if "held_reward" in row]
    assert len(held) == 4  # before, at two steps, and behind
    assert held[-1] > held[0]
    scored = read_rival_sets(tmp_path / "run" / "held.jsonl")
    assert all(one.with_(CHOOSING)[0].prediction == "kestrel" for one in scored)

    model = RetrieveModel.load(version, base=base, device="cpu")
    save_retrieve_version(
        tmp_path / "third",
        version / ADAPTER,
        serving=model.serving,
        backwards=adapter,
        source=str(base),
    )
    served = RetrieveModel.load(tmp_path / "third", base=base, device="cpu")
    decoder: Decoder = served.decoder()
    with torch.inference_mode():
        for one in scored:
            behind, _ = backwards_logprobs(decoder, one.told, [rival.text for rival in one.rivals])
            # bfloat16 on disk.
            assert behind == pytest.approx([rival.backwards for rival in one.rivals], rel=0.05, abs=0.3)
    assert all(
        torch.equal(one, other)
        for one, other in zip(model.model.parameters(), served.model.parameters(), strict=True)
    )


def test_a_run_that_was_stopped_goes_on_with_the_same_rewards(
    version: Path, base: Path, tmp_path: Path
) -> None:
    def rewards(run: Path) -> list[float]:
        return [row["expected_reward"] for row in read_log(run / "log.jsonl") if "expected_reward" in row]

    class Stopped(Exception):
        pass

    def stop(row: dict[str, float]) -> None:
        if row["step"] == 10:
            raise Stopped

    train(version, base, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(version, base, tmp_path / "cut", report=stop)
    train(version, base, tmp_path / "cut")
    assert rewards(tmp_path / "cut") == pytest.approx(rewards(tmp_path / "whole"), abs=1e-4)


def test_what_has_nothing_to_learn_from_is_refused(version: Path, base: Path, tmp_path: Path) -> None:
    same = [replace(one, rows=(one.rows[0],) * 3) for one in SETS]
    with pytest.raises(DataError, match="of 3 questions none"):
        reinforce_choice(version, same, tmp_path / "run", CONFIG, base=base, progress=False)
    with pytest.raises(ConfigError, match="tells nothing backwards"):
        reinforce_choice(version.parent / "first", SETS, tmp_path / "run", CONFIG, base=base, progress=False)
    save_retrieve_version(
        tmp_path / "first",
        version / ADAPTER,
        serving=ServingConfig(comparing=CHOOSING),
        backwards=version / BACKWARDS,
        source=str(base),
    )
    with pytest.raises(ConfigError, match="its question first"):
        reinforce_choice(tmp_path / "first", SETS, tmp_path / "run", CONFIG, base=base, progress=False)
    with pytest.raises(ConfigError, match="sharpness"):
        ChoiceConfig(sharpness=0.0)


def test_it_runs_from_the_command_line(version: Path, tmp_path: Path) -> None:
    lines = "".join(json.dumps(one.as_json()) + "\n" for one in SETS)
    (tmp_path / "sets.jsonl").write_text(lines, encoding="utf-8")
    given = [
        "--sets",
        str(tmp_path / "sets.jsonl"),
        "--version",
        str(version),
        "--out",
        str(tmp_path / "run"),
    ]
    main([*given, "--held", str(tmp_path / "sets.jsonl"), "--n-epochs", "1", "--sets-per-step", "3"])
    assert (tmp_path / "run" / "adapter.safetensors").is_file()
    assert len(read_rival_sets(tmp_path / "run" / "held.jsonl")) == 3
