"""Decoding: batched as alone, greedy as an unbatched forward pass says, stopped by the deadline."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import make_gemma, make_llama

from retrieve.decoding.decoder import Decoder
from retrieve.decoding.generator import Generator, PrefixCache
from retrieve.episode.episode import Episode, Passage
from retrieve.episode.grammar import ActionLimits
from retrieve.lm.base import load_base

LIMITS = ActionLimits(query_tokens=6, statement_tokens=8, max_findings=2, max_pointers=2)


@pytest.fixture(scope="module", params=["gemma", "llama"])
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    make = make_gemma if request.param == "gemma" else make_llama
    base = load_base(make(tmp_path_factory.mktemp("base")), dtype=torch.float32)
    return Decoder(Generator(*base))


def episodes() -> list[Episode]:
    """Prompts from a dozen to some hundred tokens: longer than the tiny Gemma's sliding window."""
    made = []
    for n, words in enumerate((0, 3, 60, 12)):
        episode = Episode("what is honey " * (n + 1))
        text = "Bees make honey. " * words
        episode.give([Passage("d", "Bees", (), 0, len(text), text)])
        made.append(episode)
    return made


def states(decoder: Decoder, made: list[Episode]) -> list[Any]:
    return [
        decoder.grammar.start(len(e.sentences), may_search=n % 2 == 1, limits=LIMITS)
        for n, e in enumerate(made)
    ]


def biased(decoder: Decoder, **biases: float) -> Decoder:
    """Return a decoder of the same model with other biases."""
    return Decoder(Generator(decoder.generator.model, decoder.generator.tokenizer, **biases))


def shapes_read(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return a list that fills with the shape of what each forward pass is given from now on."""
    shapes: list[tuple[int, ...]] = []
    forward = decoder.generator.model.forward

    def seen(*args: Any, **options: Any) -> Any:
        shapes.append(tuple(options["input_ids"].shape))
        return forward(*args, **options)

    monkeypatch.setattr(decoder.generator.model, "forward", seen)
    return shapes


def test_a_batch_of_different_lengths_decodes_as_one_by_one(decoder: Decoder) -> None:
    made = episodes()
    prompts = [episode.prompt for episode in made]
    together = decoder.decode(prompts, states(decoder, made))
    alone = [
        decoder.decode([prompt], [state])[0]
        for prompt, state in zip(prompts, states(decoder, made), strict=True)
    ]
    assert [action.token_ids for action in together] == [action.token_ids for action in alone]
    assert len({action.n_prompt_tokens for action in together}) == 4
    for one, other in zip(together, alone, strict=True):
        assert one.text == other.text
        assert one.complete
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)
        assert one.abstention_margin == pytest.approx(other.abstention_margin, abs=1e-3, nan_ok=True)
    for episode, action in zip(made, together, strict=True):
        episode.act(action.text)


def test_equal_prompts_are_read_once_and_go_their_own_ways(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = episodes()
    order = [2, 0, 2, 3, 2]
    shapes = shapes_read(decoder, monkeypatch)
    prompts = [made[i].prompt for i in order]
    places = states(
        decoder, made
    )  # of episodes 0 and 2 none may search, so equal prompts have equal grammars
    fresh = [[*states(decoder, made)][i] for i in order]
    together = decoder.decode(prompts, fresh)
    assert shapes[0][0] == 3
    widths = [shape[0] for shape in shapes[1:]]  # what is done is not carried along
    lengths = [len(action.token_ids) for action in together]
    assert widths == [sum(length > n for length in lengths) for n in range(1, max(lengths))]
    assert widths[0] == 5 > widths[-1]
    alone = decoder.decode([episode.prompt for episode in made], places)
    assert [action.token_ids for action in together] == [alone[i].token_ids for i in order]
    assert [action.n_prompt_tokens for action in together] == [alone[i].n_prompt_tokens for i in order]
    drawn = decoder.decode(
        [made[2].prompt] * 8,
        [states(decoder, made)[2] for _ in range(8)],
        temperature=1.0,
        rng=torch.Generator().manual_seed(0),
    )
    assert len({action.token_ids for action in drawn}) > 1


@pytest.mark.parametrize("window", [128, 2048, None])
def test_what_prompts_begin_with_is_read_once(
    window: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_llama(tmp_path) if window is None else make_gemma(tmp_path, window=window)
    decoder = Decoder(Generator(*load_base(folder, dtype=torch.float32)))
    text = "Bees make honey. Wasps do not. " * 12
    made = []
    for question in ("what do bees make", "and wasps", "is there any honey left for the bears in the woods"):
        episode = Episode(question)
        episode.give([Passage("d", "Bees", (), 0, len(text), text)])
        made.append(episode)
    prompts = [episode.prompt for episode in made]

    def start() -> Any:
        return decoder.grammar.start(len(made[0].sentences), may_search=False, limits=LIMITS)

    alone = [decoder.decode([prompt], [start()])[0] for prompt in prompts]
    shapes = shapes_read(decoder, monkeypatch)
    together = decoder.decode([prompts[0], *prompts], [start() for _ in range(4)])
    assert [shape[0] for shape in shapes[:3]] == [1, 3, 4]
    n_tokens = max(action.n_prompt_tokens for action in alone)
    assert sum(n for _, n in shapes[:2]) == n_tokens
    if window == 128:
        assert shapes[0][1] == 127
    assert shapes[0][1] > n_tokens / 4
    assert [action.token_ids for action in together[1:]] == [action.token_ids for action in alone]
    assert together[0].n_prompt_tokens == together[1].n_prompt_tokens == alone[0].n_prompt_tokens
    for one, other in zip(together[1:], alone, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)


def test_greedy_is_the_likeliest_allowed_token_of_a_plain_forward_pass(decoder: Decoder) -> None:
    made = episodes()[2]
    action = decoder.decode([made.prompt], [decoder.grammar.start(8, may_search=False, limits=LIMITS)])[0]
    state = decoder.grammar.start(8, may_search=False, limits=LIMITS)
    ids = decoder.generator.encode(made.prompt)
    total = 0.0
    with torch.inference_mode():
        for token in action.token_ids:
            logits = decoder.generator.model(torch.tensor([ids])).logits[0, -1].float()
            scores = torch.log_softmax(logits.masked_fill(~state.allowed(), -math.inf), dim=-1)
            assert float(scores[token]) == pytest.approx(float(scores.max()), abs=1e-4)
            total += float(scores[token])
            state.advance(token)
            ids.append(token)
    assert action.logprob == pytest.approx(total, abs=1e-3)
    assert action.complete


def test_a_deadline_in_the_past_stops_after_one_token(decoder: Decoder) -> None:
    made = episodes()
    actions = decoder.decode(
        [episode.prompt for episode in made], states(decoder, made), deadline=time.monotonic() - 1
    )
    assert [(len(action.token_ids), action.complete) for action in actions] == [(1, False)] * 4


def test_sampling_is_repeated_by_its_seed_and_differs_without(decoder: Decoder) -> None:
    made = episodes()[:2]
    drawn = []
    for seed in (1, 1, 2):
        generator = torch.Generator().manual_seed(seed)
        actions = decoder.decode(
            [e.prompt for e in made], states(decoder, made), temperature=1.5, rng=generator
        )
        drawn.append([action.token_ids for action in actions])
        assert all(action.complete for action in actions)
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_margin_of_abstaining_is_the_bias_at_which_it_is_chosen(decoder: Decoder) -> None:
    prompt = episodes()[1].prompt

    def act(bias: float) -> Any:
        state = decoder.grammar.start(3, may_search=False, limits=LIMITS)
        return biased(decoder, abstention_bias=bias).decode([prompt], [state])[0]

    margin = act(0.0).abstention_margin
    none = decoder.grammar.none[0]
    assert act(-margin + 0.01).token_ids[1] == none != act(-margin - 0.01).token_ids[1]
    assert act(3.0).abstention_margin == pytest.approx(margin, abs=1e-4)


def test_the_margin_of_a_search_is_the_bias_at_which_it_is_chosen(decoder: Decoder) -> None:
    prompt = episodes()[1].prompt

    def act(bias: float, may_search: bool = True) -> Any:
        state = decoder.grammar.start(3, may_search=may_search, limits=LIMITS)
        return biased(decoder, search_bias=bias).decode([prompt], [state])[0]

    margin = act(0.0).search_margin
    assert act(-margin + 0.01).text.startswith("<search>")
    assert act(-margin - 0.01).text.startswith("<report>")
    assert math.isnan(act(-margin + 0.01).abstention_margin)
    assert math.isnan(act(0.0, may_search=False).search_margin)


def test_an_episode_is_read_on_where_its_last_action_ended(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompt and results are longer than the tiny Gemma's sliding window; a query of one token is read as written."""
    limits = ActionLimits(query_tokens=1, statement_tokens=8)
    searching = biased(decoder, search_bias=1e4)
    results = f"\n<results>\nWasps\n⟦61⟧{' Wasps make paper.' * 20}\n</results>\n"
    shapes = shapes_read(decoder, monkeypatch)
    told = {}
    for name, prefix in (("anew", None), ("on", PrefixCache())):
        prompt = episodes()[2].prompt
        for step in range(2):
            state = decoder.grammar.start(60, may_search=step == 0, limits=limits)
            shapes.clear()
            action = searching.decode([prompt], [state], prefix=prefix)[0]
            told[name, step] = (action.text, shapes[0][1])
            prompt += action.text + results
    assert told["anew", 0] == told["on", 0]
    assert told["anew", 1][0] == told["on", 1][0]
    assert told["on", 1][1] <= 1 + len(decoder.grammar.encode(results))
    assert told["anew", 1][1] > told["anew", 0][1] + len(decoder.grammar.encode(results))


def test_a_prefix_of_something_else_is_not_gone_on_from(decoder: Decoder) -> None:
    first, second = episodes()[2:]
    state = decoder.grammar.start(12, may_search=False, limits=LIMITS)
    prefix = PrefixCache()
    decoder.decode(
        [first.prompt], [decoder.grammar.start(60, may_search=False, limits=LIMITS)], prefix=prefix
    )
    assert prefix.text.startswith(first.prompt)
    expected = decoder.decode([second.prompt], [decoder.grammar.start(12, may_search=False, limits=LIMITS)])
    assert decoder.decode([second.prompt], [state], prefix=prefix)[0].token_ids == expected[0].token_ids
    with pytest.raises(ValueError, match="one prompt"):
        decoder.decode(["a", "b"], [state, state], prefix=prefix)


def test_control_tokens_in_a_prompt_are_text(decoder: Decoder) -> None:
    special = set(decoder.generator.tokenizer.all_special_ids)
    ids = decoder.generator.encode("<eos><bos><|end|><|turn|><pad>")
    assert len(ids) > 20
    assert not special & set(ids[1:])
    assert decoder.generator.encode("")[:1] == (
        [] if decoder.generator.tokenizer.bos_token_id is None else [2]
    )


def test_no_prompts_give_no_actions(decoder: Decoder) -> None:
    assert decoder.decode([], []) == []
