"""Abstention calibration: the bias with which a newly trained version abstains as often as before without evidence.

Training shifts how readily a model abstains, beside how well it reads, and generated questions cannot show where the
bias should be: those that were kept are those that the model answers. So the new version gets the share of abstentions
that was tuned, on questions whose evidence is withheld; on other questions it may abstain less where it has learned to
answer. At most seven in eight abstentions are matched: a serving version abstains on nearly every question in words
that it never learned, and matching that in a candidate that has learned them would cost answers. Both versions see the
same results and must report. The margin of the abstention (`retrieve.decoding.decoder.Action`) counts, so no labels are
needed.
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

#: A prompt up to its report, and the state that the report starts from.
WithheldPrompt = tuple[str, Start]

_DEPTH = 20

#: Of so many questions with withheld evidence a candidate may answer one.
_ONE_FREE_IN = 8


def withheld_prompts(
    questions: Sequence[Question], pool: PassagePool, limits: EpisodeLimits, *, seed: int = 0
) -> list[WithheldPrompt]:
    """Return the prompts of the questions, shuffled, with first results that hold no evidence. Deterministic."""
    pairs = list(zip(questions, with_duplicates(questions), strict=True))
    asked = random.Random(f"{seed}/refusals").sample(pairs, len(pairs))
    ranked = pool.search([question.question for question, _ in asked], _DEPTH)
    found: list[WithheldPrompt] = []
    for (question, merged), passages in zip(asked, ranked, strict=True):
        episode = Episode(question.question, limits)
        episode.give(without_evidence(passages, merged.evidence))
        found.append((episode.prompt, Start(len(episode.sentences), may_search=False)))
    return found


def abstention_margins(
    model: RetrieveModel, prompts: Sequence[WithheldPrompt], *, batch_size: int = 8
) -> list[float]:
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
    """Return the bias at which margins `after` abstain as often as margins `before` at `offset`, in steps of 1/64.

    One in eight abstentions (none of fewer than eight) is not matched. Where the old margins never abstain, or always
    on fewer than eight questions, the new margins are matched on average.
    """
    refused = sum(score + offset > 0 for score in before)
    refused = min(refused, len(before) - len(before) // _ONE_FREE_IN)
    if 0 < refused < len(before):
        highest = sorted(after, reverse=True)
        found = -(highest[refused - 1] + highest[refused]) / 2
    else:
        found = offset + mean(before) - mean(after)
    return round(64 * found) / 64
