"""Front matter of Markdown: the YAML between `---` or the TOML between `+++` at the head of a file, as metadata.

Values are text as written, or lists of text: YAML's own types turn `no` into a truth value and `1.10` into 1.1.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["FRONT_MATTER", "read_front_matter"]

#: Group 1 is YAML, group 2 TOML.
FRONT_MATTER = re.compile(
    r"\A(?:---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$|\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*$)\n?",
    re.S | re.M,
)
_MAX_CHARACTERS = 1 << 15
_MAX_ENTRIES = 200


def read_front_matter(text: str) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    """Return the metadata at the head of a text, keys of mappings joined by a dot, and what of it could not be read."""
    found = FRONT_MATTER.match(text[:_MAX_CHARACTERS])
    if found is None:
        return {}, ()
    try:
        content = _read_yaml(found[1]) if found[2] is None else tomllib.loads(found[2])
        if not isinstance(content, Mapping):  # a rule and some text that is none
            return {}, ()
        entries = list(_entries(content))
    except (ValueError, RecursionError) as error:
        message = " ".join(str(error).split())[:200] or "nested too deeply"
        return {}, (("front matter", f"cannot be read: {message}"),)
    losses = (
        (("front matter", f"has more than {_MAX_ENTRIES} entries"),) if len(entries) > _MAX_ENTRIES else ()
    )
    return dict(entries[:_MAX_ENTRIES]), losses


def _read_yaml(text: str) -> Any:
    import yaml

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.BaseLoader)):
            raise ValueError("it uses an alias, which could repeat itself without end")
        return yaml.load(text, Loader=yaml.BaseLoader)  # every scalar as text
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _entries(content: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _entries(value, f"{name}.")
        elif isinstance(value, list):
            items = [_text(one) for one in value if not isinstance(one, Mapping | list)]
            yield from ((name, items),) if any(items) else ()
            for one in value:
                if isinstance(one, Mapping):
                    yield from _entries(one, f"{name}.")
        elif text := _text(value):
            yield name, text


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
