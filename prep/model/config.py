"""The prep model's settings: windows and units, limits of chunks, scores of breaks, kinds of vectors."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from prep.errors import ConfigError
from prep.model.heads import HeadsConfig

__all__ = ["BreakWeights", "ChunkLimits", "LengthPrior", "PrepConfig", "Queries", "Vectors"]

Vectors: TypeAlias = Literal["chunk", "shared"]
Queries: TypeAlias = Literal["base", "trained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLimits:
    """How large a chunk may be, in tokens of the prep model's tokenizer, header included."""

    target_tokens: int = 128
    max_tokens: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.target_tokens <= self.max_tokens:
            raise ConfigError(
                f"target_tokens={self.target_tokens!r} must lie in 1..{self.max_tokens} (max_tokens)"
            )
        if self.max_tokens < 16:
            raise ConfigError(f"max_tokens={self.max_tokens!r} must be at least 16")


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthPrior:
    """The price of a piece's length: weight * (log(length / target))**2.

    short, long: the weight below and above the target.
    """

    short: float = 1.0
    long: float = 1.0

    def __post_init__(self) -> None:
        if self.short < 0 or self.long < 0:
            raise ConfigError(f"length weights short={self.short!r}, long={self.long!r} must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakWeights:
    """The score of a break by the boundary it stands at, and the cost of cuts inside what belongs together.

    none, sentence, paragraph, section: score at that boundary, weighted by the boundary's probability. heading: cost of
    a break between a heading and its text. colon: cost of a break after a colon, which announces what follows. keep:
    cost of cutting a fence, list item or table row that fits a chunk.
    boilerplate: score where a long run of boilerplate begins or ends.
    """

    none: float = -6.0
    sentence: float = -0.8
    paragraph: float = 0.5
    section: float = 2.0
    heading: float = 3.0
    colon: float = 4.0
    keep: float = 100.0
    boilerplate: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepConfig:
    """How documents are encoded and cut; stored in a version's manifest.

    window_tokens: of an encoder window, its special tokens and the title included. unit_tokens: of the longest unit.
    header_share: the largest share of a chunk's limit that its header may take. topic_probability: `PrepModel.topics`
    starts a new topic where a section ends with at least this probability. trained: False for scores by rules. vectors:
    how a chunk gets its vector (see `prep.model.prep_model`). queries: the encoder of questions, "base" for the base as
    it is, "trained" for the one with the version's updates. Raises ConfigError for a value out of range.
    """

    limits: ChunkLimits = field(default_factory=lambda: ChunkLimits(target_tokens=95, max_tokens=200))
    prior: LengthPrior = field(default_factory=lambda: LengthPrior(short=1.0, long=2.0))
    weights: BreakWeights = field(default_factory=BreakWeights)
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    vectors: Vectors = "chunk"
    queries: Queries = "base"
    trained: bool = True
    window_tokens: int = 256
    overlap_tokens: int = 32
    unit_tokens: int = 96
    header_share: float = 0.25
    topic_probability: float = 0.7

    def __post_init__(self) -> None:
        if self.vectors not in ("chunk", "shared"):
            raise ConfigError(f"vectors={self.vectors!r} must be 'chunk' or 'shared'")
        if self.queries not in ("base", "trained"):
            raise ConfigError(f"queries={self.queries!r} must be 'base' or 'trained'")
        if not 0 <= self.header_share <= 0.5:
            raise ConfigError(f"header_share={self.header_share!r} must lie in 0..0.5")
        if self.window_tokens < 32 or not 0 <= self.overlap_tokens <= self.window_tokens // 4:
            raise ConfigError(
                f"window_tokens={self.window_tokens!r}, overlap_tokens={self.overlap_tokens!r}: windows need "
                "32 tokens and share at most a quarter"
            )
        if not 0 < self.topic_probability <= 1:
            raise ConfigError(f"topic_probability={self.topic_probability!r} must lie above 0, at most 1")
        if self.unit_tokens < 4:
            raise ConfigError(f"unit_tokens={self.unit_tokens!r} must be at least 4")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {**asdict(self), "heads": self.heads.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PrepConfig:
        """Read what `to_json` wrote. Raises ConfigError for a missing or unknown key."""
        try:
            return cls(
                **{
                    **values,
                    "limits": ChunkLimits(**values["limits"]),
                    "prior": LengthPrior(**values["prior"]),
                    "weights": BreakWeights(**values["weights"]),
                    "heads": HeadsConfig.from_json(values["heads"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"prep settings are incomplete or unknown: {error}") from error
