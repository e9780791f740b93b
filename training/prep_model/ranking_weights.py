"""Trains the weights by which search ranks candidates (`prep.store.ranking`), on people's questions and their evidence.

    python -m training.prep_model.ranking_weights --data DIR/new_wiki DIR/drcd_dev … --out prep/weights/ranking.json

Every question's candidates are the chunks that the ranking reads. The loss is the cross entropy between a softmax over
their scores and the evidence that each holds (listwise, as ListNet: Cao et al. 2007), so the weights are the best
linear ones, not a choice among some. Questions with blanks between words and those without train weights of their own.
Sets weigh by the root of how many questions they have, so that a large one does not dominate. Held-out parts
(`training.traces.mixture`) are left out here, too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from prep.document import Floats, Span
from prep.errors import DataError
from prep.model.prep_model import PrepModel
from prep.store.bm25 import is_unspaced
from prep.store.ranking import FEATURES, Ranking, RankingWeights
from training.data.dataset import LabelledSet, load_set
from training.data.passage_pool import PassagePool
from training.metrics.answer_metrics import ALTERNATIVE_KINDS
from training.metrics.chunking_metrics import evidence_recall
from training.traces.mixture import part_of

__all__ = ["RankingExample", "fit_weights", "main", "ranking_examples", "train_ranking"]

_STEPS = 200  # of L-BFGS, at most


@dataclass(frozen=True, slots=True)
class RankingExample:
    """A question's candidates: their features (n, 5), and the share of its evidence that each holds, (n,)."""

    features: Floats
    held: Floats
    unspaced: bool


def ranking_examples(
    dataset: LabelledSet, prep: PrepModel, *, progress: bool = False
) -> list[RankingExample]:
    """Return the examples of a set's questions, searched among all its documents.

    Questions whose evidence is not among the candidates have none.
    """
    pool = PassagePool.build(dataset.documents.values(), [prep], progress=progress)
    examples = []
    for question in tqdm(dataset.questions, dataset.name, disable=not progress):
        if not question.answerable or not question.evidence:
            continue
        passages, features = pool.candidates(question.question)
        alternatives = question.kind in ALTERNATIVE_KINDS
        held = [
            evidence_recall(
                question.evidence, [Span(one.document_id, one.start, one.end)], alternatives=alternatives
            )
            for one in passages
        ]
        if any(held):
            unspaced = is_unspaced(question.question)
            examples.append(RankingExample(features, np.array(held, dtype=np.float32), unspaced))
    return examples


def fit_weights(sets: Sequence[Sequence[RankingExample]]) -> RankingWeights:
    """Return the weights that rank the evidence best, over all the sets' examples. Raises DataError without any."""
    examples = [(one, len(of_set) ** -0.5) for of_set in sets for one in of_set]
    if not examples:
        raise DataError("no question's evidence was found, so there is nothing to train a ranking on")
    longest = max(len(one.held) for one, _ in examples)
    features = torch.zeros(len(examples), longest, len(FEATURES))
    held = torch.zeros(len(examples), longest)
    there = torch.zeros(len(examples), longest, dtype=torch.bool)
    for at, (one, _) in enumerate(examples):
        n = len(one.held)
        features[at, :n] = torch.from_numpy(one.features)
        held[at, :n] = torch.from_numpy(one.held / one.held.sum())
        there[at, :n] = True
    weighs = torch.tensor([weight for _, weight in examples])
    # Weights are exponentials, so none is negative; their sum is the softmax's temperature: search has no use for it.
    logs = torch.full((len(FEATURES),), 1.0, requires_grad=True)
    optimiser = torch.optim.LBFGS([logs], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        scores = (features @ logs.exp()).masked_fill(~there, -1e9)
        mean = -(weighs * (held * torch.log_softmax(scores, dim=1)).sum(1)).sum() / weighs.sum()
        mean.backward()  # type: ignore[no-untyped-call]
        return mean

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return _rounded(logs.detach().exp().double().numpy())


def train_ranking(sets: Mapping[str, Sequence[RankingExample]]) -> Ranking:
    """Return the weights for both kinds of questions. Raises DataError where there is none of a kind."""
    spaced, unspaced = (
        fit_weights([[one for one in of_set if one.unspaced is kind] for of_set in sets.values()])
        for kind in (False, True)
    )
    return Ranking(spaced, unspaced)


def _rounded(weights: Floats) -> RankingWeights:
    """Return the weights as thousandths that add up to 1; what rounding leaves goes to the largest."""
    shares = np.round(weights / weights.sum(), 3)
    shares[shares.argmax()] += 1 - shares.sum()
    return RankingWeights(
        **{name: round(float(share), 3) for name, share in zip(FEATURES, shares, strict=True)}
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Train the weights and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="labelled sets, one folder each")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    arguments = parser.parse_args(argv)
    prep = PrepModel.load()
    sets = {}
    for folder in arguments.data:
        dataset = part_of(load_set(folder), held_out=False)
        sets[dataset.name] = ranking_examples(dataset, prep, progress=True)
    ranking = train_ranking(sets)
    content = {
        "spaced": asdict(ranking.spaced),
        "unspaced": asdict(ranking.unspaced),
        "training": {
            "prep": prep.version,
            "examples": {name: len(examples) for name, examples in sets.items()},
        },
    }
    arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
