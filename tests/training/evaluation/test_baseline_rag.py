"""Baseline RAG: what it shows, how it reads an answer, and that its reports hold what they say."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from prep.document import Document, Span
from prep.errors import ConfigError, DataError
from prep.model.encoder import Encoder
from training.evaluation.baseline_prompts import PROMPTS
from training.evaluation.baseline_rag import (
    BaselineConfig,
    BaselineRAG,
    Completion,
    GreedyCompleter,
    parse_answer,
)

DOCUMENTS = [
    Document("bees", "Bees", "Bees make honey from nectar. Honey keeps for years, as it holds little water."),
    Document("glass", "Glass", "Glass is made by melting sand with soda and lime. It cools slowly."),
    Document("kestrel", "Kestrel", "The kestrel hovers to look for voles. It nests in holes of trees."),
]
QUESTION = "What do bees make honey from?"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load()


class Script:
    """A completer that says what it was told to, and remembers its prompts."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.prompts: list[str] = []

    def complete(self, prompts: Sequence[str]) -> list[Completion]:
        self.prompts.extend(prompts)
        return [Completion(self.lines.pop(0), 100, 5) for _ in prompts]


def baseline(encoder: Encoder, script: Script, **settings: object) -> BaselineRAG:
    chosen = BaselineConfig(**{"min_score": -1.0, "best_last": False} | settings)  # type: ignore[arg-type]
    return BaselineRAG(DOCUMENTS, script, encoder, settings=chosen)


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("sand [2]", ("sand", [2])),
        ("sand [2][1] [2].", ("sand", [2, 1])),
        ("[3] holes of trees", ("holes of trees", [3])),
        ("sand [7] [0]", ("sand", [])),
        ("Unanswerable.", (None, [])),
        ("unanswerable [1]", (None, [])),
        ("[1]", (None, [])),
        ("", (None, [])),
        ("[sic] 1,500 degrees", ("[sic] 1,500 degrees", [])),
    ],
)
def test_answers_and_citations_are_read_from_one_line(
    line: str, parsed: tuple[str | None, list[int]]
) -> None:
    assert parse_answer(line, 3) == parsed


def test_a_cited_chunk_becomes_the_sentence_that_holds_the_answer(encoder: Encoder) -> None:
    report = baseline(encoder, Script("NECTAR [1]")).ask(QUESTION)
    assert report.answer == "NECTAR"
    assert [q.text for q in report.quotes] == ["Bees make honey from nectar."]
    assert [s.used for s in report.sources] == [True, False, False]
    assert (report.usage.prompt_tokens, report.usage.completion_tokens, report.usage.n_searches) == (
        100,
        5,
        1,
    )


def test_a_cited_chunk_without_the_answer_is_quoted_whole(encoder: Encoder) -> None:
    report = baseline(encoder, Script("pollen [1]")).ask(QUESTION)
    assert [q.text for q in report.quotes] == [DOCUMENTS[0].text]


def test_an_uncited_answer_is_credited_with_the_chunk_that_contains_it(encoder: Encoder) -> None:
    assert [q.document_id for q in baseline(encoder, Script("nectar")).ask(QUESTION).quotes] == ["bees"]
    report = baseline(encoder, Script("concrete")).ask(QUESTION)
    assert (report.answer, report.quotes, report.findings[0].supported) == ("concrete", [], False)


def test_a_wrong_citation_gives_way_to_a_chunk_that_contains_the_answer(encoder: Encoder) -> None:
    report = baseline(encoder, Script("nectar [2]")).ask(QUESTION)
    assert [q.text for q in report.quotes] == ["Bees make honey from nectar."]
    both = baseline(encoder, Script("nectar [2] [1]")).ask(QUESTION)
    assert [q.document_id for q in both.quotes] == ["bees"]


def test_unanswerable_is_an_abstention(encoder: Encoder) -> None:
    report = baseline(encoder, Script("unanswerable")).ask(QUESTION)
    assert report.abstained
    assert report.findings == []
    assert len(report.sources) == 3


def test_withheld_spans_are_never_shown(encoder: Encoder) -> None:
    script = Script("unanswerable", "nectar [1]")
    bees = Span("bees", 21, 27)
    reports = baseline(encoder, script).ask_many([QUESTION, QUESTION], withheld=[[bees], []])
    shown = [{source.document_id for source in report.sources} for report in reports]
    assert shown == [{"glass", "kestrel"}, {"bees", "glass", "kestrel"}]
    assert sum("from nectar. Honey keeps for years, as it holds" in prompt for prompt in script.prompts) == 1


def test_reports_come_in_the_order_of_the_questions(encoder: Encoder) -> None:
    questions = ["Where does the kestrel nest, and why there and nowhere else at all?", QUESTION, "Glass?"]
    reports = baseline(encoder, Script(*["unanswerable"] * 3), batch_size=2).ask_many(questions)
    assert [report.question for report in reports] == questions


@pytest.mark.parametrize("best_last", [False, True])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_numbers_in_the_prompt_are_the_numbers_cited(encoder: Encoder, prompt: str, best_last: bool) -> None:
    number = 3 if best_last else 1
    script = Script(f"x [{number}]")
    report = baseline(encoder, script, prompt=prompt, best_last=best_last).ask(QUESTION)
    assert f"[{number}] Bees: {DOCUMENTS[0].text}" in script.prompts[0]
    assert [q.document_id for q in report.quotes] == ["bees"]
    assert [s.score for s in report.sources] == sorted((s.score for s in report.sources), reverse=True)


def test_a_question_unlike_every_chunk_can_be_refused_without_the_model(encoder: Encoder) -> None:
    script = Script()
    report = baseline(encoder, script, min_score=2.0).ask(QUESTION)
    assert report.abstained
    assert report.usage.prompt_tokens == 0
    assert script.prompts == []


def test_refused_questions_do_not_reach_a_real_language_model(
    encoder: Encoder, tiny_lm: tuple[LlamaForCausalLM, PreTrainedTokenizerFast]
) -> None:
    settings = BaselineConfig(min_score=0.5, batch_size=1)
    flow = BaselineRAG(DOCUMENTS, GreedyCompleter(*tiny_lm, max_tokens=4), encoder, settings=settings)
    unlike, like = flow.ask_many(["Zebra tax of 1653?", QUESTION])
    assert unlike.abstained
    assert unlike.usage.prompt_tokens == 0
    assert like.usage.prompt_tokens > 0


def test_bad_settings_and_empty_corpora_are_refused(encoder: Encoder) -> None:
    with pytest.raises(ConfigError, match="prompt='poem'"):
        BaselineConfig(prompt="poem")
    with pytest.raises(ConfigError, match="k=0"):
        BaselineConfig(k=0)
    with pytest.raises(DataError, match="no document has any text"):
        BaselineRAG([Document("d", "", " ")], Script(), encoder)
    with pytest.raises(DataError, match="1 rows for 2 questions"):
        baseline(encoder, Script()).ask_many(["a?", "b?"], withheld=[[]])


@pytest.fixture(scope="module")
def tiny_lm() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A random causal LM over bytes, small enough to make in a moment."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=4096,
    )
    return LlamaForCausalLM(config).eval(), tokenizer


def test_batched_decoding_gives_what_single_decoding_gives(
    tiny_lm: tuple[LlamaForCausalLM, PreTrainedTokenizerFast],
) -> None:
    completer = GreedyCompleter(*tiny_lm, max_tokens=12)
    prompts = ["A question?", "Another, much longer question than the first one?"]
    together = completer.complete(prompts)
    assert together == [completer.complete([prompt])[0] for prompt in prompts]
    assert [c.prompt_tokens for c in together] == [len(prompt) for prompt in prompts]
    assert all(0 < c.completion_tokens <= 12 and "\n" not in c.text for c in together)


def test_a_real_language_model_gives_valid_reports(
    encoder: Encoder, tiny_lm: tuple[LlamaForCausalLM, PreTrainedTokenizerFast]
) -> None:
    completer = GreedyCompleter(*tiny_lm, max_tokens=8)
    flow = BaselineRAG(
        DOCUMENTS, completer, encoder, settings=BaselineConfig(k=1, min_score=-1.0, batch_size=2)
    )
    reports = flow.ask_many([QUESTION, "Where does the kestrel nest?"])
    texts = {document.id: document.text for document in DOCUMENTS}
    for report in reports:
        assert report.usage.completion_tokens <= 8
        assert all(texts[q.document_id][q.start : q.end] == q.text for q in report.quotes)
