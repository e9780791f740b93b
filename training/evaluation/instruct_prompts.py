"""Prompts of the instruct baseline: dialogues that ask for a short answer with a citation, or for a refusal.

The words are those of the usual RAG prompt: numbered sources, the question, a short answer from the sources only. The
worked examples are those of `training.evaluation.baseline_prompts`, as turns of the dialogue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from training.evaluation.baseline_prompts import EXAMPLES, citations, numbered

__all__ = ["INSTRUCT_PROMPTS", "REFUSAL", "Message"]

#: A turn of a dialogue: its role (user or assistant) and its content.
Message: TypeAlias = dict[str, str]

#: What the model is asked to say where the sources do not hold the answer.
REFUSAL = "not in the sources"

_TASK = (
    "Answer the question from the sources below. Give a short answer of a few words copied from the sources, then the "
    f'number of the source in brackets, such as [2]. If the sources do not hold the answer, say "{REFUSAL}".'
)


def _instruction(question: str, passages: Sequence[tuple[str, str]]) -> list[Message]:
    """The task, the sources, then the question: one turn without examples."""
    return [_user(f"{_TASK}\n\nSources:\n{numbered(passages)}\n\nQuestion: {question}")]


def _reminder(question: str, passages: Sequence[tuple[str, str]]) -> list[Message]:
    """The sources first and the task last, next to the question and to the reply."""
    task = _TASK.replace("from the sources below", "from the sources above")
    return [_user(f"Sources:\n{numbered(passages)}\n\nQuestion: {question}\n\n{task}")]


def _examples(question: str, passages: Sequence[tuple[str, str]]) -> list[Message]:
    """Worked examples as turns of the dialogue, the task in the first one."""
    messages = []
    for sources, asked, answer, cited in EXAMPLES:
        messages.append(_user(f"Sources:\n{numbered(sources)}\n\nQuestion: {asked}"))
        messages.append({"role": "assistant", "content": f"{answer or REFUSAL}{citations(cited)}"})
    messages.append(_user(f"Sources:\n{numbered(passages)}\n\nQuestion: {question}"))
    messages[0]["content"] = f"{_TASK}\n\n{messages[0]['content']}"
    return messages


def _begun(question: str, passages: Sequence[tuple[str, str]]) -> list[Message]:
    """Worked examples, every reply of which begins with "Answer:"; so does the one that is asked for."""
    messages = _examples(question, passages)
    for message in messages:
        if message["role"] == "assistant":
            message["content"] = f"Answer: {message['content']}"
    return [*messages, {"role": "assistant", "content": "Answer:"}]


def _user(content: str) -> Message:
    return {"role": "user", "content": content}


#: Ways to put a question and its numbered (title, text) passages to an instruction-tuned model. A last turn of the
#: assistant is continued.
INSTRUCT_PROMPTS: dict[str, Callable[[str, Sequence[tuple[str, str]]], list[Message]]] = {
    "instruction": _instruction,
    "reminder": _reminder,
    "examples": _examples,
    "begun": _begun,
}
