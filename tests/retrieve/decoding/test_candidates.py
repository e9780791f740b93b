"""Unsure reports are reranked, and nothing else is."""

from __future__ import annotations

import re
import time

import pytest
import torch
from fixture_reranking import LIMITS, NONE, PARTS, PROMPTS, TinyBase, decoded, states
from transformers import LlamaForCausalLM

from retrieve.decoding import beam_search, candidates
from retrieve.decoding.decoder import Action
from retrieve.decoding.generator import PrefixCache
from retrieve.decoding.reranking import RerankingConfig
from retrieve.episode.episode import EpisodeLimits, Passage, PromptParts, parse_report
from retrieve.episode_runner import EpisodeRunner
from retrieve.report.build import report_of

ALWAYS = RerankingConfig(n_candidates=4)
WIDE = RerankingConfig(n_candidates=16, max_logprob_gap=50.0, alternative_share=1e-30)


def summary(actions: list[Action]) -> list[tuple[str, float, int]]:
    return [(one.text, pytest.approx(one.logprob, abs=1e-3), one.n_reranking_tokens) for one in actions]


def test_what_prompts_have_in_common_is_read_once(base: TinyBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU: the results of each by themselves, and not again for the channel scores."""
    decoder = base.reporting(ALWAYS)
    generator = decoder.generator
    read: list[int] = []
    prefill_text = generator.prefill_text
    monkeypatch.setattr(generator, "prefill_text", lambda ids: (read.append(len(ids)), prefill_text(ids))[1])
    parts = [
        PromptParts(PARTS[one].results, PARTS[other].question) for one, other in ((0, 0), (1, 1), (1, 0))
    ]
    prompts = [part.results + part.question for part in parts]
    together = decoder.decode(prompts, states(generator), parts=parts)
    assert read == [len(generator.encode(part.results)) for part in parts[:2]]
    assert summary(together) == [
        (one.text, one.logprob, one.n_reranking_tokens)
        for prompt, part in zip(prompts, parts, strict=True)
        for one in decoder.decode([prompt], states(generator, 1), parts=[part])
    ]


def test_a_report_depends_on_its_prompt_alone_and_is_the_same_with_a_prefix_cache(base: TinyBase) -> None:
    decoder = base.reporting(ALWAYS)
    together = decoded(decoder)
    assert all(one.complete and one.n_reranking_tokens > 0 for one in together)
    for has_prefix in (False, True):
        alone = [
            decoder.decode(
                [prompt],
                states(decoder.generator, 1),
                parts=[part],
                prefix=PrefixCache() if has_prefix else None,
            )[0]
            for prompt, part in zip(PROMPTS, PARTS, strict=True)
        ]
        assert summary(together) == [(one.text, one.logprob, one.n_reranking_tokens) for one in alone]


def test_an_alternative_is_one_of_the_candidates_that_points_elsewhere(base: TinyBase) -> None:
    with_alternatives = decoded(base.reporting(WIDE))
    plain = decoded(base.reporting(RerankingConfig(n_candidates=16, max_logprob_gap=50.0)))

    def places(text: str) -> set[str]:
        return set(re.findall("⟦.*?⟧", text))

    assert isinstance(base.model, LlamaForCausalLM) or any(one.alternative for one in with_alternatives)
    for one, without in zip(with_alternatives, plain, strict=True):
        assert (one.text, one.n_reranking_tokens) == (without.text, without.n_reranking_tokens)
        assert without.alternative == ""
        elsewhere = [other.text for other in one.candidates if not places(other.text) & places(one.text)]
        assert one.alternative in elsewhere if elsewhere else one.alternative == ""


def test_an_alternative_stands_in_the_report_beside_the_answer(base: TinyBase) -> None:
    text = "Bees make honey. " * 12
    passage = Passage("d", "Bees", (), 0, len(text), text)
    runner = EpisodeRunner(
        base.reporting(WIDE),
        lambda queries, withheld, wanted: [[passage] for _ in queries],
        EpisodeLimits(),
        LIMITS,
    )
    seen = False
    for question in ("what is honey", "the nest of what", "bees is from"):
        (run,) = runner.run([question], max_searches=1)
        (action,) = run.actions
        report = report_of(question, run, models={})
        given = parse_report(action.text.removeprefix("<report>").removesuffix("</report>"), 12)
        assert report.statements == tuple(dict.fromkeys(claim.statement for claim in given))
        assert report.answer == "; ".join(report.statements)
        others = [finding for finding in report.findings if finding.alternative]
        pointers = {pointer for claim in run.episode.claims for pointer in claim.pointers}
        assert bool(action.alternative) is (pointers > {at for claim in given for at in claim.pointers})
        assert len(report.answer_quotes) == len(report.quotes) - sum(len(one.quotes) for one in others)
        seen |= bool(others)
    assert seen or isinstance(base.model, LlamaForCausalLM)


def test_without_a_channel_model_no_question_is_scored(base: TinyBase) -> None:
    for channel in (True, False):
        for one in decoded(base.reporting(ALWAYS, channel=channel)):
            assert one.n_reranking_tokens > 0
            assert any(candidate.channel_score for candidate in one.candidates) is channel


def test_a_sure_report_an_abstention_and_a_sampled_one_are_given_as_they_are(base: TinyBase) -> None:
    greedy = base.reporting()
    plain = summary(greedy.decode(PROMPTS, states(greedy.generator)))

    def unchanged(config: RerankingConfig, parts: list[PromptParts | None] | None = None) -> bool:
        actions = decoded(base.reporting(config), parts)
        return plain == [(one.text, one.logprob, 0) for one in actions]

    assert not unchanged(ALWAYS)
    assert unchanged(RerankingConfig(n_candidates=4, sure_probability=1e-30))
    assert unchanged(RerankingConfig())
    assert unchanged(ALWAYS, [None] * len(PROMPTS))
    assert unchanged(RerankingConfig(n_candidates=8, max_tokens=600))  # too much to read behind nine reports
    drawn = decoded(base.reporting(ALWAYS), temperature=1.0, rng=torch.Generator().manual_seed(5))
    assert all(one.n_reranking_tokens == 0 for one in drawn)
    refusing = base.decoder(ALWAYS, search_bias=-50.0)
    nothing_shown = [refusing.grammar.start(0, may_search=True, limits=LIMITS) for _ in PROMPTS]
    refused = refusing.decode(PROMPTS, nothing_shown, parts=PARTS)
    assert [(one.text, one.n_reranking_tokens) for one in refused] == [(NONE, 0)] * len(PROMPTS)


def test_the_deadline_ends_the_search_for_candidates(base: TinyBase, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = base.reporting().decode(PROMPTS, states(base.generator()))
    whole = decoded(base.reporting(ALWAYS), deadline=time.monotonic() + 600)
    for module in (beam_search, candidates):
        monkeypatch.setattr(module, "is_late", lambda deadline: deadline is not None)
    late = decoded(base.reporting(ALWAYS), deadline=time.monotonic() + 600)
    assert [one.text for one in late] == [one.text for one in greedy]
    assert sum(one.n_reranking_tokens for one in late) < sum(one.n_reranking_tokens for one in whole)
