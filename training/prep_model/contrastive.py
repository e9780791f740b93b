"""Stage two of the prep model: train the encoder's upper layers so that chunk vectors can be searched.

The layers that the heads read stay frozen, so that the heads stay valid and one pass over a document serves both; their
states of every chunk are computed once and kept. The upper layers get low-rank updates and continue from these states
over each chunk with its header. A chunk's vector is trained to lie next to the questions whose evidence it holds:
cross-entropy over all chunks of a batch (InfoNCE, https://arxiv.org/abs/1807.03748), which are the other chunks of the
same document and of documents like it. Evidence that a cut divides is divided among the chunks. Chunks, and questions
where the trained encoder reads them, are also held near their vectors by the frozen base, so that little data does not
spoil the pre-training.

    python -m training.prep_model.contrastive --data DATA --run RUN [--config FILE.toml] [--ship FOLDER]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from prep.document import Floats
from prep.errors import ConfigError, DataError
from prep.lora import Updates, layer_number, stack_updates
from prep.model.config import Queries, Vectors
from prep.model.encoder import like_lengths, pad_states
from prep.model.prep_model import PrepModel
from training.metrics.significance import Difference
from training.prep_model.contrastive_config import ContrastiveConfig
from training.prep_model.trained_version import TrainedVersion
from training.prep_model.vector_batches import Group, cut_groups, evidence_targets, plan_batches
from training.prep_model.vector_pages import Halves, VectorPage, read_pages
from training.prep_model.vector_recall import Recall, evaluate_vectors
from training.runs.loss_curves import draw_run
from training.runs.run_folder import RunFolder
from training.runs.training_loop import Schedule, TrainingLoop

__all__ = ["TrainedVectors", "train_contrastive"]


@dataclass(frozen=True, slots=True)
class TrainedVectors:
    """The result of a run. measures: set → way → recall on held-out documents.

    Ways: "chunks" encoded by the frozen base with their headers, "start" as the start's layers give them, "trained".
    gains: set → way → figure → how much "trained" finds more than that way, resampled by document.
    """

    updates: dict[str, tuple[torch.Tensor, torch.Tensor]]
    measures: dict[str, dict[str, Recall]]
    gains: dict[str, dict[str, dict[str, Difference]]]
    steps: int
    seconds: float

    def figures(self) -> dict[str, Any]:
        """Return recall and gains as plain values."""
        held_out = {
            name: {way: asdict(recall) for way, recall in ways.items()}
            for name, ways in self.measures.items()
        }
        gains = {
            name: {
                way: {figure: asdict(difference) for figure, difference in of_way.items()}
                for way, of_way in ways.items()
            }
            for name, ways in self.gains.items()
        }
        return {"held_out": held_out, "gains": gains}

    def version(self, config: ContrastiveConfig, start: PrepModel) -> TrainedVersion:
        """Return the version with the start's heads and these vectors."""
        return TrainedVersion(
            heads=start.heads,
            config=replace(start.config, vectors="shared", queries=config.queries),
            updates=self.updates,
            metrics=self.figures(),
            training={
                "stage": "contrastive",
                "start": start.version,
                "steps": self.steps,
                "config": asdict(config),
            },
        )


def train_contrastive(
    data: str | Path,
    run: str | Path,
    config: ContrastiveConfig | None = None,
    *,
    start: PrepModel | None = None,
    stop_after_s: float | None = None,
) -> TrainedVectors:
    """Train the upper layers, or go on with a run that was stopped; the updates, and recall on held-out documents.

    start: the version whose cuts and lower layers are kept, and whose vectors are gone on from where they were trained
    (default: the shipped one). stop_after_s: end by then, the
    learning rate lowered in time; reading and measuring come on top. Writes below `run` what `training.runs.run_folder`
    says, and cuts/. Raises ConfigError, DataError.
    """
    config = config or ContrastiveConfig()
    start = start or PrepModel.load(precision="float32")
    folder = Path(run)
    cuts = folder / "cuts"
    every = config.held_out_every
    pages = read_pages(
        data,
        config.sets,
        start,
        cuts,
        held_out=False,
        held_out_every=every,
        sizes=config.sizes,
        seed=config.seed,
    )
    held = read_pages(data, config.measured, start, cuts, held_out=True, held_out_every=every)
    groups = [group for page in pages for group in cut_groups(page, config)]
    if not groups:
        raise DataError("no question's evidence lies in the chunks of the sets to train on")
    trainer = _VectorTrainer(start, config)
    identity = {**asdict(config), "device": None, "start": start.version}
    folder_of_run = RunFolder(folder, identity)
    started = time.monotonic()
    steps = _fit(trainer, groups, held, folder_of_run, config, stop_after_s)
    seconds = time.monotonic() - started
    updates = trainer.updates()
    asked = start.config.queries
    ways = {
        "chunks": _variant(start, "chunk", asked, None),
        "start": _variant(start, "shared", asked, start.updates),
        "trained": _variant(start, "shared", config.queries, updates),
    }
    rows = evaluate_vectors(ways, held)
    measures = {name: {way: found.mean() for way, found in of_set.items()} for name, of_set in rows.items()}
    gains = {
        name: {way: of_set["trained"].gain_over(of_set[way], seed=config.seed) for way in ("chunks", "start")}
        for name, of_set in rows.items()
    }
    return TrainedVectors(updates, measures, gains, steps, seconds)


def _fit(
    trainer: _VectorTrainer,
    groups: Sequence[Group],
    held: Sequence[VectorPage],
    run: RunFolder,
    config: ContrastiveConfig,
    stop_after_s: float | None,
) -> int:
    optimiser = torch.optim.AdamW(
        trainer.trained.values(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    batches = plan_batches(groups, config)

    def take_step(step: int) -> dict[str, float]:
        rng = random.Random(f"{config.seed}/{step}")
        contrast, anchor = trainer.losses([groups[number] for number in batches[step]], rng)
        torch.autograd.backward(contrast + config.anchor_weight * anchor)
        return {"contrast": float(contrast.detach()), "anchor": float(anchor.detach())}

    def evaluate(step: int) -> Iterator[dict[str, Any]]:
        if not held or step == len(batches):  # the end is measured beside the start, by `train_contrastive`
            return
        now = _variant(trainer.start, "shared", config.queries, trainer.updates())
        for name, ways in evaluate_vectors({"trained": now}, held).items():
            yield {"set": name, **asdict(ways["trained"].mean())}

    schedule = Schedule(
        n_steps=len(batches),
        learning_rate=config.learning_rate,
        warmup_steps=max(1, round(config.warmup * len(batches))),
        final_fraction=0.05,
        evaluate_steps=config.evaluate_steps,
        checkpoint_steps=config.checkpoint_steps,
        stop_after_s=stop_after_s,
    )
    loop = TrainingLoop(run, trainer.trained, optimiser, schedule)
    return loop.run(take_step, description="training vectors", evaluate=evaluate)


class _VectorTrainer:
    """The encoder with low-rank pairs in its upper layers; gives the losses of a batch of groups."""

    def __init__(self, start: PrepModel, config: ContrastiveConfig) -> None:
        import copy

        from peft import LoraConfig, get_peft_model

        self.start = start
        self.config = config
        wanted = config.device
        self.device = torch.device("cuda" if wanted == "auto" and torch.cuda.is_available() else "cpu")
        if wanted != "auto":
            self.device = torch.device(wanted)
        model: Any = copy.deepcopy(start.vector_encoder.model).float().requires_grad_(False).to(self.device)
        first = start.config.heads.layers
        names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        upper = [name for name in names if (layer := layer_number(name)) is not None and layer >= first]
        if not upper:
            raise ConfigError(f"{start.encoder.name} has no linear layers above layer {first}")
        torch.manual_seed(config.seed)
        lora = LoraConfig(
            r=config.rank, lora_alpha=2 * config.rank, target_modules=upper, lora_dropout=0.0, bias="none"
        )
        adapted: Any = get_peft_model(model, lora, autocast_adapter_dtype=False)
        adapted.eval()  # no dropout: the base is frozen and the pairs are few
        self.trained: dict[str, nn.Parameter] = {
            name: parameter for name, parameter in adapted.named_parameters() if parameter.requires_grad
        }
        encoder = start.encoder.with_model(adapted.base_model.model)
        self.lower, self.upper = encoder.lower(first), encoder.upper(first)
        self._queries: dict[str, Floats] = {}

    def losses(self, groups: Sequence[Group], rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the contrastive loss and the mean cosine distance to the anchors, of one batch."""
        chunks = self.chunk_vectors([group.page.sequence(c) for group in groups for c in group.chunks])
        texts: dict[str, str] = {}
        for group in groups:
            some = rng.sample(group.questions, min(len(group.questions), self.config.group_questions))
            texts |= {asked.question_id: asked.text for asked in some}
        target = evidence_targets(groups, list(texts)).to(self.device)
        frozen = self._frozen_queries(list(texts.values()))
        trained = self.config.queries == "trained"
        queries = self._query_vectors(list(texts.values())) if trained else frozen
        logits = queries @ chunks.T / self.config.temperature
        contrast = -(target * torch.log_softmax(logits, dim=-1)).sum(1).mean()
        anchors = torch.from_numpy(
            np.concatenate([group.page.anchors[group.chunks] for group in groups]).astype(np.float32)
        ).to(self.device)
        moved = torch.cat([1 - (chunks * anchors).sum(1), 1 - (queries * frozen).sum(1)][: 1 + trained])
        return contrast, moved.mean()

    def chunk_vectors(self, sequences: Sequence[Halves], batch_tokens: int = 2048) -> torch.Tensor:
        """Return (n, d) normalised vectors of chunks, from their lower states, with gradients."""
        parts, order = [], []
        for rows in like_lengths([len(sequence) for sequence in sequences], batch_tokens):
            states, mask = (t.to(self.device) for t in pad_states([sequences[row] for row in rows]))
            found = self.upper(inputs_embeds=states, attention_mask=mask).last_hidden_state
            parts.append(self.start.encoder.pool(found, mask))
            order += rows
        back = torch.argsort(torch.tensor(order))
        return nn.functional.normalize(torch.cat(parts)[back.to(self.device)], dim=-1)

    def _query_vectors(self, texts: Sequence[str]) -> torch.Tensor:
        encoder = self.start.encoder
        limit = encoder.max_tokens - encoder.n_special
        tokens = encoder.tokenize([encoder.query_prompt + text for text in texts])
        ids, mask = (t.to(self.device) for t in encoder.pad([row[:limit] for row in tokens]))
        with torch.no_grad():
            states = self.lower(input_ids=ids, attention_mask=mask).last_hidden_state
        found = self.upper(inputs_embeds=states, attention_mask=mask).last_hidden_state
        return nn.functional.normalize(encoder.pool(found, mask), dim=-1)

    def _frozen_queries(self, texts: Sequence[str]) -> torch.Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in self._queries]
        if new:
            self._queries |= zip(new, self.start.encoder.encode_queries(new), strict=True)
        return torch.from_numpy(np.stack([self._queries[text] for text in texts])).to(self.device)

    def updates(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Return the updates of the base as they are merged, those of the start included, on the CPU."""
        found = {}
        for name, a in self.trained.items():
            if ".lora_A." in name:
                b = self.trained[name.replace(".lora_A.", ".lora_B.")]
                module = name.removeprefix("base_model.model.").split(".lora_A.")[0]
                found[module] = (a.detach().float().cpu().clone(), 2.0 * b.detach().float().cpu())
        return found if self.start.updates is None else stack_updates(self.start.updates, found)


def _variant(start: PrepModel, vectors: Vectors, queries: Queries, updates: Updates | None) -> PrepModel:
    config = replace(start.config, vectors=vectors, queries=queries)
    return PrepModel(start.encoder, start.heads, config, f"{start.version}+{vectors}", updates=updates)


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line."""
    parser = argparse.ArgumentParser(
        description="train the prep model's chunk vectors on questions and their evidence; resumes by itself"
    )
    parser.add_argument("--data", required=True, help="folder of labelled sets")
    parser.add_argument("--run", required=True, help="folder for cuts, checkpoints and the log")
    parser.add_argument("--config", help="TOML file with settings")
    parser.add_argument("--start", help="the prep version to start from (default: the shipped one)")
    parser.add_argument("--stop-after-s", type=float, help="end training by then, the rate lowered in time")
    parser.add_argument("--ship", help="write a loadable version to this folder")
    options = parser.parse_args(argv)
    config = ContrastiveConfig.from_toml(options.config) if options.config else ContrastiveConfig()
    start = PrepModel.load(options.start, precision="float32")
    result = train_contrastive(
        options.data, options.run, config, start=start, stop_after_s=options.stop_after_s
    )
    about = {"steps": result.steps, "seconds": round(result.seconds)}
    print(json.dumps({**about, **result.figures()}, indent=2))
    print(draw_run(options.run))
    if options.ship:
        print(result.version(config, start).save(options.ship, start.encoder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
