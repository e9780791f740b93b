"""The instruct baseline: what it says in the chat template, how it reads replies, and that it answers with reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tiny_models import make_llama
from transformers import AutoModelForCausalLM, AutoTokenizer

from prep.document import Document
from prep.errors import ConfigError
from prep.model.encoder import Encoder
from training.evaluation.baseline_prompts import INSTRUCT_PROMPTS, REFUSAL
from training.evaluation.baseline_rag import BaselineConfig, BaselineRAG, Completion
from training.evaluation.instruct_baseline import chat_format, instruct_baseline, parse_reply

PASSAGES = [("Bees", "Bees make honey\nfrom nectar."), ("", "Glass is melted sand.")]
DOCUMENTS = [
    Document("bees", "Bees", "Bees make honey from nectar. Honey keeps for years, as it holds little water."),
    Document("glass", "Glass", "Glass is made by melting sand with soda and lime. It cools slowly."),
]
QUESTION = "What do bees make honey from?"
TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A random Llama whose tokenizer has a chat template."""
    folder = make_llama(tmp_path_factory.mktemp("llama"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    return AutoModelForCausalLM.from_pretrained(folder).eval(), tokenizer


class Script:
    """A completer that says what it was told to, and remembers its prompts."""

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.prompts: list[str] = []

    def complete(self, prompts: Sequence[str]) -> list[Completion]:
        self.prompts.extend(prompts)
        return [Completion(self.reply, 100, 5) for _ in prompts]


@pytest.mark.parametrize("prompt", INSTRUCT_PROMPTS)
def test_a_prompt_asks_for_a_cited_answer_or_a_refusal_and_ends_where_the_model_replies(
    prompt: str, chat_model: tuple[Any, Any]
) -> None:
    text = chat_format(chat_model[1], prompt, language_model="tiny").write(QUESTION, PASSAGES)
    assert text.startswith("<|turn|>user\n")
    assert text.endswith("<|end|><|turn|>assistant\n" + ("Answer:" if prompt == "begun" else ""))
    asked = text.rsplit("<|turn|>user\n", 1)[1]
    assert "[1] Bees: Bees make honey from nectar.\n[2] Glass is melted sand." in asked
    assert f"Question: {QUESTION}" in asked
    assert f'say "{REFUSAL}"' in text
    assert "the number of the source in brackets" in text


@pytest.mark.parametrize("prompt", ["examples", "begun"])
def test_worked_examples_are_turns_with_a_refusal_among_them(prompt: str) -> None:
    messages = INSTRUCT_PROMPTS[prompt](QUESTION, PASSAGES)[:9]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 4 + ["user"]
    replies = [message["content"] for message in messages if message["role"] == "assistant"]
    assert [parse_reply(reply, 2) for reply in replies] == [
        ("sand", [2]),
        (None, []),
        ("holes of trees and walls", [1]),
        ("Anna Lindqvist", [1]),
    ]
    assert [reply for reply in replies if reply.endswith(REFUSAL)] == [replies[1]]


@pytest.mark.parametrize(
    ("reply", "parsed"),
    [
        ("sand [2]", ("sand", [2])),
        ("sand\n\n[2]", ("sand", [2])),
        ("Answer: sand [1, 2].", ("sand", [1, 2])),
        ("The answer is sand (source 2).", ("sand", [2])),
        ("The short answer is: sand [Source 1 and 2]", ("sand", [1, 2])),
        ("According to source [2], sand is melted.", ("sand is melted", [2])),
        ('"sand" [2]', ("sand", [2])),
        ("sand [7]", ("sand", [])),
        ("The answering machine [1]", ("The answering machine", [1])),
        ("(2) of the rules [1]", ("(2) of the rules", [1])),
        ("Not in the sources.", (None, [])),
        ("The price is not mentioned in the provided sources [1].", (None, [])),
        ("The sources do not say who did it.", (None, [])),
        ("Source 1 doesn't tell.", (None, [])),
        ("Unanswerable", (None, [])),
        ("I cannot answer this.", (None, [])),
        ("It is not kept in the fridge [1]", ("It is not kept in the fridge", [1])),
        ("", (None, [])),
    ],
)
def test_replies_are_read_generously(reply: str, parsed: tuple[str | None, list[int]]) -> None:
    assert parse_reply(reply, 3) == parsed


def test_a_reply_becomes_a_report_with_a_quote(chat_model: tuple[Any, Any]) -> None:
    script = Script("The answer is: nectar (source 1).")
    flow = BaselineRAG(
        DOCUMENTS,
        script,
        Encoder.load(),
        settings=BaselineConfig(min_score=-1.0, best_last=False),
        prompt_format=chat_format(chat_model[1], "instruction", language_model="Tiny-Instruct"),
    )
    report = flow.ask(QUESTION)
    assert (report.answer, [quote.text for quote in report.quotes]) == ("nectar", [DOCUMENTS[0].text[:28]])
    assert flow.name.startswith("baseline RAG with Tiny-Instruct (")
    assert script.prompts[0].endswith("assistant\n")
    script.reply = "That is not stated in the sources."
    refused = flow.ask(QUESTION)
    assert refused.abstained
    assert refused.findings == []


def test_a_real_chat_model_gives_valid_reports(chat_model: tuple[Any, Any]) -> None:
    model, tokenizer = chat_model
    settings = BaselineConfig(k=1, min_score=-1.0)
    flow = instruct_baseline(
        DOCUMENTS, model, tokenizer, Encoder.load(), language_model="tiny", settings=settings
    )
    (report,) = flow.ask_many([QUESTION])
    texts = {document.id: document.text for document in DOCUMENTS}
    assert 0 < report.usage.completion_tokens <= 48
    assert all(texts[quote.document_id][quote.start : quote.end] == quote.text for quote in report.quotes)


def test_an_unknown_prompt_is_refused(chat_model: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigError, match="prompt='poem' must be one of instruction"):
        chat_format(chat_model[1], "poem", language_model="tiny")
