"""Baseline RAG with an instruction-tuned model: the same search and passages, a chat template, its own way of refusing.

Splitting, search, quotes and crediting are those of `training.evaluation.baseline_rag`. Replies are read generously: a
lead-in ("The answer is"), citations such as "(source 2)", and refusals in other words than asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from prep.document import Document
from prep.errors import ConfigError
from training.evaluation.baseline_prompts import INSTRUCT_PROMPTS
from training.evaluation.baseline_rag import (
    BaselineConfig,
    BaselineRAG,
    GreedyCompleter,
    PromptFormat,
    parse_answer,
)

if TYPE_CHECKING:
    from prep.model.encoder import Encoder

__all__ = ["INSTRUCT_PROMPT", "INSTRUCT_SETTINGS", "chat_format", "instruct_baseline", "parse_reply"]

#: The best of the prompts and settings tried on 30 training questions (LOG.md).
INSTRUCT_PROMPT = "begun"
INSTRUCT_SETTINGS = BaselineConfig(k=2)

_NUMBERS = r"(\d+(?:\s*(?:,|;|and)\s*\d+)*)"
_CITATION = re.compile(
    rf"\[\s*(?:sources?|passages?)?\s*{_NUMBERS}\s*\]|\(\s*(?:sources?|passages?)\s+\[?{_NUMBERS}\]?\s*\)",
    re.IGNORECASE,
)
_LEAD_IN = re.compile(
    r"^(?:(?:short\s+)?answer\s*:|according to (?:the )?(?:sources?|passages?)\s*,?"
    r"|the (?:short )?answer(?: to (?:the|this|your) question)?(?: is)?\s*:?(?=\s))\s*",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\bnot\s+(?:\w+\s+){0,2}(?:in|by)\s+(?:the|any(?: of the)?|these)\s+(?:\w+\s+)?(?:sources?|passages?)\b"
    r"|\b(?:sources?|passages?)(?:\s+\w+)?\s+(?:do|does|did)(?:\s+not|n't)\b"
    r"|^(?:unanswerable|unknown\b|i (?:do not|don't|cannot|can't)\b)",
    re.IGNORECASE,
)


def parse_reply(reply: str, n_sources: int) -> tuple[str | None, list[int]]:
    """Return the answer (None: refused) and the numbers of the sources cited, each once, that exist.

    >>> parse_reply("The answer is: holes of trees (source 1).", 5)
    ('holes of trees', [1])
    >>> parse_reply("The opening hours are not mentioned in the sources.", 5)
    (None, [])
    """
    flat = _CITATION.sub(_bracketed, " ".join(reply.split()))
    plain = _LEAD_IN.sub("", flat)
    if _REFUSAL.search(plain):
        return None, []
    answer, cited = parse_answer(plain, n_sources)
    return (answer.strip("\"'“” ") or None) if answer else None, cited


def chat_format(tokenizer: Any, prompt: str, *, language_model: str) -> PromptFormat:
    """Return a prompt (a key of INSTRUCT_PROMPTS) in the tokenizer's chat template. Raises ConfigError."""
    if prompt not in INSTRUCT_PROMPTS:
        raise ConfigError(f"prompt={prompt!r} must be one of {', '.join(INSTRUCT_PROMPTS)}")

    def write(question: str, passages: Sequence[tuple[str, str]]) -> str:
        messages = INSTRUCT_PROMPTS[prompt](question, passages)
        begun = messages[-1]["role"] == "assistant"
        return str(
            tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=not begun, continue_final_message=begun
            )
        )

    return PromptFormat(name=prompt, write=write, read=parse_reply, language_model=language_model)


def instruct_baseline(
    documents: Iterable[Document],
    model: Any,
    tokenizer: Any,
    encoder: Encoder,
    *,
    language_model: str,
    settings: BaselineConfig = INSTRUCT_SETTINGS,
    prompt: str = INSTRUCT_PROMPT,
    progress: bool = False,
) -> BaselineRAG:
    """Return the baseline over the documents. language_model: its name, for tables.

    Raises ConfigError for an unknown prompt, DataError where no document has any text.
    """
    return BaselineRAG(
        documents,
        GreedyCompleter(model, tokenizer),
        encoder,
        settings=settings,
        prompt_format=chat_format(tokenizer, prompt, language_model=language_model),
        progress=progress,
    )


def _bracketed(found: re.Match[str]) -> str:
    """Return a citation as "[1, 2]"."""
    return f"[{', '.join(re.findall('[0-9]+', found[0]))}]"
