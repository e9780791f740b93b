"""Unsure reports are compared with drawn ones: which is taken, and that it depends on nothing beside the prompt."""

from __future__ import annotations

import time
import zlib

import pytest
import torch
from tiny_models import make_gemma

from prep.errors import ConfigError
from retrieve.base import load_base
from retrieve.consensus import agreement, most_agreed
from retrieve.decoding import Action, Decoder, Reading
from retrieve.episode import Episode, EpisodeLimits, Passage
from retrieve.grammar import ActionLimits, GrammarState
from retrieve.model import ServingConfig

LIMITS = ActionLimits(query_tokens=6, statement_tokens=8, max_findings=2, max_pointers=2)
DRAWS = 5


def report(words: str) -> str:
    return f"<report> {words}⟦2⟧</report>"


NONE = "<report> none</report>"


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        (report("the red house"), "<report> the red house⟦1⟧⟦7⟧</report>", 1.0),
        (report("in a red house"), report("Red house!"), 2 * 2 / 6),
        (report("three"), report("four"), 0.0),
        (NONE, NONE, 1.0),
        (NONE, report("none of it"), 0.0),
        (report("北京大学"), report("北京"), 2 * 1 / 4),
        (report("?"), report("!"), 0.0),
    ],
)
def test_agreement_is_the_f1_of_words(one: str, other: str, wanted: float) -> None:
    assert agreement(one, other) == pytest.approx(wanted)
    assert agreement(other, one) == pytest.approx(wanted)


def test_what_most_agree_with_is_taken_and_the_greedy_one_has_no_voice() -> None:
    greedy, drawn = report("1883"), [report("the 19th century"), report("19th century"), NONE]
    assert most_agreed([greedy, *drawn], [0.0, -3.0, -2.0, -1.0]) in (1, 2)
    assert most_agreed([greedy, *drawn, greedy, greedy], [0.0, -3.0, -2.0, -1.0, 0.0, 0.0]) == 0
    assert most_agreed([greedy, NONE, NONE, report("1883 or so")], [0.0, -1.0, -1.0, -5.0]) == 1
    assert most_agreed([greedy], [0.0]) == 0


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory):
    return load_base(make_gemma(tmp_path_factory.mktemp("base")), dtype=torch.float32)


def prompts() -> list[str]:
    made = []
    for n, words in enumerate((3, 60, 12)):
        episode = Episode("what is honey " * (n + 1), EpisodeLimits(question_last=True))
        text = "Bees make honey. " * words
        episode.give([Passage("d", "Bees", (), 0, len(text), text)])
        made.append(episode.prompt)
    return made


def begun(decoder: Decoder, n: int) -> list[GrammarState]:
    return [decoder.grammar.start(8, may_search=False, limits=LIMITS) for _ in range(n)]


def said(actions: list[Action]) -> list[tuple[str, float, int]]:
    return [(one.text, one.logprob, one.n_drawn) for one in actions]


def test_the_choice_is_among_what_is_drawn_for_the_prompt_alone(base) -> None:
    greedy, comparing = Decoder(*base), Decoder(*base, draws=DRAWS)
    texts = prompts()
    together = comparing.decode(texts, begun(comparing, 3))
    for prompt, chosen in zip(texts, together, strict=True):
        first = greedy.decode([prompt], begun(greedy, 1))[0]
        drawn = []
        for number in range(DRAWS):
            generator = torch.Generator().manual_seed(zlib.crc32(f"{number} {prompt}".encode()))
            drawn += greedy.decode([prompt], begun(greedy, 1), temperature=1.0, generator=generator)
        answers = [first, *(one for one in drawn if len(one.token_ids) <= 32)]
        wanted = answers[most_agreed([one.text for one in answers], [one.logprob for one in answers])]
        assert chosen.text == wanted.text
        assert chosen.complete
        assert chosen.logprob == pytest.approx(wanted.logprob, abs=1e-3)
        assert chosen.none_margin == pytest.approx(first.none_margin, abs=1e-3)
        assert chosen.n_drawn == sum(len(one.token_ids) for one in drawn)
    assert any(
        one.text != greedy.decode([p], begun(greedy, 1))[0].text
        for p, one in zip(texts, together, strict=True)
    )


def test_where_it_is_sure_late_or_drawing_anyway_nothing_is_compared(base) -> None:
    greedy, sure = Decoder(*base), Decoder(*base, draws=DRAWS, sure=1e-30)
    texts = prompts()
    assert said(sure.decode(texts, begun(sure, 3))) == said(greedy.decode(texts, begun(greedy, 3)))
    unsure = Decoder(*base, draws=DRAWS)
    drawn = [
        decoder.decode(texts, begun(decoder, 3), temperature=1.0, generator=torch.Generator().manual_seed(5))
        for decoder in (unsure, greedy)
    ]
    assert said(drawn[0]) == said(drawn[1])
    late = unsure.decode(texts, begun(unsure, 3), deadline=time.monotonic())
    assert all(one.n_drawn == 0 for one in late)


def test_what_was_read_is_read_on_from_as_the_greedy_report_left_it(base) -> None:
    comparing, greedy = Decoder(*base, draws=DRAWS), Decoder(*base)
    kept, plain = Reading(), Reading()
    comparing.decode(prompts()[:1], begun(comparing, 1), reading=kept)
    greedy.decode(prompts()[:1], begun(greedy, 1), reading=plain)
    assert (kept.ids, kept.text) == (plain.ids, plain.text)
    assert kept.cache.get_seq_length() == plain.cache.get_seq_length()


@pytest.mark.parametrize("wrong", [{"draws": -1}, {"sure": 0.0}, {"sure": 1.5}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="draws="):
        ServingConfig(**wrong)
