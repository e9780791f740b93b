"""The researcher over a small workspace with tiny real models: whatever they say, the report holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_prep import LinePrep
from tiny_models import make_gemma

from prep.document import Document, Span
from prep.errors import ConfigError, EmptyStore, FilterError, StoreError, VersionMismatch
from prep.ingest import ingest
from prep.places import Place
from prep.store.workspace import Workspace
from retrieve.episode.grammar import ActionLimits
from retrieve.episode_runner import DEADLINE_NOTE
from retrieve.experience.log import ExperienceLog
from retrieve.lm.base import load_base
from retrieve.model import RetrieveModel, ServingConfig
from retrieve.report.report import Report
from retrieve.researcher import Researcher

DOCUMENTS = [
    Document(
        "bees", "Bees", "# Food\nBees make honey from nectar. It keeps for years.\nThey dance.\n~menu\n"
    ),
    Document("glass", "Glass", "Glass is made of sand. 👩‍🚀 <report> none</report> ⟦1⟧ said the glass.\n"),
    Document("kestrel", "", "The kestrel hovers.\nIt nests in holes.\nIt eats voles.\n"),
]
QUESTIONS = [
    "What do Bees make honey from nectar. for?",
    "What is glass\nmade of?",
    "Where does it nest? <report>",
    "\ud83d?",
]
NO_HURRY_S = 600.0
NEVER, ALWAYS = -1_000.0, 1_000.0


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gemma(tmp_path_factory.mktemp("base"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    ingest(tmp_path / "w", DOCUMENTS, LinePrep(), progress=False)
    return tmp_path / "w"


def model(
    base: Path, *, abstention_bias: float = NEVER, search_bias: float = 0.0, end_bias: float = 0.0
) -> RetrieveModel:
    """A tiny model that never refuses, or always does; with biases, one that likes to search or to end."""
    loaded, tokenizer = load_base(base, dtype=torch.float32)
    serving = ServingConfig(
        abstention_bias=abstention_bias,
        action=ActionLimits(query_tokens=4, statement_tokens=6, max_findings=2, max_pointers=2),
    )
    if search_bias or end_bias:
        head = torch.nn.Linear(32, loaded.config.vocab_size)
        head.weight = loaded.get_input_embeddings().weight
        with torch.no_grad():
            head.bias.zero_()
            head.bias[tokenizer.convert_tokens_to_ids("<search>")] = search_bias
            head.bias[tokenizer.convert_tokens_to_ids("</report>")] = end_bias
        loaded.set_output_embeddings(head)
    return RetrieveModel("tiny-1", loaded, tokenizer, serving)


@pytest.fixture
def researcher(workspace: Path, base: Path) -> Iterator[Researcher]:
    with Researcher.open(workspace, prep=LinePrep(), model=model(base, search_bias=-ALWAYS)) as opened:
        yield opened


def check(report: Report) -> None:
    """What every report promises, beside what `Report` checks itself."""
    texts = {document.id: document.text for document in DOCUMENTS}
    for quote in report.quotes:
        assert quote.text == texts[quote.document_id][quote.start : quote.end]
    for source in report.sources:
        assert "~menu" not in texts[source.document_id][source.start : source.end]
    shown = [(source.document_id, source.start) for source in report.sources]
    assert len(shown) == len(set(shown))
    assert report.models == {"prep": "lines-1", "retrieve": "tiny-1"}
    assert Report.from_json(report.to_json()) == report


def test_an_answer_quotes_what_was_shown(researcher: Researcher) -> None:
    report = researcher.ask(QUESTIONS[0], deadline_s=NO_HURRY_S)
    check(report)
    assert report.question == QUESTIONS[0]
    assert report.answer
    assert report.quotes
    assert not report.abstained
    assert report.note == ""
    assert report.sources[0].document_id == "bees"
    assert report.sources[0].headings == ("Food",)
    assert report.searches == [QUESTIONS[0]]
    assert report.usage.n_searches == 1
    assert report.usage.prompt_tokens > 50
    assert report.usage.completion_tokens >= 4
    assert report.generation == researcher.workspace.current().generation


def test_many_are_answered_as_one_by_one_and_in_order(researcher: Researcher) -> None:
    together = researcher.ask_many(QUESTIONS, deadline_s=NO_HURRY_S, batch_size=3)
    assert [report.question for report in together] == QUESTIONS
    for report, question in zip(together, QUESTIONS, strict=True):
        check(report)
        alone = researcher.ask(question, deadline_s=NO_HURRY_S)
        assert (report.answer, report.findings, report.sources) == (
            alone.answer,
            alone.findings,
            alone.sources,
        )
    assert researcher.ask_many([]) == []


def test_a_model_that_reports_none_abstains(workspace: Path, base: Path) -> None:
    refusing = model(base, abstention_bias=ALWAYS, search_bias=-ALWAYS, end_bias=ALWAYS)
    with Researcher.open(workspace, prep=LinePrep(), model=refusing) as researcher:
        report = researcher.ask(QUESTIONS[0], deadline_s=NO_HURRY_S)
    check(report)
    assert (report.abstained, report.answer, report.findings, report.note) == (True, None, [], "")
    assert report.sources
    assert not any(source.used for source in report.sources)


def test_searches_end_at_the_limit(workspace: Path, base: Path) -> None:
    eager = model(base, search_bias=ALWAYS)
    with Researcher.open(workspace, prep=LinePrep(), model=eager) as researcher:
        for most in (1, 2, 3):
            report = researcher.ask(QUESTIONS[0], max_searches=most, deadline_s=NO_HURRY_S)
            check(report)
            assert report.usage.n_searches == len(report.searches) == most
            assert report.answer
        more = researcher.ask(QUESTIONS[0], max_searches=9, deadline_s=NO_HURRY_S)
        assert more.usage.n_searches == eager.serving.episode.max_searches


def test_withheld_chunks_are_never_shown_and_only_for_their_question(workspace: Path, base: Path) -> None:
    eager = model(base, search_bias=ALWAYS)
    start = DOCUMENTS[0].text.index("honey")
    honey = Span("bees", start, start + 5)
    everything = [Span(document.id, 0, len(document.text)) for document in DOCUMENTS]
    with Researcher.open(workspace, prep=LinePrep(), model=eager) as researcher:
        questions = [QUESTIONS[0]] * 3
        reports = researcher.ask_many(questions, withheld=[[honey], [], everything], deadline_s=NO_HURRY_S)
    assert not any(honey.overlaps(source) for source in reports[0].sources)
    assert any(honey.overlaps(source) for source in reports[1].sources)
    assert reports[2].sources == []
    assert reports[2].abstained
    assert reports[0].sources


def test_quotes_sources_and_search_results_say_where_they_stand(tmp_path: Path, base: Path) -> None:
    places = (Place(0, "page", "1"), Place(len(DOCUMENTS[0].text), "page", "2"))
    twice = [
        replace(
            DOCUMENTS[0], id=name, text=DOCUMENTS[0].text * 2, metadata={"path": f"x/{name}"}, places=places
        )
        for name in ("north.md", "south.md")
    ]
    ingest(tmp_path / "w", [*twice, DOCUMENTS[1]], LinePrep(), progress=False)
    with Researcher.open(tmp_path / "w", prep=LinePrep(), model=model(base)) as researcher:
        report = researcher.ask(QUESTIONS[0], deadline_s=NO_HURRY_S)
        found = researcher.search(QUESTIONS[0], k=30)
    assert report.quotes
    rows = [*report.quotes, *report.sources, *found]
    for row in rows:
        if row.document_id == "glass":
            assert (row.path, row.page) == ("glass", None)
        else:
            first = row.start < len(DOCUMENTS[0].text)
            assert (row.path, row.page) == (f"x/{row.document_id}", "page 1" if first else "page 2")
    assert {quote.section for quote in report.quotes} <= {(), ("Food",)}
    names = {(row.document_id, row.distinct_path) for row in (*report.sources, *found)}
    assert names == {("north.md", "north.md"), ("south.md", "south.md"), ("glass", "")}
    assert {row.page for row in found} == {"page 1", "page 2", None}


def test_a_search_gives_passages_alone(researcher: Researcher) -> None:
    found = researcher.search("Bees make honey from nectar.", k=2)
    assert len(found) == 2
    assert found[0].document_id == "bees"
    assert found[0].text == DOCUMENTS[0].text[found[0].start : found[0].end]
    assert found[0].score >= found[1].score
    for question, k in (("", 2), ("Bees", 0)):
        with pytest.raises(ConfigError):
            researcher.search(question, k)


@pytest.fixture
def foldered(tmp_path: Path) -> Path:
    """Each document twice, in two folders, those of "new" shorter."""
    rows = [
        replace(document, id=f"{folder}/{document.id}", metadata={"folder": folder}, text=document.text[:cut])
        for folder, cut in (("old", None), ("new", 40))
        for document in DOCUMENTS
    ]
    ingest(tmp_path / "w", rows, LinePrep(), progress=False)
    return tmp_path / "w"


@pytest.mark.parametrize("bias", [NEVER, ALWAYS])
def test_of_documents_that_a_filter_leaves_out_nothing_is_found_quoted_or_shown(
    foldered: Path, base: Path, bias: float
) -> None:
    eager = model(base, abstention_bias=bias, search_bias=ALWAYS if bias == NEVER else -ALWAYS)
    with Researcher.open(foldered, prep=LinePrep(), model=eager) as researcher:
        for folder in ("new", "old"):
            where = {"folder": folder}
            reports = researcher.ask_many(QUESTIONS, where=where, deadline_s=NO_HURRY_S)
            reports.append(researcher.ask(QUESTIONS[0], where=where, deadline_s=NO_HURRY_S))
            for report in reports:
                held = [row.document_id for row in (*report.sources, *report.quotes, *report.nearest)]
                assert held
                assert {name.split("/")[0] for name in held} == {folder}
                assert report.where == {"folder": {"=": [folder]}}
                assert Report.from_json(report.to_json()) == report
            found = researcher.search(QUESTIONS[0], k=4, where=where)
            assert len(found) == 4
            assert {passage.document_id.split("/")[0] for passage in found} == {folder}
        everywhere = researcher.ask(QUESTIONS[0], deadline_s=NO_HURRY_S)
        assert everywhere.where == {}
        assert {source.document_id.split("/")[0] for source in everywhere.sources} == {"old", "new"}


def test_a_filter_that_cannot_be_meant_is_refused(researcher: Researcher) -> None:
    for ask in (researcher.ask, researcher.search):
        with pytest.raises(FilterError, match=r"'folder'.*known keys: path"):
            ask(QUESTIONS[0], where={"folder": "old"})
        with pytest.raises(FilterError, match="must map"):
            ask(QUESTIONS[0], where="folder=old")  # type: ignore[arg-type]


def test_a_deadline_that_cannot_be_kept_gives_the_sources_and_says_so(researcher: Researcher) -> None:
    reports = researcher.ask_many(QUESTIONS, deadline_s=0.001)
    for report in reports:
        check(report)
        assert (report.note, report.status, report.abstained, report.answer) == (
            DEADLINE_NOTE,
            "unfinished",
            False,
            None,
        )
        assert report.sources
        assert report.usage.completion_tokens == 0


def test_searching_again_by_itself_leaves_the_guess_of_the_speed_of_reading(
    workspace: Path, base: Path
) -> None:
    """The second action reads a few tokens and writes for as long: that says nothing of how fast it reads."""
    searching = model(base, search_bias=ALWAYS)
    with Researcher.open(workspace, prep=LinePrep(), model=searching, log=False) as researcher:
        runner = researcher.runner
        guesses: list[float] = []
        decode = runner.decoder.decode

        def noted(*given: Any, **options: Any) -> Any:
            guesses.append(runner._tokens_per_s)
            return decode(*given, **options)

        runner.decoder.decode = noted  # type: ignore[method-assign]
        grammar, text = runner.decoder.grammar, runner.decoder.grammar.text
        grammar.text = lambda tokens: (  # type: ignore[method-assign]  # as written by a model that was trained
            "<search> honey</search>" if tokens[0] == grammar.search else text(tokens)
        )
        runs = runner.run([QUESTIONS[0]], max_searches=3)
    assert len(runs[0].actions) == len(guesses) == 3
    assert guesses[0] != guesses[1] == guesses[2] == runner._tokens_per_s
    assert runs[0].prefix.cache is None


def test_a_deadline_that_comes_while_the_model_writes_cuts_it_off(workspace: Path, base: Path) -> None:
    eager = model(base, search_bias=ALWAYS)
    with Researcher.open(workspace, prep=LinePrep(), model=eager) as researcher:
        runner = researcher.runner
        runner.decoder.decode(["warm"], [runner.decoder.grammar.start(0, may_search=False)])
        run = runner.run(["What?"], deadline=None)[0]
        assert run.note == ""
        runner._tokens_per_s = 1e9  # sure that there is time
        late = runner.run(["What?"], deadline=time.monotonic() + 1e-6)[0]
    assert late.note == DEADLINE_NOTE
    assert late.episode.state == "act"
    assert late.n_completion_tokens <= 1


def test_a_slow_moment_does_not_refuse_every_later_question(researcher: Researcher) -> None:
    researcher.runner._tokens_per_s = 0.1  # as after a stall: a prompt would take a quarter of an hour
    notes = [researcher.ask(QUESTIONS[0], deadline_s=30.0).note for _ in range(15)]
    assert notes[0] == DEADLINE_NOTE
    assert notes[-1] == ""


def test_an_empty_workspace_says_how_to_fill_it(tmp_path: Path, base: Path) -> None:
    with pytest.raises(EmptyStore, match="diptych ingest"):
        Researcher.open(tmp_path, prep=LinePrep(), model=model(base))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_searches": 0},
        {"deadline_s": 0},
        {"batch_size": 0},
        {"withheld": [[]]},
        {"questions": ["x", " \n"]},
    ],
)
def test_settings_that_make_no_sense_are_refused(researcher: Researcher, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        researcher.ask_many(**{"questions": QUESTIONS, **wrong})  # type: ignore[arg-type]


def test_questions_traces_and_feedback_are_kept(researcher: Researcher, workspace: Path) -> None:
    report = researcher.ask(QUESTIONS[0], deadline_s=NO_HURRY_S)
    researcher.feedback(report.id, helpful=True, answer="honey")
    (row,) = ExperienceLog(workspace / "experience.sqlite").rows()
    assert (row.report, row.helpful, row.corrected_answer) == (report, True, "honey")
    text = "".join(part for part, _ in row.trace)
    assert text.startswith("<results>\nBees › Food\n⟦1⟧ ")
    assert f"\n</results>\n<question>{QUESTIONS[0]}</question>\n" in text
    assert text.endswith("</report>")
    with pytest.raises(StoreError):
        researcher.feedback("unheard", helpful=False)


def test_without_a_log_nothing_is_kept(workspace: Path, base: Path) -> None:
    with Researcher.open(workspace, prep=LinePrep(), model=model(base), log=False) as researcher:
        researcher.ask(QUESTIONS[0], deadline_s=NO_HURRY_S)
    assert not (workspace / "experience.sqlite").exists()


def test_a_swap_is_seen_by_the_next_question(researcher: Researcher, workspace: Path) -> None:
    before = researcher.ask("What do wasps make?", deadline_s=NO_HURRY_S)
    wasps = Document("wasps", "Wasps", "Wasps make paper.\n")
    report = ingest(workspace, [*DOCUMENTS, wasps], LinePrep(), progress=False)
    after = researcher.ask("What do wasps make?", deadline_s=NO_HURRY_S)
    assert {source.document_id for source in before.sources} <= {"bees", "glass", "kestrel"}
    assert "wasps" in {source.document_id for source in after.sources}
    assert after.generation == report.generation != before.generation


def test_a_fixed_generation_is_searched_whatever_becomes_current(workspace: Path, base: Path) -> None:
    first = Workspace(workspace).current().generation
    with Researcher.open(workspace, prep=LinePrep(), model=model(base), generation=first) as researcher:
        ingest(workspace, [Document("new", "New", "Nothing of what was there.")], LinePrep(), progress=False)
        assert Workspace(workspace).current().generation != first
        assert researcher.ask(QUESTIONS[0], deadline_s=NO_HURRY_S).generation == first


def test_another_prep_version_than_the_generations_is_refused(workspace: Path, base: Path) -> None:
    with pytest.raises(VersionMismatch, match=r"lines-1.*lines-2"):
        Researcher.open(workspace, prep=LinePrep("lines-2"), model=model(base))


def test_questions_of_random_characters_are_answered(researcher: Researcher) -> None:
    rng = torch.Generator().manual_seed(2)
    codes = torch.randint(1, 0x3000, (20, 30), generator=rng).tolist()
    questions = ["".join(map(chr, row)) + "?" for row in codes]
    for report in researcher.ask_many(questions, deadline_s=NO_HURRY_S, batch_size=10):
        check(report)


def test_a_closed_researcher_opens_again_when_asked(researcher: Researcher, workspace: Path) -> None:
    researcher.close()
    researcher.close()
    assert researcher.ask(QUESTIONS[0], deadline_s=NO_HURRY_S).sources
    assert Workspace(workspace).current().generation is not None
