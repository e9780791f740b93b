"""Prompts of the baseline RAG: worked examples, then a question with its numbered passages, for a base LM.

Those of the instruct baseline are dialogues that ask for a short answer with a citation, or for a refusal, in the words
of the usual RAG prompt; the worked examples are turns of the dialogue there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

__all__ = ["INSTRUCT_PROMPTS", "PROMPTS", "REFUSAL", "UNANSWERABLE", "Message", "citations", "numbered"]

#: The reply where the passages do not hold the answer.
UNANSWERABLE = "unanswerable"

#: Passages as (title, text), a question, its answer ("" where there is none), and the passages it cites.
EXAMPLES: list[tuple[list[tuple[str, str]], str, str, list[int]]] = [
    (
        [
            (
                "Honey",
                "Bees make honey from the nectar of flowers. It keeps for years, as it holds little water.",
            ),
            ("Glass", "Glass is made by melting sand with soda and lime at about 1,500 degrees Celsius."),
        ],
        "What is melted with soda and lime to make glass?",
        "sand",
        [2],
    ),
    (
        [
            (
                "Tram line 4",
                "Line 4 opened in 1911. It runs from the harbour to the university every ten minutes.",
            ),
            ("Harbour", "The harbour was dug in 1880 and takes ships of up to 9 metres draught."),
        ],
        "How many passengers does line 4 carry in a year?",
        "",
        [],
    ),
    (
        [
            (
                "Kestrel",
                "The kestrel hovers into the wind to look for voles. It nests in holes of trees and walls.",
            ),
            ("Barn owl", "Barn owls hunt by hearing and swallow their prey whole."),
        ],
        "Where does the kestrel nest?",
        "holes of trees and walls",
        [1],
    ),
    (
        [
            (
                "Old bridge",
                "The first bridge was of oak. Anna Lindqvist designed the one of stone, begun in 1742.",
            ),
            ("Mill", "The mill below the bridge ground rye until 1931."),
        ],
        "Who designed the stone bridge?",
        "Anna Lindqvist",
        [1],
    ),
]


def numbered(passages: Sequence[tuple[str, str]]) -> str:
    """Return (title, text) passages as numbered lines."""
    lines = []
    for number, (title, text) in enumerate(passages, start=1):
        flat = " ".join(text.split())
        lines.append(f"[{number}] {title}: {flat}" if title else f"[{number}] {flat}")
    return "\n".join(lines)


def citations(numbers: Sequence[int]) -> str:
    """Return the numbers in brackets, each after a blank."""
    return "".join(f" [{number}]" for number in numbers)


def _passages_first(question: str, passages: Sequence[tuple[str, str]]) -> str:
    parts = [
        "Answer each question from its passages in a few words copied from them, and cite the passage. "
        "If the passages do not hold the answer, write unanswerable."
    ]
    for example, asked, answer, cited in EXAMPLES:
        parts.append(
            f"{numbered(example)}\nQuestion: {asked}\nAnswer: {answer or UNANSWERABLE}{citations(cited)}"
        )
    parts.append(f"{numbered(passages)}\nQuestion: {question}\nAnswer:")
    return "\n\n".join(parts)


def _question_twice(question: str, passages: Sequence[tuple[str, str]]) -> str:
    parts = [
        "Each question is followed by numbered passages, and its answer is copied from one of them, with the "
        "passage's number. Where no passage holds the answer it is unanswerable."
    ]
    for example, asked, answer, cited in EXAMPLES:
        parts.append(
            f"Question: {asked}\n{numbered(example)}\n"
            f"Answer to “{asked}”: {answer or UNANSWERABLE}{citations(cited)}"
        )
    parts.append(f"Question: {question}\n{numbered(passages)}\nAnswer to “{question}”:")
    return "\n\n".join(parts)


def _citation_first(question: str, passages: Sequence[tuple[str, str]]) -> str:
    parts = ["Questions answered from passages. The passage is named first, then the words copied from it."]
    for example, asked, answer, cited in EXAMPLES:
        reply = f"{citations(cited)} {answer}" if answer else f" {UNANSWERABLE}"
        parts.append(f"Passages:\n{numbered(example)}\nQuestion: {asked}\nAnswer:{reply}")
    parts.append(f"Passages:\n{numbered(passages)}\nQuestion: {question}\nAnswer:")
    return "\n\n".join(parts)


#: Ways to put a question and its numbered (title, text) passages to a base language model.
PROMPTS: dict[str, Callable[[str, Sequence[tuple[str, str]]], str]] = {
    "passages": _passages_first,
    "question-twice": _question_twice,
    "citation-first": _citation_first,
}

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
