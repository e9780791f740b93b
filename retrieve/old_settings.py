"""Serving settings as diptych 0.1 named them, in manifests and in the files of tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prep.errors import WeightsError

__all__ = ["current_names", "current_reranking", "current_settings"]

_SERVING = {
    "none_offset": "abstention_bias",
    "none_offset_again": "abstention_bias_after_search",
    "search_offset": "search_bias",
    "comparing": "reranking",
}
_RERANKING = {
    "n": "n_candidates",
    "sure": "sure_probability",
    "within": "max_logprob_gap",
    "longest": "max_tokens",
    "likely": "report_weight",
    "backwards": "channel_weight",
    "also": "alternative_share",
}
_GONE = ("two_way", "unsaid_offset")


def current_settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return serving settings under today's names. Raises WeightsError for modes that only diptych 0.1 serves."""
    settings = current_names(content)
    used = [name for name in _GONE if name in settings]
    if "question_last" in settings.get("episode", {}):
        used.append("question_last=False")
    if used:
        raise WeightsError(
            f"this retrieve version needs {' and '.join(used)}, which is no longer served: "
            "serve it with diptych 0.1, or train it again"
        )
    return settings


def current_names(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return serving settings under today's names, without the modes of 0.1 that are off."""
    settings = {_SERVING.get(name, name): value for name, value in content.items()}
    if not content.keys().isdisjoint((*_SERVING, *_GONE)):
        episode = {"question_last": False} | settings.get("episode", {})  # the default of 0.1
        if episode["question_last"]:
            del episode["question_last"]
        settings["episode"] = episode
        settings = {name: value for name, value in settings.items() if name not in _GONE or value}
    if "reranking" in settings:
        settings["reranking"] = current_reranking(settings["reranking"])
    return settings


def current_reranking(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return reranking settings under today's names."""
    return {_RERANKING.get(name, name): value for name, value in content.items()}
