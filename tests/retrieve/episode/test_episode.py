"""The episode: what it waits for, what it shows, what it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prep.document import Span
from prep.errors import ConfigError
from retrieve.episode.episode import (
    Claim,
    Episode,
    EpisodeLimits,
    MalformedAction,
    Passage,
    parse_report,
    sentence_spans,
)
from retrieve.lm.special_tokens import MAX_SENTENCES


def passage(text: str, document_id: str = "d", start: int = 0, title: str = "") -> Passage:
    return Passage(document_id, title, (), start, start + len(text), text)


def test_an_episode_reads_as_its_format_says() -> None:
    episode = Episode("Who  makes\nhoney?")
    episode.give(
        [
            Passage("b", "Bees", ("Food",), 7, 45, "Bees make honey.  It keeps for years.\n"),
            passage("Glass is sand.", "g"),
        ]
    )
    episode.act("<search>honey  maker</search>")
    episode.give([passage("Wasps do not.", "w", title="Wasps")])
    episode.act("<report> bees⟦1⟧⟦2⟧\nno wasps⟦4⟧</report>")
    assert episode.prompt == (
        "<results>\nBees › Food\n⟦1⟧ Bees make honey.⟦2⟧ It keeps for years.\n\n⟦3⟧ Glass is sand.\n</results>\n"
        "<question>Who makes honey?</question>\n"
        "<search> honey maker</search>\n"
        "<results>\nWasps\n⟦4⟧ Wasps do not.\n</results>\n"
        "<report> bees⟦1⟧⟦2⟧\nno wasps⟦4⟧</report>"
    )
    assert [text for text, trained in episode.segments if trained] == episode.actions
    assert episode.claims == (Claim("bees", (1, 2)), Claim("no wasps", (4,)))
    assert episode.sentences == [Span("b", 7, 23), Span("b", 25, 44), Span("g", 0, 14), Span("w", 0, 13)]
    assert (episode.state, episode.abstained, episode.queries) == (
        "done",
        False,
        ["Who makes honey?", "honey maker"],
    )


def test_states_follow_each_other_and_nothing_else_is_taken() -> None:
    episode = Episode("q")
    assert episode.state == "search"
    with pytest.raises(RuntimeError):
        episode.act("<report> none</report>")
    episode.give([])
    assert episode.state == "act"
    with pytest.raises(RuntimeError):
        episode.give([])
    episode.act("<report> none</report>")
    assert (episode.state, episode.abstained, episode.claims) == ("done", True, ())
    with pytest.raises(RuntimeError):
        episode.act("<report> none</report>")


@pytest.mark.parametrize(
    "words",
    [
        "",
        "honey",
        "<search></search>",
        "<search> \n\u3000</search>",
        "<search> honey",
        "<report></report>",
        "<report> honey</report>",
        "<report>⟦1⟧</report>",
        "<report> \u3000⟦1⟧</report>",
        "<report> honey⟦3⟧</report>",
        "<report> honey⟦0⟧</report>",
        "<report> honey⟦99999999999⟧⟦1⟧</report>",
        "<report> honey⟦x⟧⟦1⟧</report>",
        "<report> honey\nbees⟦1⟧</report>",
        "<report> none\nbees⟦1⟧</report>",
        "<report> <results>⟦1⟧</report>",
        "<report> a</report><report> b⟦1⟧</report>",
        "<report> honey⟦1⟧</report> and more",
        "<results> honey</results>",
        f"<report> honey⟦{'9' * 5000}⟧</report>",
    ],
)
def test_a_malformed_action_is_refused_and_changes_nothing(words: str) -> None:
    episode = Episode("q")
    episode.give([passage("One. Two.")])
    before = (episode.prompt, list(episode.queries), list(episode.actions))
    with pytest.raises(MalformedAction):
        episode.act(words)
    assert (episode.prompt, episode.queries, episode.actions) == before
    assert (episode.state, episode.claims) == ("act", ())
    episode.act("<report> one⟦1⟧</report>")


def test_a_search_beyond_the_limit_is_malformed() -> None:
    episode = Episode("q", EpisodeLimits(max_searches=2))
    episode.give([])
    assert episode.may_search
    episode.act("<search> other</search>")
    episode.give([])
    assert not episode.may_search
    with pytest.raises(MalformedAction):
        episode.act("<search> third</search>")
    only = Episode("q", EpisodeLimits(max_searches=1))
    only.give([])
    assert not only.may_search


def test_results_without_a_passage_leave_nothing_to_point_at() -> None:
    episode = Episode("q")
    episode.give([])
    assert episode.prompt == "<results>\n</results>\n<question>q</question>\n"
    with pytest.raises(MalformedAction):
        episode.act("<report> honey⟦1⟧</report>")
    episode.act("<search> other words</search>")
    episode.give([passage("Found.")])
    episode.act("<report> found⟦1⟧</report>")
    assert episode.claims == (Claim("found", (1,)),)


def test_what_was_shown_is_not_shown_again_even_in_part() -> None:
    episode = Episode("q")
    episode.give([passage("One.", "a"), passage("One. T", "a"), passage("Two.", "b")])
    assert [p.document_id for p in episode.passages] == ["a", "b"]
    episode.act("<search> more</search>")
    overlapping = passage("e. Three.", "a", start=3)
    beside = passage("Three.", "a", start=4)
    assert episode.unseen([overlapping, beside]) == [beside]
    episode.give([overlapping, beside])
    assert episode.sentences[-1] == Span("a", 4, 10)
    assert "⟦3⟧ Three." in episode.prompt


def test_only_so_many_passages_are_shown_at_a_time() -> None:
    episode = Episode("q", EpisodeLimits(passages_per_search=2))
    found = [passage(f"Number {n}.", f"d{n}") for n in range(5)]
    episode.give(found)
    assert episode.passages == found[:2]
    episode.act("<search> more</search>")
    episode.give(found)
    assert episode.passages == found[:4]


def test_passages_that_match_far_worse_than_the_best_new_one_are_not_shown() -> None:
    episode = Episode("q", EpisodeLimits(score_margin=0.1))
    scores = (0.9, 0.85, 0.7, 0.65, 0.5)
    found = [replace(passage(f"Number {n}.", f"d{n}"), score=score) for n, score in enumerate(scores)]
    episode.give(found)
    assert episode.passages == found[:2]
    episode.act("<search> more</search>")
    episode.give(found)
    assert episode.passages == found[:4]


def test_an_alternative_is_a_claim_beside_those_that_were_made_and_changes_nothing_written() -> None:
    episode = Episode("q")
    episode.give([passage("One. Two.", "d")])
    with pytest.raises(MalformedAction, match="no alternative"):
        episode.add_alternative("<report> two⟦2⟧</report>")
    episode.act("<report> one⟦1⟧</report>")
    written = list(episode.segments)
    episode.add_alternative("<report> two⟦2⟧</report>")
    assert episode.claims == (Claim("one", (1,)), Claim("two", (2,), alternative=True))
    assert episode.segments == written
    assert not episode.abstained
    episode.add_alternative("<report> One⟦2⟧</report>")  # the same, said elsewhere
    assert episode.claims == (Claim("one", (1, 2)), Claim("two", (2,), alternative=True))
    with pytest.raises(MalformedAction, match="outside"):
        episode.add_alternative("<report> three⟦3⟧</report>")
    refused = Episode("q")
    refused.give([passage("One.", "d")])
    refused.act("<report> none</report>")
    with pytest.raises(MalformedAction, match="no alternative"):
        refused.add_alternative("<report> one⟦1⟧</report>")


def test_a_passage_of_blanks_does_not_hide_those_after_it() -> None:
    episode = Episode("q")
    episode.give([passage(" \n\t", "blank"), passage("Said.", "d")])
    assert [p.document_id for p in episode.passages] == ["d"]
    assert episode.sentences == [Span("d", 0, 5)]


def test_numbers_end_at_the_last_marker_and_no_further_search_is_allowed() -> None:
    text = "Yes! " * 50
    episode = Episode("q")
    episode.give([passage(text, "a"), passage(text, "b"), passage(text, "c")])
    assert len(episode.sentences) == MAX_SENTENCES
    assert [p.document_id for p in episode.passages] == ["a", "b"]
    assert f"⟦{MAX_SENTENCES}⟧ Yes!\n</results>" in episode.prompt
    assert not episode.may_search


def test_a_long_sentence_is_cut_at_blanks_and_the_rest_of_a_long_passage_left_out() -> None:
    limits = EpisodeLimits(max_sentence_characters=30, max_passage_characters=100)
    text = "words without an end " * 40
    spans = sentence_spans(passage(text, start=10), limits)
    assert all(span.end - span.start <= 30 for span in spans)
    assert spans[-1].end <= 10 + 100 + 30
    shown = [text[span.start - 10 : span.end - 10] for span in spans]
    assert " ".join(shown) == text[: len(" ".join(shown))]
    assert all(not piece[0].isspace() and not piece[-1].isspace() for piece in shown)


def test_a_word_longer_than_a_sentence_may_be_is_cut_where_it_must() -> None:
    limits = EpisodeLimits(max_sentence_characters=7)
    spans = sentence_spans(passage("x" * 20), limits)
    assert [(span.start, span.end) for span in spans] == [(0, 7), (7, 14), (14, 20)]


@given(st.text(max_size=300), st.integers(1, 40), st.integers(1, 200))
def test_sentences_are_ordered_apart_within_the_passage_and_not_blank(
    text: str, sentence: int, size: int
) -> None:
    limits = EpisodeLimits(max_sentence_characters=sentence, max_passage_characters=size)
    spans = sentence_spans(passage(text, start=3), limits)
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(3 <= span.start < span.end <= 3 + len(text) for span in spans)
    assert all(text[span.start - 3 : span.end - 3].strip() for span in spans)
    assert all(span.end <= 3 + size + sentence for span in spans)


def test_long_questions_and_headings_are_cut() -> None:
    limits = EpisodeLimits(max_question_characters=10, max_heading_characters=8)
    episode = Episode("abc " * 30, limits)
    assert episode.query == "abc abc ab"
    episode.give([passage("Said.", title="A title that is long")])
    assert "\nA title \n⟦1⟧ Said." in episode.prompt


def test_half_a_surrogate_pair_in_a_question_becomes_a_character_any_tokenizer_takes() -> None:
    episode = Episode("what \ud83d is it")
    assert episode.query == "what \ufffd is it"
    episode.give([])
    assert episode.prompt.encode()


def test_pointers_said_twice_count_once() -> None:
    assert parse_report(" a⟦2⟧⟦1⟧⟦2⟧", 2) == (Claim("a", (2, 1)),)
    assert parse_report("none", 0) == ()


def test_limits_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_searches=0"):
        EpisodeLimits(max_searches=0)
    with pytest.raises(ConfigError, match=r"score_margin=2\.5"):
        EpisodeLimits(score_margin=2.5)


def test_the_question_stands_behind_the_first_results_and_only_there() -> None:
    episode = Episode("Who?")
    assert episode.prompt == ""
    episode.give([Passage("a", "", (), 0, 8, "Ada did.")])
    assert episode.prompt.index("</results>") < episode.prompt.index("<question>Who?</question>")
    episode.act("<search> else</search>")
    episode.give([Passage("b", "", (), 0, 8, "Bo went.")])
    assert episode.prompt.count("<question>") == 1
    assert episode.prompt.endswith("</results>\n")
    episode.act("<report> Bo⟦2⟧</report>")
    assert episode.claims[0].pointers == (2,)
