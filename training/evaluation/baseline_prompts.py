"""Prompts of the baseline RAG: worked examples, then a question with its numbered passages, for a base LM."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["EXAMPLES", "PROMPTS", "UNANSWERABLE", "citations", "numbered"]

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
