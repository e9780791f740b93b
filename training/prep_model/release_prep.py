"""Make a trained prep version the one that ships: its settled settings, a card, a manifest, `CURRENT`.

    python -m training.prep_model.release_prep --version RUN_VERSION --name 0.2 --card card.md --out prep/weights
        [--target-tokens 110] [--topic-probability 0.7]

Measures nothing itself: the card is written by a person from measured figures. Weights, metrics and the account of the
training are those of the version.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from prep.model.encoder import Encoder
from prep.model.prep_version import read_version, save_version

__all__ = ["release_prep"]


def release_prep(
    version: Path,
    name: str,
    card: str,
    weights: Path,
    *,
    base: str | Path | None = None,
    target_tokens: int | None = None,
    topic_probability: float | None = None,
) -> str:
    """Write `weights`/`name` and point `weights`/CURRENT at it; returns the version string.

    target_tokens, topic_probability: instead of the version's own. Raises WeightsError, ConfigError.
    """
    saved = read_version(version)
    config = saved.config
    if target_tokens is not None:
        config = replace(config, limits=replace(config.limits, target_tokens=target_tokens))
    if topic_probability is not None:
        config = replace(config, topic_probability=topic_probability)
    released = save_version(
        weights / name,
        saved.heads,
        config,
        Encoder.load(base),
        updates=saved.updates,
        card=card,
        metrics=saved.metrics,
        training=saved.training,
    )
    (weights / "CURRENT").write_text(name + "\n", encoding="utf-8")
    return released


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", type=Path, required=True, help="folder of the trained version")
    parser.add_argument("--name", required=True, help="the version's short name, such as 0.2")
    parser.add_argument("--card", type=Path, required=True, help="the model card, Markdown")
    parser.add_argument("--out", type=Path, required=True, help="the folder of shipped weights")
    parser.add_argument("--target-tokens", type=int, help="target size of chunks, instead of the version's")
    parser.add_argument("--topic-probability", type=float, help="instead of the version's")
    arguments = parser.parse_args()
    print(
        release_prep(
            arguments.version,
            arguments.name,
            arguments.card.read_text(encoding="utf-8"),
            arguments.out,
            target_tokens=arguments.target_tokens,
            topic_probability=arguments.topic_probability,
        )
    )


if __name__ == "__main__":
    main()
