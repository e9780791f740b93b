"""Scores of boundaries, roles and heading levels on pages whose structure is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from prep.document import ROLES
from prep.model.heads import StructureHeads
from prep.model.line_features import Predictions
from training.pages.render import Labels
from training.prep_model.structure_examples import StructureExample

__all__ = ["HeadsEvaluation", "Scores", "evaluate_heads", "prediction_scores"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of boundaries and roles. Counts are units; F1 of an empty class is 0."""

    n_units: int
    paragraph_f1: float
    section_f1: float
    boundary_accuracy: float
    role_accuracy: float
    heading_f1: float
    boilerplate_precision: float
    boilerplate_recall: float
    level_accuracy: float


@dataclass(frozen=True, slots=True)
class HeadsEvaluation:
    """Scores on held-out pages, those of the rules on the same, and both for every damage."""

    scores: Scores
    rule_scores: Scores
    by_damage: dict[str, tuple[Scores, Scores]]


def evaluate_heads(heads: StructureHeads, held: Sequence[StructureExample]) -> HeadsEvaluation:
    """Score heads and rules on held-out pages, together and for every damage."""
    heads.eval()
    ours: list[Predictions] = []
    with torch.inference_mode():
        for example in held:
            outputs = heads(
                torch.from_numpy(example.states.astype(np.float32)).unsqueeze(0),
                torch.from_numpy(example.surface).unsqueeze(0),
            )
            boundary, role, level = (torch.softmax(logits[0], -1).numpy() for logits in outputs)
            ours.append(Predictions(boundary, role, level))
    labels = [example.labels for example in held]
    rules = [example.rules for example in held if example.rules is not None]
    by_damage: dict[str, tuple[Scores, Scores]] = {}
    for name in sorted({damage for example in held for damage in example.damages} | {"(none)"}):
        rows = [i for i, e in enumerate(held) if name in e.damages or (name == "(none)" and not e.damages)]
        if rows:
            chosen = [labels[i] for i in rows]
            by_damage[name] = (
                prediction_scores([ours[i] for i in rows], chosen),
                prediction_scores([rules[i] for i in rows], chosen),
            )
    return HeadsEvaluation(prediction_scores(ours, labels), prediction_scores(rules, labels), by_damage)


def prediction_scores(predictions: Sequence[Predictions], labels: Sequence[Labels]) -> Scores:
    """Score predictions against labels. A boundary of a level is found where that level or a higher is
    predicted.
    """
    boundary = np.concatenate([p.boundary for p in predictions])
    role = np.concatenate([p.role for p in predictions]).argmax(1)
    level = np.concatenate([p.level for p in predictions]).argmax(1)
    true_boundary = np.concatenate([one.boundary for one in labels])
    true_role = np.concatenate([one.role for one in labels])
    true_level = np.concatenate([one.level for one in labels])
    known = true_boundary >= 0
    paragraph = boundary[:, 2:].sum(1) >= 0.5
    section = boundary[:, 3] >= 0.5
    heading = np.isin(role, [ROLES.index("heading"), ROLES.index("title")])
    true_heading = np.isin(true_role, [ROLES.index("heading"), ROLES.index("title")])
    junk, true_junk = role == ROLES.index("boilerplate"), true_role == ROLES.index("boilerplate")
    levelled = true_level >= 0
    found = float((junk & true_junk).sum())
    return Scores(
        n_units=int(known.sum()),
        paragraph_f1=_f1(paragraph[known], true_boundary[known] >= 2),
        section_f1=_f1(section[known], true_boundary[known] == 3),
        boundary_accuracy=float((boundary.argmax(1)[known] == true_boundary[known]).mean()),
        role_accuracy=float((role[true_role >= 0] == true_role[true_role >= 0]).mean()),
        heading_f1=_f1(heading[known], true_heading[known]),
        boilerplate_precision=found / max(float(junk[known].sum()), 1.0),
        boilerplate_recall=found / max(float(true_junk[known].sum()), 1.0),
        level_accuracy=float((level[levelled] == true_level[levelled]).mean()) if levelled.any() else 0.0,
    )


def _f1(found: np.ndarray[Any, np.dtype[np.bool_]], wanted: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    hits = float((found & wanted).sum())
    return 2 * hits / max(float(found.sum() + wanted.sum()), 1.0)
