"""How readily a version refuses: the offset with which a newly trained one refuses what is unsaid as often as before.

Training shifts how readily a model refuses, beside how well it reads. On questions made without people nothing says
where it should be: those that were kept are those the model answers. So of questions whose evidence is left out the
same share is refused as was tuned; of the others a candidate may refuse fewer, and should, where it has learned what
they mean. No more than seven in eight are matched: what serves refuses nearly all that is asked in words it never
learned, not for care, and as much from a candidate that has learned them would cost it what it reads now. Both
versions are shown the same results and told to report; what counts is the margin of the refusal
(`retrieve.decoding.decoder.Action`), of which no label is needed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import mean

from retrieve.episode.episode import Episode, EpisodeLimits
from retrieve.episode_runner import Start
from retrieve.model import RetrieveModel
from training.data.dataset import Question
from training.data.passage_pool import PassagePool
from training.traces.evidence_checks import with_duplicates, without_evidence

__all__ = ["WithheldPrompt", "abstention_margins", "matched_bias", "withheld_prompts"]

#: A prompt that ends where a report may begin, and what the report begins with.
WithheldPrompt = tuple[str, Start]

_DEPTH = 20

#: Of so many questions whose evidence is left out, a candidate need not refuse one.
_ONE_SPARED_IN = 8


def withheld_prompts(
    questions: Sequence[Question], pool: PassagePool, limits: EpisodeLimits, *, seed: int = 0
) -> list[WithheldPrompt]:
    """Return the questions, shuffled, with their first results, but for what holds their evidence. Deterministic."""
    pairs = list(zip(questions, with_duplicates(questions), strict=True))
    asked = random.Random(f"{seed}/refusals").sample(pairs, len(pairs))
    ranked = pool.search([question.question for question, _ in asked], _DEPTH)
    found: list[WithheldPrompt] = []
    for (question, merged), passages in zip(asked, ranked, strict=True):
        episode = Episode(question.question, limits)
        episode.give(without_evidence(passages, merged.evidence))
        found.append((episode.prompt, Start(len(episode.sentences), may_search=False)))
    return found


def abstention_margins(model: RetrieveModel, prompts: Sequence[WithheldPrompt], *, batch_size: int = 8) -> list[float]:
    """Return each prompt's margin of the refusal, `abstention_bias` not added."""
    decoder = model.decoder()
    scores: list[float] = []
    for at in range(0, len(prompts), batch_size):
        some = prompts[at : at + batch_size]
        states = [start.state(decoder.grammar, model.serving.action) for _, start in some]
        actions = decoder.decode([prompt for prompt, _ in some], states)
        scores += [action.abstention_margin for action in actions]
    return scores


def matched_bias(before: Sequence[float], offset: float, after: Sequence[float]) -> float:
    """Return the offset at which scores `after` refuse as many as scores `before` do at theirs, in steps of 1/64.

    But one in eight (of fewer than eight, none) need not be refused. Where those refuse none, or all of fewer than
    eight, which says little, scores are as high as before on average.
    """
    refused = sum(score + offset > 0 for score in before)
    refused = min(refused, len(before) - len(before) // _ONE_SPARED_IN)
    if 0 < refused < len(before):
        highest = sorted(after, reverse=True)
        found = -(highest[refused - 1] + highest[refused]) / 2
    else:
        found = offset + mean(before) - mean(after)
    return round(64 * found) / 64
