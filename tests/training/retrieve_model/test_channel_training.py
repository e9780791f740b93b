"""A noisy-channel model is trained on a shared prefix, and leaves its version unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import make_gemma

from prep.errors import ConfigError
from prep.lora import read_updates
from retrieve.decoding.generator import Generator
from retrieve.decoding.noisy_channel import channel_scores, load_channel_model
from retrieve.episode.episode import PromptParts
from retrieve.lm.base import load_base
from training.retrieve_model.supervised import train_supervised
from training.retrieve_model.supervised_config import SupervisedConfig
from training.retrieve_model.trainer import AdapterTrainer
from training.traces.channel_traces import channel_traces
from training.traces.packing import encode_traces, pack_traces
from training.traces.traces import Trace

RESULTS = "<results>\nHoney\n⟦1⟧ bees make honey.⟦2⟧ kestrel in the nest.\n</results>\n"
TRACES = [
    Trace(
        asked,
        "direct",
        ((RESULTS, False), (f"<question>{asked}</question>\n", False), (f"<report> {said}</report>", True)),
    )
    for asked, said in (("what is from bees", "honey⟦1⟧"), ("the nest of what", "kestrel⟦2⟧"))
]
CONFIG = SupervisedConfig(
    rank=4,
    alpha=8,
    learning_rate=3e-2,
    warmup_steps=2,
    batch_tokens=256,
    lengths=(200,),
    compile="never",
    packed=True,
    n_epochs=60,
    channel_of="some-version",
    frozen_layers=1,
)
# The adapter library asks transformers for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gemma(tmp_path_factory.mktemp("base") / "base")


def test_it_learns_questions_and_serves_as_it_trained(base: Path, tmp_path: Path) -> None:
    model, tokenizer = load_base(base, dtype=torch.float32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = train_supervised(model, tokenizer, TRACES, tmp_path, CONFIG, progress=False)
    assert result.curve[-1]["loss"] < 0.8 * result.curve[0]["loss"]
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    updates, _, _ = read_updates(result.adapter)
    assert updates
    assert all(".layers.1." in name for name in updates)  # the lowest layer is frozen

    generator = Generator(model, tokenizer)
    channel_model = load_channel_model(model, result.adapter)
    with torch.inference_mode():
        served = sum(
            channel_scores(generator, channel_model, PromptParts(results, asked), [report])[0][0]
            for (results, _), (asked, _), (report, _) in (trace.segments for trace in TRACES)
        )
    examples = encode_traces(tokenizer, channel_traces(TRACES))
    n_labels = sum(sum(example.labelled) for example in examples)
    # bfloat16 on disk.
    assert -served / n_labels == pytest.approx(result.curve[-1]["loss"], rel=0.2, abs=0.1)


def test_losses_after_a_shared_prefix_are_those_of_the_single_traces(base: Path) -> None:
    model, tokenizer = load_base(base, dtype=torch.float32)
    trainer = AdapterTrainer(model, tokenizer, CONFIG)
    torch.manual_seed(0)
    with torch.no_grad():
        for master in trainer.masters.values():
            master.add_(0.05 * torch.randn_like(master))
    trainer.scatter_masters()
    examples = encode_traces(tokenizer, channel_traces(TRACES))
    n_labels = [sum(example.labelled) for example in examples]
    together = float(sum(trainer.packed_losses(pack_traces(examples, 200))).detach())
    alone = [float(sum(trainer.packed_losses(pack_traces([one], 200))).detach()) for one in examples]
    mean = sum(n * loss for n, loss in zip(n_labels, alone, strict=True)) / sum(n_labels)
    assert together == pytest.approx(mean, rel=1e-4)


def test_what_it_cannot_be_trained_with_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="packed"):
        replace(CONFIG, packed=False)
    model, tokenizer = load_base(base, dtype=torch.float32)
    with pytest.raises(ConfigError, match="tune_reranking"):
        train_supervised(model, tokenizer, TRACES, tmp_path, CONFIG, held_out=TRACES, progress=False)
