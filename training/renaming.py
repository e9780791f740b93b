"""Traces in which names, numbers and years stand for others: what must be read and cannot be known by heart.

    python -m training.renaming --traces TRACES --out OUT [--away 0.7] [--seed 0]

A model that was trained on a question before knows its answer and need not read for it, so that more of the same
teaches nothing. Here answers, and as many other names and numbers beside them, are exchanged for others of their kind,
the same way in everything that stands on one sheet (passages, questions, reports), so that every label holds as it did
(entity substitution: Longpre et al. 2021, https://aclanthology.org/2021.emnlp-main.565). On some sheets, before that,
what a question names is exchanged in the sentences that answer it and nowhere else: the passage is as near as can be
and says nothing about what is asked, so that none is to be reported. Deterministic by seed; another seed draws again.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from tqdm.auto import tqdm

from prep.errors import ConfigError
from retrieve.episode import NONE
from retrieve.tags import POINTER
from training.mixture import read_traces, write_traces
from training.traces import Trace

__all__ = ["AWAY", "Names", "RenamingConfig", "renamed", "renamed_traces"]

AWAY = "away"  # the kind of a trace whose question names what its passages do not speak of any more

_EDGE, _END = r"(?<![\w⟦])(?<!\d[.,])", r"(?![\w⟧])(?![.,]\d)"
_CAPITAL = "[A-ZÀ-ÖØ-Þ]"
_NAME_WORD = rf"{_CAPITAL}[\w’'-]*\w"
_NAME = re.compile(rf"{_EDGE}{_NAME_WORD}(?: (?:(?:of|de|von|van) )?{_NAME_WORD})*{_END}")
_NUMBER = re.compile(rf"{_EDGE}\d+(?:,\d\d\d)*(?:\.\d+)?{_END}")
_YEAR = re.compile(r"1\d\d\d|20\d\d")
_SENTENCE = re.compile(rf"({POINTER.pattern})([^⟦\n]*)")
_STATEMENT = re.compile(r"<report>([^⟦]*)⟦")
_MID_SENTENCE = re.compile(rf"[a-z,] ({_NAME.pattern})")
_ARTICLE = re.compile(r"(?:the|The|a|an) ")
_REFUSAL = f"<report> {NONE}</report>"
_SPOKEN_OF = 3  # sheets, of a name that others are exchanged for
_YEARS_OFF = 40
_DAYS = 28  # numbers up to it may be days of a month, and stay so


@dataclass(frozen=True, slots=True, kw_only=True)
class RenamingConfig:
    """share: of the answers on a sheet that are exchanged. away: of the sheets on which questions come to be refused.

    refused: of the questions on such a sheet whose name can be taken away. known: of the traces whose question and
    report stay as they were, those that are kept.
    """

    share: float = 0.8
    away: float = 0.7
    refused: float = 0.5
    known: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("share", "away", "refused", "known"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)!r} must lie in 0..1")


@dataclass(slots=True)
class Names:
    """Names that others may be exchanged for, by how many words they have."""

    by_length: dict[int, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, sheets: Mapping[str, Sequence[Trace]]) -> Names:
        """Collect the names that are answers and that the results of several sheets speak of, in order."""
        answers = (answer for sheet in sheets.values() for trace in sheet for answer in _answers(trace))
        spoken_of = Counter(name for results in sheets for name in set(_MID_SENTENCE.findall(results)))
        names = cls()
        for name in dict.fromkeys(filter(None, map(_whole_name, answers))):
            if spoken_of[name] >= _SPOKEN_OF:
                names.by_length.setdefault(len(name.split()), []).append(name)
        return names

    def other(self, name: str, text: str, rng: random.Random) -> str | None:
        """Return a name as long as another, of which no word stands in a text; None where none is found quickly."""
        there, known = set(text.split()), self.by_length.get(len(name.split()), [])
        for _ in range(8 if known else 0):
            one = rng.choice(known)
            if not there & set(one.split()):
                return one
        return None


def renamed_traces(
    traces: Sequence[Trace], config: RenamingConfig | None = None, *, progress: bool = False
) -> list[Trace]:
    """Return the traces of all sheets with names exchanged; sheets keep their order, and so do the traces on one."""
    config = config or RenamingConfig()
    sheets: dict[str, list[Trace]] = {}
    for trace in traces:
        sheets.setdefault(trace.segments[0][0], []).append(trace)
    names = Names.of(sheets)
    found: list[Trace] = []
    for number, sheet in enumerate(tqdm(sheets.values(), desc="rename", disable=not progress)):
        rng = random.Random(f"{config.seed}/{number}")
        known = {(trace.question_id, trace.segments[1:]) for trace in sheet}
        found += [
            trace
            for trace in renamed(sheet, names, config, rng)
            if (trace.question_id, trace.segments[1:]) not in known or rng.random() < config.known
        ]
    return found


def renamed(sheet: Sequence[Trace], names: Names, config: RenamingConfig, rng: random.Random) -> list[Trace]:
    """Return the traces on one sheet with names exchanged; those that their names were taken from are refused.

    Left out are traces whose sentences were changed for another's sake.
    """
    if rng.random() < config.away:
        sheet = _taken_away(sheet, names, config.refused, rng)
    text = "".join(dict.fromkeys(text for trace in sheet for text, _ in trace.segments))
    answers = dict.fromkeys(part for trace in sheet for answer in _answers(trace) for part in _parts(answer))
    chosen = [answer for answer in answers if rng.random() < config.share]
    beside = [part for part in dict.fromkeys(_beside(text)) if part not in answers]
    chosen += rng.sample(beside, min(len(beside), len(chosen)))
    exchanged: dict[str, str] = {}
    for part in chosen:
        # Neither what is exchanged nor what it is exchanged for may be a part of another.
        other = _other(part, "".join((text, *(f" {value}" for value in exchanged.values()))), names, rng)
        if other is not None:
            exchanged[part] = other
    if not exchanged:
        return list(sheet)
    return [
        replace(
            trace,
            segments=tuple((_with(text, exchanged), written) for text, written in trace.segments),
        )
        for trace in sheet
    ]


def _taken_away(sheet: Sequence[Trace], names: Names, share: float, rng: random.Random) -> list[Trace]:
    """Exchange what some questions name in the sentences that answer them, and refuse these questions."""
    results = sheet[0].segments[0][0]
    sentences = {number: text for _, number, text in _SENTENCE.findall(results)}
    changed: dict[str, str] = {}
    refused: set[tuple[tuple[str, bool], ...]] = set()
    for trace in dict.fromkeys(sheet):
        pointed = _only_pointers(trace)
        if not pointed or rng.random() >= share or pointed & changed.keys():
            continue
        if exchanged := _named_there(trace, pointed, results, sentences, names, rng):
            changed |= {number: _with(sentences[number], exchanged) for number in pointed & sentences.keys()}
            refused.add(trace.segments)
    if not refused:
        return list(sheet)
    shown = _SENTENCE.sub(lambda match: match[1] + changed.get(match[2], match[3]), results)
    kept = []
    for trace in sheet:
        others = trace.segments[1:]
        if trace.segments in refused:
            kept.append(replace(trace, kind=AWAY, segments=((shown, False), others[0], (_REFUSAL, True))))
        elif not _pointers(trace) & changed.keys():
            kept.append(replace(trace, segments=((shown, False), *others)))
    return kept


def _named_there(
    trace: Trace,
    pointed: set[str],
    results: str,
    sentences: Mapping[str, str],
    names: Names,
    rng: random.Random,
) -> dict[str, str]:
    """Return something that a question and the sentences pointed at name, and another for it.

    Empty where there is none, or where the answer may be told from other sentences.
    """
    (answer,) = _answers(trace)
    elsewhere = "".join(text for number, text in sentences.items() if number not in pointed)
    if answer.lower() in elsewhere.lower():
        return {}
    there = [text for number, text in sentences.items() if number in pointed]
    named = _beside(trace.segments[1][0])
    asked = [part for part in named if any(part in text for text in there) and part not in answer]
    if not asked:
        return {}
    part = rng.choice(asked)
    other = _other(part, results, names, rng)
    return {} if other is None else {part: other}


def _answers(trace: Trace) -> list[str]:
    """Return what the trace's reports state."""
    return [answer.strip() for answer in _STATEMENT.findall(trace.written)]


def _pointers(trace: Trace) -> set[str]:
    return set(POINTER.findall(trace.written))


def _only_pointers(trace: Trace) -> set[str]:
    """Return where a trace points that reports one finding on first results; empty for any other."""
    if len(trace.segments) != 3 or len(_answers(trace)) != 1 or trace.segments[2][0].count("\n"):
        return set()
    return _pointers(trace)


def _whole_name(answer: str) -> str | None:
    """Return the name that an answer is, but for an article; None where it is none."""
    name = _ARTICLE.sub("", answer, count=1) if _ARTICLE.match(answer) else answer
    return name if _NAME.fullmatch(name) else None


def _parts(answer: str) -> list[str]:
    """Return what of an answer can be exchanged: the name that it is, or the names and numbers in it."""
    name = _whole_name(answer)
    return [name] if name else list(_beside(answer))


def _beside(text: str) -> Iterator[str]:
    """Yield names within sentences, and numbers."""
    return chain(_MID_SENTENCE.findall(text), _NUMBER.findall(text))


def _other(part: str, text: str, names: Names, rng: random.Random) -> str | None:
    """Return another name or number of the same kind that does not stand in a text."""
    if not part[0].isdigit():
        return names.other(part, text, rng)
    for _ in range(8):
        one = _other_number(part, rng)
        if one != part and one not in text:
            return one
    return None


def _other_number(part: str, rng: random.Random) -> str:
    """Return a number like another: a year near it, a day of a month, or one of about its size, written alike."""
    if _YEAR.fullmatch(part):
        return str(int(part) + rng.randint(-_YEARS_OFF, _YEARS_OFF))
    whole, _, decimals = part.replace(",", "").partition(".")
    value = int(whole)
    if not decimals and value <= _DAYS:
        return str(rng.randint(1, _DAYS))
    new = rng.randint(max(1, value // 2), 2 * value + 1)
    written = f"{new:,}" if "," in part else str(new)
    return f"{written}.{''.join(rng.choice('0123456789') for _ in decimals)}" if decimals else written


def _with(text: str, exchanged: Mapping[str, str]) -> str:
    """Return a text with every name and number exchanged where it stands by itself."""
    longest = sorted(exchanged, key=len, reverse=True)
    pattern = re.compile(f"{_EDGE}(?:{'|'.join(map(re.escape, longest))}){_END}")
    return pattern.sub(lambda match: exchanged[match[0]], text)


def main(argv: Sequence[str] | None = None) -> None:
    """Rename from the command line."""
    usual = RenamingConfig()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", required=True, type=Path, help="a folder of training.mixture")
    parser.add_argument("--out", required=True, type=Path, help="another, for training.supervised")
    parser.add_argument("--share", type=float, default=usual.share, help="of the answers (0.8)")
    parser.add_argument("--away", type=float, default=usual.away, help="of the sheets (0.7)")
    parser.add_argument(
        "--known",
        type=float,
        default=usual.known,
        help="kept of the traces whose question and report stay (1)",
    )
    parser.add_argument("--seed", type=int, default=usual.seed)
    arguments = parser.parse_args(argv)
    config = RenamingConfig(
        share=arguments.share, away=arguments.away, known=arguments.known, seed=arguments.seed
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = renamed_traces(read_traces(arguments.traces / "train.jsonl"), config, progress=True)
    write_traces(arguments.out / "train.jsonl", found)
    write_traces(arguments.out / "held_out.jsonl", read_traces(arguments.traces / "held_out.jsonl"))
    print(dict(Counter(trace.kind for trace in found).most_common()))


if __name__ == "__main__":
    main()
