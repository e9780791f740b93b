"""Traces: every label is right, whatever kind of trace it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fixture_prep import LinePrep
from fixture_towns import BY_ID, DOCUMENTS, NAMES, NUMBER, QUESTIONS, THINGS, block, replayed

from prep.document import Document, Span
from prep.errors import ConfigError
from retrieve.episode.episode import Episode, EpisodeLimits, Passage
from training.data.dataset import Question
from training.data.passage_pool import PassagePool
from training.metrics.answer_metrics import normalise_answer
from training.traces.evidence_checks import mentions
from training.traces.mixture import read_traces, write_traces
from training.traces.traces import (
    Trace,
    TraceConfig,
    TraceCounts,
    build_traces,
    preferred_answer,
    rewritten_queries,
)


@pytest.fixture(scope="module")
def pool() -> PassagePool:
    return PassagePool.build(DOCUMENTS, [LinePrep()])


@pytest.fixture(scope="module")
def built(pool: PassagePool) -> tuple[list[Trace], TraceCounts]:
    config = TraceConfig(withheld_share=0.3, again_share=1.0, shuffled_share=0.5, noisy_share=0.0)
    return build_traces(QUESTIONS, pool, config, depth=len(pool.passages))


def test_kinds_of_every_sort_are_built_and_what_is_refused_is_counted(
    built: tuple[list[Trace], TraceCounts],
) -> None:
    traces, counts = built
    assert set(counts.built) == {"direct", "withheld", "unanswerable", "again", "exhausted"}
    assert sum(counts.built.values()) == len(traces)
    assert len(traces) + sum(counts.refused.values()) == len(QUESTIONS)
    assert [t.question_id for t in traces] == [
        q.id for q in QUESTIONS if q.id in {t.question_id for t in traces}
    ]


def test_pointers_overlap_the_evidence_and_the_statement_is_the_answer(
    built: tuple[list[Trace], TraceCounts], pool: PassagePool
) -> None:
    n_pointers = 0
    for trace in built[0]:
        if trace.kind not in ("direct", "again"):
            continue
        episode = replayed(trace, pool)
        question = BY_ID[trace.question_id]
        (claim,) = episode.claims
        assert claim.statement == question.answers[0]
        for pointer in claim.pointers:
            sentence = episode.sentences[pointer - 1]
            assert any(sentence.overlaps(span) for span in question.evidence)
            n_pointers += 1
        assert len(episode.queries) == (2 if trace.kind == "again" else 1)
    assert n_pointers > 5


def test_traces_that_report_none_show_neither_evidence_nor_answer(
    built: tuple[list[Trace], TraceCounts], pool: PassagePool
) -> None:
    kinds = set()
    for trace in built[0]:
        if trace.kind not in ("withheld", "exhausted", "unanswerable"):
            continue
        episode = replayed(trace, pool)
        question = BY_ID[trace.question_id]
        assert episode.abstained
        assert episode.passages
        for passage in episode.passages:
            assert not any(span.overlaps(passage) for span in question.evidence)
            words = normalise_answer(passage.text).split()
            assert not any(normalise_answer(answer) in words for answer in question.answers)
        kinds.add(trace.kind)
    assert kinds == {"withheld", "exhausted", "unanswerable"}


def test_only_actions_are_trained(built: tuple[list[Trace], TraceCounts]) -> None:
    for trace in built[0]:
        for text, trained in trace.segments:
            assert trained == text.startswith(("<report>", "<search>"))
        assert trace.segments[-1][1]
        assert "<report>." not in trace.text  # as the documents write it


def test_the_seed_decides(pool: PassagePool, built: tuple[list[Trace], TraceCounts]) -> None:
    config = TraceConfig(withheld_share=0.3, again_share=1.0, shuffled_share=0.5, noisy_share=0.0)
    again = build_traces(QUESTIONS, pool, config, depth=len(pool.passages))
    assert again == built
    other = build_traces(QUESTIONS, pool, TraceConfig(seed=5), depth=len(pool.passages))
    assert other[0] != built[0]


def test_reading_puts_the_evidence_at_any_place_among_other_documents(pool: PassagePool) -> None:
    config = TraceConfig(
        reading=True, withheld_share=0.0, noisy_share=0.0, fewest_passages=3, most_passages=3
    )
    traces, counts = build_traces(QUESTIONS[: len(NAMES) * len(THINGS)], pool, config)
    assert counts.built["reading"] == len(traces) > 40
    places = set()
    for trace in traces:
        episode = replayed(trace, pool)
        evidence = BY_ID[trace.question_id].evidence
        holds = [any(span.overlaps(p) for span in evidence) for p in episode.passages]
        assert sum(holds) >= 1
        places.add(holds.index(True))
        others = [p.document_id for p, held in zip(episode.passages, holds, strict=True) if not held]
        assert evidence[0].document_id not in others
    assert places == {0, 1, 2}


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((), "answer missing or too long"),
        (("  ",), "answer missing or too long"),
        (("x" * 300,), "answer missing or too long"),
    ],
)
def test_a_question_without_a_usable_answer_is_refused(
    pool: PassagePool, answers: tuple[str, ...], reason: str
) -> None:
    question = Question("q", "When?", answers, QUESTIONS[0].evidence)
    traces, counts = build_traces([question], pool, TraceConfig(withheld_share=0.0))
    assert traces == []
    assert dict(counts.refused) == {reason: 1}


def test_an_answer_that_spells_markup_is_escaped_in_the_trace(tmp_path: Path, pool: PassagePool) -> None:
    text = "It is written as <report> in the file. Nothing else is."
    start = text.index("<report>")
    passages = [Passage("m", "Markup", (), 0, len(text), text)]
    small = PassagePool(passages, pool.vectors[:1], pool.encoder)
    question = Question("q", "How is it written?", ("<report>\u2028⟦1⟧",), (Span("m", start, start + 8),))
    (trace,), _ = build_traces([question], small, TraceConfig(withheld_share=0.0))
    assert trace.segments[-1][0] == "<report> ‹report> [1]⟦1⟧</report>"
    write_traces(tmp_path / "traces.jsonl", [trace])
    assert read_traces(tmp_path / "traces.jsonl") == [trace]


def test_the_answer_most_annotators_gave_is_preferred() -> None:
    assert preferred_answer(Question("q", "?", ("the cat", "dog", "Cat!", "A cat"))) == "Cat!"
    assert preferred_answer(Question("q", "?")) == ""


def test_other_queries_are_content_words_and_titles_and_never_the_question_itself() -> None:
    passages = [Passage("d", title, (), 0, 1, "x") for title in ("Bees", "", "Bees", "Wasps")]
    assert rewritten_queries("What do the bees make?", passages) == ["bees make", "Bees bees make"]
    assert rewritten_queries("bees make", []) == []
    assert rewritten_queries("What is the?", []) == []


def test_shares_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="withheld_share"):
        TraceConfig(withheld_share=1.5)
    with pytest.raises(ConfigError, match="fewest_passages=6"):
        TraceConfig(fewest_passages=6)


def test_a_broad_question_gets_a_finding_for_each_piece_of_evidence_that_is_shown() -> None:
    parts = [
        "The dam was built in stages, the first of which took the river out of its bed for eleven years and was "
        "paid for by the towns below it.",
        "Two of its gates are older.",
        "No one lives on the island.",
    ]
    text = "\n".join([*parts, "Ducks come in winter."])
    starts = [text.index(part) for part in parts]
    document = Document("dam", "The dam", text)
    evidence = tuple(Span("dam", start, start + len(part)) for start, part in zip(starts, parts, strict=True))
    question = Question("q", "What is known of the dam?", ("much",), evidence, kind="long")
    config = TraceConfig(
        several=True,
        withheld_share=0.0,
        shuffled_share=0.0,
        fewest_passages=4,
        most_passages=4,
        noisy_share=0.0,
    )
    (trace,), counts = build_traces([question], PassagePool.build([document], [LinePrep()]), config)
    assert counts.built == {"several": 1}
    episode = Episode(question.question, EpisodeLimits(passages_per_search=4))
    episode.give(PassagePool.build([document], [LinePrep()]).search([question.question], 4)[0])
    episode.act(trace.segments[-1][0])
    assert [claim.statement for claim in episode.claims][1:] == parts[1:]
    for claim, span in zip(episode.claims, evidence, strict=True):
        assert claim.statement in text
        assert len(claim.statement) <= 140
        assert all(episode.sentences[pointer - 1].overlaps(span) for pointer in claim.pointers)


def test_a_broad_question_is_searched_for_again_where_that_finds_more() -> None:
    """The second query, the question's content words, shows the two parts that the first results had no room for."""
    parts = [f"The dam was built in stage {i}." for i in range(4)]
    text = "\n".join([*parts, *(f"Ducks come in winter {i}." for i in range(4))])
    document = Document("dam", "Works", text)
    evidence = tuple(Span("dam", text.index(part), text.index(part) + len(part)) for part in parts)
    question = Question("q", "In which stages was the dam built?", ("four",), evidence, kind="long")
    config = TraceConfig(
        several=True,
        more_share=1.0,
        withheld_share=0.0,
        shuffled_share=0.0,
        noisy_share=0.0,
        fewest_passages=2,
        most_passages=2,
    )
    pool = PassagePool.build([document], [LinePrep()])
    (trace,), counts = build_traces([question], pool, config)
    assert counts.built == {"more": 1}
    assert trace.text.count("<search>") == 1
    assert trace.text.count("<results>") == 2
    report = trace.segments[-1][0]
    assert report.count("\n") == 3
    assert all(f" {part}⟦" in report for part in parts)
    (once,), _ = build_traces([question], pool, replace(config, more_share=0.0))
    assert once.text.count("<results>") == 1
    assert once.segments[-1][0].count("\n") == 1


def test_of_long_evidence_each_passage_gives_its_best_sentences() -> None:
    paragraphs = [
        f"So. Well then. The {what} was moved to May. Fine. They agreed that the {what} costs {price} marks. Right."
        for what, price in (("launch", 30), ("party", 40))
    ]
    text = "\n".join([*paragraphs, "Somebody coughed."])
    document = Document("m", "Meeting", text)
    evidence = (Span("m", 0, len(text) - len("\nSomebody coughed.")),)
    answer = "The launch and the party were moved to May; what each costs."
    question = Question("q", "Summarise what they agreed on.", (answer,), evidence, kind="long")
    config = TraceConfig(
        several=True, withheld_share=0.0, shuffled_share=0.0, noisy_share=0.0, max_pointers=2
    )
    pool = PassagePool.build([document], [LinePrep()])
    (trace,), _ = build_traces([question], pool, config)
    episode = Episode(question.question, EpisodeLimits(passages_per_search=3))
    episode.give(pool.search([question.question], 3)[0])
    episode.act(trace.segments[-1][0])
    assert len(episode.claims) == 2
    for claim in episode.claims:
        said = [text[s.start : s.end] for s in (episode.sentences[n - 1] for n in claim.pointers)]
        assert ["moved to May" in said[0], "costs" in said[1]] == [True, True]
        assert claim.statement == said[1].strip()  # it says more of what is asked


def test_a_finding_states_rather_than_asks_and_without_remarks_on_how_it_was_said() -> None:
    text = (
        "What did they agree on for the launch?\n{laugh} They {pause} moved the launch to the first of May.\n"
    )
    question = Question("q", "What did they agree on?", ("to move",), (Span("m", 0, len(text)),), kind="long")
    config = TraceConfig(several=True, withheld_share=0.0, noisy_share=0.0)
    passage = Passage("m", "Meeting", (), 0, len(text), text)
    prep = LinePrep()
    pool = PassagePool([passage], prep.vector(text)[None], prep)
    (trace,), _ = build_traces([question], pool, config)
    assert trace.segments[-1][0] == "<report> They moved the launch to the first of May.⟦1⟧⟦2⟧</report>"


def test_a_hop_searches_for_what_the_first_results_name() -> None:
    """The river stands with the question's words, its source in a document that only the first one names."""
    river = Document(
        "r", "Ambel", "The river of the old mill town is the Ambel, and it comes from Lake Toma.\n"
    )
    lake = Document("l", "Lake Toma (lake)", "It lies 2,345 metres above the sea.\n")
    others = [Document(f"o{i}", f"Town {i}", f"The old mill town {i} has a river.\n") for i in range(4)]
    pool = PassagePool.build([river, lake, *others], [LinePrep()])
    evidence = (Span("r", 0, 70), Span("l", 0, 30))
    question = Question(
        "q", "How high does the river of the old mill town rise", ("2,345 metres",), evidence, kind="multihop"
    )
    config = TraceConfig(withheld_share=0.0, fewest_passages=2, most_passages=2, noisy_share=0.0)
    (trace,), counts = build_traces([question], pool, config)
    assert counts.built == {"hop": 1}
    assert "<search> Lake Toma</search>" in trace.text
    assert trace.segments[-1][0].startswith("<report> 2,345 metres⟦")
    assert trace.segments[-1][0].count("⟦") == 2  # what names the lake, and what is said of it
    unnamed = Document(
        "r", "Ambel", "The river of the old mill town is the Ambel, from a lake far up in the hills.\n"
    )
    pool = PassagePool.build([unnamed, lake, *others], [LinePrep()])
    assert build_traces([question], pool, config)[1].refused == {"evidence not found": 1}


def test_evidence_kept_out_of_the_first_results_is_searched_for_again(pool: PassagePool) -> None:
    questions = QUESTIONS[: len(NAMES) * len(THINGS)]
    config = TraceConfig(withheld_share=0.0, again_share=0.0, missed_share=1.0, noisy_share=0.0)
    traces, counts = build_traces(questions, pool, config, depth=len(pool.passages))
    assert counts.built["again"] > len(questions) / 2
    assert set(counts.built) <= {"again", "exhausted"}
    for trace in traces:
        episode = replayed(trace, pool)
        evidence = BY_ID[trace.question_id].evidence
        n_first = sum(block(passage) in NUMBER.sub("", trace.segments[0][0]) for passage in episode.passages)
        assert n_first > 0
        assert not any(span.overlaps(p) for p in episode.passages[:n_first] for span in evidence)
        holds = any(span.overlaps(p) for p in episode.passages[n_first:] for span in evidence)
        assert holds == (trace.kind == "again")


def test_none_is_reported_after_another_search_where_it_persists(pool: PassagePool) -> None:
    questions = QUESTIONS[: len(NAMES) * len(THINGS)]
    config = TraceConfig(withheld_share=1.0, persistent_share=0.5, noisy_share=0.0)
    traces, counts = build_traces(questions, pool, config, depth=len(pool.passages))
    assert set(counts.built) == {"withheld", "exhausted"}
    assert min(counts.built.values()) > len(traces) / 4
    for trace in traces:
        episode = replayed(trace, pool)
        assert episode.abstained
        assert len(episode.queries) == (2 if trace.kind == "exhausted" else 1)
        for passage in episode.passages:
            assert not any(span.overlaps(passage) for span in BY_ID[trace.question_id].evidence)


def test_noise_spoils_only_what_holds_no_evidence(pool: PassagePool) -> None:
    config = TraceConfig(
        withheld_share=0.0, again_share=0.0, noisy_share=1.0, fewest_passages=3, most_passages=3
    )
    traces, _ = build_traces(QUESTIONS[: len(NAMES) * len(THINGS)], pool, config)
    blocks = [block(passage) for passage in pool.passages]
    spoilt = 0
    for trace in traces:
        shown = NUMBER.sub("", trace.text)
        whole = [passage for passage, text in zip(pool.passages, blocks, strict=True) if text in shown]
        spoilt += len(whole) < 3
        assert any(span.overlaps(p) for p in whole for span in BY_ID[trace.question_id].evidence)
    assert spoilt > 0.9 * len(traces)


def test_an_answer_stands_in_a_text_as_whole_words_or_as_characters() -> None:
    assert mentions("It was built in 1893, they say.", ["1893"])
    assert not mentions("It was built in 18931.", ["1893"])
    assert mentions("这座桥建于清朝末年。", ["清朝"])
    assert not mentions("这座桥很老。", ["清朝"])


def test_shares_are_checked() -> None:
    for name in (
        "withheld_share",
        "shuffled_share",
        "noisy_share",
        "again_share",
        "missed_share",
        "persistent_share",
    ):
        with pytest.raises(ConfigError, match=name):
            TraceConfig(**{name: 1.5})
