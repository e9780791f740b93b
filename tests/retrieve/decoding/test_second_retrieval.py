"""None is reported only after another search, where one is allowed and there is time."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_prep import LinePrep
from tiny_models import make_gemma

import retrieve.decoding.second_retrieval
from prep.document import Document
from prep.ingest import ingest
from retrieve.decoding.decoder import Action, Decoder
from retrieve.decoding.generator import Generator, PrefixCache
from retrieve.episode.grammar import ActionLimits
from retrieve.lm.base import load_base
from retrieve.model import RetrieveModel, ServingConfig
from retrieve.researcher import Researcher

ALWAYS, NEVER = 1e4, -1e4
LIMITS = ActionLimits(query_tokens=3, statement_tokens=6)
RESULTS = f"<results>\nBees\n⟦1⟧{' Bees make honey.' * 20}\n</results>\n"
PROMPTS = [f"{RESULTS}<question>{asked}</question>\n" for asked in ("what is honey", "who makes it", "why")]
MORE = "\n<results>\nWasps\n⟦2⟧ Wasps make paper.\n</results>\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A tiny model that ends a report as soon as it may: else "none" is the beginning of more."""
    model, tokenizer = load_base(make_gemma(tmp_path_factory.mktemp("base")), dtype=torch.float32)
    head = torch.nn.Linear(model.config.hidden_size, model.config.vocab_size)
    head.weight = model.get_input_embeddings().weight
    with torch.no_grad():
        head.bias.zero_()
        head.bias[tokenizer.convert_tokens_to_ids("</report>")] = ALWAYS
    model.set_output_embeddings(head)
    return model, tokenizer


def abstaining(base: tuple[Any, Any], after_search: float | None = NEVER) -> Decoder:
    """A decoder that reports none wherever it may, and wants no search."""
    return Decoder(
        Generator(*base, abstention_bias=ALWAYS, search_bias=NEVER, abstention_bias_after_search=after_search)
    )


def act(
    decoder: Decoder, prompt: str, may_search: bool = True, n_searches: int = 1, **options: Any
) -> Action:
    state = decoder.grammar.start(1, may_search=may_search, limits=LIMITS, n_searches=n_searches)
    return decoder.decode([prompt], [state], **options)[0]


def test_in_the_place_of_none_stands_the_search_that_the_model_would_write(base: tuple[Any, Any]) -> None:
    searching = Decoder(Generator(*base, search_bias=ALWAYS))
    refused = act(abstaining(base, None), PROMPTS[0])
    instead = act(abstaining(base), PROMPTS[0])
    assert abstaining(base).grammar.abstains(refused.token_ids)
    assert instead.text == act(searching, PROMPTS[0]).text
    assert instead.text.startswith("<search>")
    assert (instead.abstention_margin, instead.search_margin) == (
        refused.abstention_margin,
        refused.search_margin,
    )
    assert not math.isnan(instead.abstention_margin)
    assert instead.n_reranking_tokens == len(refused.token_ids)  # written in vain, and counted


def test_of_a_batch_only_refusals_are_replaced_and_only_where_a_search_is_allowed(
    base: tuple[Any, Any],
) -> None:
    decoder = abstaining(base)
    margins = [act(abstaining(base, None), prompt).abstention_margin for prompt in PROMPTS]
    sure = sorted(margins)[0]
    decoder.generator.biases["abstain"] = 1e-3 - sorted(margins)[1]  # one prompt is answered, two are not
    may_search = [margin != max(margins) for margin in margins]
    states = [decoder.grammar.start(1, may_search=may, limits=LIMITS) for may in may_search]
    together = decoder.decode(PROMPTS, states)
    for prompt, action, margin, may in zip(PROMPTS, together, margins, may_search, strict=True):
        kind = "report" if margin == sure or not may else "search"
        assert action.text.startswith(f"<{kind}>")
        assert decoder.grammar.abstains(action.token_ids) == (not may)
        assert action.text == act(decoder, prompt, may).text


def test_after_another_search_abstaining_has_a_bias_of_its_own(base: tuple[Any, Any]) -> None:
    def refused(again: float | None, n_searches: int) -> bool:
        action = act(abstaining(base, again), PROMPTS[0], may_search=False, n_searches=n_searches)
        return abstaining(base).grammar.abstains(action.token_ids)

    assert [refused(NEVER, 1), refused(NEVER, 2), refused(ALWAYS, 2)] == [True, False, True]
    assert refused(None, 2)


def test_an_episode_is_read_on_from_the_search_in_the_place_of_none(base: tuple[Any, Any]) -> None:
    decoder, prefix = abstaining(base), PrefixCache()
    first = act(decoder, PROMPTS[0], prefix=prefix)
    assert prefix.text == PROMPTS[0] + first.text
    further = PROMPTS[0] + first.text + MORE
    on = act(decoder, further, may_search=False, n_searches=2, prefix=prefix)
    anew = act(decoder, further, may_search=False, n_searches=2)
    assert on.text == anew.text
    assert on.logprob == pytest.approx(anew.logprob, abs=1e-3)


def test_what_is_drawn_may_be_none_at_once(base: tuple[Any, Any]) -> None:
    drawn = act(abstaining(base), PROMPTS[0], temperature=1.0, rng=torch.Generator().manual_seed(0))
    assert abstaining(base).grammar.abstains(drawn.token_ids)


def test_without_time_for_it_none_is_reported(base: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = abstaining(base)
    in_time = time.monotonic() + 600.0
    assert act(decoder, PROMPTS[0], deadline=in_time).text.startswith("<search>")
    monkeypatch.setattr(retrieve.decoding.second_retrieval, "_TIMES_AS_LONG", 1e9)
    assert decoder.grammar.abstains(act(decoder, PROMPTS[0], deadline=in_time).token_ids)


def test_a_report_of_none_says_what_was_searched_for_before(tmp_path: Path, base: tuple[Any, Any]) -> None:
    documents = [Document(f"d{n}", "", f"Line {n} says something of bees.\n") for n in range(9)]
    ingest(tmp_path / "w", documents, LinePrep(), progress=False)
    settings = {"abstention_bias": ALWAYS, "search_bias": NEVER, "abstention_bias_after_search": ALWAYS}
    model = RetrieveModel("tiny-1", *base, ServingConfig(action=LIMITS, **settings))
    with Researcher.open(tmp_path / "w", prep=LinePrep(), model=model) as researcher:
        twice, once = (researcher.ask("What do bees say?", max_searches=n, deadline_s=600.0) for n in (2, 1))
        runs = researcher.runner.run(["What do bees say?"], max_searches=2)
    assert twice.abstained
    assert once.abstained
    assert (len(twice.searches), len(once.searches)) == (2, 1)
    assert len(twice.sources) > len(once.sources)
    assert [start.n_searches for start in runs[0].starts] == [1, 2]
