"""Settings of the experience log: whether it is kept, for how long, and what is redacted before writing."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from prep.errors import ConfigError, DataError
from retrieve.report.report import Report

__all__ = ["CONFIG_NAME", "MASK", "ExperienceConfig", "Redactor"]

#: The optional file of settings in a workspace.
CONFIG_NAME = "experience.toml"
#: Replaces each redacted character.
MASK = "█"
MAX_RETENTION_DAYS = 36_500
MAX_AGAIN_S = 7 * 86_400
# Never redacted: rows are found by these, and offsets count in them.
_KEPT = frozenset({"id", "document_id", "created", "generation", "models", "schema"})
_ESCAPED_OR_BLANK = re.compile(r"\\.| ", re.DOTALL)
_KINDS = (
    ("enabled", (bool,), "true or false"),
    ("retention_days", (int, float, type(None)), "a number"),
    ("max_rows", (int, type(None)), "a whole number"),
    ("again_within_s", (int, float), "a number"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperienceConfig:
    """Settings of the log.

    enabled: the one switch. redact: regular expressions; their matches are redacted in everything that is written,
    within one text at a time (a quoted sentence, a statement, a passage of the trace). Ids of documents stay, and so
    does the beginning of a match in a text that the model saw cut short: a question of more than 600 characters.
    retention_days, max_rows: older or further reports are removed, oldest first; None keeps them. again_within_s: a
    question with the same words as an earlier one within this time asks it again; one on the same documents by the same
    user follows it up.
    """

    enabled: bool = True
    redact: tuple[str, ...] = ()
    retention_days: float | None = None
    max_rows: int | None = 200_000
    again_within_s: float = 900.0

    def __post_init__(self) -> None:
        Redactor(self.redact)
        # Without this check a text for a switch ("off") would count as true.
        for name, kinds, wanted in _KINDS:
            if type(value := getattr(self, name)) not in kinds:
                raise ConfigError(f"{name}={value!r} is of the wrong type: it must be {wanted}")
        # A time that no calendar holds would fail at every record.
        if self.retention_days is not None and not 0 < self.retention_days <= MAX_RETENTION_DAYS:
            raise ConfigError(
                f"retention_days={self.retention_days!r} must lie above 0 and not above {MAX_RETENTION_DAYS}, "
                "or be left out"
            )
        if self.max_rows is not None and self.max_rows < 1:
            raise ConfigError(f"max_rows={self.max_rows!r} must be at least 1, or left out")
        if not 0 <= self.again_within_s <= MAX_AGAIN_S:
            raise ConfigError(f"again_within_s={self.again_within_s!r} must lie in 0..{MAX_AGAIN_S}")

    @classmethod
    def of(cls, workspace: str | Path) -> ExperienceConfig:
        """Return the settings in the workspace's experience.toml, or the defaults. Raises ConfigError."""
        path = Path(workspace) / CONFIG_NAME
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
        known = {field.name for field in fields(cls)}
        if unknown := set(values) - known:
            raise ConfigError(f"unknown settings in {path}: {sorted(unknown)}; known are {sorted(known)}")
        if isinstance(values.get("redact"), list):
            values["redact"] = tuple(values["redact"])
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


class Redactor:
    """Redacts the matches of patterns, character by character, so that offsets stay right."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises ConfigError for a pattern that is no regular expression, or that matches the empty text."""
        if not isinstance(patterns, list | tuple):
            raise ConfigError(f"redact={patterns!r} must be a list of patterns")
        self._patterns = []
        for pattern in patterns:
            try:
                compiled = re.compile(pattern)
            except (re.error, TypeError) as error:
                raise ConfigError(
                    f"redact has {pattern!r}, which is no regular expression: {error}"
                ) from error
            if compiled.match(""):
                raise ConfigError(
                    f"redact has {pattern!r}, which matches the empty text: it would black out nothing"
                )
            self._patterns.append(compiled)
            if not compiled.flags & re.VERBOSE and (wrapped := _over_lines(pattern)) != pattern:
                self._patterns.append(re.compile(wrapped))

    def text(self, text: str) -> str:
        """Return the text with matches redacted, as long as before. A blank in a pattern matches a line break, too."""
        for pattern in self._patterns:
            text = pattern.sub(lambda match: MASK * len(match.group()), text)
        return text

    def values(self, values: Any) -> Any:
        """Return JSON values with every text in them redacted; names of fields stay."""
        if not self._patterns:
            return values
        if isinstance(values, str):
            return self.text(values)
        if isinstance(values, Mapping):
            return {key: value if key in _KEPT else self.values(value) for key, value in values.items()}
        if isinstance(values, list | tuple):
            return [self.values(value) for value in values]
        return values

    def report(self, report: Report) -> Report:
        """Return the report with its words redacted; its offsets and versions stay."""
        if not self._patterns:
            return report
        try:
            return Report.from_dict(self.values(report.to_dict()))
        except DataError as error:
            raise ConfigError(f"report {report.id!r} cannot be blacked out: {error}") from error

    def user(self, user: str) -> str:
        """Return the name that a user's rows are kept under: a digest where a pattern matches the name."""
        return user if self.text(user) == user else _digest(user)

    @staticmethod
    def names(user: str) -> tuple[str, str]:
        """Return both names that a user's rows may be kept under, whatever the patterns were at the time."""
        return user, _digest(user)


def _over_lines(pattern: str) -> str:
    """Return a pattern that takes any white space where this one has a blank: documents wrap lines."""
    return _ESCAPED_OR_BLANK.sub(lambda part: r"\s" if part[0].endswith(" ") else part[0], pattern)


def _digest(user: str) -> str:
    return f"user-{hashlib.sha256(user.encode('utf-8', 'replace')).hexdigest()[:16]}"
