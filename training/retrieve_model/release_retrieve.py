"""Make a trained adapter the version that ships: settings from tuning, a card, a manifest, `CURRENT`.

    python -m training.retrieve_model.release_retrieve --run RUN --tuning tuning.json --name 0.1 \
        --card card.md --out WEIGHTS
        [--channel RUN] [--reranking reranking.json] [--reader READER]

Nothing is measured here: the tuning file comes from `training.retrieve_model.tune_serving`, the reranking settings from
`training.retrieve_model.tune_reranking`, and a person writes the card from measured figures. `--settings-of VERSION`
takes over the settings of another version instead. RUN may be a version, too, to be released with its noisy-channel
model, a run of `training.retrieve_model.supervised --channel-of`.
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
    READER,
    ServingConfig,
    read_retrieve_manifest,
    save_retrieve_version,
)
from retrieve.old_settings import current_reranking
from training.retrieve_model.tune_serving import NEVER, worth

__all__ = ["chosen_serving", "release_retrieve"]

# The record of a noisy-channel model's training in a manifest, and its name in versions before.
_CHANNEL, _OLD_CHANNEL = "channel_model", "backwards"


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
    reranking: RerankingConfig | None = None,
    channel: Path | None = None,
    reader: Path | None = None,
) -> str:
    """Write `weights`/`name` from a finished run and point `weights`/CURRENT at it; returns the version string.

    run: or the folder of a version. chosen: settings and their judgement. reranking: instead of that in the settings.
    channel: the run of this version's noisy-channel model, or the version that the run started from, whose channel
    model serves the run too; by default a version keeps its own. reader: a saved reader; by default a version keeps its
    own. Raises DataError where the noisy-channel model is another version's.
    """
    serving, judgement = chosen
    if (run / MANIFEST).exists():
        manifest = read_retrieve_manifest(run)
        config, source = manifest["training"], manifest["base"].get("source")
        channel_adapter = run / CHANNEL_ADAPTER if CHANNEL_ADAPTER in manifest["files"] else None
    else:
        manifest, config, source, channel_adapter = {}, _config(run), None, None
    if channel is not None and (channel / MANIFEST).exists():
        config, channel_adapter = _with_channel_of(channel, config, run), channel / CHANNEL_ADAPTER
    elif channel is not None:
        trained = _config(channel)
        channel_of = trained["config"].get("channel_of") or "no version"
        if channel_of != manifest.get("version"):
            raise DataError(f"{channel} is the noisy-channel model of {channel_of}, not of {run}")
        config, channel_adapter = {**config, _CHANNEL: trained}, channel / ADAPTER
    serving = replace(serving, reranking=reranking or serving.reranking)
    version = save_retrieve_version(
        weights / name,
        run / ADAPTER,
        serving=serving,
        channel_adapter=channel_adapter,
        reader=reader or (run / READER if (run / READER).is_dir() else None),
        name=f"retrieve-{name}",
        source=source,
        card=card,
        metrics={"development": judgement},
        training=config,
    )
    (weights / "CURRENT").write_text(name + "\n", encoding="utf-8")
    return version


def _with_channel_of(version: Path, config: dict[str, Any], run: Path) -> dict[str, Any]:
    """Return a run's training record with that of a version's noisy-channel model. Raises DataError."""
    manifest = read_retrieve_manifest(version)
    if CHANNEL_ADAPTER not in manifest["files"]:
        raise DataError(f"{version} has no noisy-channel model")
    if manifest["files"][ADAPTER] not in (config.get("start"), *config.get("adapters", ())):
        raise DataError(f"{run} did not go on from {version}")
    trained = manifest["training"]
    return {**config, _CHANNEL: trained.get(_CHANNEL, trained.get(_OLD_CHANNEL, {}))}


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
        "--channel",
        type=Path,
        help="run of that version's noisy-channel model, or the version that the run started from",
    )
    settings = parser.add_mutually_exclusive_group(required=True)
    settings.add_argument("--tuning", type=Path, help="what training.retrieve_model.tune_serving wrote")
    settings.add_argument("--settings-of", type=Path, help="a version's folder")
    parser.add_argument(
        "--biases",
        type=float,
        nargs=2,
        metavar=("ABSTENTION", "SEARCH"),
        help="instead of those chosen, for a reason that the card gives",
    )
    parser.add_argument(
        "--bias-after-search", type=float, help="abstain only after a second search, and with this bias then"
    )
    parser.add_argument("--reader", type=Path, help="what `training.reader.commands save` wrote")
    parser.add_argument("--reranking", type=Path, help="what training.retrieve_model.tune_reranking chose")
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
    if arguments.biases is not None:
        none, search = arguments.biases
        chosen = replace(chosen[0], abstention_bias=none, search_bias=search), {}
    if arguments.bias_after_search is not None:
        chosen = replace(chosen[0], abstention_bias_after_search=arguments.bias_after_search), chosen[1]
    if arguments.score_margin is not None:
        episode = replace(chosen[0].episode, score_margin=arguments.score_margin)
        chosen = replace(chosen[0], episode=episode), chosen[1]
    card = arguments.card.read_text(encoding="utf-8")
    reranking = None
    if arguments.reranking is not None:
        chosen_reranking = json.loads(arguments.reranking.read_text(encoding="utf-8"))["chosen"]
        reranking = RerankingConfig(**current_reranking(chosen_reranking))
    print(
        release_retrieve(
            arguments.run,
            chosen,
            arguments.name,
            card,
            arguments.out,
            reranking,
            arguments.channel,
            arguments.reader,
        )
    )


if __name__ == "__main__":
    main()
