"""Write the pages that the prep model's first stage learns from: damaged plain text with its structure as labels.

    python -m training.pages.synthetic_pages DOCUMENTS --out PAGES.jsonl [--pages 3] [--seed 17] [--damage NAME ...]
    python -m training.pages.synthetic_pages --catalogue

DOCUMENTS is a folder of Markdown, reST, HTML or wikitext files, or a labelled set. Same folder, seed and settings: same
file. A row a page:

    {"document_id", "title", "damages": […], "text", "units": [[start, end, boundary, role, level], …]}

Units are sentences or lines, as `prep.model.units` cuts them, in code points of the text. boundary: what ends after
it (none, sentence, paragraph, section). level: of a heading, from 0; null where there is none.
"""

from __future__ import annotations

import argparse
import inspect
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from prep.document import ROLES
from prep.errors import ConfigError, DataError
from prep.model.line_features import BOUNDARY_LEVELS
from prep.model.units import read_units
from training.pages.damage import CATALOGUE, damage_page, random_damages
from training.pages.render import label_units, random_style, render
from training.pages.structured_documents import cut_stretch, read_structured

__all__ = ["describe_catalogue", "synthetic_pages"]


def synthetic_pages(
    documents: str | Path,
    *,
    pages: int = 1,
    characters: int = 5000,
    damages: Sequence[str] | None = None,
    seed: int = 17,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `pages` pages a document, each of about `characters`.

    damages: those that every page gets, by default a seeded draw for each. Raises ConfigError for an unknown damage,
    DataError where the folder holds no structured document.
    """
    if unknown := sorted(set(damages or ()) - CATALOGUE.keys()):
        raise ConfigError(f"there is no damage {', '.join(unknown)}; known are {', '.join(CATALOGUE)}")
    found = False
    for document in read_structured(documents):
        found = True
        for copy in range(pages):
            rng = random.Random(f"{seed}/{document.id}/{copy}")
            page = render(cut_stretch(document, characters, rng), random_style(rng))
            page = damage_page(page, random_damages(rng) if damages is None else tuple(damages), rng)
            # A word is about a token: what units are does not depend on an encoder here.
            units = read_units(page.text, 96, lambda texts: [len(text.split()) for text in texts], _words)
            labels = label_units(page, units)
            rows = zip(units, labels.boundary, labels.role, labels.level, strict=True)
            yield {
                "document_id": document.id,
                "title": page.title,
                "damages": list(page.damages),
                "text": page.text,
                "units": [
                    [
                        unit.start,
                        unit.end,
                        None if boundary < 0 else BOUNDARY_LEVELS[boundary],
                        None if role < 0 else ROLES[role],
                        None if level < 0 else int(level),
                    ]
                    for unit, boundary, role, level in rows
                ],
            }
    if not found:
        raise DataError(f"{documents} holds no .md, .rst, .html or .wiki file and no documents.jsonl")


def _words(text: str) -> list[tuple[int, int]]:
    spans, position = [], 0
    for word in text.split():
        start = text.index(word, position)
        position = start + len(word)
        spans.append((start, position))
    return spans


def describe_catalogue() -> str:
    """Return every damage with what it does, as its docstring says it."""
    lines = []
    for name, damage in CATALOGUE.items():
        words = " ".join((inspect.getdoc(damage) or "").split())
        lines.append(f"{name:18s} {words}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Write from the command line."""
    parser = argparse.ArgumentParser(
        description="write damaged plain-text pages with the structure of the documents as labels"
    )
    parser.add_argument("documents", nargs="?", help="folder of structured documents, or a labelled set")
    parser.add_argument("--out", help="the JSONL file to write")
    parser.add_argument("--pages", type=int, default=1, help="pages of each document")
    parser.add_argument("--characters", type=int, default=5000, help="about how long a page is")
    parser.add_argument("--damage", nargs="*", help="these for every page, instead of a seeded draw")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--catalogue", action="store_true", help="list the damages and stop")
    options = parser.parse_args(argv)
    if options.catalogue:
        print(describe_catalogue())
        return 0
    if not options.documents or not options.out:
        parser.error("give a folder of documents and --out FILE, or --catalogue")
    rows = synthetic_pages(
        options.documents,
        pages=options.pages,
        characters=options.characters,
        damages=options.damage,
        seed=options.seed,
    )
    counts = Counter[str]()
    partial = Path(f"{options.out}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        for row in tqdm(rows, desc="pages", unit="page", disable=None):
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            counts.update(row["damages"] or ["(none)"])
            counts["pages"] += 1
    partial.replace(options.out)
    print(json.dumps(dict(counts.most_common())), file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
