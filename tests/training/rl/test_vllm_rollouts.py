"""Episodes written by vLLM: what it may write, what trl is told of it; with vLLM itself where it is installed.

vLLM is not among what the tests install: it wants an environment of its own, other versions of what we share with it in
it (LOG.md, 2026-11-29). Elsewhere a stand-in takes the engine's place, that is handed what vLLM is handed and writes by
the policy.
"""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import trl.import_utils as trl_imports
import trl.trainer.grpo_trainer
from fixture_causal_lm import make_causal_lm, make_retrieve_version
from fixture_prep import LinePrep
from fixture_stages import log_rows
from fixture_words import words_set

import training.rl.policy
import training.rl.reinforce
import training.rl.vllm_rollouts
from prep.errors import DependencyError
from retrieve.episode.grammar import ActionLimits, Grammar
from retrieve.model import ADAPTER, RetrieveModel, ServingConfig, save_retrieve_version
from training.evaluation.store_environment import StoreEnvironment
from training.rl.policy import Policy
from training.rl.reinforce import reinforce
from training.rl.reinforce_config import ReinforceConfig
from training.rl.vllm_rollouts import ARGUMENT, EngineDecoder, GrammarMask, check_engine

WORDS = ("bees", "glass", "rain", "iron")
CONFIG = ReinforceConfig(
    steps=3,
    questions=2,
    episodes=4,
    learning_rate=0.02,
    warmup_steps=1,
    frozen_layers=0,
    rank=2,
    alpha=4,
    checkpoint_steps=3,
    evaluate_steps=3,
    use_vllm=True,
    vllm_memory=0.1,
)
TERSE = ActionLimits(query_tokens=3, statement_tokens=3, max_findings=2, max_pointers=1)
with_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_causal_lm(tmp_path_factory.mktemp("base") / "lm", head_dim=32)


@pytest.fixture(scope="module")
def start(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "version"
    make_retrieve_version(folder, base)
    serving = ServingConfig(
        action=TERSE, abstention_bias=0.5, abstention_bias_after_search=1.5, search_bias=-0.25
    )
    save_retrieve_version(folder, folder / ADAPTER, serving=serving, source=str(base))
    return folder


@pytest.fixture
def opened(
    start: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Policy, StoreEnvironment]]:
    """A policy in single precision, so that engines that are the same say the same, with what it practises on."""
    monkeypatch.setattr(training.rl.policy, "compute_dtype", lambda device: torch.float32)
    policy = Policy(start, rank=2, alpha=4, base=base)
    with StoreEnvironment.open(words_set(WORDS), tmp_path / "store", policy.model, LinePrep()) as practice:
        yield policy, practice


class StandIn:
    """In the place of trl's engine: writes by the policy what a request's arguments allow, as JSON brings them."""

    def __init__(self, *, model: Any, processing_class: Any, **_: Any) -> None:
        policy = model.get_base_model()
        self.model, self.wrapped = policy, model
        self.grammar = Grammar(processing_class, policy.get_input_embeddings().weight.shape[0])
        self.temperature, self.generation_kwargs = 1.0, {}
        self.n_pushed = 0

    def sync_weights(self) -> None:
        """As trl takes weights: pairs merged, and taken off again."""
        self.wrapped.merge_adapter()
        self.wrapped.unmerge_adapter()
        self.n_pushed += 1

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[list[int]], images: None, num_generations: int
    ) -> tuple[Any, list[list[int]], list[list[list[float]]], Any]:
        arguments = json.loads(json.dumps(self.generation_kwargs))
        written, chances = [], []
        for prompt in prompts:
            held = GrammarMask(self.grammar, arguments["extra_args"][ARGUMENT])
            tokens: list[int] = []
            told: list[list[float]] = []
            while not tokens or tokens[-1] not in arguments["stop_token_ids"]:
                logits = self.model(torch.tensor([[*prompt, *tokens]])).logits[0, -1].float()
                scores = torch.log_softmax(held(prompt, tokens, logits) / self.temperature, dim=-1)
                tokens.append(int(torch.multinomial(scores.exp(), 1)))
                told.append([float(scores[tokens[-1]])])
            written.append(tokens)
            chances.append(told)
        return None, written, chances, None


def test_the_engine_is_held_to_what_the_decoder_is(start: Path) -> None:
    decoder = RetrieveModel.load(start).decoder()
    chosen = random.Random(0)
    generator = torch.Generator().manual_seed(0)
    for n in range(30):
        begun = decoder.grammar.start(n % 5, may_search=n % 2 == 0, limits=TERSE, n_searches=1 + n % 3)
        described = json.loads(json.dumps(training.rl.vllm_rollouts._described(decoder.generator, begun)))
        prompt = list(range(n))
        held = GrammarMask(decoder.grammar, {training.rl.vllm_rollouts._digest(prompt): described})
        state, written = begun.fork(), []
        while not state.done:
            logits = torch.randn(decoder.grammar.size, generator=generator)
            expected = decoder.generator.score(logits.unsqueeze(0), [state])[0][0]
            assert torch.allclose(
                torch.log_softmax(held(prompt, written, logits.clone()), dim=-1), expected, atol=1e-6
            )
            written.append(chosen.choice(expected.isfinite().nonzero()[:, 0].tolist()))
            state.advance(written[-1])


@pytest.mark.parametrize(("searches", "bound"), [(1, 1e-5), (2, 2e-3)])
def test_a_run_is_written_by_the_engine_and_corrected_by_what_it_tells(
    opened: tuple[Policy, StoreEnvironment],
    start: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    searches: int,
    bound: float,
) -> None:
    """bound: with another search, what was written at random is encoded anew from its text, not always alike."""
    policy, practice = opened
    made: list[StandIn] = []

    def engine(**arguments: Any) -> StandIn:
        made.append(StandIn(**arguments))
        return made[-1]

    monkeypatch.setattr(trl.trainer.grpo_trainer, "VLLMGeneration", engine)
    monkeypatch.setattr(training.rl.reinforce, "check_engine", lambda: None)
    monkeypatch.setattr(training.rl.reinforce, "grammar_in_engine", nullcontext)
    weights = {
        name: value.clone() for name, value in policy.wrapped.state_dict().items() if "lora" not in name
    }
    config = replace(CONFIG, searches=searches)
    result = reinforce(policy, practice, practice, tmp_path / "run", config, start=start)
    assert made[0].n_pushed == result.n_steps == CONFIG.steps
    rows = [row for row in log_rows(tmp_path / "run") if "reward" in row]
    # What the policy says of these tokens is what the engine said: of its own weights, and of those it was pushed.
    assert all(row["engine_difference"] < bound for row in rows)
    assert any(row["loss"] for row in rows)
    assert (max(row["searches"] for row in rows) > 1) == (searches > 1)
    for name, value in policy.wrapped.state_dict().items():
        assert "lora" in name or torch.equal(value, weights[name])


def test_another_engine_that_breaks_the_grammar_is_an_error_and_measuring_is_our_own(
    opened: tuple[Policy, StoreEnvironment],
) -> None:
    policy, practice = opened
    engine = StandIn(model=policy.wrapped, processing_class=policy.model.tokenizer)
    engine.generate = lambda prompts, *_: (None, [[5]] * len(prompts), [[[0.0]]] * len(prompts), None)  # type: ignore[assignment]
    own = practice.measure(max_searches=2)
    practice.use_decoder(EngineDecoder(practice.decoder, engine))
    again = practice.measure(max_searches=2)
    assert [(row.prediction, row.completion_tokens) for row in again.rows] == [
        (row.prediction, row.completion_tokens) for row in own.rows
    ]
    with pytest.raises(ValueError, match="not allowed"):
        practice.episodes([0], 2, searches=2, temperature=1.0, generator=torch.Generator())


def test_without_vllm_its_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trl_imports, "is_vllm_available", lambda: False)
    with pytest.raises(DependencyError, match="pip install"):
        check_engine()
    monkeypatch.setattr(trl_imports, "is_vllm_available", lambda: True)
    check_engine()


@with_vllm
@pytest.mark.loopback
def test_vllm_writes_what_the_policy_would_with_the_chances_it_would(
    opened: tuple[Policy, StoreEnvironment], start: Path, tmp_path: Path
) -> None:
    policy, practice = opened
    result = reinforce(policy, practice, practice, tmp_path / "run", CONFIG, start=start)
    assert result.n_steps == CONFIG.steps
    rows = [row for row in log_rows(tmp_path / "run") if "reward" in row]
    # Its kernels are not ours to the last digit; of weights that it was not pushed it says 0.02 otherwise.
    assert all(row["engine_difference"] < 5e-3 for row in rows)
    assert max(row["searches"] for row in rows) > 1
