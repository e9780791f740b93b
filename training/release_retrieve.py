"""Make a trained adapter the version that ships: settings from tuning, a card, a manifest, `CURRENT`.

    python -m training.release_retrieve --run RUN --tuning tuning.json --name 0.1 --card card.md --out WEIGHTS

Measures nothing itself: the tuning file comes from `training.tune_serving`, the card is written by a person from
measured figures.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from prep.errors import DataError
from retrieve.episode import EpisodeLimits
from retrieve.model import ServingConfig, save_retrieve_version
from training.tune_serving import trained_two_way, worth

__all__ = ["chosen_serving", "release"]


def chosen_serving(tuning: list[dict[str, Any]]) -> tuple[ServingConfig, dict[str, float]]:
    """Return the serving settings with the best sum of answer F1 and abstention F1, and that judgement."""
    if not tuning:
        raise DataError("the tuning file is empty; run training.tune_serving first")
    best = max(tuning, key=lambda row: worth(row["best"]))
    again = best["best"].get("search_offset")  # None: one search was best, or no other tried
    limits = EpisodeLimits(
        passages_per_search=best["passages"],
        question_last=bool(best.get("question_last", False)),
        max_searches=1 if again is None else 2,  # what was tuned
    )
    serving = ServingConfig(
        none_offset=best["best"]["offset"],
        unsaid_offset=best["best"].get("unsaid_offset", 0.0),
        search_offset=0.0 if again is None else again,
        episode=limits,
    )
    return serving, {"passages": best["passages"], **best["best"]}


def release(run: Path, tuning: list[dict[str, Any]], name: str, card: str, weights: Path) -> str:
    """Write `weights`/`name` from a finished run and point `weights`/CURRENT at it; returns the version string."""
    serving, judgement = chosen_serving(tuning)
    serving = replace(serving, two_way=trained_two_way(run))
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    version = save_retrieve_version(
        weights / name,
        run / "adapter.safetensors",
        serving=serving,
        name=f"retrieve-{name}",
        card=card,
        metrics={"development": judgement},
        training=config,
    )
    (weights / "CURRENT").write_text(name + "\n", encoding="utf-8")
    return version


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished training run")
    parser.add_argument("--tuning", type=Path, required=True)
    parser.add_argument("--name", required=True, help="the version's short name, such as 0.1")
    parser.add_argument("--card", type=Path, required=True, help="the model card, Markdown")
    parser.add_argument("--out", type=Path, required=True, help="the folder of shipped weights")
    arguments = parser.parse_args()
    tuning = json.loads(arguments.tuning.read_text(encoding="utf-8"))
    card = arguments.card.read_text(encoding="utf-8")
    print(release(arguments.run, tuning, arguments.name, card, arguments.out))


if __name__ == "__main__":
    main()
