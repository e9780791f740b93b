"""Retrieve candidates: the serving version trained further on questions about a workspace's documents.

Plain functions, as in `flows.candidates`, which says what a candidate is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from flows.candidates import (
    Candidate,
    candidate_card,
    curves_of,
    finished_candidate,
    fresh_folder,
    keep_candidate,
)
from flows.datasets import Dataset, PassSettings
from flows.lineage import Lineage
from prep.errors import DataError
from prep.manifest import json_digest
from prep.workspace import Workspace
from training.dataset import Question, load_set

if TYPE_CHECKING:
    from pathlib import Path

    from retrieve.model import ServingConfig
    from training.pool import PassagePool
    from training.traces import Trace, TraceConfig

__all__ = ["train_retrieve_candidate"]

# Of questions with a gap the retrieve model sees one to so many others, or what makes up few (LOG.md, 2026-11-27).
_GAP_EVERY, _FEW = 4, 60
# So many questions say how often the candidate is to refuse (`training.refusals`).
_CALIBRATION = 64


def train_retrieve_candidate(
    workspace: Workspace,
    dataset: Dataset,
    settings: PassSettings,
    *,
    told: Callable[[float, float], None] | None = None,
    generation_id: str | None = None,
) -> Candidate:
    """Train the serving retrieve model further on the documents' questions; keep a candidate version.

    told: called with (seconds so far, seconds allowed) as it goes on. generation_id: whose chunks are shown, by
    default the current one's; a run that was interrupted goes on only with the same.
    """
    from flows.asked_data import generation_pool
    from flows.serving import serving_prep, serving_retrieve_path
    from retrieve.adapter_stack import stack_adapters
    from retrieve.model import (
        ADAPTER,
        BACKWARDS,
        RetrieveModel,
        ServingConfig,
        read_retrieve_manifest,
        save_retrieve_version,
    )
    from training.supervised import SupervisedConfig, train_supervised
    from training.traces import TraceConfig

    start = serving_retrieve_path(workspace)
    manifest = read_retrieve_manifest(start)
    serving = ServingConfig.from_json(manifest["serving"])
    question_last = serving.episode.question_last
    config = SupervisedConfig(
        learning_rate=1e-4,
        warmup_steps=5,
        lengths=(256, 384, 512, 768, 1280),
        batch_tokens=2048,
        evaluate_every=10**9,
        compile="never",
        packed=question_last,
        two_way=serving.two_way,
    )
    trace_config = TraceConfig(withheld_share=0.0, question_last=question_last, seed=settings.seed)
    with workspace.open_generation(generation_id) as generation:
        made_of = {
            "dataset": dataset.digest,
            "generation": generation.id,
            "start": manifest["version"],
            "config": asdict(config),
            "gaps": [_GAP_EVERY, _FEW],
            "traces": asdict(trace_config),
            "minutes": settings.minutes,
            "share": settings.share,
        }
        run = workspace.path / "runs" / f"retrieve-{json_digest(made_of)[:12]}"
        if (finished := finished_candidate(workspace, run)) is not None:
            return finished
        begun = RetrieveModel.load(start)
        training = dataset.training()
        pool = generation_pool(generation, training.documents, serving_prep(workspace).encoder)
        traces = _traces(training.questions, pool, trace_config)
    allowed_s = 60.0 * settings.minutes
    result = train_supervised(
        begun.model,
        begun.tokenizer,
        traces,
        run,
        config,
        stop_after_s=allowed_s,
        report=lambda row: told(min(row["seconds"], allowed_s), allowed_s) if told else None,
    )
    draft = fresh_folder(run / "version")
    stack_adapters(start / ADAPTER, result.adapter, draft / ADAPTER, share=settings.share)

    def saved(serving: ServingConfig) -> str:
        return save_retrieve_version(
            draft,
            draft / ADAPTER,
            serving=serving,
            backwards=start / BACKWARDS if BACKWARDS in manifest["files"] else None,
            source=manifest["base"].get("source"),
            card=candidate_card("retrieve", dataset, settings),
            training={"stage": "supervised", "start": begun.version, "steps": result.n_steps, **made_of},
        )

    saved(serving)  # as it was, to be compared
    questions = [*load_set(dataset.held_out).questions, *training.questions]  # those not trained on first
    version = saved(_as_ready(start, draft, questions[:_CALIBRATION], pool, serving, settings.seed))
    candidate = Candidate("retrieve", version, result.seconds, curves=curves_of(run, ("loss",)))
    lineage = Lineage(
        start=begun.version,
        dataset=dataset.describe(),
        config={
            "stage": "supervised",
            **asdict(config),
            "minutes": settings.minutes,
            "share": settings.share,
            "seed": settings.seed,
        },
        generation=made_of["generation"],
    )
    return keep_candidate(workspace, run, candidate, draft, lineage)


def _as_ready(
    start: Path,
    draft: Path,
    questions: Sequence[Question],
    pool: PassagePool,
    serving: ServingConfig,
    seed: int,
) -> ServingConfig:
    """Return the settings with which the version in `draft` refuses as often as the one in `start`."""
    from retrieve.model import RetrieveModel
    from training.refusals import matched_offset, refusal_scores, shown

    prompts = shown(questions, pool, serving.episode, seed=seed)
    before, after = (refusal_scores(RetrieveModel.load(folder), prompts) for folder in (start, draft))
    return replace(serving, none_offset=matched_offset(before, serving.none_offset, after))


def _traces(questions: Sequence[Question], pool: PassagePool, config: TraceConfig) -> list[Trace]:
    """Return episodes over the chunks that are served, so that training reads what serving shows.

    Where the question stands last, those on the same passages are asked of a sheet as well, twice each on average. Not
    shown is what the data set lacks: frozen documents, and those that changed since it was made. Refusals are taught by
    people alone: the questions that were made are those which the model answers anyway, and beside these, refusals
    that it does not give yet teach it to refuse everything that is harder (LOG.md, 2026-11-28).
    """
    from training.sheets import SheetConfig, build_sheets
    from training.traces import build_traces

    questions = _few_gaps(questions)
    traces, counts = build_traces(questions, pool, config)
    if not traces:
        raise DataError(f"no sound trace could be built: {dict(counts.refused)}")
    if config.question_last:
        sheets = SheetConfig(traces=replace(config, most_passages=4), none_share=0.0)
        traces += build_sheets(questions, pool, sheets, n=2 * len(questions))[0]
    return traces


def _few_gaps(questions: Sequence[Question]) -> list[Question]:
    """Return the questions without most that have a gap, if there are others.

    Their answers are a word or two: a model that is trained on many of them answers people's questions like that.
    """
    others = [question for question in questions if question.kind != "cloze"]
    gaps = [question for question in questions if question.kind == "cloze"]
    n_answered = sum(question.answerable for question in others)
    if not n_answered:
        return [*others, *gaps]
    return [*others, *gaps[: max(n_answered // _GAP_EVERY, _FEW - n_answered)]]
