"""The grammar: whatever is drawn from it ends, parses, and points only at what exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import gemma_tokenizer, make_llama
from transformers import AutoTokenizer

from prep.errors import ConfigError
from retrieve.episode.episode import Claim, Episode, EpisodeLimits, Passage
from retrieve.episode.grammar import ActionLimits, Grammar, GrammarState
from retrieve.lm.base import load_base

SMALL = ActionLimits(query_tokens=3, statement_tokens=4, max_findings=3, max_pointers=2)


@pytest.fixture(scope="module", params=["pruned", "byte-level"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "pruned":
        return gemma_tokenizer()
    return load_base(make_llama(tmp_path_factory.mktemp("llama")))[1]


@pytest.fixture(scope="module")
def grammar(tokenizer: Any) -> Grammar:
    return Grammar(tokenizer, len(tokenizer) + 5)


def waiting(n_sentences: int, max_searches: int) -> Episode:
    episode = Episode("q", EpisodeLimits(max_searches=max_searches))
    episode.give([Passage("d", "", (), 0, 5 * n_sentences, "Yes! " * n_sentences)] if n_sentences else [])
    return episode


def walk(state: GrammarState, generator: torch.Generator, favoured: torch.Tensor) -> list[int]:
    """Draw tokens until the action is done: what may come next and is favoured, half of the time."""
    tokens: list[int] = []
    while not state.done:
        allowed = state.allowed()
        both = allowed & favoured
        if bool(both.any()) and float(torch.rand((), generator=generator)) < 0.5:
            allowed = both
        choice = int(torch.multinomial(allowed.float(), 1, generator=generator))
        state.advance(choice)
        tokens.append(choice)
    return tokens


def test_random_walks_end_parse_and_point_only_at_shown_sentences(grammar: Grammar, tokenizer: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    # Blanks and single bytes are what could leave nothing said; tags in pieces are what could forge one.
    odd = grammar.words & ~grammar.solid
    for token, number in tokenizer.get_vocab().items():
        odd[number] |= token in ("<", "/", ">", "⟦", "⟧", "report", *"report", *"search", "1", "9")
    searched = reported = refused = several = 0
    for turn in range(240):
        n_sentences = (0, 1, 2, 7)[turn % 4]
        max_searches = 1 + turn % 3
        limits = SMALL if turn % 24 else ActionLimits()
        episode = waiting(n_sentences, max_searches)
        state = grammar.start(n_sentences, may_search=episode.may_search, limits=limits)
        tokens = walk(state, generator, odd)
        assert len(tokens) <= limits.max_tokens
        episode.act(grammar.text(tokens))
        assert all(1 <= p <= n_sentences for claim in episode.claims for p in claim.pointers)
        pointers = [p for claim in episode.claims for p in claim.pointers]
        assert len(pointers) == len(set(pointers))
        assert len(episode.claims) <= limits.max_findings
        assert all(1 <= len(claim.pointers) <= limits.max_pointers for claim in episode.claims)
        searched += episode.state == "search"
        reported += bool(episode.claims)
        refused += episode.abstained
        several += len(episode.claims) > 1
        assert max_searches > 1 or episode.state == "done"
        assert n_sentences > 0 or episode.state == "search" or episode.abstained
    assert min(searched, reported, refused, several) > 5


def drive(grammar: Grammar, tokenizer: Any, text: str, n_sentences: int, *, may_search: bool = True) -> bool:
    """Whether the grammar takes the tokens of `text`, to its end."""
    state = grammar.start(n_sentences, may_search=may_search)
    for token in tokenizer.encode(text, add_special_tokens=False):
        if not state.allowed()[token]:
            return False
        state.advance(token)
    return state.done


@pytest.mark.parametrize(
    ("action", "n_sentences", "taken"),
    [
        ("<report> none</report>", 0, True),
        ("<report> none</report>", 3, True),
        ("<report> honey</report>", 3, False),
        ("<report> honey⟦3⟧</report>", 3, True),
        ("<report> honey⟦4⟧</report>", 3, False),
        ("<report> honey⟦1⟧</report>", 0, False),
        ("<report> none of the bees⟦1⟧</report>", 3, True),
        ("<report> none of the bees</report>", 3, False),
        ("<report> nonetheless⟦2⟧⟦1⟧</report>", 3, True),
        ("<report> none of it⟦1⟧</report>", 0, False),
        ("<report> honey⟦1⟧⟦1⟧</report>", 3, False),
        ("<report> honey⟦1⟧\nnectar⟦2⟧</report>", 3, True),
        ("<report> honey⟦1⟧\nnectar⟦1⟧</report>", 3, False),
        ("<report> honey⟦1⟧⟦2⟧\nnectar⟦3⟧⟦2⟧</report>", 3, False),
        ("<report> honey⟦1⟧\nnectar⟦1⟧</report>", 1, False),
        ("<report> honey⟦1⟧\n none</report>", 3, False),
        ("<report> honey⟦1⟧\n</report>", 3, False),
        ("<report> honey\nnectar⟦2⟧</report>", 3, False),
        ("<report> honey.\n\nnectar⟦2⟧</report>", 3, False),
        ("<report>  ⟦1⟧</report>", 3, False),
        ("<report>\u3000⟦1⟧</report>", 3, False),
        ("<search> honey</search>", 0, True),
        ("<search>  </search>", 3, False),
        ("<search>\u2028\x1c</search>", 3, False),
        ("<search> a<report></search>", 3, False),
        ("honey", 3, False),
        ("<results>", 3, False),
    ],
)
def test_the_grammar_takes_what_the_episode_takes(
    grammar: Grammar, tokenizer: Any, action: str, n_sentences: int, taken: bool
) -> None:
    assert drive(grammar, tokenizer, action, n_sentences) is taken


def test_no_search_where_none_is_allowed(grammar: Grammar, tokenizer: Any) -> None:
    assert not drive(grammar, tokenizer, "<search> honey</search>", 3, may_search=False)


def test_words_that_spell_a_tag_or_a_marker_stay_words(grammar: Grammar, tokenizer: Any) -> None:
    """Only tokens can close a report: the same characters in pieces are part of the statement."""
    spelled = [
        number
        for character in " </report>⟦9⟧"
        for number in tokenizer.encode(character, add_special_tokens=False)
    ]
    state = grammar.start(2, may_search=False)
    tokens = [grammar.report, *spelled, grammar.markers[1], grammar.end_report]
    for token in tokens:
        state.advance(token)
    episode = waiting(2, 1)
    episode.act(grammar.text(tokens))
    assert episode.claims == (Claim("‹/report>[9]", (2,)),)


def test_a_token_out_of_place_is_refused(grammar: Grammar) -> None:
    state = grammar.start(1, may_search=False)
    for token in (grammar.search, grammar.end_report, grammar.newline, grammar.size - 1):
        with pytest.raises(ValueError, match="not allowed"):
            state.advance(token)
    state.advance(grammar.report)
    for token in grammar.none:
        state.advance(token)
    state.advance(grammar.end_report)
    assert state.done
    with pytest.raises(ValueError, match="not allowed"):
        state.advance(grammar.report)


def test_no_word_is_a_control_token_or_holds_a_line_end(grammar: Grammar, tokenizer: Any) -> None:
    words = grammar.words.nonzero().flatten().tolist()
    assert max(words) < len(tokenizer)
    assert not any({"\n", "\r"} & set(tokenizer.decode([token])) for token in words)
    special = {t for t, about in tokenizer.added_tokens_decoder.items() if about.special}
    assert special
    assert not special & set(words)


def test_limits_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="statement_tokens=0"):
        ActionLimits(statement_tokens=0)


def test_the_grammar_survives_saving_the_tokenizer(tmp_path: Path) -> None:
    gemma_tokenizer().save_pretrained(tmp_path)
    before = Grammar(gemma_tokenizer(), 700)
    after = Grammar(AutoTokenizer.from_pretrained(tmp_path), 700)
    assert torch.equal(before.words, after.words)
    assert (before.none, before.newline, before.markers) == (after.none, after.newline, after.markers)
