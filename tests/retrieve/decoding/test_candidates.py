"""Unsure reports against their rivals: who they are, how the question is measured behind them, and who wins."""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_models import make_gemma, make_llama, make_updates
from transformers import LlamaForCausalLM

from prep.errors import ConfigError
from retrieve.decoding import candidates
from retrieve.decoding.candidates import backwards_logprobs, likeliest
from retrieve.decoding.channel_model import load_teller
from retrieve.decoding.decoder import Action, Decoder, Reading
from retrieve.decoding.kv_cache import Rows
from retrieve.decoding.reranking import Compared, Comparing, Told, agreement, alternative, best_of
from retrieve.episode.episode import Episode, EpisodeLimits, Passage, parse_report
from retrieve.episode.grammar import ActionLimits, GrammarState
from retrieve.episode_runner import EpisodeRunner
from retrieve.lm.base import load_base
from retrieve.report.build import report_of

LIMITS = ActionLimits(query_tokens=6, statement_tokens=8, max_findings=2, max_pointers=2)
ALWAYS = Comparing(n=4)
NONE = "<report> none</report>"


def report(words: str) -> str:
    return f"<report> {words}⟦2⟧</report>"


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        (report("the red house"), "<report> the red house⟦1⟧⟦7⟧</report>", 1.0),
        (report("in a red house"), report("Red house!"), 2 * 2 / 6),
        (report("three"), report("four"), 0.0),
        (report("北京大学"), report("北京"), 2 * 1 / 4),
        (report("?"), report("!"), 0.0),
    ],
)
def test_agreement_is_the_f1_of_words(one: str, other: str, wanted: float) -> None:
    assert agreement(one, other) == pytest.approx(wanted)
    assert agreement(other, one) == pytest.approx(wanted)


def test_of_reports_the_likely_the_agreed_and_the_explaining_one_wins() -> None:
    plain = Comparing(n=3, likely=0.0, backwards=0.0)
    greedy, longer, shorter = (
        Compared(report("1883"), -1.0, -30.0),
        Compared(report("the 19th century"), -1.2, -20.0),
        Compared(report("19th century"), -1.4, -20.0),
    )
    assert best_of([greedy, longer, shorter], plain) == 1
    assert best_of([greedy, shorter], plain) == 0
    assert best_of([greedy, replace(shorter, text=report("1884"))], replace(plain, backwards=0.2)) == 1
    assert best_of([replace(shorter, text=report("1884")), greedy], replace(plain, likely=5.0)) == 1


def test_a_rival_is_given_beside_the_best_where_its_place_is_likely_enough() -> None:
    best, same, elsewhere, too = (
        Compared("<report> 1883⟦2⟧</report>", -1.0, -20.0),
        Compared("<report> in 1883⟦2⟧</report>", -1.0, -20.0),
        Compared("<report> 1901⟦5⟧</report>", -1.7, -20.0),
        Compared("<report> 1902⟦5⟧⟦6⟧</report>", -1.7, -20.5),
    )
    share = 2 * math.exp(-0.7) / (2 + 2 * math.exp(-0.7))
    other = replace(elsewhere, text="<report> 1901⟦5⟧⟦7⟧</report>")
    for n, reports in enumerate(([best, same, elsewhere, other], [other, same, best, elsewhere])):
        at = reports.index(best)
        assert alternative(reports, at, Comparing(also=share - 0.01)) == (2, 0)[n]
        assert alternative(reports, at, Comparing(also=share + 0.01)) is None
        assert alternative(reports, at, Comparing()) is None
    assert alternative([best, same], 0, Comparing(also=0.01)) is None
    assert (
        alternative([best, elsewhere, too], 0, Comparing(also=0.3)) == 1
    )  # the likelier of two for one place
    unexplained = replace(elsewhere, backwards=-40.0)
    assert alternative([best, unexplained], 0, Comparing(also=0.01)) is None


@pytest.fixture(scope="module", params=["gemma", "llama"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    make = make_llama if request.param == "llama" else make_gemma
    folder = tmp_path_factory.mktemp("base")
    model, tokenizer = load_base(make(folder), dtype=torch.float32)
    teller = load_teller(model, make_updates(model, folder / "backwards.safetensors", layers=(1,)))
    return {"model": model, "tokenizer": tokenizer, "teller": teller}


def begun() -> list[Episode]:
    """Prompts of which some are longer than the tiny Gemma's sliding window."""
    made = []
    for n, words in enumerate((3, 60, 12)):
        episode = Episode("what is honey " * (n + 1))
        text = "Bees make honey. " * words
        episode.give([Passage("d", "Bees", (), 0, len(text), text)])
        made.append(episode)
    return made


PROMPTS = [episode.prompt for episode in begun()]
TOLD = [Told(episode.segments[0][0], episode.segments[1][0]) for episode in begun()]


def states(decoder: Decoder, n: int = len(PROMPTS)) -> list[GrammarState]:
    return [decoder.grammar.start(8, may_search=True, limits=LIMITS) for _ in range(n)]


def said(actions: list[Action]) -> list[tuple[str, float, int]]:
    return [(one.text, pytest.approx(one.logprob, abs=1e-3), one.n_compared) for one in actions]


def logprob_of(decoder: Decoder, results: list[int], given: list[int], tokens: list[int]) -> float:
    """Return the log-probability of tokens behind others, of which the results are read by the model itself.

    One plain pass each.
    """
    read = decoder.model(input_ids=torch.tensor([results]), use_cache=True)
    behind = torch.tensor([[*given, *tokens]])
    logits = decoder.teller(input_ids=behind, past_key_values=read.past_key_values).logits[0].float()
    scores = torch.log_softmax(logits, -1)[len(given) - 1 : -1]
    return float(scores.gather(1, torch.tensor(tokens).unsqueeze(1)).sum())


@torch.inference_mode()
def test_the_question_is_measured_behind_each_report_as_if_it_stood_there_alone(base: dict[str, Any]) -> None:
    decoder = Decoder(**base)
    reports = [report("honey"), "<report> bees make honey⟦1⟧⟦3⟧</report>", NONE]
    for told in TOLD:
        found, n_read = backwards_logprobs(decoder, told, reports)
        alone = [backwards_logprobs(decoder, told, [one])[0][0] for one in reports]
        assert found == pytest.approx(alone, abs=1e-3)
        asked = decoder.grammar.encode(told.asked.strip().removeprefix("<question>"))
        given = [decoder.grammar.encode(f"{one}\n<question>") for one in reports]
        results = decoder.encode(told.results)
        wanted = [logprob_of(decoder, results, some, asked) for some in given]
        assert found == pytest.approx(wanted, abs=1e-3)
        assert n_read == sum(map(len, given)) + len(reports) * len(asked)


@torch.inference_mode()
def test_rivals_are_distinct_likely_reports_that_refuse_nothing(base: dict[str, Any]) -> None:
    """Looked for on several prompts together, one of which is longer than the window; each measured by itself."""
    decoder = Decoder(**base, comparing=Comparing(n=6, longest=24))
    greedy = Decoder(**base).decode(PROMPTS, states(decoder))
    together = decoder._read(PROMPTS, None, TOLD).rows
    least = [float("-inf")] * len(PROMPTS)
    all_found = likeliest(decoder, together.copied(), states(decoder), least)
    for prompt, likely, (found, n_read) in zip(PROMPTS, greedy, all_found, strict=True):
        texts = [decoder.grammar.text(one.tokens) for one in found]
        assert len(set(texts)) == len(texts) > 1
        assert NONE not in texts
        assert all(text.startswith("<report>") for text in texts)
        assert all(len(one.tokens) <= 24 for one in found)
        assert [one.logprob for one in found] == sorted((one.logprob for one in found), reverse=True)
        assert n_read <= 6 * 23
        rows = decoder._read([prompt], None).rows
        for one in found:
            assert one.logprob == pytest.approx(forced(decoder, rows.copied(), one.tokens), abs=1e-3)
        if likely.text.startswith("<report>") and likely.text != NONE and len(likely.token_ids) <= 24:
            assert found[0].logprob >= likely.logprob - 1e-3


def forced(decoder: Decoder, rows: Rows, tokens: list[int]) -> float:
    """Return the log-probability of tokens that are written one by one behind a single prompt."""
    state, logprob, logits = states(decoder, 1)[0], 0.0, rows.logits
    for at, token in enumerate(tokens):
        logprob += float(decoder.scored(logits, [state])[0][0, token])
        state.advance(token)
        if at + 1 < len(tokens):
            rows.positions = rows.positions + 1
            logits = decoder.forward(rows.cache, torch.tensor([[token]]), None, rows.positions)
    assert state.done
    return logprob


def test_what_prompts_have_in_common_is_read_once(
    base: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU: the results of each by themselves; and not again for the question behind a report."""
    decoder = Decoder(**base, none_offset=-50.0, search_offset=-50.0, comparing=ALWAYS)
    read: list[int] = []
    alone = decoder.read_alone
    monkeypatch.setattr(decoder, "read_alone", lambda ids, cache: (read.append(len(ids)), alone(ids, cache)))
    asked = [Told(TOLD[number].results, TOLD[other].asked) for number, other in ((0, 0), (1, 1), (1, 0))]
    prompts = [told.results + told.asked for told in asked]
    together = decoder.decode(prompts, states(decoder), told=asked)
    assert read == [len(decoder.encode(told.results)) for told in asked[:2]]
    assert said(together) == [
        (one.text, one.logprob, one.n_compared)
        for prompt, told in zip(prompts, asked, strict=True)
        for one in decoder.decode([prompt], states(decoder, 1), told=[told])
    ]


def test_a_report_depends_on_nothing_beside_its_prompt_and_is_the_same_with_a_reading(
    base: dict[str, Any],
) -> None:
    decoder = Decoder(**base, none_offset=-50.0, search_offset=-50.0, comparing=ALWAYS)
    together = decoder.decode(PROMPTS, states(decoder), told=TOLD)
    assert all(one.complete and one.n_compared > 0 for one in together)
    for kept in (None, Reading()):
        alone = [
            decoder.decode(
                [prompt],
                states(decoder, 1),
                told=[told],
                reading=None if kept is None else Reading(),
            )[0]
            for prompt, told in zip(PROMPTS, TOLD, strict=True)
        ]
        assert said(together) == [(one.text, one.logprob, one.n_compared) for one in alone]


def test_an_alternative_is_one_of_the_rivals_that_points_elsewhere(base: dict[str, Any]) -> None:
    offsets = {"none_offset": -50.0, "search_offset": -50.0}
    decoder = Decoder(**base, **offsets, comparing=Comparing(n=16, within=50.0, also=1e-30))
    plain = Decoder(**base, **offsets, comparing=Comparing(n=16, within=50.0))
    given = decoder.decode(PROMPTS, states(decoder), told=TOLD)

    def places(text: str) -> set[str]:
        return set(re.findall("⟦.*?⟧", text))

    assert isinstance(decoder.model, LlamaForCausalLM) or any(one.alternative for one in given)
    for one, without in zip(given, plain.decode(PROMPTS, states(plain), told=TOLD), strict=True):
        assert (one.text, one.n_compared) == (without.text, without.n_compared)
        assert without.alternative == ""
        elsewhere = [rival.text for rival in one.rivals if not places(rival.text) & places(one.text)]
        assert one.alternative in elsewhere if elsewhere else one.alternative == ""


def test_what_is_less_likely_stands_in_the_report_beside_the_answer(base: dict[str, Any]) -> None:
    comparing = Comparing(n=16, within=50.0, also=1e-30)
    decoder = Decoder(**base, none_offset=-50.0, search_offset=-50.0, comparing=comparing)
    text = "Bees make honey. " * 12
    passage = Passage("d", "Bees", (), 0, len(text), text)
    runner = EpisodeRunner(
        decoder,
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
        assert report.answer == "; ".join(dict.fromkeys(claim.statement for claim in given))
        others = [finding for finding in report.findings if finding.alternative]
        pointers = {pointer for claim in run.episode.claims for pointer in claim.pointers}
        assert bool(action.alternative) is (pointers > {at for claim in given for at in claim.pointers})
        assert len(report.answer_quotes) == len(report.quotes) - sum(len(one.quotes) for one in others)
        seen |= bool(others)
    assert seen or isinstance(decoder.model, LlamaForCausalLM)


def test_without_a_teller_no_question_is_measured(base: dict[str, Any]) -> None:
    offsets = {"none_offset": -50.0, "search_offset": -50.0, "comparing": ALWAYS}
    told = Decoder(**base, **offsets)
    untold = Decoder(**{**base, "teller": None}, **offsets)
    for decoder, measured in ((told, True), (untold, False)):
        for one in decoder.decode(PROMPTS, states(decoder), told=TOLD):
            assert one.n_compared > 0
            assert any(rival.backwards for rival in one.rivals) is measured


def test_where_it_is_sure_refused_late_drawn_or_not_told_nothing_is_compared(base: dict[str, Any]) -> None:
    greedy = Decoder(**base, none_offset=-50.0, search_offset=-50.0)
    plain = said(greedy.decode(PROMPTS, states(greedy)))

    def with_(told: Any = TOLD, comparing: Comparing = ALWAYS, **options: Any) -> list[Action]:
        decoder = Decoder(**base, none_offset=-50.0, search_offset=-50.0, comparing=comparing)
        return decoder.decode(PROMPTS, states(decoder), told=told, **options)

    assert plain == [(one.text, one.logprob, 0) for one in with_(comparing=Comparing(n=4, sure=1e-30))]
    assert plain == [(one.text, one.logprob, 0) for one in with_(comparing=Comparing())]
    assert plain == [(one.text, one.logprob, 0) for one in with_([None] * len(PROMPTS))]
    slow = Comparing(n=8, longest=600)  # the question, read behind nine reports, is too much
    assert plain == [(one.text, one.logprob, 0) for one in with_(comparing=slow)]
    drawn = with_(temperature=1.0, generator=torch.Generator().manual_seed(5))
    assert all(one.n_compared == 0 for one in drawn)
    refusing = Decoder(**base, search_offset=-50.0, comparing=ALWAYS)
    nothing_shown = [refusing.grammar.start(0, may_search=True, limits=LIMITS) for _ in PROMPTS]
    refused = refusing.decode(PROMPTS, nothing_shown, told=TOLD)
    assert [(one.text, one.n_compared) for one in refused] == [(NONE, 0)] * len(PROMPTS)


def test_where_it_is_late_the_search_for_rivals_ends(
    base: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder(**base, none_offset=-50.0, search_offset=-50.0, comparing=ALWAYS)
    greedy = Decoder(**base, none_offset=-50.0, search_offset=-50.0).decode(PROMPTS, states(decoder))
    whole = decoder.decode(PROMPTS, states(decoder), told=TOLD, deadline=time.monotonic() + 600)
    monkeypatch.setattr(candidates, "_late", lambda deadline: deadline is not None)
    late = decoder.decode(PROMPTS, states(decoder), told=TOLD, deadline=time.monotonic() + 600)
    assert [one.text for one in late] == [one.text for one in greedy]
    assert sum(one.n_compared for one in late) < sum(one.n_compared for one in whole)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"sure": 0.0},
        {"also": 0.0},
        {"also": 1.1},
        {"sure": 1.5},
        {"longest": 0},
        {"likely": -1.0},
        {"backwards": -0.1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Comparing(**wrong)  # type: ignore[arg-type]
