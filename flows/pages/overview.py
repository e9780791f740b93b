"""A workspace as its page shows it: serving models, the gate's decisions over time, usage, corpus.

The verdict says whether the serving models became better since the first decision. The gate measured every promoted
candidate beside the version it replaced on the same questions, so those gains may be added up, even where questions
were added in between. Figures on different question sets may not be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from flows.models.gate_decisions import GateDecision, read_decisions
from flows.models.registry import ModelVersion, find_version
from flows.pages.corpus_health import CorpusHealth, read_health
from flows.pages.rendering import counted
from flows.pages.usage import DayUsage, UsageSummary, read_usage
from prep.errors import StoreError, WeightsError
from prep.store.current import MODEL_KINDS, ModelKind
from prep.store.workspace import Workspace

__all__ = ["GateHistory", "Overview", "Verdict", "helpful_trend", "read_overview"]

_RECENT_DAYS = 28
# With fewer marked answers on either side, a share shows no trend.
_MIN_RATED = 20


@dataclass(frozen=True, slots=True)
class GateHistory:
    """The decisions on one kind of model, oldest first. serving: the serving version, None if it is not known."""

    kind: ModelKind
    decisions: tuple[GateDecision, ...]
    serving: str | None

    @property
    def headline(self) -> str | None:
        """The figure that decided last."""
        return next((one.headline for one in reversed(self.decisions) if one.headline), None)

    @property
    def promoted(self) -> tuple[GateDecision, ...]:
        """The decisions that led to the serving version; promotions after them were rolled back."""
        promoted = [one for one in self.decisions if one.promoted]
        for place in reversed(range(len(promoted))):
            if promoted[place].candidate == self.serving:
                return tuple(promoted[: place + 1])
        return ()

    @property
    def is_rolled_back(self) -> bool:
        """Whether the version that was promoted last is not serving."""
        last = next((one for one in reversed(self.decisions) if one.promoted), None)
        return last is not None and last.candidate != self.serving

    @property
    def is_measured(self) -> bool:
        """Whether the gate ever measured the serving version, as a candidate or beside one."""
        return any(self.serving in (one.candidate, one.current) for one in self.decisions)

    @property
    def gained(self) -> float | None:
        """The sum of the headline's gains up to the serving version; None where the gate never measured it."""
        if self.headline is None or not self.is_measured:
            return None
        gains = [one.gains.get(self.headline) for one in self.promoted]
        return math.fsum(gain.mean for gain in gains if gain is not None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the models are getting better. word: "better", "worse", "same" or "unknown". details: the reasons."""

    word: str
    sentence: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """A workspace. versions: those that serve; unreadable: folders of decisions that cannot be read."""

    name: str
    versions: tuple[ModelVersion, ...]
    problems: tuple[str, ...]
    histories: tuple[GateHistory, ...]
    unreadable: tuple[str, ...]
    usage: UsageSummary
    health: CorpusHealth

    @property
    def verdict(self) -> Verdict:
        """Whether the serving models are better than those at the first decision."""
        decided = [one for one in self.histories if one.gained is not None]
        details = tuple(_detail(one) for one in self.histories if one.decisions)
        if not details:
            hint = "`diptych retrain` trains candidates, measures them and promotes those that are better."
            return Verdict("unknown", "Not known yet: the gate has decided on no candidate.", (hint,))
        if not decided:
            return Verdict("unknown", "Not known: the gate never measured the serving model.", details)
        gained = [one.gained or 0.0 for one in decided]
        if max(gained) > 0 and min(gained) >= 0:
            return Verdict("better", "It is getting better.", details)
        if min(gained) < 0:
            return Verdict("worse", "It got worse.", details)
        if any(one.is_rolled_back for one in decided):
            return Verdict("same", "The last promotion was rolled back: as good as at the start.", details)
        return Verdict("same", "No change: no candidate was surely better, and none was promoted.", details)


def read_overview(workspace: Workspace) -> Overview:
    """Read a workspace; the result names what is missing or damaged. Raises StoreError for a damaged pointer."""
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
        histories=tuple(
            GateHistory(kind, tuple(one for one in decisions if one.kind == kind), serving.get(kind))
            for kind in MODEL_KINDS
        ),
        unreadable=tuple(unreadable),
        usage=read_usage(workspace),
        health=read_health(workspace),
    )


def helpful_trend(days: Sequence[DayUsage]) -> tuple[float, float, bool] | None:
    """Return the helpful shares of marked answers before the last four weeks and in them, and whether they differ.

    They differ by more than two standard errors of the difference. None where either side has too few marks.
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


def _detail(history: GateHistory) -> str:
    n, n_promoted = len(history.decisions), sum(one.promoted for one in history.decisions)
    counts = f"{n_promoted} of {counted(n, 'candidate')} promoted since {history.decisions[0].created[:10]}"
    if history.gained is None:
        return f"{history.kind}: {counts}; the gate did not measure the serving version"
    rolled_back = "; the last promoted version is not serving" if history.is_rolled_back else ""
    figure = (history.headline or "").replace("_", " ")
    return f"{history.kind}: {figure} {history.gained:+.3f}, {counts}{rolled_back}"
