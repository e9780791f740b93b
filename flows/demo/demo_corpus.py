"""A corpus that every Python has: the language reference of `pydoc_data.topics`, written out as documents.

The texts are what `help("with")` shows, as Sphinx writes reStructuredText to plain text. They belong to the
Python Software Foundation and are not part of Diptych.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_corpus"]


def write_corpus(folder: str | Path, *, max_documents: int | None = None) -> list[Path]:
    """Write one `.rst` file a topic into `folder` and return the paths, in the order of their names.

    A topic whose text is a part of another's ("while" is in "compound") is left out: the reference would say
    everything twice.

    A file whose text is already there is left alone, so that its modification time is too; a topic that this
    Python no longer has is removed. Writes are atomic.
    """
    from pydoc_data.topics import topics

    names = _whole_topics(topics)[:max_documents]
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in names:
        path = target / f"{name}.rst"
        text = topics[name].rstrip("\n") + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            partial = path.with_suffix(".partial")
            partial.write_text(text, encoding="utf-8", newline="\n")
            os.replace(partial, path)
        paths.append(path)
    for stale in set(target.glob("*.rst")) - set(paths):
        stale.unlink()
    return paths


def _whole_topics(topics: Mapping[str, str]) -> list[str]:
    """Return the names of the topics that are no part of another one, sorted."""
    bodies = {name: " ".join(text.split("\n", 2)[-1].split()) for name, text in topics.items()}
    return [
        name
        for name in sorted(topics)
        if not any(
            bodies[name] in bodies[other] and (len(bodies[other]), other) > (len(bodies[name]), name)
            for other in bodies
            if other != name
        )
    ]
