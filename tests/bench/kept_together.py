"""Count the fences, list items and table rows that the prep model cuts although they fit a chunk. Not a test.

    python tests/bench/kept_together.py --data DIR/docs_rust_book [DIR/docs_vue ...] [--limit 60] [--prep VERSION]

What is a fence, an item or a row says markdown-it-py, not our own reading of marks. One fits if its tokens and those of
the header it would stand under do not exceed the limit.
"""

from __future__ import annotations

import argparse
from bisect import bisect_right
from collections import Counter
from pathlib import Path

from markdown_it import MarkdownIt
from tqdm import tqdm

from prep import PrepModel
from prep.document import Document
from training.dataset import load_set

KINDS = {"fence": "fence", "code_block": "code block", "list_item_open": "list item", "tr_open": "table row"}


def stretches(text: str) -> list[tuple[str, int, int]]:
    """Return kind and span of what should stay whole, blanks around it left out."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type in KINDS and token.map:
            start, end = starts[token.map[0]], min(starts[token.map[1]], len(text))
            inner = text[start:end]
            start += len(inner) - len(inner.lstrip())
            end -= len(inner) - len(inner.rstrip())
            if end > start:
                found.append((KINDS[token.type], start, end))
    return found


def cuts_of(model: PrepModel, document: Document) -> tuple[list[int], list[int], list[int]]:
    """Return where chunks end, where units start, and the tokens of the header at each unit."""
    page = model.read_page(document)
    if not page.units:
        return [], [0], [0]
    model.add_states([page])
    plan = model.plan_cuts(page)
    ends = [page.units[last - 1].end for _, last in plan.cuts()]
    return ends, [unit.start for unit in page.units], plan.header_tokens


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path, nargs="+")
    parser.add_argument("--prep", default=None, help="a prep model version; the shipped one by default")
    parser.add_argument("--limit", type=int, default=None, help="documents of a set, spread evenly")
    parser.add_argument("--show", type=int, default=5, help="cut ones to show")
    arguments = parser.parse_args()
    model = PrepModel.load(arguments.prep)
    room = model.limits.max_tokens - model.encoder.n_special
    whole, cut = Counter[str](), Counter[str]()
    for folder in arguments.data:
        labelled = load_set(folder)
        names = [n for n in sorted(labelled.documents) if labelled.formats[n] == "markdown"]
        wanted = min(arguments.limit or len(names), len(names))
        chosen = [names[i * len(names) // wanted] for i in range(wanted)]
        for name in tqdm(chosen, desc=folder.name, unit="doc", disable=None):
            document = labelled.documents[name]
            ends, starts, headers = cuts_of(model, document)
            inside = stretches(document.text)
            counts = [len(ids) for ids in model.encoder.tokenize([document.text[a:b] for _, a, b in inside])]
            for (kind, start, end), count in zip(inside, counts, strict=True):
                if count + headers[max(bisect_right(starts, start) - 1, 0)] > room:
                    continue
                whole[kind] += 1
                at = bisect_right(ends, start)
                if at < len(ends) and ends[at] < end:
                    cut[kind] += 1
                    if sum(cut.values()) <= arguments.show:
                        shown = document.text[start : ends[at]] + "✂" + document.text[ends[at] : end]
                        print(f"{folder.name}/{name} {kind}:\n{shown[:600]}\n")
    for kind in whole:
        print(f"{kind:12s} {cut[kind]:4d} of {whole[kind]} that fit are cut")


if __name__ == "__main__":
    main()
