"""Questions on a corpus without labels: written on its passages, kept where they lead back to where they came from.

The documents take turns, and in each the sentences do, so that questions spread over the corpus. Of no kind (who, when,
how many …) are there more than a share. A batch is written and judged by itself, here or elsewhere (`Drafting`);
what depends on the other questions, near-duplicates and kinds, is decided here, in order. Every batch is noted as soon
as it is there: a run that was interrupted goes on behind it, and comes to the same questions.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypedDict

from tqdm.auto import tqdm

from prep.checks import check_counts
from prep.document import Span
from prep.errors import ConfigError
from prep.manifest import json_digest
from retrieve.episode.question_writing import AskPrompt
from training.data.cloze_questions import is_prose
from training.data.dataset import Question
from training.data.passage_pool import PassagePool
from training.questions.question_generator import Place, QuestionWriter
from training.questions.round_trip import DUPLICATE, Repeats, RoundTrip, kind_of

__all__ = [
    "AskBatch",
    "AskConfig",
    "AskedQuestions",
    "DraftHere",
    "Drafted",
    "Drafting",
    "ask_corpus",
    "places_of",
]

_UNFINISHED = "not finished, or its answer is not in the text"
_ENOUGH = "enough of its kind"
_LETTERS = 0.7  # of a sentence that is asked about, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class AskConfig:
    """n: questions to keep. tries: written at most for each of them. kind_share: the most that one kind may be of n.

    duplicate: cosine of two questions' vectors from which the later is left out. shortest_sentence: in characters;
    shorter ones are not asked about.
    """

    n: int = 300
    tries: int = 6
    kind_share: float = 0.5
    duplicate: float = 0.92
    batch: int = 16
    shortest_sentence: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "n", "tries", "batch", "shortest_sentence")
        if not 0 < self.kind_share <= 1:
            raise ConfigError(f"kind_share={self.kind_share!r} must lie above 0 and not above 1")
        if not 0 <= self.duplicate <= 1:
            raise ConfigError(f"duplicate={self.duplicate!r} must lie in 0..1")


@dataclass(slots=True)
class AskedQuestions:
    """What was kept, how many were written, why others were left out, and how long it took, resumed time included.

    left_out: question, answer and reason of each that was not kept.
    """

    questions: list[Question] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    n_written: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def describe(self) -> dict[str, Any]:
        """Return the yield, the speed and the counts as plain values."""
        kept = len(self.questions)
        return {
            "written": self.n_written,
            "kept": kept,
            "yield": round(kept / self.n_written, 4) if self.n_written else None,
            "seconds": round(self.seconds, 1),
            "kept_per_minute": round(60 * kept / self.seconds, 2) if self.seconds else None,
            "kinds": dict(self.kinds.most_common()),
            "refused": dict(self.refused.most_common()),
        }


@dataclass(frozen=True, slots=True)
class AskBatch:
    """Sentences that are asked about in one go, and the seed their questions are drawn with."""

    places: tuple[Place, ...]
    seed: int


class Drafted(TypedDict):
    """What came of a batch: each sentence's question, answer and evidence with why it is left out, "" if it is not."""

    outcomes: list[dict[str, Any]]
    seconds: float


class Drafting(Protocol):
    """What writes questions and judges each by itself."""

    @property
    def about(self) -> dict[str, Any]:
        """What the outcomes depend on beside the sentences, as plain values."""

    def draft(self, batches: Iterable[AskBatch]) -> Iterator[Drafted]:
        """Yield what came of each batch, in order; batches behind those that are asked for may be begun."""


class DraftHere:
    """Drafting in this process."""

    def __init__(self, writer: QuestionWriter, check: RoundTrip) -> None:
        self.writer = writer
        self.check = check

    @property
    def about(self) -> dict[str, Any]:
        """The writer, the reader and the checks."""
        reader = self.check.reader.version
        return {"writer": self.writer.name, "reader": reader, "round_trip": asdict(self.check.config)}

    def draft(self, batches: Iterable[AskBatch]) -> Iterator[Drafted]:
        """Yield what came of each batch; none is begun before it is asked for."""
        for batch in batches:
            begun = time.monotonic()
            outcomes = self._outcomes(batch)
            yield {"outcomes": outcomes, "seconds": time.monotonic() - begun}

    def _outcomes(self, batch: AskBatch) -> list[dict[str, Any]]:
        written = self.writer.write(batch.places, batch.seed)
        whole = [
            (asked, place.passage)
            for asked, place in zip(written, batch.places, strict=True)
            if asked is not None
        ]
        reasons = iter(self.check.judge(whole))
        return [
            {"question": "", "reason": _UNFINISHED}
            if asked is None
            else {**asdict(asked), "reason": next(reasons)}
            for asked in written
        ]


def ask_corpus(
    pool: PassagePool,
    drafting: Drafting,
    config: AskConfig | None = None,
    *,
    notes: Path | None = None,
    progress: bool = True,
) -> AskedQuestions:
    """Have questions written and judged until there are enough, or every sentence was tried.

    notes: a JSON Lines file; what it holds of the same run is not done again.
    """
    config = config or AskConfig()
    places = list(places_of(pool, config))[: config.n * config.tries]
    about = {
        **drafting.about,
        "config": asdict(config),
        "places": json_digest(
            [(place.passage.document_id, place.passage.start, place.number) for place in places]
        ),
    }
    batches = [
        AskBatch(tuple(places[at : at + config.batch]), config.seed * 1_000_003 + number)
        for number, at in enumerate(range(0, len(places), config.batch))
    ]
    done = _read_notes(notes, about)
    fresh = drafting.draft(batches[len(done) :])
    repeats = Repeats(pool.encoder.encode_queries, config.duplicate)
    found = AskedQuestions()
    bar = tqdm(total=config.n, desc="ask", unit="question", disable=not progress)
    for number in range(len(batches)):
        if len(found.questions) >= config.n:
            break
        if number < len(done):
            row = done[number]
        else:
            row = next(fresh)
            _note(notes, about, number, row)
        _take(found, row, config, repeats)
        bar.update(len(found.questions) - bar.n)
        bar.set_postfix(written=found.n_written)
    bar.close()
    return found


def places_of(pool: PassagePool, config: AskConfig) -> Iterator[Place]:
    """Yield the sentences to ask about: documents in turn, the sentences of each in an order drawn by the seed."""
    rng = random.Random(config.seed)
    per_document: dict[str, list[Place]] = {}
    for passage in pool.passages:
        prompt = AskPrompt.of(passage)
        for number, span in enumerate(prompt.sentences, start=1):
            if span.end - span.start >= config.shortest_sentence and is_prose(
                prompt.sentence(number), _LETTERS
            ):
                per_document.setdefault(passage.document_id, []).append(Place(prompt, number))
    order = sorted(per_document)
    rng.shuffle(order)
    for name in order:
        rng.shuffle(per_document[name])
    for turn in range(max(map(len, per_document.values()), default=0)):
        for name in order:
            if turn < len(per_document[name]):
                yield per_document[name][turn]


def _take(found: AskedQuestions, row: Drafted, config: AskConfig, repeats: Repeats) -> None:
    """Count a batch's outcomes and take its questions, as far as there are not enough of their kind."""
    found.seconds += row["seconds"]
    sound = [outcome["question"] for outcome in row["outcomes"] if not outcome["reason"]]
    repeated = iter(repeats.among(sound))
    for outcome in row["outcomes"]:
        reason = outcome["reason"]
        if not reason and next(repeated):
            reason = DUPLICATE
        if len(found.questions) >= config.n:
            break
        found.n_written += 1
        kind = kind_of(outcome["question"])
        if not reason and found.kinds[kind] >= max(1, config.kind_share * config.n):
            reason = _ENOUGH
        if reason:
            found.refused[reason] += 1
            found.left_out.append((outcome["question"], outcome.get("answer", ""), reason))
            continue
        span = Span(**outcome["evidence"])
        found.kinds[kind] += 1
        question = outcome["question"]
        name = f"asked:{span.document_id}:{span.start}:{json_digest(question)[:8]}"
        found.questions.append(Question(name, question, (outcome["answer"],), (span,), kind="asked"))


def _read_notes(notes: Path | None, about: dict[str, Any]) -> list[Drafted]:
    """Return the batches noted of this run, without a last line that was not finished; none of another run's."""
    if notes is None or not notes.is_file():
        return []
    rows: list[Any] = []
    for line in notes.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    if not rows or rows[0] != json.loads(json.dumps(about)):
        notes.unlink()
        return []
    whole = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if whole != notes.read_text(encoding="utf-8"):
        notes.write_text(whole, encoding="utf-8")
    return rows[1:]


def _note(notes: Path | None, about: dict[str, Any], number: int, row: Drafted) -> None:
    if notes is None:
        return
    notes.parent.mkdir(parents=True, exist_ok=True)
    with notes.open("a", encoding="utf-8") as file:
        if number == 0:
            file.write(json.dumps(about, ensure_ascii=False) + "\n")
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
