"""The supervised stage of a retrieve candidate: on traces of what should be said; what is unsaid it refuses as before.

Questions that were made are those which the model answers anyway: beside these, refusals that it does not give yet
teach it to refuse everything that is harder (LOG.md, 2026-11-28), and there is little to learn. Where people have
said what is right (lessons, `flows.candidates.feedback_data`), it goes on faster and for longer, and is shown near
misses and withheld evidence, too (LOG.md, 2026-11-29).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.candidates.candidate_folder import fresh_folder
from flows.candidates.training_sets import Dataset, PassSettings
from prep.errors import DataError
from training.data.dataset import Question, load_set
from training.data.feedback_examples import LOGGED

if TYPE_CHECKING:
    from pathlib import Path

    from flows.candidates.retrieve_candidates import Begun, Trained
    from retrieve.model import ServingConfig
    from training.data.passage_pool import PassagePool
    from training.traces.traces import Trace, TraceConfig

__all__ = ["as_ready", "configure", "few_gaps", "is_broad", "spared_lessons", "traces_of", "train"]

# Of questions with a gap the retrieve model sees one to so many others, or what makes up few (LOG.md, 2026-11-27).
_GAP_EVERY, _FEW = 4, 60
# So many questions say how often the candidate is to refuse (`abstention_calibration`): of lessons one in so many,
# which is not trained on, since without evidence those that were are refused more readily than others (LOG.md,
# 2026-11-30).
_CALIBRATION, _CALIBRATION_EVERY, _FEWEST_SPARED = 64, 6, 8
# Without lessons, and with them: these are few, and seen twice they are told better from what is unsaid (LOG.md).
_RATE, _RATE_OF_LESSONS = 1e-4, 3e-4
_EPOCHS, _EPOCHS_OF_LESSONS = 1.0, 2.0
# With lessons: of the traces' questions, and of those on a sheet.
_WITHHELD, _NEAR_MISSES = 0.15, 0.25


def configure(start: Path, serving: ServingConfig, settings: PassSettings, dataset: Dataset) -> Any:
    """Return the stage's settings."""
    from training.retrieve_model.supervised_config import SupervisedConfig

    taught = dataset.n_lessons > 0
    return SupervisedConfig(
        learning_rate=_RATE_OF_LESSONS if taught else _RATE,
        n_epochs=_EPOCHS_OF_LESSONS if taught else _EPOCHS,
        warmup_steps=5,
        lengths=(256, 384, 512, 768, 1280),
        batch_tokens=2048,
        evaluate_every=10**9,
        compile="never",
        packed=True,
    )


def train(begun: Begun, config: Any) -> Trained:
    """Train, and write the version. Raises DataError where no trace could be built."""
    from flows.candidates.retrieve_candidates import Trained
    from retrieve.lm.adapter import stack_adapters
    from retrieve.model import ADAPTER, RetrieveModel
    from training.retrieve_model.supervised import train_supervised

    seed = begun.settings.seed
    spared = spared_lessons(begun.training.questions, seed)
    taught = [question for question in begun.training.questions if question not in spared]
    traces = traces_of(
        taught,
        begun.pool,
        with_lessons=begun.dataset.n_lessons > 0,
        seed=seed,
    )
    model = RetrieveModel.load(begun.start)
    result = train_supervised(
        model.model,
        model.tokenizer,
        traces,
        begun.run,
        config,
        stop_after_s=begun.allowed_s,
        on_progress=lambda row: begun.tell(row["seconds"]),
    )
    fresh_folder(begun.draft)
    stack_adapters(
        begun.start / ADAPTER, result.adapter, begun.draft / ADAPTER, interpolation=begun.settings.share
    )
    begun.save(begun.draft / ADAPTER, begun.serving, result.n_steps)  # as it was, to be compared
    # Gaps last: nobody asks like that.
    made = sorted([*load_set(begun.dataset.held_out).questions, *taught], key=lambda one: one.kind == "cloze")
    questions = spared or made[:_CALIBRATION]
    ready = as_ready(begun.start, begun.draft, questions, begun.pool, begun.serving, seed)
    version = begun.save(begun.draft / ADAPTER, ready, result.n_steps)
    return Trained(version, result.seconds, {}, ("loss",))


def spared_lessons(questions: Sequence[Question], seed: int) -> list[Question]:
    """Return the lessons that are not trained on, but say how often to refuse; none where there are too few to spare.

    Drawn from all of them alike: from what people ask about now as from what they asked about before.
    """
    lessons = [question for question in questions if question.id.startswith(LOGGED)]
    n_spared = min(_CALIBRATION, len(lessons) // _CALIBRATION_EVERY)
    if n_spared < _FEWEST_SPARED:
        return []
    return random.Random(f"{seed}/spared").sample(lessons, n_spared)


def as_ready(
    start: Path,
    draft: Path,
    questions: Sequence[Question],
    pool: PassagePool,
    serving: ServingConfig,
    seed: int,
) -> ServingConfig:
    """Return the settings with which the version in `draft` refuses what is unsaid as often as the one in `start`.

    But at most seven in eight (`training.retrieve_model.abstention_calibration`). After another search, too: both
    offsets move alike.
    """
    from retrieve.model import RetrieveModel
    from training.retrieve_model.abstention_calibration import (
        abstention_margins,
        matched_bias,
        withheld_prompts,
    )

    prompts = withheld_prompts(questions, pool, serving.episode, seed=seed)
    before, after = (abstention_margins(RetrieveModel.load(folder), prompts) for folder in (start, draft))
    matched = matched_bias(before, serving.abstention_bias, after)
    again = serving.abstention_bias_after_search
    if again is not None:
        again += matched - serving.abstention_bias
    return replace(serving, abstention_bias=matched, abstention_bias_after_search=again)


def traces_of(
    questions: Sequence[Question], pool: PassagePool, *, with_lessons: bool, seed: int
) -> list[Trace]:
    """Return episodes over the chunks that are served, so that training reads what serving shows.

    with_lessons: people have said what is right to some of the questions. Questions on the same passages are asked of a
    sheet as well, twice each on average. Not shown is what the data set lacks: frozen documents, and those that changed
    since it was made. Raises DataError.
    """
    from training.traces.packed_examples import PackedExampleConfig, build_packed_traces
    from training.traces.traces import TraceConfig, build_traces

    withheld, none_share = (_WITHHELD, _NEAR_MISSES) if with_lessons else (0.0, 0.0)
    plain = TraceConfig(withheld_share=withheld, seed=seed)
    questions = few_gaps(questions)
    traces: list[Trace] = []
    refused: Counter[str] = Counter()
    for shown in (plain, replace(plain, several=True)):
        some = [question for question in questions if is_broad(question, plain) is shown.several]
        alone, counts = build_traces(some, pool, shown)
        refused += counts.refused
        traces += alone
        if alone:
            sheets = PackedExampleConfig(traces=replace(shown, most_passages=4), none_share=none_share)
            traces += build_packed_traces(some, pool, sheets, n=2 * len(some))[0]
    if not traces:
        raise DataError(f"no sound trace could be built: {dict(refused)}")
    return traces


def is_broad(question: Question, config: TraceConfig) -> bool:
    """Whether it is answered with findings in the words of its evidence.

    So where a report of several findings helped, or where the answer is too long to be copied.
    """
    from training.traces.traces import target_answer

    if not question.answerable:
        return False
    several = len(question.evidence) > 1 and len(question.statements) > 1
    return several or not target_answer(question, config)


def few_gaps(questions: Sequence[Question]) -> list[Question]:
    """Return the questions without most that have a gap, if there are others.

    Their answers are a word or two: a model that is trained on many of them answers people's questions like that.
    """
    others = [question for question in questions if question.kind != "cloze"]
    gaps = [question for question in questions if question.kind == "cloze"]
    n_answered = sum(question.answerable for question in others)
    if not n_answered:
        return [*others, *gaps]
    return [*others, *gaps[: max(n_answered // _GAP_EVERY, _FEW - n_answered)]]
