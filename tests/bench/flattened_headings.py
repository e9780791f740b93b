"""Measure how boundaries and headings are found where headings have lost their marks. Not a test, not timed.

    python tests/bench/flattened_headings.py --data DIR/wikitext2_valid [--prep VERSION] [--limit 60] [--seed 17]

Documents are written down as plain text, with a blank line between blocks as they have it and once more without any,
their headings flattened (`training.damage.flatten_headings`). The title is not told. Beside the trained heads stand the
untrained rules, on the same units. A boundary of a level is found where that level or a higher is predicted.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from prep import PrepModel
from prep.document import ROLES, Document
from prep.structure import Predictions, rule_predictions
from training.damage import damage_page
from training.prep_scores import prediction_scores
from training.render import Labels, Page, Style, label_units, render
from training.significance import Difference, paired_bootstrap
from training.structure import StructuredDocument, read_structured

DAMAGES = (("flatten_headings",), ("flatten_headings", "lose_blank_lines"))
SHOWN = ("paragraph_f1", "section_f1", "heading_f1", "level_accuracy", "role_accuracy")


def flattened(document: StructuredDocument, damages: tuple[str, ...], seed: int) -> Page:
    """Return the document as a page whose headings are lines like others."""
    page = render(document, Style(markup="plain"))
    return damage_page(replace(page, title=""), damages, random.Random(f"{seed}/{document.id}"))


def predictions(model: PrepModel, page: Page) -> tuple[Predictions, Predictions, Labels]:
    """Return what the heads say, what the rules say, and what is true."""
    reading = model.read_page(Document(page.document_id, page.title, page.text))
    model.add_states([reading])
    rules = rule_predictions(page.text, reading.units, reading.marks, page.title)
    return model.predict(reading), rules, label_units(page, reading.units)


def gain(ours: list[Predictions], rules: list[Predictions], labels: list[Labels], name: str) -> Difference:
    """Return how much better the heads are by one score, documents resampled."""
    scores = [
        [getattr(prediction_scores([one], [label]), name) for one, label in zip(rows, labels, strict=True)]
        for rows in (rules, ours)
    ]
    return paired_bootstrap(*scores)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--prep", default=None, help="a prep model version; the shipped one by default")
    parser.add_argument("--limit", type=int, default=None, help="documents, the first by name")
    parser.add_argument("--seed", type=int, default=17)
    arguments = parser.parse_args()
    model = PrepModel.load(arguments.prep)
    documents = sorted(read_structured(arguments.data), key=lambda document: document.id)
    documents = [one for one in documents if any(block.role == "heading" for block in one.blocks)]
    marked = [ROLES.index("heading"), ROLES.index("title")]
    for damages in DAMAGES:
        rows = [
            predictions(model, flattened(one, damages, arguments.seed))
            for one in tqdm(documents[: arguments.limit], desc="+".join(damages), unit="doc", disable=None)
        ]
        ours, rules, labels = (list(column) for column in zip(*rows, strict=True))
        n_headings = sum(int(np.isin(one.role, marked).sum()) for one in labels)
        print(f"{'+'.join(damages)}: {len(rows)} documents, {n_headings} headings and titles")
        for who, found in (("heads", ours), ("rules", rules)):
            scores = prediction_scores(found, labels)
            print(f"  {who}  " + "  ".join(f"{name} {getattr(scores, name):.3f}" for name in SHOWN))
        for name in ("section_f1", "heading_f1"):
            found = gain(ours, rules, labels, name)
            print(f"  {name} by document {found}")


if __name__ == "__main__":
    main()
