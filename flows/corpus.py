"""A corpus that every Python has: the language reference of `pydoc_data.topics`, written out as documents.

The texts are what `help("with")` shows, as Sphinx writes reStructuredText to plain text. They belong to the
Python Software Foundation and are not part of Diptych.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_corpus"]


def write_corpus(folder: str | Path, *, max_documents: int | None = None) -> list[Path]:
    """Write one `.rst` file a topic into `folder` and return the paths, in the order of their names.

    A file whose text is already there is left alone, so that its modification time is too; a topic that this
    Python no longer has is removed. Writes are atomic.
    """
    from pydoc_data.topics import topics

    names = sorted(topics)[:max_documents]
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
