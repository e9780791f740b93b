"""Glob patterns over paths with `/`: `*` and `?` within a name, `[a-z]`, `**` for any folders."""

from __future__ import annotations

import re

from prep.errors import ConfigError

__all__ = ["compile_glob", "is_glob"]


def is_glob(text: str) -> bool:
    """Whether a path has wildcards."""
    return re.search(r"[*?[]", text) is not None


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Return the expression for paths inside a folder; a pattern without a slash fits names anywhere.

    Raises ConfigError for a pattern that is empty or has a wrong character class.

    >>> bool(compile_glob("*.md").fullmatch("notes/a.md")), bool(compile_glob("x/*.md").fullmatch("x/y/a.md"))
    (True, False)
    """
    if not pattern:
        raise ConfigError(
            "glob='' fits nothing; leave it out to read everything, or give a pattern like '*.md'"
        )
    anywhere = "" if "/" in pattern else "(?:.*/)?"
    expression = ""
    position = 0
    pattern = pattern.removeprefix("./")
    while position < len(pattern):
        rest = pattern[position:]
        bracket = re.match(r"\[!?\]?[^\]]*\]", rest)
        if rest.startswith("**/"):
            expression, position = expression + "(?:.*/)?", position + 3
        elif rest.startswith("**"):
            expression, position = expression + ".*", position + 2
        elif rest[0] == "*":
            expression, position = expression + "[^/]*", position + 1
        elif rest[0] == "?":
            expression, position = expression + "[^/]", position + 1
        elif bracket is not None:
            inner = bracket.group()[1:-1].replace("\\", r"\\").replace("[", r"\[")
            negated = inner.startswith("!")
            inner = inner.removeprefix("!")
            inner = r"\]" + inner[1:] if inner.startswith("]") else inner
            inner = r"\^" + inner[1:] if inner.startswith("^") else inner
            expression, position = expression + f"[{'^' if negated else ''}{inner}]", position + bracket.end()
        else:
            expression, position = expression + re.escape(rest[0]), position + 1
    try:
        return re.compile(anywhere + expression, re.S)
    except re.error as error:
        raise ConfigError(f"glob={pattern!r} is no valid pattern: {error}") from error
