"""How fast the retrieve model trains here: tokens per second by how many of the lowest layers are left as they are.

    python tests/bench/training_speed.py --frozen 0 9 --steps 6

Made-up traces, all of one length, so that no token is padding; the first step, which warms up, is not counted. The
settings alternate step by step, so that the machine's moods meet them alike; the median counts.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch

from prep.encoder import Encoder
from retrieve.base import load_base
from training.learner import Learner
from training.packs import Example
from training.padded import padded_tensors
from training.supervised import SupervisedConfig


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--frozen", type=int, nargs="+", default=[0, 9], help="lowest layers left as they are"
    )
    parser.add_argument("--length", type=int, default=384)
    parser.add_argument("--batch-tokens", type=int, default=1536)
    parser.add_argument("--steps", type=int, default=6)
    arguments = parser.parse_args()
    rng = random.Random(0)
    seconds: dict[int, list[float]] = {n: [] for n in arguments.frozen}
    learners = {}
    for n in arguments.frozen:
        config = SupervisedConfig(
            frozen_layers=n,
            lengths=(arguments.length,),
            batch_tokens=arguments.batch_tokens,
            compile="never",
        )
        model, tokenizer = load_base()
        learner = Learner(model, tokenizer, config)
        optimiser = torch.optim.AdamW(learner.masters.values(), lr=1e-4)
        learners[n] = (learner, optimiser, config, tokenizer)
    for step in range(arguments.steps + 1):
        for n, (learner, optimiser, config, tokenizer) in learners.items():
            size = arguments.batch_tokens // arguments.length
            examples = [
                Example(
                    tuple(rng.randrange(300, 20_000) for _ in range(arguments.length)),
                    (False,) * (arguments.length - 12) + (True,) * 12,
                )
                for _ in range(size)
            ]
            ids, labelled = padded_tensors(examples, config, tokenizer.pad_token_id, learner.head.device)
            started = time.perf_counter()
            learner.update(ids, labelled, optimiser, 1e-4)
            if step:
                seconds[n].append(time.perf_counter() - started)
    tokens = arguments.batch_tokens // arguments.length * arguments.length
    for n, measured in seconds.items():
        print(f"{n} layers frozen: {tokens / statistics.median(measured):.0f} tokens/s")
    encoder = Encoder.load()
    sequences = [[rng.randrange(1000, 20_000) for _ in range(254)] for _ in range(32)]
    measured = []
    for _ in range(arguments.steps):
        started = time.perf_counter()
        encoder.encode_tokens(sequences)
        measured.append(time.perf_counter() - started)
    print(f"encoding with {encoder.name}: {32 * 256 / statistics.median(measured):.0f} tokens/s")


if __name__ == "__main__":
    main()
