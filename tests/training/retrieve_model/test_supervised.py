"""Supervised training on a tiny model: it learns, goes on after a kill, and trusts only complete checkpoints."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_prep import subprocess_environment
from safetensors.torch import load_file
from tiny_models import gemma_tokenizer, make_gemma, make_llama

from prep.errors import ConfigError, DataError
from retrieve.decoding.generator import Generator
from retrieve.episode.episode import Episode, Passage
from retrieve.lm.adapter import apply_adapter
from retrieve.lm.base import load_base
from retrieve.lm.special_tokens import MARKERS, TAGS
from training.retrieve_model.supervised import train_supervised
from training.retrieve_model.supervised_config import SupervisedConfig
from training.traces.mixture import write_traces
from training.traces.packing import encode_traces
from training.traces.traces import Trace

CONFIG = SupervisedConfig(
    rank=4,
    alpha=8,
    learning_rate=2e-2,
    warmup_steps=4,
    batch_tokens=512,
    lengths=(64, 128),
    n_epochs=4.0,
    checkpoint_every=7,
    evaluate_every=8,
    compile="never",
)
# The adapter library asks transformers for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
KILLED = """
import os, signal, sys, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[4])
warnings.simplefilter("ignore")
import torch
from test_supervised import CONFIG
from retrieve.lm.base import load_base
from training.traces.mixture import read_traces
from training.retrieve_model.supervised import train_supervised

def die(row):
    if row["step"] == 20:
        os.kill(os.getpid(), 9)

model, tokenizer = load_base(sys.argv[1], dtype=torch.float32)
traces = read_traces(Path(sys.argv[2]))
train_supervised(model, tokenizer, traces, Path(sys.argv[3]), CONFIG, progress=False, on_progress=die)
"""


def make_traces(n: int, *, shift: int = 0) -> list[Trace]:
    """Two sentences, and the one with the word asked for is pointed at; the answer is that word."""
    traces = []
    words = ["honey", "nectar", "glass", "sand", "vole", "nest"]
    for number in range(n):
        wanted, other = words[(number + shift) % 6], words[(number // 6 + number + shift + 1) % 6]
        sentences = [f"kestrel {wanted}! ", f"bees {other}! "]
        if number % 2:
            sentences.reverse()
        text = "".join(sentences) + "the of and! " * (number % 3)
        episode = Episode("what is kestrel")
        episode.give([Passage("d", "", (), 0, len(text), text)])
        episode.act(f"<report> {wanted}⟦{2 if number % 2 else 1}⟧</report>")
        traces.append(Trace(str(number), "direct", tuple(episode.segments)))
    return traces


TRACES = make_traces(64)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gemma(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """An uninterrupted run: its folder and result."""
    out = tmp_path_factory.mktemp("run")
    return out, train(base, out)


def train(
    base: Path, out: Path, traces: list[Trace] = TRACES, config: SupervisedConfig = CONFIG, **more: Any
) -> Any:
    model, tokenizer = load_base(base, dtype=torch.float32)
    return train_supervised(
        model, tokenizer, traces, out, config, held_out=TRACES[:8], progress=False, **more
    )


def assert_same(one: Path, other: Path) -> None:
    """Same tensors; the bytes may differ, for the order of a file's metadata is not fixed."""
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def adapters(run: Path) -> list[Path]:
    """Adapters of the complete checkpoints, oldest first."""
    return [marker.parent / "adapter.safetensors" for marker in sorted(run.glob("checkpoints/*/complete"))]


def curve(result: Any) -> list[tuple[float, ...]]:
    return [(row["step"], row["loss"], row["rate"], row["norm"]) for row in result.curve]


def test_the_loss_falls_and_the_measures_rise(whole: tuple[Path, Any]) -> None:
    result = whole[1]
    losses = [row["loss"] for row in result.curve]
    assert losses[-1] < 0.5 * losses[0]
    assert result.curve[-1]["step"] == result.n_steps
    first, last = result.evaluations[0], result.evaluations[-1]
    assert last["held_loss"] < first["held_loss"]
    assert last["labels_right"] > first["labels_right"]
    assert (result.n_examples, result.n_too_long) == (64, 0)


def test_what_is_saved_serves_as_it_trained(base: Path, whole: tuple[Path, Any]) -> None:
    """The merged adapter's loss on the held-out traces is the one that training measured last."""
    model, tokenizer = load_base(base, dtype=torch.float32)
    apply_adapter(model, tokenizer, whole[1].adapter)
    losses = []
    for trace in TRACES[:8]:
        example = encode_traces(tokenizer, [trace])[0]
        ids = torch.tensor([example.ids])
        with torch.inference_mode():
            scores = torch.log_softmax(model(ids).logits[0, :-1].float(), dim=-1)
        labels = [n for n, labelled in enumerate(example.labelled) if labelled]
        losses += [-float(scores[n - 1, example.ids[n]]) for n in labels]
    measured = whole[1].evaluations[-1]["held_loss"]
    assert sum(losses) / len(losses) == pytest.approx(measured, rel=0.1, abs=0.02)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_losses(
    base: Path, whole: tuple[Path, Any], tmp_path: Path
) -> None:
    write_traces(tmp_path / "traces.jsonl", TRACES)
    arguments = [str(base), str(tmp_path / "traces.jsonl"), str(tmp_path / "run"), str(Path(__file__).parent)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        env=subprocess_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.parent.name for path in adapters(tmp_path / "run")] == ["step-0000007", "step-0000014"]
    assert not (tmp_path / "run" / "adapter.safetensors").exists()
    resumed = train(base, tmp_path / "run")
    for one, other in zip(curve(resumed), curve(whole[1]), strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    same = load_file(resumed.adapter)
    for name, tensor in load_file(whole[1].adapter).items():
        torch.testing.assert_close(same[name], tensor, atol=1e-3, rtol=1e-2)


def test_a_checkpoint_without_its_marker_is_ignored_and_replaced(
    base: Path, whole: tuple[Path, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole[0], run)
    (run / "adapter.safetensors").unlink()
    newest = max(run.glob("checkpoints/*"))
    (newest / "complete").unlink()
    (newest / "state.safetensors").write_bytes(b"torn")
    (newest / "notes.json").unlink()
    seen: list[dict[str, float]] = []
    resumed = train(base, run, on_progress=seen.append)
    assert curve(resumed) == [pytest.approx(row, rel=1e-4) for row in curve(whole[1])]
    assert 0 < len(seen) < len(resumed.curve)
    assert (newest / "complete").exists()
    assert adapters(run)[-1].parent == newest


def test_a_finished_run_is_not_trained_again(base: Path, whole: tuple[Path, Any], tmp_path: Path) -> None:
    shutil.copytree(whole[0], tmp_path / "run")
    seen: list[dict[str, float]] = []
    again = train(base, tmp_path / "run", on_progress=seen.append)
    assert seen == []
    assert curve(again) == curve(whole[1])
    assert_same(again.adapter, whole[1].adapter)


def test_a_run_stopped_early_goes_on_with_the_same_losses(
    base: Path, whole: tuple[Path, Any], tmp_path: Path
) -> None:
    stopped = train(base, tmp_path, stop_after_s=0.0)
    assert stopped.n_steps == 0
    assert not adapters(tmp_path)
    assert stopped.adapter.exists()
    resumed = train(base, tmp_path)
    assert curve(resumed) == [pytest.approx(row, rel=1e-4) for row in curve(whole[1])]


@pytest.mark.parametrize("change", ["data", "fewer", "settings"])
def test_a_folder_of_another_run_is_refused(
    base: Path, whole: tuple[Path, Any], tmp_path: Path, change: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole[0], run)
    before = (run / "config.json").read_text()
    traces, config = TRACES, CONFIG
    if change == "data":
        traces = make_traces(64, shift=1)
    elif change == "fewer":
        traces = TRACES[:-1]
    else:
        config = replace(CONFIG, learning_rate=1e-3)
    with pytest.raises(
        ConfigError, match=rf"other settings or data \({'config' if change == 'settings' else 'data'}"
    ):
        train(base, run, traces, config)
    assert (run / "config.json").read_text() == before


def test_only_the_two_newest_checkpoints_are_kept_and_each_has_its_adapter(whole: tuple[Path, Any]) -> None:
    out, result = whole
    assert len(list(out.glob("checkpoints/*"))) == 2
    newest = adapters(out)[-1]
    assert newest.parent.name == f"step-{result.n_steps:07d}"
    assert_same(newest, result.adapter)


def test_going_on_from_an_adapter_leaves_frozen_layers_and_token_rows_as_they_are(
    base: Path, whole: tuple[Path, Any], tmp_path: Path
) -> None:
    config = replace(CONFIG, frozen_layers=1, n_epochs=1.0)
    result = train(base, tmp_path, config=config, start_from=whole[1].adapter)
    before, after = load_file(whole[1].adapter), load_file(result.adapter)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any(name == "token_rows" or ".layers.0." in name for name in changed)
    assert result.curve[0]["loss"] < 0.5 * whole[1].curve[0]["loss"]  # it did not start anew
    again = train(base, tmp_path, config=config, start_from=whole[1].adapter)  # from its own checkpoint
    assert_same(result.adapter, again.adapter)


def test_an_adapter_of_another_rank_or_too_many_frozen_layers_are_refused(
    base: Path, whole: tuple[Path, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="cannot be gone on from with rank 2"):
        train(base, tmp_path, config=replace(CONFIG, rank=2), start_from=whole[1].adapter)
    with pytest.raises(ConfigError, match="frozen_layers=99"):
        train(base, tmp_path, config=replace(CONFIG, frozen_layers=99))


def test_a_base_of_another_kind_is_trained_and_served_the_same_way(tmp_path: Path) -> None:
    """Untied head, byte-level tokens, no beginning-of-text token."""
    path = make_llama(tmp_path / "base")
    config = replace(CONFIG, lengths=(384,), batch_tokens=3072, n_epochs=2.0)
    result = train(path, tmp_path / "run", TRACES[:32], config)
    assert result.curve[-1]["loss"] < result.curve[0]["loss"] or len(result.curve) == 1
    assert result.evaluations
    model, tokenizer = load_base(path, dtype=torch.float32)
    apply_adapter(model, tokenizer, result.adapter)
    example = encode_traces(tokenizer, TRACES[:1])[0]
    with torch.inference_mode():
        scores = torch.log_softmax(model(torch.tensor([example.ids])).logits[0, :-1], dim=-1)
    own = {tokenizer.convert_tokens_to_ids(token) for token in (*TAGS, *MARKERS)}
    pointed = [n for n, label in enumerate(example.labelled) if label and example.ids[n] in own]
    assert len(pointed) == 3
    assert all(math.isfinite(float(scores[n - 1, example.ids[n]])) for n in pointed)


def test_a_trace_is_encoded_as_its_episode_is_read(base: Path) -> None:
    model, tokenizer = load_base(base)
    generator = Generator(model, tokenizer)
    episode = Episode("what <eos> is")
    episode.give([Passage("d", "Bees", (), 0, 21, "Bees <bos> é 蜂 honey.")])
    episode.act("<search> glass</search>")
    episode.give([])
    episode.act("<report> none</report>")
    example = encode_traces(tokenizer, [Trace("q", "direct", tuple(episode.segments))])[0]
    assert list(example.ids) == generator.encode(episode.prompt)
    written = [token for token, label in zip(example.ids, example.labelled, strict=True) if label]
    assert tokenizer.decode(written) == "<search> glass</search><report> none</report>"
    assert not example.labelled[0]


def test_traces_too_long_are_counted_and_none_that_fits_is_an_error(base: Path, tmp_path: Path) -> None:
    tokenizer = gemma_tokenizer()
    longest = max(len(encode_traces(tokenizer, [trace])[0].ids) for trace in TRACES)
    assert longest > 32
    short = replace(CONFIG, lengths=(longest - 1,), n_epochs=0.25)
    result = train(base, tmp_path / "some", config=short)
    assert result.n_too_long > 0
    assert result.n_examples + result.n_too_long == 64
    with pytest.raises(DataError, match="none of 64 traces fits 8 tokens"):
        train(base, tmp_path / "none", config=replace(CONFIG, lengths=(8,)))


@pytest.mark.parametrize(
    "wrong", [{"rank": 0}, {"n_epochs": 0.0}, {"lengths": (128, 64)}, {"lengths": (1024,)}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(CONFIG, **wrong)
