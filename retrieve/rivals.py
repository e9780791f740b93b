"""An unsure report against its rivals: the likeliest other reports are looked for, and the best of all is given.

Rivals come from a beam search under the grammar, from where the prompt was read. For each the question is measured
behind it (`retrieve.backwards`): the results are in a cache already, and all reports are read in one go, each seeing
the results and itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch

from retrieve.backwards import told_backwards
from retrieve.comparing import Compared, Told, alternative, best_of
from retrieve.rows import Rows, Written
from retrieve.teller import lay_behind

if TYPE_CHECKING:
    from retrieve.decoding import Constraint, Decoder

__all__ = ["backwards_logprobs", "compared", "likeliest"]

_MOST_READ = 2048  # tokens at most, behind the results; each needs a row of logits


def compared(
    decoder: Decoder,
    written: Written,
    before: Rows,
    row: int,
    state: Constraint,
    told: Told,
    results: Any = None,
    deadline: float | None = None,
) -> Written:
    """Return the report to give in the place of a greedy one: itself where it is sure, no report, refuses, or is late.

    before: prompts as they were read, of which `row` is this one's; left as it is. state: with which it began. results:
    a cache of the results alone, used up; None where they must be read again. What comes of a prompt depends on nothing
    beside it, but for the deadline. A question too long to be measured behind every report is not compared.
    """
    grammar, config = decoder.grammar, decoder.comparing
    is_report = written.tokens[0] == grammar.report and not grammar.refuses(written.tokens)
    if not is_report or not config.unsure(written.logprob, len(written.tokens)):
        return written
    if (config.n + 1) * (len(grammar.encode(told.asked)) + config.longest) > _MOST_READ:
        return written
    least = written.logprob - config.within
    found, n_written = likeliest(decoder, before.copied().taken([row]), state, least, deadline)
    reports = {tuple(one.tokens): one.logprob for one in (written, *found)}
    if len(reports) == 1 or _late(deadline):
        return replace(written, n_compared=n_written)
    texts = [grammar.text(tokens) for tokens in reports]
    behind, n_read = [0.0] * len(texts), 0
    if decoder.teller is not None:
        behind, n_read = backwards_logprobs(decoder, told, texts, results)
    rivals = tuple(
        Compared(text, logprob, of_question, len(tokens))
        for text, (tokens, logprob), of_question in zip(texts, reports.items(), behind, strict=True)
    )
    best = best_of(rivals, config)
    chosen = list(reports)[best]
    other = alternative(rivals, best, config)
    n_compared = n_written + n_read + len(written.tokens) - len(chosen)
    return replace(
        written,
        tokens=list(chosen),
        logprob=reports[chosen],
        rivals=rivals,
        alternative="" if other is None else rivals[other].text,
        n_compared=n_compared,
    )


def _late(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline


@dataclass(frozen=True, slots=True)
class _Beam:
    tokens: tuple[int, ...]
    logprob: float
    state: Constraint


def likeliest(
    decoder: Decoder,
    rows: Rows,
    state: Constraint,
    least: float = float("-inf"),
    deadline: float | None = None,
) -> tuple[list[Written], int]:
    """Return the likeliest reports of one prompt, best first, refusals aside, and how many tokens were read for it.

    As many as are compared, at most. rows: the one prompt; its cache is used up. state: left as it is. least: in nats,
    of a report's log-probability; what is less likely is not looked for. deadline: when to stop.
    """
    config, device = decoder.comparing, rows.mask.device
    live = [_Beam((), 0.0, state)]
    finished: list[_Beam] = []
    n_read = 0
    logits, mask, positions = rows.logits, rows.mask, rows.positions
    while True:
        going, sources = [], []
        for at, beam in _longer(decoder, live, logits, least):
            if beam.state.done:
                finished.append(beam)
            elif len(beam.tokens) < config.longest:
                going.append(beam)
                sources.append(at)
        finished = sorted(finished, key=lambda beam: -beam.logprob)[: config.n]
        settled = len(finished) == config.n and all(one.logprob <= finished[-1].logprob for one in going)
        if not going or settled or _late(deadline):
            return [Written(list(beam.tokens), beam.logprob) for beam in finished], n_read
        rows.cache.reorder_cache(torch.tensor(sources, device=device))
        mask = torch.nn.functional.pad(mask[sources], (0, 1), value=1)
        positions = positions[sources] + 1
        last = torch.tensor([[beam.tokens[-1]] for beam in going], device=device)
        logits = decoder.forward(rows.cache, last, mask if rows.padded else None, positions)
        n_read += len(going)
        live = going


def _longer(
    decoder: Decoder, live: Sequence[_Beam], logits: torch.Tensor, least: float
) -> list[tuple[int, _Beam]]:
    """Return the likeliest beams that are a token longer, each with the number of the one it goes on from."""
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
        longer.append((at, _Beam((*live[at].tokens, token), total, state)))
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
