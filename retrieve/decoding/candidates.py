"""Unsure reports against their rivals: the likeliest other reports are looked for, and the best of all is given.

Rivals come from a beam search under the grammar, from where the prompts were read, for all prompts together: the
beams of one share what was read and what they begin with (`retrieve.decoding.beam_tree`). For each rival the question
is measured behind it (`retrieve.decoding.channel_format`): the results are in a cache already, and all reports on one
prompt are read in one go, each seeing the results and itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch

from retrieve.decoding.beam_tree import Beam, BeamTree
from retrieve.decoding.channel_format import told_backwards
from retrieve.decoding.channel_model import lay_behind
from retrieve.decoding.kv_cache import Rows, Written, copied_cache
from retrieve.decoding.reranking import Compared, Told, alternative, best_of

if TYPE_CHECKING:
    from retrieve.decoding.decoder import Decoder
    from retrieve.episode.grammar import Constraint

__all__ = ["backwards_logprobs", "compared", "likeliest"]

_MOST_READ = 2048  # tokens at most, behind the results; each needs a row of logits


def compared(
    decoder: Decoder,
    written: Sequence[Written],
    before: Rows,
    states: Sequence[Constraint],
    told: Sequence[Told | None],
    results: Sequence[Any],
    deadline: float | None = None,
) -> list[Written]:
    """Return the reports to give in the place of greedy ones: the same where they are sure, refusals, or it is late.

    before: the prompts as they were read. states: with which reports began. told: None where nothing is compared.
    results: caches of each one's results alone; None where they must be read again. What comes of a prompt depends on
    nothing beside it, but for the deadline.
    """
    given = list(written)
    unsure = [
        row for row, parts in enumerate(told) if parts is not None and _compares(decoder, written[row], parts)
    ]
    if not unsure:
        return given
    found = likeliest(
        decoder,
        before.copied().taken(unsure),
        [states[row] for row in unsure],
        [written[row].logprob - decoder.comparing.within for row in unsure],
        deadline,
    )
    for row, (rivals, n_written) in zip(unsure, found, strict=True):
        parts = told[row]
        assert parts is not None
        if all(one.tokens == written[row].tokens for one in rivals) or _late(deadline):
            given[row] = replace(written[row], n_compared=n_written)
        else:
            given[row] = _best(decoder, written[row], rivals, n_written, parts, results[row])
    return given


def _compares(decoder: Decoder, written: Written, told: Told) -> bool:
    """Whether a report is compared; not where the question is too long to be measured behind each of its rivals."""
    grammar, config = decoder.grammar, decoder.comparing
    is_report = written.tokens[0] == grammar.report and not grammar.refuses(written.tokens)
    if not is_report or not config.unsure(written.logprob, len(written.tokens)):
        return False
    return (config.n + 1) * (len(grammar.encode(told.asked)) + config.longest) <= _MOST_READ


def _best(
    decoder: Decoder, written: Written, found: Sequence[Written], n_written: int, told: Told, results: Any
) -> Written:
    """Return the best of a report and its rivals. n_written: tokens that it took to find them."""
    reports = {tuple(one.tokens): one.logprob for one in (written, *found)}
    texts = [decoder.grammar.text(tokens) for tokens in reports]
    behind, n_read = [0.0] * len(texts), 0
    if decoder.teller is not None:
        cache = None if results is None else copied_cache(results)
        behind, n_read = backwards_logprobs(decoder, told, texts, cache)
    rivals = tuple(
        Compared(text, logprob, of_question, len(tokens))
        for text, (tokens, logprob), of_question in zip(texts, reports.items(), behind, strict=True)
    )
    best = best_of(rivals, decoder.comparing)
    chosen = list(reports)[best]
    other = alternative(rivals, best, decoder.comparing)
    return replace(
        written,
        tokens=list(chosen),
        logprob=reports[chosen],
        rivals=rivals,
        alternative="" if other is None else rivals[other].text,
        n_compared=n_written + n_read + len(written.tokens) - len(chosen),
    )


def _late(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline


@dataclass(slots=True)
class _Looking:
    """The search for one prompt's rivals. live: what is longer each time. n_read: tokens read for it."""

    live: list[Beam]
    least: float
    finished: list[Beam] = field(default_factory=list)
    n_read: int = 0

    def lengthen(self, decoder: Decoder, logits: torch.Tensor) -> None:
        """Go on with the likeliest beams that are a token longer. logits: (at least one a beam, vocabulary)."""
        config, longer = decoder.comparing, []
        for beam in _longer(decoder, self.live, logits[: len(self.live)], self.least):
            if beam.state.done:
                self.finished.append(beam)
            elif len(beam.tokens) < config.longest:
                longer.append(beam)
        self.finished = sorted(self.finished, key=lambda beam: -beam.logprob)[: config.n]
        settled = len(self.finished) == config.n and all(
            one.logprob <= self.finished[-1].logprob for one in longer
        )
        self.live = [] if settled else longer


def likeliest(
    decoder: Decoder,
    rows: Rows,
    states: Sequence[Constraint],
    least: Sequence[float],
    deadline: float | None = None,
) -> list[tuple[list[Written], int]]:
    """Return for each prompt its likeliest reports, best first, refusals aside, and how many tokens were read for it.

    As many as are compared, at most. rows: the prompts; their cache is used up. states: left as they are. least: in
    nats, of a report's log-probability; what is less likely is not looked for. deadline: when to stop.
    """
    looking = [_Looking([Beam((), 0.0, state)], low) for state, low in zip(states, least, strict=True)]
    going, logits, tree = looking, rows.logits.unsqueeze(1), BeamTree(decoder.model, rows)
    while True:
        for one, of_beams in zip(going, logits, strict=True):
            one.lengthen(decoder, of_beams)
        left = [row for row, one in enumerate(going) if one.live]
        if not left or _late(deadline):
            return [
                ([Written(list(beam.tokens), beam.logprob) for beam in one.finished], one.n_read)
                for one in looking
            ]
        if len(left) < len(going):
            going = [going[row] for row in left]
            tree.keep(left)
        logits = tree.read([one.live for one in going])
        for one in going:
            one.n_read += len(one.live)


def _longer(decoder: Decoder, live: Sequence[Beam], logits: torch.Tensor, least: float) -> list[Beam]:
    """Return the likeliest beams that are a token longer."""
    scores, _ = decoder.scored(logits, [beam.state for beam in live])
    for at, beam in enumerate(live):
        if beam.state.decides is not None:  # neither a search nor a refusal is a rival
            scores[at, decoder.grammar.deciding(beam.state.decides)] = float("-inf")
    totals = scores + torch.tensor([[beam.logprob] for beam in live], device=scores.device)
    best = totals.flatten().topk(decoder.comparing.n)
    longer = []
    for total, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        if total < least or total == float("-inf"):
            break
        at, token = divmod(index, scores.shape[1])
        state = live[at].state.fork()
        state.advance(token)
        longer.append(Beam((*live[at].tokens, token), total, state, live[at].columns))
    return longer


def backwards_logprobs(
    decoder: Decoder, told: Told, reports: Sequence[str], cache: Any = None
) -> tuple[list[float], int]:
    """Return the log-probability of the question behind each report, in nats, and how many tokens were read for it.

    cache: of the results alone, used up; None where they must be read again.
    """
    from transformers import DynamicCache

    model, device = decoder.model, decoder.model.device
    results = decoder.encode(told.results)
    if cache is None:
        cache = DynamicCache(config=model.config)
        decoder.read_alone(results, cache)
    encode = decoder.grammar.encode
    # Of each report its tokens and the question's.
    pairs = [tuple(map(encode, told_backwards(told.asked, report))) for report in reports]
    parts = [[*given, *question] for given, question in pairs]
    firsts = [0, *accumulate(map(len, parts))]  # where each part begins
    before = [
        first + at
        for first, (given, question) in zip(firsts, pairs, strict=False)
        for at in range(len(given) - 1, len(given) + len(question) - 1)
    ]
    laid = lay_behind(model, len(results), parts)
    output = decoder.teller(
        input_ids=laid.ids,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=torch.tensor(before, device=device),
        **laid.given,
    )
    logits = output.logits[0].float()
    targets = torch.tensor([token for _, question in pairs for token in question], device=device)
    chosen = logits.gather(1, targets.unsqueeze(1))[:, 0] - logits.logsumexp(dim=-1)
    of_each = torch.split(chosen, [len(question) for _, question in pairs])
    return [float(one.sum()) for one in of_each], sum(map(len, parts))
