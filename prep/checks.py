"""A check that the settings of several stages share: counts are at least 1."""

from __future__ import annotations

from prep.errors import ConfigError

__all__ = ["check_counts"]


def check_counts(settings: object, *names: str) -> None:
    """Raise ConfigError where one of the named settings is below 1."""
    for name in names:
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name}={getattr(settings, name)!r} must be at least 1")
