"""Packs: training on traces that share a prompt gives what training on each alone gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import make_gemma

from retrieve.lm.base import load_base
from training.retrieve_model.supervised import train_supervised
from training.retrieve_model.supervised_config import SupervisedConfig
from training.retrieve_model.trainer import AdapterTrainer
from training.traces.packing import encode_traces, pack_traces, plan_packed_steps
from training.traces.traces import Trace

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
SHEETS = {
    "<results>\n\n⟦1⟧ Ada built it.⟦2⟧ Bo paid.\n</results>\n": [
        ("Who built it?", " Ada⟦1⟧"),
        ("Who paid?", " Bo⟦2⟧"),
    ],
    "<results>\n\n⟦1⟧ It rained.\n</results>\n": [("Who sang?", " none")],
}
TRACES = [
    Trace(
        f"q{i}",
        "direct",
        ((results, False), (f"<question>{asked}</question>\n", False), (f"<report>{said}</report>", True)),
    )
    for i, (results, asked, said) in enumerate(
        (results, *pair) for results, pairs in SHEETS.items() for pair in pairs
    )
]
CONFIG = SupervisedConfig(
    rank=4,
    alpha=8,
    learning_rate=1e-2,
    warmup_steps=2,
    batch_tokens=256,
    lengths=(128,),
    compile="never",
    packed=True,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gemma(tmp_path_factory.mktemp("base") / "base")


def test_what_begins_alike_is_read_once(base: Path) -> None:
    _, tokenizer = load_base(base, dtype=torch.float32)
    examples = encode_traces(tokenizer, TRACES)
    first, second = pack_traces([*examples[::2], examples[1]], 200)
    assert [len(pack.parts) for pack in (first, second)] == [2, 1]
    for example, part in zip((examples[0], examples[1]), first.parts, strict=True):
        assert first.prompt + part.ids == example.ids
        assert not any(example.labelled[: len(first.prompt)])
        assert example.labelled[len(first.prompt) :] == part.labelled
    assert first.n_tokens == len(examples[0].ids) + len(examples[1].ids) - len(first.prompt)
    alone = pack_traces(examples, max(len(example.ids) for example in examples))
    assert [len(pack.parts) for pack in alone] == [1, 1, 1]
    short = min(len(example.ids) for example in examples)
    assert len(pack_traces(examples, short)) == 1


@pytest.mark.parametrize(
    ("shape", "n_batches"), [((1, 0), 2), ((1, 60), 2), ((4, 60), 1), ((2, 400), 1), ((1, 400), 1)]
)
@pytest.mark.parametrize("padded", [False, True])
def test_losses_are_those_of_the_traces_alone(
    base: Path, shape: tuple[int, int], n_batches: int, padded: bool
) -> None:
    """One pack at a time, packs as rows of one batch, and packs behind one another in a row."""
    model, tokenizer = load_base(base, dtype=torch.float32)
    torch.manual_seed(0)
    trainer = AdapterTrainer(model, tokenizer, CONFIG)
    with torch.no_grad():
        for master in trainer.masters.values():
            master.add_(0.05 * torch.randn_like(master))
    trainer.scatter_masters()
    examples = encode_traces(tokenizer, TRACES)
    packs = pack_traces(examples, 200)
    trainer.shape, trainer.padded = shape, padded
    losses = list(trainer.packed_losses(packs))
    assert len(losses) == n_batches
    packed = float(sum(losses).detach())
    total, n_labels = 0.0, 0
    for example in examples:
        ids, labelled = torch.tensor([example.ids]), torch.tensor([example.labelled])
        n = int(labelled.sum())
        total += n * float(trainer.loss(ids, labelled)[0].detach())
        n_labels += n
    assert packed == pytest.approx(total / n_labels, rel=1e-4)


def test_every_pack_has_its_turn_in_each_epoch(base: Path) -> None:
    _, tokenizer = load_base(base, dtype=torch.float32)
    examples = encode_traces(tokenizer, TRACES)
    packs = pack_traces(examples, 200) * 4
    steps = plan_packed_steps(packs, 120, seed=1, n_epochs=2)
    assert sorted(number for step in steps for number in step) == sorted([*range(8), *range(8)])
    assert all(sum(packs[number].n_tokens for number in step) <= 120 for step in steps)
    assert steps == plan_packed_steps(packs, 120, seed=1, n_epochs=2)
    assert steps != plan_packed_steps(packs, 120, seed=2, n_epochs=2)
    half = plan_packed_steps(packs, 120, seed=1, n_epochs=0.5)
    assert sum(map(len, half)) == 4


def test_a_packed_run_learns_and_its_adapter_loads(base: Path, tmp_path: Path) -> None:
    model, tokenizer = load_base(base, dtype=torch.float32)
    config = replace(CONFIG, n_epochs=80, learning_rate=3e-2)
    result = train_supervised(model, tokenizer, TRACES, tmp_path / "run", config, progress=False)
    losses = [row["loss"] for row in result.curve]
    assert losses[-1] < 0.5 * losses[0]
    again, _ = load_base(base, dtype=torch.float32)
    trainer = AdapterTrainer(again, tokenizer, config)
    trainer.start_from(result.adapter)
    example = encode_traces(tokenizer, TRACES[:1])[0]
    loss, hits = trainer.loss(torch.tensor([example.ids]), torch.tensor([example.labelled]))
    assert float(loss.detach()) < 0.5 * losses[0]
    assert hits.float().mean() > 0.5
