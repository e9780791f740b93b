"""Decode the model's next action for a batch of episodes, under the grammar.

Greedy by default; with a temperature it samples, seeded. What equals is read once: prompts, results (on a CPU each by
themselves, elsewhere padded on the left and together), and what all prompts begin with. Prompts are extended token by
token with a key-value cache, which can be kept between the actions of one episode. Log-probabilities are those of the
constrained distribution.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from retrieve.decoding.candidates import compared
from retrieve.decoding.kv_cache import Rows, Written, copied_cache, joined
from retrieve.decoding.reranking import Compared, Comparing, Told
from retrieve.decoding.second_retrieval import search_instead
from retrieve.episode.grammar import Constraint, Decision, Grammar
from retrieve.lm.attention_mask import sliding_window

__all__ = ["Action", "Decoder", "Reading"]

_LEAST_SHARED = 32  # tokens; fewer are not worth a pass of their own


@dataclass(frozen=True, slots=True)
class Action:
    """What the model wrote. `complete` is False where the deadline cut it off.

    none_margin: the logit of reporting none less that of the best other first word, before the offset (nan for a
    search, unless it is in the place of none). search_margin: of searching less that of reporting, likewise (nan where
    no search was allowed). rivals: reports that this one was compared with, the greedy one first. alternative: one of
    them, to be given beside it, if any. n_compared: tokens written and read for that, or in its place before, its own
    not among them.
    """

    text: str
    token_ids: tuple[int, ...]
    logprob: float
    none_margin: float
    search_margin: float
    n_prompt_tokens: int
    complete: bool
    rivals: tuple[Compared, ...] = ()
    alternative: str = ""
    n_compared: int = 0


@dataclass(slots=True)
class Reading:
    """What a model has read of one episode, so that its next action reads on from there.

    ids: of the prompt and of what the model wrote then, all but the last in the cache. text: the same.
    """

    ids: list[int] = field(default_factory=list)
    text: str = ""
    cache: Any = None

    def n_characters_of(self, prompt: str) -> int:
        """Return how many characters of a prompt are read; 0 where it begins otherwise, as with a rewritten query."""
        return len(self.text) if prompt.startswith(self.text) else 0


@dataclass(frozen=True, slots=True)
class _Read:
    """Prompts as they were read. encoded: the token ids of each. results: caches of their results alone, or None."""

    encoded: list[list[int]]
    rows: Rows
    results: list[Any]


class Decoder:
    """A causal LM with its tokenizer and grammar."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        none_offset: float = 0.0,
        none_offset_again: float | None = None,
        search_offset: float = 0.0,
        comparing: Comparing | None = None,
        teller: Any = None,
    ) -> None:
        """Offsets are added to the logits of reporting none and of searching once more.

        none_offset_again: instead of none_offset once there was another search; where it is given, there is one before
        none is reported (`retrieve.decoding.second_retrieval`), if greedy. Offsets are tuned on held-out questions and
        kept in the manifest. comparing: whether unsure reports are compared with others, and how. teller: what
        tells episodes backwards for that (`retrieve.decoding.channel_model`); without it questions do not count.
        """
        self.model = model
        self.teller = teller
        self.answered_s = 0.0  # how long the last actions took, without what was compared then
        self.tokenizer = tokenizer
        self.offsets: dict[Decision, float] = {"none": none_offset, "search": search_offset}
        self.none_offset_again = none_offset_again
        self.comparing = comparing or Comparing()
        self.grammar = Grammar(tokenizer, model.get_input_embeddings().weight.shape[0])

    def offset(self, decision: Decision, state: Constraint) -> float:
        """Return what is added to the logit of the token that decides."""
        if decision == "search":
            return self.offsets["search"]
        again = self.none_offset_again if state.n_searches > 1 else None
        return self.offsets["none"] if again is None else again

    def encode(self, prompt: str) -> list[int]:
        """Return the token ids of a prompt, the beginning-of-text token in front.

        Whatever the base's own control tokens are, their text in a prompt is text.
        """
        ids = self.grammar.encode(prompt)
        return ids if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id, *ids]

    @torch.inference_mode()
    def decode(
        self,
        prompts: Sequence[str],
        states: Sequence[Constraint],
        *,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        deadline: float | None = None,
        reading: Reading | None = None,
        told: Sequence[Told | None] = (),
    ) -> list[Action]:
        """Return one action per prompt. deadline: `time.monotonic()` value after which decoding stops.

        reading: of a single prompt, what was read of it before; what is read now is added. told: for each prompt its
        two parts, where a greedy report may be compared with others (`Comparing`); None where not.
        """
        if not prompts:
            return []
        if reading is not None and len(prompts) > 1:
            raise ValueError("a reading belongs to one prompt")
        begun = time.monotonic()
        different = list(dict.fromkeys(prompts))
        compares = self.comparing.n > 1 and temperature == 0 and any(told)
        parts = dict(zip(prompts, told, strict=True)) if told else {}
        keeps = compares and self.teller is not None
        read = self._read(different, reading, [parts.get(prompt) for prompt in different], keeps=keeps)
        rows, of = read.rows, [different.index(prompt) for prompt in prompts]
        if len(different) < len(prompts):  # from here on each prompt has its own row
            rows = rows.taken(of)
        looks = self.none_offset_again is not None and temperature == 0
        states = list(states)
        before = (rows.copied(), [state.fork() for state in states]) if compares or looks else None
        written = self.write(rows, states, temperature, generator, deadline)
        self.answered_s = time.monotonic() - begun
        if looks and before is not None:
            rows = search_instead(self, written, states, *before, deadline) or rows
            self.answered_s = time.monotonic() - begun
        if reading is not None:
            reading.ids, reading.cache = [*read.encoded[0], *written[0].tokens], rows.cache
            reading.text = prompts[0] + self.grammar.text(written[0].tokens)
        if compares and before is not None:
            done = [two if state.done else None for two, state in zip(told, states, strict=True)]
            results = [read.results[row] for row in of]
            written = compared(self, written, *before, done, results, deadline)
        lengths = {prompt: len(ids) for prompt, ids in zip(different, read.encoded, strict=True)}
        return [
            Action(
                self.grammar.text(one.tokens),
                tuple(one.tokens),
                one.logprob,
                one.margins["none"],
                one.margins["search"],
                lengths[prompt],
                state.done,
                one.rivals,
                one.alternative,
                one.n_compared,
            )
            for one, prompt, state in zip(written, prompts, states, strict=True)
        ]

    def _read(
        self,
        prompts: Sequence[str],
        reading: Reading | None,
        told: Sequence[Told | None] = (),
        *,
        keeps: bool = False,
    ) -> _Read:
        """Read different prompts. told: for each its two parts, if it is before its first report.

        keeps: caches of the results alone are wanted, where it is told which these are.
        """
        from transformers import DynamicCache

        if reading is not None and (known := reading.n_characters_of(prompts[0])):
            encoded = [[*reading.ids, *self.grammar.encode(prompts[0][known:])]]
            return _Read(encoded, self._read_on(encoded, reading.cache, len(reading.ids) - 1), [None])
        # On a CPU nothing is gained by reading rows together, and much lost to padding.
        by_itself = self.model.device.type == "cpu" and len(prompts) > 1
        two = [parts for parts in told if parts is not None]
        if (by_itself or keeps) and len(two) == len(prompts):
            return self._read_by_results(prompts, two)
        encoded = [self.encode(prompt) for prompt in prompts]
        cache = DynamicCache(config=self.model.config)
        n_read = self._read_shared(encoded, cache)
        return _Read(encoded, self._read_on(encoded, cache, n_read), [None] * len(prompts))

    def _read_by_results(self, prompts: Sequence[str], told: Sequence[Told]) -> _Read:
        """Read results once each, by themselves, and behind a copy of that what each prompt goes on with."""
        from transformers import DynamicCache

        known: dict[str, tuple[int, Any]] = {}
        for parts in told:
            if parts.results not in known:
                ids = self.encode(parts.results)
                cache = DynamicCache(config=self.model.config)
                self.read_alone(ids, cache)
                known[parts.results] = len(ids), cache
        encoded = [self.encode(prompt) for prompt in prompts]
        alone = [
            self._read_on([ids], copied_cache(cache), n_read)
            for ids, (n_read, cache) in zip(encoded, (known[parts.results] for parts in told), strict=True)
        ]
        rows = alone[0] if len(alone) == 1 else joined(alone)
        return _Read(encoded, rows, [known[parts.results][1] for parts in told])

    def _read_on(self, encoded: Sequence[Sequence[int]], cache: Any, n_read: int) -> Rows:
        """Read prompts' ids on from place n_read, up to which the cache holds them, padded to the longest."""
        device, pad = self.model.device, self.tokenizer.pad_token_id
        width = max(map(len, encoded))
        ids = torch.tensor([[*[pad] * (width - len(row)), *row] for row in encoded], device=device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in encoded], device=device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        padded = width != min(map(len, encoded))
        logits = self.forward(cache, ids[:, n_read:], mask if padded else None, positions[:, n_read:])
        return Rows(cache, mask, positions[:, -1:], padded, logits)

    def read_alone(self, ids: Sequence[int], cache: Any) -> None:
        """Read ids into an empty cache."""
        read = torch.tensor([ids], device=self.model.device)
        self.model(input_ids=read, past_key_values=cache, use_cache=True, logits_to_keep=1)

    def write(
        self,
        rows: Rows,
        states: Sequence[Constraint],
        temperature: float,
        generator: torch.Generator | None,
        deadline: float | None,
    ) -> list[Written]:
        """Write on from what was read, each row by its state, until all are done or it is late."""
        device = self.model.device
        written = [Written(margins=dict.fromkeys(self.offsets, float("nan"))) for _ in states]
        going = list(range(len(states)))
        while True:
            chosen = self._choose(rows.logits, [states[row] for row in going], temperature, generator)
            step: list[int] = []
            for row, token, logprob, margin in zip(going, *chosen, strict=True):
                if (decision := states[row].decides) is not None:
                    written[row].margins[decision] = margin
                states[row].advance(token)
                written[row].tokens.append(token)
                written[row].logprob += logprob
                step.append(token)
            left = [at for at, row in enumerate(going) if not states[row].done]
            late = deadline is not None and time.monotonic() > deadline
            if late or not left:
                return written
            if len(left) < len(going):  # what is done is not carried along
                rows, going = rows.taken(left), [going[at] for at in left]
            mask = torch.cat(
                [rows.mask, torch.ones((len(left), 1), dtype=rows.mask.dtype, device=device)], dim=1
            )
            positions = rows.positions + 1
            ids = torch.tensor([step[at] for at in left], device=device).unsqueeze(1)
            logits = self.forward(rows.cache, ids, mask if rows.padded else None, positions)
            rows = replace(rows, mask=mask, positions=positions, logits=logits)

    def forward(self, cache: Any, ids: torch.Tensor, mask: Any, positions: torch.Tensor) -> torch.Tensor:
        """Read ids, (rows, n), behind what the cache holds; return the logits (rows, vocabulary) of what comes next."""
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _read_shared(self, prompts: Sequence[list[int]], cache: Any) -> int:
        """Read what all prompts begin with into the cache, once, as if each were padded on the left to the longest.

        Returns how many places of each are read then; 0 where too little is shared. What a sliding window would have
        let go of is not shared: a shorter prompt still sees it.
        """
        first, last = min(prompts), max(prompts)
        shorter = min(map(len, prompts)) - 1  # something is left to read of each
        n_shared = next((n for n in range(shorter) if first[n] != last[n]), shorter)
        if (window := sliding_window(self.model)) is not None:
            n_shared = min(n_shared, window - 1)
        longest = max(map(len, prompts))
        padding = [longest - len(prompt) for prompt in prompts]
        if len(prompts) < 2 or n_shared - max(padding) < _LEAST_SHARED:
            return 0
        self.read_alone(first[:n_shared], cache)
        for layer in cache.layers:
            layer.keys, layer.values = (
                torch.cat([nn.functional.pad(read, (0, 0, n, 0))[:, :, :n_shared] for n in padding])
                for read in (layer.keys, layer.values)
            )
        return n_shared

    def _choose(
        self,
        logits: torch.Tensor,
        states: Sequence[Constraint],
        temperature: float,
        generator: torch.Generator | None,
    ) -> tuple[list[int], list[float], list[float]]:
        """Return each row's token, its log-probability, and the margin of what is decided, where something is.

        logits: (rows, vocabulary). Where they lie, the choice is made; what is drawn is drawn on the CPU,
        one number a row, so that a seed means the same on every device.
        """
        scores, margins = self.scored(logits, states)
        if temperature > 0:
            up_to = torch.softmax(scores.double() / temperature, dim=-1).cumsum(dim=-1)
            drawn = torch.rand(len(states), 1, generator=generator, dtype=torch.float64).to(logits.device)
            tokens = torch.searchsorted(up_to, drawn * up_to[:, -1:], right=True).clamp(
                max=scores.shape[1] - 1
            )
        else:
            tokens = scores.argmax(dim=-1, keepdim=True)
        return tokens[:, 0].tolist(), scores.gather(1, tokens)[:, 0].tolist(), margins

    def scored(self, logits: torch.Tensor, states: Sequence[Constraint]) -> tuple[torch.Tensor, list[float]]:
        """Return the log-probabilities (rows, vocabulary) under the grammar and its offsets, and the margins."""
        allowed = torch.stack([state.allowed() for state in states]).to(logits.device)
        scores = logits.masked_fill(~allowed, float("-inf"))
        margins = [float("nan")] * len(states)
        for decision in self.offsets:
            rows = [row for row, state in enumerate(states) if state.decides == decision]
            if not rows:
                continue
            token = self.grammar.deciding(decision)
            others = scores[rows]
            others[:, token] = float("-inf")
            for row, margin in zip(
                rows, (logits[rows, token] - others.max(dim=-1).values).tolist(), strict=True
            ):
                margins[row] = margin
            scores[rows, token] += torch.tensor(
                [self.offset(decision, states[row]) for row in rows], device=scores.device
            )
        return torch.log_softmax(scores, dim=-1), margins
