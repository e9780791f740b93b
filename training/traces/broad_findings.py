"""The findings of a supervised trace on a broad question, from the evidence in the passages shown."""

from __future__ import annotations

import re
from itertools import groupby

from retrieve.episode.episode import Episode
from retrieve.episode.query_terms import content_words
from retrieve.lm.special_tokens import escape
from training.data.dataset import Question
from training.metrics.answer_metrics import has_cjk

__all__ = ["findings_shown"]

_REMARK = re.compile(r"\{\w+\}")  # by the transcriber of a meeting, such as {laugh}


def findings_shown(episode: Episode, question: Question, max_pointers: int) -> list[tuple[str, list[int]]]:
    """Return a finding for each piece of evidence in each passage: a statement and the numbers of its sentences.

    Of more than `max_pointers` sentences those with most words of the question and its answer are kept. The statement
    is the sentence with most of these words, cut short; a question or a fragment only where there is no other.
    """
    wanted = _keys(" ".join((question.question, *question.answers[:1])))
    findings: list[tuple[str, list[int]]] = []
    used: set[int] = set()
    for span in question.evidence:
        touched = [n for n, sentence in enumerate(episode.sentences, start=1) if sentence.overlaps(span)]
        for _, share in groupby(touched, key=lambda n: episode.sentence_passage[n - 1]):
            numbers = [n for n in share if n not in used]
            says = {n: len(wanted & _keys(_sentence(episode, n))) for n in numbers}
            if len(numbers) > max_pointers:
                numbers = sorted(sorted(numbers, key=lambda n: -says[n])[:max_pointers])
            if numbers:
                used.update(numbers)
                best = max(
                    numbers, key=lambda n: (_states(_sentence(episode, n)), says[n])
                )  # of equals the first
                findings.append((_brief(_sentence(episode, best)), numbers))
    return findings


def _states(sentence: str, fewest_words: int = 5) -> bool:
    return not sentence.rstrip(" \n\"'”’»)").endswith(("?", "？")) and (
        has_cjk(sentence) or len(content_words(sentence)) >= fewest_words
    )


def _keys(text: str) -> set[str]:
    return {word.lower() for word in content_words(text)}


def _sentence(episode: Episode, number: int) -> str:
    sentence, passage = episode.sentences[number - 1], episode.passages[episode.sentence_passage[number - 1]]
    return passage.text[sentence.start - passage.start : sentence.end - passage.start]


def _brief(words: str, longest: int = 110) -> str:
    """Return a statement of the sentence's own words, cut at a clause or a word where it is long."""
    joined = " ".join(_REMARK.sub(" ", words).split()) or " ".join(words.split())
    plain = escape(joined.lstrip(" )]}.,;:'\"”’") or joined)  # left over from the sentence before
    if len(plain) <= longest:
        return plain
    head = plain[:longest]
    cut = max(head.rfind(mark) for mark in (", ", "; ", ": ", " - ", "，", "；"))
    return (head[:cut] if cut > longest // 2 else head[: max(head.rfind(" "), longest // 2)]).rstrip(
        " ,;:-，；"
    )
