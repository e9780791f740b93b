"""Question generation on a corpus without labels: questions on its sentences, kept where the round trip succeeds.

Documents take turns, and so do the sentences of each, so that questions spread over the corpus. No kind (who, when, how
many …) has more than its share. A batch is generated and checked by itself, here or elsewhere (`BatchGenerator`);
near-duplicates and kinds, which depend on other questions, are decided here, in order. Every batch is written to disk
as soon as it is done: an interrupted run goes on after it, and comes to the same questions.
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
from retrieve.episode.question_writing import QuestionPrompt
from training.data.cloze_questions import is_prose
from training.data.dataset import Question
from training.data.passage_pool import PassagePool
from training.questions.question_generator import QuestionGenerator, TargetSentence
from training.questions.round_trip import DUPLICATE, DuplicateFilter, RoundTrip, kind_of

__all__ = [
    "BatchGenerator",
    "GeneratedBatch",
    "GeneratedQuestions",
    "LocalGenerator",
    "QuestionBatch",
    "QuestionGenerationConfig",
    "generate_questions",
    "target_sentences",
]

_UNFINISHED = "not finished, or its answer is not in the text"
_ENOUGH = "enough of its kind"
_LETTERS = 0.7  # share of letters in a sentence that gets a question, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionGenerationConfig:
    """n: questions to keep. tries: the most generated for each of them. kind_share: the largest share of a kind.

    duplicate: the cosine of two questions' vectors from which the later is left out. shortest_sentence: in characters;
    shorter ones get no question.
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
class GeneratedQuestions:
    """The questions kept, and the counts of a run. seconds: of all its parts, where it was interrupted.

    left_out: question, answer and reason of each that was not kept. refused: reasons; kinds: of the kept ones.
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
class QuestionBatch:
    """Sentences whose questions are generated together, and the seed of the sampling."""

    targets: tuple[TargetSentence, ...]
    seed: int


class GeneratedBatch(TypedDict):
    """A batch's outcomes: each sentence's question, answer, evidence, and the reason to leave it out, "" for none."""

    outcomes: list[dict[str, Any]]
    seconds: float


class BatchGenerator(Protocol):
    """Anything that generates questions and checks each by itself."""

    @property
    def about(self) -> dict[str, Any]:
        """Plain values that the outcomes depend on, beside the sentences."""

    def generate(self, batches: Iterable[QuestionBatch]) -> Iterator[GeneratedBatch]:
        """Yield the outcomes of each batch, in order; later batches may be begun before they are asked for."""


class LocalGenerator:
    """Generates and checks in this process."""

    def __init__(self, generator: QuestionGenerator, check: RoundTrip) -> None:
        self.generator = generator
        self.check = check

    @property
    def about(self) -> dict[str, Any]:
        """The generator, the answering model and the settings of the checks."""
        reader = self.check.reader.version
        return {"writer": self.generator.name, "reader": reader, "round_trip": asdict(self.check.config)}

    def generate(self, batches: Iterable[QuestionBatch]) -> Iterator[GeneratedBatch]:
        """Yield the outcomes of each batch; none is begun before it is asked for."""
        for batch in batches:
            begun = time.monotonic()
            outcomes = self._outcomes(batch)
            yield {"outcomes": outcomes, "seconds": time.monotonic() - begun}

    def _outcomes(self, batch: QuestionBatch) -> list[dict[str, Any]]:
        written = self.generator.write(batch.targets, batch.seed)
        whole = [
            (asked, target.passage)
            for asked, target in zip(written, batch.targets, strict=True)
            if asked is not None
        ]
        reasons = iter(self.check.reject_reasons(whole))
        return [
            {"question": "", "reason": _UNFINISHED}
            if asked is None
            else {**asdict(asked), "reason": next(reasons)}
            for asked in written
        ]


def generate_questions(
    pool: PassagePool,
    generator: BatchGenerator,
    config: QuestionGenerationConfig | None = None,
    *,
    notes: Path | None = None,
    progress: bool = True,
) -> GeneratedQuestions:
    """Generate and check questions until there are enough, or every sentence was tried.

    notes: a JSON Lines file of the run's batches; those of the same run are not done again.
    """
    config = config or QuestionGenerationConfig()
    targets = list(target_sentences(pool, config))[: config.n * config.tries]
    about = {
        **generator.about,
        "config": asdict(config),
        "places": json_digest(
            [(target.passage.document_id, target.passage.start, target.number) for target in targets]
        ),
    }
    batches = [
        QuestionBatch(tuple(targets[at : at + config.batch]), config.seed * 1_000_003 + number)
        for number, at in enumerate(range(0, len(targets), config.batch))
    ]
    done = _read_notes(notes, about)
    fresh = generator.generate(batches[len(done) :])
    duplicates = DuplicateFilter(pool.encoder.encode_queries, config.duplicate)
    found = GeneratedQuestions()
    bar = tqdm(total=config.n, desc="ask", unit="question", disable=not progress)
    for number in range(len(batches)):
        if len(found.questions) >= config.n:
            break
        if number < len(done):
            row = done[number]
        else:
            row = next(fresh)
            _append_note(notes, about, number, row)
        _keep(found, row, config, duplicates)
        bar.update(len(found.questions) - bar.n)
        bar.set_postfix(written=found.n_written)
    bar.close()
    return found


def target_sentences(pool: PassagePool, config: QuestionGenerationConfig) -> Iterator[TargetSentence]:
    """Yield the sentences to generate questions on: documents in turn, each one's sentences in an order by the seed."""
    rng = random.Random(config.seed)
    per_document: dict[str, list[TargetSentence]] = {}
    for passage in pool.passages:
        prompt = QuestionPrompt.of(passage)
        for number, span in enumerate(prompt.sentences, start=1):
            if span.end - span.start >= config.shortest_sentence and is_prose(
                prompt.sentence(number), _LETTERS
            ):
                per_document.setdefault(passage.document_id, []).append(TargetSentence(prompt, number))
    order = sorted(per_document)
    rng.shuffle(order)
    for name in order:
        rng.shuffle(per_document[name])
    for turn in range(max(map(len, per_document.values()), default=0)):
        for name in order:
            if turn < len(per_document[name]):
                yield per_document[name][turn]


def _keep(
    found: GeneratedQuestions,
    row: GeneratedBatch,
    config: QuestionGenerationConfig,
    duplicates: DuplicateFilter,
) -> None:
    """Count a batch's outcomes and keep its questions, as far as their kind has room."""
    found.seconds += row["seconds"]
    sound = [outcome["question"] for outcome in row["outcomes"] if not outcome["reason"]]
    repeated = iter(duplicates.are_duplicates(sound))
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


def _read_notes(notes: Path | None, about: dict[str, Any]) -> list[GeneratedBatch]:
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


def _append_note(notes: Path | None, about: dict[str, Any], number: int, row: GeneratedBatch) -> None:
    if notes is None:
        return
    notes.parent.mkdir(parents=True, exist_ok=True)
    with notes.open("a", encoding="utf-8") as file:
        if number == 0:
            file.write(json.dumps(about, ensure_ascii=False) + "\n")
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
