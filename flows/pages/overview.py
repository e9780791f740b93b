"""All that one page on a workspace is made from: what serves, how the gate decided over time, use, corpus.

It says whether what serves became better since the first decision. The gate measured every promoted candidate beside
what it replaced on the same questions, so those gains may be added up, even where questions were added in between;
figures of different question sets may not be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from flows.models.registry import ModelVersion, find_version
from flows.pages.corpus_health import CorpusHealth, read_health
from flows.pages.run_page import counted
from flows.pages.usage import Day, Usage, read_usage
from flows.retraining.gate_decisions import GateDecision, read_decisions
from prep.errors import StoreError, WeightsError
from prep.store.workspace import MODEL_KINDS, ModelKind, Workspace

__all__ = ["Overview", "Progress", "Verdict", "helpful_trend", "read_overview"]

_RECENT_DAYS = 28
# Below this many marked answers on either side, a share says nothing of a trend.
_MIN_RATED = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """The decisions on one kind of model, oldest first. serving: the version that serves, None if it is not known."""

    kind: ModelKind
    decisions: tuple[GateDecision, ...]
    serving: str | None

    @property
    def headline(self) -> str | None:
        """The figure that the newest decision went by."""
        return next((one.headline for one in reversed(self.decisions) if one.headline), None)

    @property
    def promoted(self) -> tuple[GateDecision, ...]:
        """The decisions that led to what serves: those promoted since were taken back."""
        promoted = [one for one in self.decisions if one.promoted]
        for place in reversed(range(len(promoted))):
            if promoted[place].candidate == self.serving:
                return tuple(promoted[: place + 1])
        return ()

    @property
    def is_taken_back(self) -> bool:
        """Whether the version that was promoted last does not serve."""
        last = next((one for one in reversed(self.decisions) if one.promoted), None)
        return last is not None and last.candidate != self.serving

    @property
    def is_measured(self) -> bool:
        """Whether the gate ever measured what serves, as a candidate or beside one."""
        return any(self.serving in (one.candidate, one.current) for one in self.decisions)

    @property
    def gained(self) -> float | None:
        """The headline's gains of what led to what serves, added up; None where the gate never measured it."""
        if self.headline is None or not self.is_measured:
            return None
        gains = [one.gains.get(self.headline) for one in self.promoted]
        return math.fsum(gain.mean for gain in gains if gain is not None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it is getting better. word: "better", "worse", "same" or "unknown"; sentence: in words, details: why."""

    word: str
    sentence: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """A workspace as it stands. versions: those that serve; unreadable: folders of decisions that cannot be read."""

    name: str
    versions: tuple[ModelVersion, ...]
    problems: tuple[str, ...]
    progress: tuple[Progress, ...]
    unreadable: tuple[str, ...]
    usage: Usage
    health: CorpusHealth

    @property
    def verdict(self) -> Verdict:
        """Whether what serves is better than what served at the first decision."""
        decided = [one for one in self.progress if one.gained is not None]
        details = tuple(_detail(one) for one in self.progress if one.decisions)
        if not details:
            hint = "`diptych retrain` trains candidates, measures them and promotes those that are better."
            return Verdict("unknown", "Not known yet: no candidate was put before the gate.", (hint,))
        if not decided:
            return Verdict("unknown", "Not known: the gate never measured what serves.", details)
        gained = [one.gained or 0.0 for one in decided]
        if max(gained) > 0 and min(gained) >= 0:
            return Verdict("better", "It is getting better.", details)
        if min(gained) < 0:
            return Verdict("worse", "It got worse.", details)
        taken_back = any(one.is_taken_back for one in decided)
        said = "What was promoted was taken back: it is as good as at the start." if taken_back else ""
        return Verdict(
            "same", said or "It holds: no candidate was better for sure, and none was let in.", details
        )


def read_overview(workspace: Workspace) -> Overview:
    """Read a workspace; what is missing or damaged is told in the result. Raises StoreError for a damaged pointer."""
    workspace.current()
    versions, problems = [], []
    for kind in MODEL_KINDS:
        try:
            versions.append(find_version(workspace, kind))
        except (StoreError, WeightsError) as error:
            problems.append(f"{kind}: {error}")
    serving = {version.kind: version.version for version in versions}
    decisions, unreadable = read_decisions(workspace)
    return Overview(
        name=workspace.path.resolve().name,
        versions=tuple(versions),
        problems=tuple(problems),
        progress=tuple(
            Progress(kind, tuple(one for one in decisions if one.kind == kind), serving.get(kind))
            for kind in MODEL_KINDS
        ),
        unreadable=tuple(unreadable),
        usage=read_usage(workspace),
        health=read_health(workspace),
    )


def helpful_trend(days: Sequence[Day]) -> tuple[float, float, bool] | None:
    """Return the helpful shares of what was marked before the last four weeks and in them, and whether they differ.

    They do where it is sure: by more than two standard errors of the difference. None where either has too few to tell.
    """
    if not days:
        return None
    since = days[-1].day - timedelta(days=_RECENT_DAYS - 1)
    before, recent = (
        (sum(day.n_helpful for day in some), sum(day.n_rated for day in some))
        for some in ([day for day in days if day.day < since], [day for day in days if day.day >= since])
    )
    if min(before[1], recent[1]) < _MIN_RATED:
        return None
    first, last = before[0] / before[1], recent[0] / recent[1]
    error = math.sqrt(first * (1 - first) / before[1] + last * (1 - last) / recent[1])
    return first, last, abs(last - first) > 2 * error


def _detail(progress: Progress) -> str:
    n, n_promoted = len(progress.decisions), sum(one.promoted for one in progress.decisions)
    counts = f"{n_promoted} of {counted(n, 'candidate')} promoted since {progress.decisions[0].created[:10]}"
    if progress.gained is None:
        return f"{progress.kind}: {counts}; what serves was not measured by the gate"
    taken_back = "; the one promoted last does not serve" if progress.is_taken_back else ""
    figure = (progress.headline or "").replace("_", " ")
    return f"{progress.kind}: {figure} {progress.gained:+.3f}, {counts}{taken_back}"
