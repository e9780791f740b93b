"""Stage two of the prep model: train the encoder's upper layers so that pooled chunk vectors can be searched.

A document's windows are read once, token states are summed over each chunk (late chunking,
https://arxiv.org/abs/2409.04701), and the sums are trained to lie next to the questions whose evidence the chunk
holds: cross-entropy over all chunks of a batch (InfoNCE, https://arxiv.org/abs/1807.03748), which are the other chunks
of the same document and of documents like it. Evidence that a cut divides is divided among the chunks. Chunks are
also held near the vectors that the frozen base gives them with their headers, so that little data cannot spoil
what much data taught. Low-rank updates of the layers above those that the heads read; these stay as they are, so
that the heads stay valid and one pass serves both.

    python -m training.contrastive --data DATA --run RUN [--config FILE.toml] [--ship FOLDER]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from prep.document import Floats
from prep.errors import ConfigError, DataError
from prep.low_rank import Updates, layer_number, stack_updates
from prep.model import PrepModel
from prep.settings import Queries, Vectors
from prep.version import save_version
from training.config_file import read_config
from training.run_folder import RunFolder, learning_rate, restore_training, training_tensors
from training.vector_batches import Group, cut_groups, evidence_targets, plan_batches
from training.vector_pages import VectorPage, VectorSet, read_pages, read_sets
from training.vector_recall import Recall, evaluate_vectors

__all__ = ["ContrastiveConfig", "TrainedVectors", "ship", "train_contrastive"]

_SETS = (
    VectorSet(name="new_wiki"),
    VectorSet(name="medquad", documents=400),
    VectorSet(name="clapnq_dev"),
    VectorSet(name="policyqa_dev", title_in_question=True),
    VectorSet(name="contractnli", title_in_question=True),
    VectorSet(name="qmsum_train", documents=30, title_in_question=True),
    VectorSet(name="hotpot_train100"),
    VectorSet(name="musique_train100"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveConfig:
    """One contrastive run.

    sets: what is trained on; measured: sets whose held-out documents, every n-th, are measured on. sizes: target
    sizes of chunks in tokens, one drawn for each document. group_windows: so many neighbouring windows of a document
    are read together at most; batch_windows: windows a step, half of them of groups like each other.
    group_questions: of one group a step at most. anchor_weight: of the distance to the frozen base's vectors, beside
    the contrastive loss. queries: "base" leaves the questions' vectors as they are, "trained" reads them with the
    trained encoder.
    """

    sets: tuple[VectorSet, ...] = _SETS
    measured: tuple[VectorSet, ...] = (VectorSet(name="new_wiki"), VectorSet(name="medquad", documents=120))
    held_out_every: int = 6
    sizes: tuple[int, ...] = (50, 80, 120, 180)
    rank: int = 32
    learning_rate: float = 5e-4
    warmup: float = 0.05
    weight_decay: float = 0.01
    epochs: float = 2.0
    group_windows: int = 6
    group_questions: int = 8
    batch_windows: int = 24
    temperature: float = 0.05
    anchor_weight: float = 1.0
    queries: Queries = "base"
    checkpoint_steps: int = 50
    evaluate_steps: int = 100
    seed: int = 17
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("rank", "group_windows", "group_questions", "checkpoint_steps", "evaluate_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be at least 1")
        if self.batch_windows < self.group_windows:
            raise ConfigError(
                f"batch_windows={self.batch_windows!r} must be at least group_windows={self.group_windows!r}"
            )
        if min(self.learning_rate, self.epochs, self.temperature) <= 0 or self.anchor_weight < 0:
            raise ConfigError(
                "learning_rate, epochs and temperature must be positive, anchor_weight not negative"
            )
        if not self.sets or not self.sizes or not 0 <= self.warmup < 1:
            raise ConfigError(f"sets and sizes must not be empty, and warmup={self.warmup!r} lie in 0..1")

    @classmethod
    def from_toml(cls, path: str | Path) -> ContrastiveConfig:
        """Read settings; an unknown key is a ConfigError. Sets are tables: [[sets]] name = "…"."""
        return read_config(cls, path, nested={"sets": read_sets, "measured": read_sets, "sizes": tuple})


@dataclass(frozen=True, slots=True)
class TrainedVectors:
    """What a run gives. measures: set → way → recall on held-out documents.

    Ways: "chunks" encoded by the frozen base with their headers, "late" pooled as the start does, "trained".
    """

    updates: dict[str, tuple[torch.Tensor, torch.Tensor]]
    measures: dict[str, dict[str, Recall]]
    steps: int
    seconds: float


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
    learning rate lowered in time; reading and measuring come on top. Writes below `run` what `training.run_folder`
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
    learner = _Learner(start, config)
    identity = {**asdict(config), "device": None, "start": start.version}
    folder_of_run = RunFolder(folder, identity)
    started = time.monotonic()
    steps = _fit(learner, groups, held, folder_of_run, config, stop_after_s)
    seconds = time.monotonic() - started
    updates = learner.updates()
    trained = _with_updates(start, updates, config.queries)
    ways = {
        "chunks": _way(start, "chunk", None),
        "late": _way(start, "late", start.updates),
        "trained": trained,
    }
    measures = evaluate_vectors(ways, held)
    return TrainedVectors(updates, measures, steps, seconds)


def _fit(
    learner: _Learner,
    groups: Sequence[Group],
    held: Sequence[VectorPage],
    run: RunFolder,
    config: ContrastiveConfig,
    stop_after_s: float | None,
) -> int:
    from tqdm.auto import tqdm

    optimiser = torch.optim.AdamW(
        learner.trained.values(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    batches = plan_batches(groups, config)
    step = 0
    if (checkpoint := run.resume()) is not None:
        restore_training(checkpoint.tensors, learner.trained, optimiser)
        step = checkpoint.step
    warmup = max(1, round(config.warmup * len(batches)))
    started = time.monotonic()
    bar = tqdm(total=len(batches), initial=step, desc="training vectors", unit="step", disable=None)
    while step < len(batches):
        elapsed = time.monotonic() - started
        if stop_after_s is not None and elapsed > stop_after_s:
            break
        spent = elapsed / stop_after_s if stop_after_s else 0.0
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(
                step,
                len(batches),
                config.learning_rate,
                warmup_steps=warmup,
                final_fraction=0.05,
                spent=spent,
            )
        rng = random.Random(f"{config.seed}/{step}")
        contrast, anchor = learner.losses([groups[number] for number in batches[step]], rng)
        optimiser.zero_grad()
        torch.autograd.backward(contrast + config.anchor_weight * anchor)
        norm = nn.utils.clip_grad_norm_(learner.trained.values(), 1.0)
        optimiser.step()
        step += 1
        row = {"step": step, "contrast": float(contrast.detach()), "anchor": float(anchor.detach())}
        row |= {"norm": float(norm), "seconds": time.monotonic() - started}
        run.log(row)
        bar.update()
        bar.set_postfix(contrast=f"{row['contrast']:.3f}", anchor=f"{row['anchor']:.3f}")
        if held and step % config.evaluate_steps == 0 and step < len(batches):
            now = _with_updates(learner.start, learner.updates(), config.queries)
            for name, ways in evaluate_vectors({"trained": now}, held).items():
                run.log({"step": step, "set": name, **asdict(ways["trained"])})
                tqdm.write(f"step {step} {name}: @1 {ways['trained'].at_1:.4f} @5 {ways['trained'].at_5:.4f}")
        if step % config.checkpoint_steps == 0:
            run.checkpoint(step, training_tensors(learner.trained, optimiser))
    bar.close()
    run.checkpoint(step, training_tensors(learner.trained, optimiser))
    return step


class _Learner:
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
        self.model: Any = get_peft_model(model, lora, autocast_adapter_dtype=False)
        self.trained: dict[str, nn.Parameter] = {
            name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad
        }
        self.model.eval()  # no dropout: the base is frozen and the pairs are few
        self._questions: dict[str, Floats] = {}

    def losses(self, groups: Sequence[Group], rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the contrastive loss and the mean cosine distance to the anchors, of one batch."""
        chunks = nn.functional.normalize(torch.cat(self._chunk_sums(groups)), dim=-1)
        texts: dict[str, str] = {}
        for group in groups:
            some = rng.sample(group.questions, min(len(group.questions), self.config.group_questions))
            texts |= {asked.question_id: asked.text for asked in some}
        target = evidence_targets(groups, list(texts)).to(self.device)
        queries = self._question_vectors(list(texts.values()))
        logits = queries @ chunks.T / self.config.temperature
        contrast = -(target * torch.log_softmax(logits, dim=-1)).sum(1).mean()
        anchors = torch.from_numpy(
            np.concatenate([group.page.anchors[group.chunks] for group in groups]).astype(np.float32)
        ).to(self.device)
        return contrast, (1 - (chunks * anchors).sum(1)).mean()

    def _chunk_sums(self, groups: Sequence[Group]) -> list[torch.Tensor]:
        """Return (n_chunks, d) summed token states for each group."""
        windows = [window for group in groups for window in group.windows]
        encoder = self.start.encoder
        ids, mask = encoder.pad([window.tokens for window in windows])
        states = self.model(
            input_ids=ids.to(self.device), attention_mask=mask.to(self.device)
        ).last_hidden_state[:, len(encoder.prefix) :]
        at = 0
        found = []
        for group in groups:
            # A row a token that the group owns, in reading order; then sums between the chunks' edges.
            owned, unit_edges, total = [], {}, 0
            for row, window in enumerate(group.windows, start=at):
                left, right = int(window.edges[0]), int(window.edges[-1])
                owned.append(states[row, left:right])
                for unit, edge in enumerate(window.edges, start=window.first):
                    unit_edges[unit] = total + int(edge) - left
                total += right - left
            at += len(group.windows)
            tokens = torch.cat(owned)
            sums = torch.cat([tokens.new_zeros((1, tokens.shape[1])), tokens.cumsum(0)])
            pairs = [group.page.chunks[chunk] for chunk in group.chunks]
            lefts = torch.tensor([unit_edges[first] for first, _ in pairs])
            rights = torch.tensor([unit_edges[last] for _, last in pairs])
            found.append(sums[rights] - sums[lefts])
        return found

    def _question_vectors(self, texts: Sequence[str]) -> torch.Tensor:
        if self.config.queries == "trained":
            encoder = self.start.encoder
            limit = encoder.max_tokens - encoder.n_special
            tokens = encoder.tokenize([encoder.query_prompt + text for text in texts])
            ids, mask = encoder.pad([row[:limit] for row in tokens])
            states = self.model(
                input_ids=ids.to(self.device), attention_mask=mask.to(self.device)
            ).last_hidden_state
            return nn.functional.normalize(encoder.pool(states, mask.to(self.device)), dim=-1)
        new = [text for text in dict.fromkeys(texts) if text not in self._questions]
        self._questions |= zip(new, self.start.encoder.encode_queries(new), strict=True)
        return torch.from_numpy(np.stack([self._questions[text] for text in texts])).to(self.device)

    def updates(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Return the updates of the base as they are merged, those of the start included, on the CPU."""
        found = {}
        for name, a in self.trained.items():
            if ".lora_A." in name:
                b = self.trained[name.replace(".lora_A.", ".lora_B.")]
                module = name.removeprefix("base_model.model.").split(".lora_A.")[0]
                found[module] = (a.detach().float().cpu().clone(), 2.0 * b.detach().float().cpu())
        return found if self.start.updates is None else stack_updates(self.start.updates, found)


def _with_updates(
    start: PrepModel, updates: dict[str, tuple[torch.Tensor, torch.Tensor]], queries: Queries
) -> PrepModel:
    config = replace(start.config, vectors="late", queries=queries)
    return PrepModel(start.encoder, start.heads, config, f"{start.version}+vectors", updates=updates)


def _way(start: PrepModel, vectors: Vectors, updates: Updates | None) -> PrepModel:
    config = replace(start.config, vectors=vectors)
    return PrepModel(start.encoder, start.heads, config, f"{start.version}+{vectors}", updates=updates)


def ship(
    result: TrainedVectors,
    folder: str | Path,
    config: ContrastiveConfig,
    start: PrepModel,
    *,
    card: str = "",
) -> str:
    """Write a version that `PrepModel.load` reads: the start's heads, the trained vectors; returns its version."""
    measures = {name: {way: asdict(r) for way, r in ways.items()} for name, ways in result.measures.items()}
    about = {"stage": "contrastive", "start": start.version, "steps": result.steps, "config": asdict(config)}
    return save_version(
        folder,
        start.heads,
        replace(start.config, vectors="late", queries=config.queries),
        start.encoder,
        updates=result.updates,
        card=card,
        metrics={"held_out": measures},
        training=about,
    )


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
    shown = {name: {way: asdict(r) for way, r in ways.items()} for name, ways in result.measures.items()}
    print(json.dumps({"steps": result.steps, "seconds": round(result.seconds), **shown}, indent=2))
    if options.ship:
        print(ship(result, options.ship, config, start))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
