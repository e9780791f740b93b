"""PackedExampleSet: traces of several questions on the same passages, every label right."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import groupby

import pytest
from fixture_prep import LinePrep
from fixture_towns import BY_ID, DOCUMENTS, NAMES, NUMBER, QUESTIONS, THINGS, replayed

from prep.document import Span
from prep.errors import ConfigError
from retrieve.episode.episode import EpisodeLimits
from training.data.passage_pool import PassagePool
from training.metrics.answer_metrics import normalise_answer
from training.traces.evidence_checks import may_answer, with_duplicates, without_evidence
from training.traces.packed_examples import (
    PackedExample,
    PackedExampleConfig,
    build_packed_traces,
    draw_packed_examples,
    draw_second_searches,
)
from training.traces.traces import Trace, TraceConfig, TraceCounts

SHOWN = TraceConfig(fewest_passages=3, most_passages=3, withheld_share=0.2)
NAMED = QUESTIONS[: len(NAMES) * len(THINGS)]


@pytest.fixture(scope="module")
def pool() -> PassagePool:
    return PassagePool.build(DOCUMENTS, [LinePrep()])


@pytest.fixture(scope="module")
def built(pool: PassagePool) -> tuple[list[Trace], TraceCounts]:
    return build_packed_traces(NAMED, pool, PackedExampleConfig(traces=SHOWN, most_questions=6), n=10_000)


def by_example(traces: list[Trace]) -> list[list[Trace]]:
    return [list(some) for _, some in groupby(traces, key=lambda trace: trace.segments[0])]


def test_traces_of_an_example_begin_with_the_same_passages(built: tuple[list[Trace], TraceCounts]) -> None:
    traces, counts = built
    assert sum(counts.built.values()) == len(traces) > len(NAMED)
    sizes = [len(some) for some in by_example(traces)]
    assert max(sizes) == 4  # three passages, one question each, and a near miss
    assert sum(sizes) / len(sizes) > 2
    for trace in traces:
        assert trace.segments[0][0].startswith("<results>")
        assert trace.segments[1][0] == f"<question>{BY_ID[trace.question_id].question}</question>\n"
        assert [trained for _, trained in trace.segments] == [False, False, True]


def test_labels_are_right(built: tuple[list[Trace], TraceCounts], pool: PassagePool) -> None:
    kinds = Counter()
    for trace in built[0]:
        episode = replayed(trace, pool)
        question = BY_ID[trace.question_id]
        shown = " ".join(normalise_answer(passage.text) for passage in episode.passages)
        if trace.kind == "withheld":
            assert episode.abstained
            assert question.answers[0] not in shown
        else:
            (claim,) = episode.claims
            assert claim.statement == question.answers[0]
            for pointer in claim.pointers:
                assert any(episode.sentences[pointer - 1].overlaps(span) for span in question.evidence)
        kinds[trace.kind] += 1
    assert kinds == built[1].built
    assert min(kinds.values()) > len(built[0]) / 10


def test_a_near_miss_may_be_searched_for_again_and_the_trace_ends_there(pool: PassagePool) -> None:
    config = PackedExampleConfig(traces=SHOWN, most_questions=6, search_share=0.5)
    traces, counts = build_packed_traces(NAMED, pool, config, n=10_000)
    assert sum(counts.built.values()) == len(traces)
    assert min(counts.built["search"], counts.built["withheld"]) > len(traces) / 20
    finds = 0
    for trace in (trace for trace in traces if trace.kind == "search"):
        episode = replayed(trace, pool)
        assert episode.state == "search"
        question, query = BY_ID[trace.question_id], episode.query
        assert query != question.question
        assert not any(span.overlaps(p) for span in question.evidence for p in episode.passages)
        found = episode.unseen(pool.search([query], 12)[0])
        finds += any(span.overlaps(p) for span in question.evidence for p in found)
    assert finds > 0.8 * counts.built["search"]


def test_no_question_is_asked_more_often_than_allowed(pool: PassagePool) -> None:
    traces, _ = build_packed_traces(NAMED, pool, PackedExampleConfig(traces=SHOWN, often=1), n=10_000)
    assert max(Counter(trace.question_id for trace in traces).values()) == 1
    assert len(traces) > 0.8 * len(NAMED)


def test_the_seed_decides_and_so_many_are_made(
    pool: PassagePool, built: tuple[list[Trace], TraceCounts]
) -> None:
    again = build_packed_traces(NAMED, pool, PackedExampleConfig(traces=SHOWN, most_questions=6), n=10_000)
    assert again == built
    other = PackedExampleConfig(traces=replace(SHOWN, seed=9), most_questions=6)
    few = build_packed_traces(NAMED, pool, other, n=20)[0]
    assert few != built[0][: len(few)]
    assert 20 <= len(few) <= 26


def test_where_questions_name_nothing_an_example_shows_one_document_and_no_near_misses(
    pool: PassagePool,
) -> None:
    config = PackedExampleConfig(traces=replace(SHOWN, reading=True))
    traces, counts = build_packed_traces(NAMED, pool, config, n=10_000)
    assert set(counts.built) == {"direct"}
    for trace in traces:
        episode = replayed(trace, pool)
        assert {passage.document_id for passage in episode.passages} == {
            BY_ID[trace.question_id].evidence[0].document_id
        }


@pytest.mark.parametrize("most", range(1, 8))
def test_an_example_holds_no_more_questions_than_allowed(pool: PassagePool, most: int) -> None:
    shown = replace(SHOWN, fewest_passages=8, most_passages=8)
    for share in (0.0, 0.25):
        config = PackedExampleConfig(traces=shown, most_questions=most, none_share=share)
        drawn = list(draw_packed_examples(NAMED, pool, config, depth=len(pool.passages)))
        assert max(len(example.questions) for example in drawn) == most
        assert share or not any(question.withheld for example in drawn for question in example.questions)


@pytest.mark.parametrize("near", [1, 3])
def test_a_near_miss_has_a_passage_among_its_first_results_but_for_its_evidence(
    pool: PassagePool, near: int
) -> None:
    config = PackedExampleConfig(traces=SHOWN, most_questions=8, none_share=0.5, near=near)
    missed = Counter()
    for example in draw_packed_examples(NAMED, pool, config):
        for question in example.questions:
            if not question.withheld:
                continue
            missed[question.id] += 1
            results = without_evidence(pool.search([question.question], 20)[0], question.evidence)
            assert any(passage in example.passages for passage in results[:near])
    assert len(missed) > 20


def test_what_is_asked_in_the_same_words_is_neither_a_near_miss_nor_asked_twice(pool: PassagePool) -> None:
    merged = [replace(question, id=f"merged-{question.id}") for question in NAMED]
    moved = [replace(question, answers=("1066",), evidence=(Span("Barlin", 0, 4),)) for question in merged]
    config = PackedExampleConfig(traces=SHOWN, most_questions=6)
    for example in draw_packed_examples([*NAMED, *moved], pool, config):
        texts = [question.question for question in example.questions]
        assert len(set(texts)) == len(texts)
        for question in example.questions:
            evidence = BY_ID[question.id.removeprefix("merged-")].evidence
            if question.withheld:
                assert not any(span.overlaps(p) for p in example.passages for span in evidence)


def test_a_broad_question_is_asked_where_a_part_of_its_evidence_stands(pool: PassagePool) -> None:
    """Every town's four lines are the evidence of a question without a short answer; three passages are shown."""
    broad = [
        replace(
            BY_ID[f"{name}-{THINGS[0]}"],
            id=f"all-{name}",
            question=f"What was built in {name}?",
            answers=(),
            kind="long",
            evidence=tuple(span for thing in THINGS for span in BY_ID[f"{name}-{thing}"].evidence),
        )
        for name in NAMES
    ]
    config = PackedExampleConfig(traces=replace(SHOWN, several=True, withheld_share=0.0), often=2)
    drawn = list(draw_packed_examples(broad, pool, config))
    asked = [(example, question) for example in drawn for question in example.questions]
    assert {question.id for _, question in asked} == {question.id for question in broad}
    for example, question in asked:
        touched = sum(any(span.overlaps(one) for one in example.passages) for span in question.evidence)
        assert (touched == 0) is question.withheld
        assert touched < len(question.evidence)
    assert any(question.withheld for _, question in asked)
    told, counts = build_packed_traces(broad, pool, config, n=10_000)
    assert set(counts.built) == {"several", "withheld"}
    for trace in told:
        shown, written = (
            trace.segments[0][0],
            trace.written.removeprefix("<report>").removesuffix("</report>"),
        )
        for finding in written.split("\n") if trace.kind == "several" else []:
            statement = NUMBER.sub("", finding).strip()
            assert trace.question_id.removeprefix("all-") in statement
            assert any(f"{number} {statement}" in shown for number in NUMBER.findall(finding))
    plain = replace(config, traces=replace(config.traces, several=False))
    assert not list(draw_packed_examples(broad, pool, plain))  # no answer that words could be measured by


def test_settings_that_make_no_sheets_are_refused() -> None:
    with pytest.raises(ConfigError, match="search_share"):
        PackedExampleConfig(search_share=1.5)
    with pytest.raises(ConfigError, match="none_share"):
        PackedExampleConfig(none_share=1.5)


@pytest.fixture(scope="module")
def second_looks(pool: PassagePool) -> list[PackedExample]:
    return list(draw_second_searches(NAMED, pool, SHOWN))


def test_of_a_second_look_the_first_results_say_nothing_and_the_next_do_unless_withheld(
    second_looks: list[PackedExample],
) -> None:
    assert len(second_looks) > len(NAMED) / 2
    twin_of = {merged.id: merged for merged in with_duplicates(NAMED)}
    for example in second_looks:
        (question,) = example.questions
        merged = twin_of[question.id]
        assert not may_answer(example.passages, merged)
        assert may_answer(example.more, merged) is not question.withheld
        assert example.query
        assert example.query != question.question
        assert not set(example.passages) & set(example.more)
        assert len(example.more) <= SHOWN.most_passages
    withheld = sum(example.questions[0].withheld for example in second_looks)
    assert 0.3 < withheld / len(second_looks) < 0.7


def test_second_looks_are_drawn_by_seed(pool: PassagePool, second_looks: list[PackedExample]) -> None:
    assert list(draw_second_searches(NAMED, pool, SHOWN)) == second_looks
    assert list(draw_second_searches(NAMED, pool, replace(SHOWN, seed=9))) != second_looks


def test_an_episode_begins_with_all_that_its_sheet_gives_and_none_of_it_is_the_model_s(
    pool: PassagePool, second_looks: list[PackedExample]
) -> None:
    limits = EpisodeLimits(passages_per_search=3, max_searches=2)
    plain = next(draw_packed_examples(NAMED, pool, PackedExampleConfig(traces=SHOWN)))
    for example, n in ((plain, 1), (second_looks[0], 2)):
        episode = example.begun(example.questions[0], limits)
        assert episode.state == "act"
        assert not episode.may_search
        assert episode.passages == [*example.passages, *example.more]
        assert episode.queries == [example.questions[0].question, example.query][:n]
        assert not any(trained for _, trained in episode.segments)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_of_small_sheets_near_misses_have_their_share_on_average(pool: PassagePool, most: int) -> None:
    config = PackedExampleConfig(
        traces=replace(SHOWN, withheld_share=0.0), most_questions=most, none_share=0.25
    )
    asked = [
        question for example in draw_packed_examples(NAMED, pool, config) for question in example.questions
    ]
    assert 0.15 < sum(question.withheld for question in asked) / len(asked) < 0.35
