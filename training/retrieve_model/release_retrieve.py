"""Make a trained adapter the version that ships: settings from tuning, a card, a manifest, `CURRENT`.

    python -m training.retrieve_model.release_retrieve --run RUN --tuning tuning.json --name 0.1 \
        --card card.md --out WEIGHTS
        [--backwards RUN] [--comparing comparing.json]

Measures nothing itself: the tuning file comes from `training.retrieve_model.tune_serving`, how reports are compared
from `training.retrieve_model.tune_reranking`, the card is written by a person from measured figures. `--settings-of
VERSION` takes over the settings of another version instead of tuned ones. RUN may be a version, too, to be released
with what tells its episodes backwards, a run of `training.retrieve_model.supervised --behind`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prep.errors import DataError
from retrieve.decoding.reranking import RerankingConfig
from retrieve.episode.episode import EpisodeLimits
from retrieve.model import (
    ADAPTER,
    CHANNEL_ADAPTER,
    MANIFEST,
    ServingConfig,
    read_retrieve_manifest,
    save_retrieve_version,
)
from retrieve.old_settings import current_reranking
from training.retrieve_model.tune_serving import NEVER, worth

__all__ = ["chosen_serving", "release_retrieve"]


def chosen_serving(tuning: list[dict[str, Any]]) -> tuple[ServingConfig, dict[str, float]]:
    """Return the serving settings with the best sum of answer F1 and abstention F1, and that judgement."""
    if not tuning:
        raise DataError("the tuning file is empty; run training.retrieve_model.tune_serving first")
    best = max(tuning, key=lambda row: worth(row["best"]))
    # None: one search was best, or no other tried; none is reported without another.
    searching, again = best["best"].get("search_offset"), best["best"].get("again_offset")
    limits = EpisodeLimits(
        passages_per_search=best["passages"],
        score_margin=best.get("score_margin", EpisodeLimits().score_margin),
        max_searches=1 if searching is None and again is None else 2,  # what was tuned
    )
    serving = ServingConfig(
        abstention_bias=best["best"]["offset"],
        search_bias=searching if searching is not None else 0.0 if again is None else NEVER,
        abstention_bias_after_search=again,
        episode=limits,
    )
    return serving, {"passages": best["passages"], **best["best"]}


def release_retrieve(
    run: Path,
    chosen: tuple[ServingConfig, dict[str, float]],
    name: str,
    card: str,
    weights: Path,
    comparing: RerankingConfig | None = None,
    backwards: Path | None = None,
) -> str:
    """Write `weights`/`name` from a finished run and point `weights`/CURRENT at it; returns the version string.

    run: or the folder of a version. chosen: settings and what they were judged as. comparing: how unsure reports are
    compared, instead of as the settings say. backwards: the run of what tells this version's episodes backwards, or a
    version that the run went on from, whose own tells the run's well enough; by default a version keeps its own. Raises
    DataError where it is another version's.
    """
    serving, judgement = chosen
    if (run / MANIFEST).exists():
        manifest = read_retrieve_manifest(run)
        config, source = manifest["training"], manifest["base"].get("source")
        told = run / CHANNEL_ADAPTER if CHANNEL_ADAPTER in manifest["files"] else None
    else:
        manifest, config, source, told = {}, _config(run), None, None
    if backwards is not None and (backwards / MANIFEST).exists():
        config, told = _with_teller_of(backwards, config, run), backwards / CHANNEL_ADAPTER
    elif backwards is not None:
        trained = _config(backwards)
        behind = trained["config"].get("behind") or "nobody"
        if behind != manifest.get("version"):
            raise DataError(f"{backwards} tells the episodes of {behind} backwards, not those of {run}")
        config, told = {**config, "backwards": trained}, backwards / ADAPTER
    serving = replace(serving, reranking=comparing or serving.reranking)
    version = save_retrieve_version(
        weights / name,
        run / ADAPTER,
        serving=serving,
        channel_adapter=told,
        name=f"retrieve-{name}",
        source=source,
        card=card,
        metrics={"development": judgement},
        training=config,
    )
    (weights / "CURRENT").write_text(name + "\n", encoding="utf-8")
    return version


def _with_teller_of(version: Path, config: dict[str, Any], run: Path) -> dict[str, Any]:
    """Return what a run is of, with what tells the episodes of a version backwards. Raises DataError."""
    manifest = read_retrieve_manifest(version)
    if CHANNEL_ADAPTER not in manifest["files"]:
        raise DataError(f"{version} has nothing that tells its episodes backwards")
    if manifest["files"][ADAPTER] not in (config.get("start"), *config.get("adapters", ())):
        raise DataError(f"{run} did not go on from {version}")
    return {**config, "backwards": manifest["training"].get("backwards", {})}


def _config(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))
    return content


def main(argv: Sequence[str] | None = None) -> None:
    """Release from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of a finished training run, or of a version"
    )
    parser.add_argument(
        "--backwards",
        type=Path,
        help="run of what tells that version's episodes backwards, or the version that the run went on from",
    )
    settings = parser.add_mutually_exclusive_group(required=True)
    settings.add_argument("--tuning", type=Path, help="what training.retrieve_model.tune_serving wrote")
    settings.add_argument("--settings-of", type=Path, help="a version's folder")
    parser.add_argument(
        "--offsets",
        type=float,
        nargs=2,
        metavar=("NONE", "SEARCH"),
        help="instead of those chosen, for a reason that the card gives",
    )
    parser.add_argument(
        "--offset-again", type=float, help="report none only after another search, and with this offset then"
    )
    parser.add_argument("--comparing", type=Path, help="what training.retrieve_model.tune_reranking chose")
    parser.add_argument("--score-margin", type=float, help="of the passages shown (EpisodeLimits), likewise")
    parser.add_argument("--name", required=True, help="the version's short name, such as 0.1")
    parser.add_argument("--card", type=Path, required=True, help="the model card, Markdown")
    parser.add_argument("--out", type=Path, required=True, help="the folder of shipped weights")
    arguments = parser.parse_args(argv)
    chosen: tuple[ServingConfig, dict[str, float]]
    if arguments.settings_of is not None:
        chosen = ServingConfig.from_json(read_retrieve_manifest(arguments.settings_of)["serving"]), {}
    else:
        chosen = chosen_serving(json.loads(arguments.tuning.read_text(encoding="utf-8")))
    if arguments.offsets is not None:
        none, search = arguments.offsets
        chosen = replace(chosen[0], abstention_bias=none, search_bias=search), {}
    if arguments.offset_again is not None:
        chosen = replace(chosen[0], abstention_bias_after_search=arguments.offset_again), chosen[1]
    if arguments.score_margin is not None:
        episode = replace(chosen[0].episode, score_margin=arguments.score_margin)
        chosen = replace(chosen[0], episode=episode), chosen[1]
    card = arguments.card.read_text(encoding="utf-8")
    comparing = None
    if arguments.comparing is not None:
        chosen_reranking = json.loads(arguments.comparing.read_text(encoding="utf-8"))["chosen"]
        comparing = RerankingConfig(**current_reranking(chosen_reranking))
    print(
        release_retrieve(
            arguments.run, chosen, arguments.name, card, arguments.out, comparing, arguments.backwards
        )
    )


if __name__ == "__main__":
    main()
