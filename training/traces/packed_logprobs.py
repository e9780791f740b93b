"""Log-probabilities of many completions of few prompts, each prompt read once.

The completions of a prompt follow it one after another, each at the positions it would have alone, and the attention
mask lets each see the prompt and itself. One sequence of prompt and all completions replaces as many sequences as
completions, with the same numbers and several times less work, as completions are short. A prefix that some of the
completions share (a question with several answers) is laid out once for them, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from retrieve.lm.attention_mask import added_masks

__all__ = ["Group", "Layout", "Scored", "lay_out", "lay_out_rows", "score_completions"]


@dataclass(frozen=True, slots=True)
class Scored:
    """One completion. logprobs, entropies: (n_tokens,), of the distribution over what was allowed, in nats."""

    logprobs: torch.Tensor
    entropies: torch.Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """Prompts, each followed by its shared prefixes and completions, in rows. ids: (rows, n), padded at the right.

    given: masks and positions for the model. before: for each token of the completions, in their order, the index of
    the state that predicts it, in the states of all rows flattened.
    """

    ids: torch.Tensor
    given: dict[str, Any]
    before: list[int]


_SCORED_TOGETHER = 256  # tokens whose logits over the whole vocabulary are in memory at a time

# A prompt and its completions.
Group = tuple[Sequence[int], Sequence[Sequence[int]]]


@dataclass(slots=True)
class _Row:
    """Prompts one after another, with their prefixes and completions as nodes.

    node: of each token; prompt, prefix: of that node, itself where it has none. A token sees these three.
    """

    ids: list[int] = field(default_factory=list)
    node: list[int] = field(default_factory=list)
    prompt: list[int] = field(default_factory=list)
    prefix: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    n_nodes: int = 0

    def put(
        self, tokens: Sequence[int], first: int, *, prompt: int | None = None, prefix: int | None = None
    ) -> int:
        """Append a node with its first token at position `first`; returns its number."""
        node = self.n_nodes
        self.n_nodes += 1
        self.ids += tokens
        self.node += [node] * len(tokens)
        self.prompt += [node if prompt is None else prompt] * len(tokens)
        self.prefix += [node if prefix is None else prefix] * len(tokens)
        self.positions += range(first, first + len(tokens))
        return node

    def put_group(
        self,
        prompt: Sequence[int],
        completions: Sequence[Sequence[int]],
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> None:
        """Append a prompt and its prefixes, each with its completions."""
        of_prefix: dict[tuple[int, ...], list[int]] = {}
        for number, _ in enumerate(completions):
            of_prefix.setdefault(tuple(prefixes[number]) if prefixes is not None else (), []).append(number)
        place: dict[int, list[int]] = {}  # completion → the indices of the states that predict it
        root = self.put(prompt, 0)
        end_of_prompt = len(self.ids) - 1
        for prefix, members in of_prefix.items():
            parent = self.put(prefix, len(prompt), prompt=root) if prefix else None
            last = len(self.ids) - 1 if prefix else end_of_prompt
            for number in members:
                tokens = completions[number]
                place[number] = [last, *range(len(self.ids), len(self.ids) + len(tokens) - 1)]
                self.put(tokens, len(prompt) + len(prefix), prompt=root, prefix=parent)
        self.before += [at for number, _ in enumerate(completions) for at in place[number]]


def lay_out(
    model: Any,
    prompt: Sequence[int],
    completions: Sequence[Sequence[int]],
    prefixes: Sequence[Sequence[int]] | None = None,
) -> Layout:
    """Lay completions out after their prompt, and after their prefix where they have one. None may be empty.

    prefixes: of each completion, between the prompt and it, () for none; equal ones are laid out once.
    """
    row = _Row()
    row.put_group(prompt, completions, prefixes)
    return _layout(model, [row])


def lay_out_rows(
    model: Any,
    rows: Sequence[Sequence[Group]],
    *,
    shape: tuple[int, int] = (0, 0),
) -> Layout:
    """Lay out several prompts with their completions in rows of one batch.

    shape: rows and their length, padded to at least.
    """
    made = []
    for groups in rows:
        row = _Row()
        for prompt, completions in groups:
            row.put_group(prompt, completions)
        made.append(row)
    made += [_Row() for _ in range(shape[0] - len(made))]
    return _layout(model, made, shape[1])


def _layout(model: Any, rows: Sequence[_Row], width: int = 0) -> Layout:
    width = max(width, *(len(row.ids) for row in rows))

    def padded(parts: Iterable[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([part + [fill] * (width - len(part)) for part in parts], device=model.device)

    ids, positions = padded((row.ids for row in rows), 0), padded((row.positions for row in rows), 0)
    node = padded((row.node for row in rows), -1)
    seen = node.unsqueeze(1) == node.unsqueeze(2)
    for of_node in (padded((row.prompt for row in rows), -1), padded((row.prefix for row in rows), -1)):
        seen |= node.unsqueeze(1) == of_node.unsqueeze(2)
    masks = added_masks(model, seen, positions)
    given = {"attention_mask": masks, "position_ids": positions}
    before = [number * width + at for number, row in enumerate(rows) for at in row.before]
    return Layout(ids, given, before)


def score_completions(
    model: Any,
    prompt: Sequence[int],
    completions: Sequence[Sequence[int]],
    *,
    prefixes: Sequence[Sequence[int]] | None = None,
    biases: Sequence[Callable[[], torch.Tensor]] | None = None,
    temperature: float = 1.0,
) -> list[Scored]:
    """Score the completions of one prompt, in order. Keeps gradients.

    prefixes: see `lay_out`; they are not scored. biases: for each completion a function that returns the biases of the
    logits, (n_tokens, vocabulary), minus infinity where a token was not allowed; none by default. Completions drawn
    under a grammar must be scored under it: over the whole vocabulary a token that the grammar all but forced has a
    probability near 0, and its gradient and KL are noise.

    Logits over the vocabulary are computed again for the gradient, some completions at a time: those of a step of long
    reports would fill the memory.

    model: a causal LM of transformers that takes 4D masks (sdpa or eager attention). Neither the prompt nor a
    completion may be empty.
    """
    layout = lay_out(model, prompt, completions, prefixes)
    output = model.get_decoder()(input_ids=layout.ids, use_cache=False, **layout.given)
    states = output.last_hidden_state[0, layout.before].split([len(one) for one in completions])
    scored: list[Scored] = []
    for some in _runs(completions):
        found: tuple[torch.Tensor, torch.Tensor] = checkpoint(
            _scores,
            model,
            torch.cat([states[number] for number in some]),
            [token for number in some for token in completions[number]],
            [biases[number] for number in some] if biases is not None else [],
            temperature,
            use_reentrant=False,
        )
        lengths = [len(completions[number]) for number in some]
        pairs = zip(*(torch.split(one, lengths) for one in found), strict=True)
        scored += [Scored(*pair) for pair in pairs]
    return scored


def _runs(completions: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the numbers of the completions that are scored together, in order."""
    run: list[int] = []
    n_tokens = 0
    for number, completion in enumerate(completions):
        if run and n_tokens + len(completion) > _SCORED_TOGETHER:
            yield run
            run, n_tokens = [], 0
        run.append(number)
        n_tokens += len(completion)
    if run:
        yield run


def _scores(
    model: Any,
    states: torch.Tensor,
    written: Sequence[int],
    biases: Sequence[Callable[[], torch.Tensor]],
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-probabilities and entropies of the tokens predicted by states (n, size), each (n,)."""
    logits = model.get_output_embeddings()(states).float()
    if softcap := getattr(model.config.get_text_config(), "final_logit_softcapping", None):
        logits = softcap * torch.tanh(logits / softcap)
    if biases:
        logits = logits + torch.cat([bias() for bias in biases]).to(logits)
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    entropies = -torch.where(logprobs.isinf(), 0.0, logprobs.exp() * logprobs).sum(-1)
    tokens = torch.tensor(written, device=logits.device)
    return logprobs.gather(1, tokens.unsqueeze(1)).squeeze(1), entropies
