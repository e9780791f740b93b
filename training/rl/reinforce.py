"""Stage two of the retrieve model: reinforced on its own episodes, by trl's `GRPOTrainer`.

    python -m training.rl.reinforce --data DATA --run RUN [--start VERSION] [--config FILE.toml] [--stop-after-s S]
    python -m training.rl.reinforce --packed FOLDER --held-out-packed FOLDER --run RUN …

Every step runs several episodes of some questions in an environment, through the code that serves, and rewards the
reports (`training.rewards`). The advantage of an episode is its reward less the mean of its question's (Shao et al.,
https://arxiv.org/abs/2402.03300; not divided by the spread, Liu et al., https://arxiv.org/abs/2503.20783).

`training.rl.grpo` brings episodes into the trainer and makes them cheap. Low-rank pairs above the frozen layers are
trained, the rows of special tokens are not. Resumable: a run that is started again goes on from its last complete
checkpoint.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from transformers import ProgressCallback
from trl.trainer.grpo_config import GRPOConfig

from prep.errors import ConfigError, DataError
from prep.manifest import file_digest
from retrieve.model import ADAPTER
from training.evaluation.environment import Environment
from training.evaluation.gains import figures_of, gains_of
from training.evaluation.packed_environment import PackedEnvironment
from training.evaluation.store_environment import StoreEnvironment
from training.metrics.results import AnswersResult
from training.metrics.significance import Difference
from training.rewards import Prices
from training.rl.grpo import EpisodeTrainer, RewardFunction, Rollouts
from training.rl.policy import Policy
from training.rl.reinforce_config import SCHEDULES, ReinforceConfig
from training.rl.run_callback import RunCallback
from training.rl.vllm_rollouts import EngineDecoder, check_engine, grammar_in_engine
from training.runs.run_folder import RunFolder
from training.traces.packed_example_set import PackedExampleSet

__all__ = ["ReinforcementResult", "load_packed_examples", "reinforce"]

# transformers has renamed it.
_NO_CHECKPOINTING: dict[str, Any] = {
    name: False for name in ("activation_checkpointing",) if name in GRPOConfig.__dataclass_fields__
} or {"gradient_checkpointing": False}


@dataclass(frozen=True, slots=True)
class ReinforcementResult:
    """The adapter of a run, and its start and end measured greedily on the held-out questions.

    gains: end less start of the reward and of the figures that must not fall, resampled by document.
    """

    adapter: Path
    n_steps: int
    seconds: float
    before: AnswersResult
    after: AnswersResult
    gains: dict[str, Difference]


def reinforce(
    policy: Policy,
    environment: Environment,
    held_out: Environment,
    run: str | Path,
    config: ReinforceConfig,
    *,
    start: Path,
    stop_after_s: float | None = None,
    on_progress: Callable[[dict[str, float]], None] | None = None,
) -> ReinforcementResult:
    """Train the policy on episodes of the environment, or go on with a run.

    held_out: measured greedily before and after, and every so many steps.

    Deterministic by seed on one machine. stop_after_s: end early, at a checkpoint. on_progress: called with each row of
    the log. Raises ConfigError where the folder holds another run, DataError where no held-out question has an answer.
    """
    started = time.monotonic()
    digest = file_digest(start / ADAPTER)
    identity = {"config": asdict(config), "start": digest, "environment": environment.digest}
    folder = RunFolder(run, {**identity, "held_out": held_out.digest})
    measured = f"{digest[:8]}-{held_out.digest[:8]}"
    with policy.generating():
        before = held_out.measure(
            max_searches=config.searches,
            label="start",
            kept=folder.path / f"before-{measured}.jsonl",
            progress=True,
        )
    if not any(row.expects_answer for row in before.rows):
        raise DataError(f"of {len(before.rows)} held-out questions none has an answer to be measured by")
    checkpoint = folder.resume()
    step = 0 if checkpoint is None else checkpoint.step
    # Made before the checkpoint is loaded: the KL term measures the distance to the policy as it is now.
    callback = RunCallback(policy, held_out, folder, config, started, stop_after_s, on_progress)
    trainer = _trainer(policy, environment, folder, config, callback)
    if checkpoint is not None:
        policy.load(checkpoint.tensors)
    if step < config.steps:
        with _known_warnings_ignored():
            trainer.train(resume_from_checkpoint=str(_trl_checkpoint(folder, step)) if step else None)
        step = trainer.state.global_step
    with policy.generating():
        after = held_out.measure(
            max_searches=config.searches,
            label="reinforced",
            kept=folder.path / f"after-{step}-{measured}.jsonl",
            progress=True,
        )
    adapter = folder.path / "adapter.safetensors"
    policy.save(adapter)
    gains = gains_of(before, after, config.prices)
    return ReinforcementResult(adapter, step, time.monotonic() - started, before, after, gains)


@contextmanager
def _known_warnings_ignored() -> Iterator[None]:
    """Hide trl's warnings that `rollout_func` is experimental and that it uses transformers' older names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*rollout_func.*")
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)
        yield


def _trl_checkpoint(folder: RunFolder, step: int) -> Path:
    """Return trl's own checkpoint of a step: optimiser, schedule, order of the questions."""
    return folder.path / "trainer" / f"checkpoint-{step}"


def _trainer(
    policy: Policy,
    environment: Environment,
    folder: RunFolder,
    config: ReinforceConfig,
    callback: RunCallback,
) -> EpisodeTrainer:
    from datasets import Dataset

    on_cuda = policy.model.model.device.type == "cuda"
    arguments = GRPOConfig(
        output_dir=str(folder.path / "trainer"),
        per_device_train_batch_size=config.questions * config.episodes,
        num_generations=config.episodes * (config.questions_per_context or 1),
        max_steps=config.steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=SCHEDULES[config.schedule],
        warmup_steps=config.warmup_steps,
        max_grad_norm=config.clip_norm,
        beta=config.kl_weight,
        temperature=config.temperature,
        loss_type="dr_grpo",
        scale_rewards="none",
        max_completion_length=policy.serving.action.max_tokens,
        **_NO_CHECKPOINTING,
        bf16=False,  # the policy is float32 where it is trained on CUDA, and says itself what it is elsewhere
        use_cpu=not on_cuda,
        logging_steps=1,
        save_strategy="steps",
        save_steps=config.checkpoint_steps,
        save_total_limit=2,
        report_to="none",
        seed=config.seed,
        use_vllm=config.use_vllm,
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=config.vllm_memory,
    )
    with (
        _known_warnings_ignored(),
        _engine(policy, environment, folder) if config.use_vllm else nullcontext(),
    ):
        trainer = EpisodeTrainer(
            model=policy.wrapped,
            reward_funcs=RewardFunction(config.prices),
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": [str(i) for i in range(len(environment))]}),
            processing_class=policy.model.tokenizer,
            rollout_func=Rollouts(
                policy,
                environment,
                searches=config.searches,
                temperature=config.temperature,
                seed=config.seed,
            ),
            callbacks=[callback],
        )
    if config.use_vllm:
        environment.use_decoder(
            EngineDecoder(environment.decoder, _with_exact_sync(policy, trainer.vllm_generation))
        )
    trainer.remove_callback(ProgressCallback)  # prints every figure of every step
    return trainer


@contextmanager
def _engine(policy: Policy, environment: Environment, folder: RunFolder) -> Iterator[None]:
    """Let trl start vLLM with the weights of the policy."""
    check_engine()
    base = folder.path / "engine"
    policy.save_base(base)
    policy.wrapped.get_base_model().name_or_path = str(base)
    with grammar_in_engine():
        yield


def _with_exact_sync(policy: Policy, generation: Any) -> Any:
    """Let trl's engine take the policy's weights and leave the policy unchanged to the bit."""
    push = generation.sync_weights

    def push_exactly() -> None:
        with policy.weights_restored():
            push()

    generation.sync_weights = push_exactly
    return generation


def _describe(result: ReinforcementResult, prices: Prices) -> dict[str, Any]:
    """Return the summary of a run as plain values."""
    return {
        "steps": result.n_steps,
        "seconds": round(result.seconds),
        "held_out_questions": len(result.before.rows),
        "before": figures_of(result.before, prices),
        "after": figures_of(result.after, prices),
        "gains": {name: asdict(gain) for name, gain in result.gains.items()},
    }


def _with_store(options: Any, policy: Policy, config: ReinforceConfig, start: Path) -> ReinforcementResult:
    """Reinforce and measure on stores of a labelled set's documents."""
    from prep.model.prep_model import PrepModel
    from training.data.dataset import load_set
    from training.traces.mixture import part_of

    dataset = load_set(options.data / options.set)
    if not dataset.questions:
        raise DataError(f"the set {options.set!r} has no questions to train on")
    prep = PrepModel.load(options.prep)

    def opened(name: str, limit: int | None) -> AbstractContextManager[StoreEnvironment]:
        documents = part_of(dataset, held_out=name == "held_out")
        return StoreEnvironment.open(documents, options.run / name, policy.model, prep, limit=limit)

    with (
        opened("practice", options.questions) as store,
        opened("held_out", options.held_out) as held_out,
    ):
        environment: Environment = store
        if config.questions_per_context:
            asked = replace(store.dataset, questions=store.questions)
            n_passages = policy.serving.episode.passages_per_search
            packed = PackedExampleSet.draw(
                asked, prep, config.questions_per_context, n_passages=n_passages, seed=config.seed
            )
            environment = PackedEnvironment(packed, policy.model)
        return reinforce(
            policy, environment, held_out, options.run, config, start=start, stop_after_s=options.stop_after_s
        )


def load_packed_examples(
    trained: Sequence[Path], held_out: Sequence[Path], n_held_out: int
) -> tuple[PackedExampleSet, PackedExampleSet]:
    """Return the examples to train on, and held-out ones of so many questions, from each folder equally many.

    Raises DataError where a question is in both.
    """
    examples = reduce(PackedExampleSet.joined, map(PackedExampleSet.load, trained))
    parts = [PackedExampleSet.load(folder) for folder in held_out]
    each = n_held_out // len(parts)
    held = reduce(
        PackedExampleSet.joined,
        [replace(one, examples=one.examples[: max(1, each // one.n_questions)]) for one in parts],
    )
    if shared := {one.id for one in examples.dataset.questions} & {one.id for one in held.dataset.questions}:
        raise DataError(f"{len(shared)} questions of {_names(held_out)} are in {_names(trained)}, too")
    return examples, held


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))


def _parser() -> argparse.ArgumentParser:
    from training.traces.mixture import DEVELOPMENT

    parser = argparse.ArgumentParser(
        description="reinforce the retrieve model on its own episodes; resumes by itself"
    )
    parser.add_argument("--data", type=Path, help="folder of labelled sets")
    parser.add_argument(
        "--set", default=DEVELOPMENT, help="the labelled set; what is held out says training.traces.mixture"
    )
    parser.add_argument(
        "--packed",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="train on packed examples (training.traces.packed_example_set), without a store",
    )
    parser.add_argument(
        "--held-out-packed", type=Path, nargs="+", metavar="FOLDER", help="with --packed: measure on these"
    )
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of the run: log, checkpoints, adapter"
    )
    parser.add_argument("--start", type=Path, help="the version to start from; the shipped one by default")
    parser.add_argument("--base", help="causal LM of the version, by path (default: the embedded one)")
    parser.add_argument("--prep", help="a prep model version; the shipped one by default")
    parser.add_argument("--questions", type=int, help="train on so many questions; all by default")
    parser.add_argument("--held-out", type=int, default=400, help="measure on so many held-out questions")
    parser.add_argument("--config", help="TOML file with settings")
    parser.add_argument("--stop-after-s", type=float, help="end by then, at a checkpoint")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line."""
    from retrieve.model import shipped_retrieve
    from training.runs.loss_curves import draw_run

    parser = _parser()
    options = parser.parse_args(argv)
    if (options.packed is None) == (options.data is None) or (options.packed is None) != (
        options.held_out_packed is None
    ):
        parser.error("give --data, or --packed with --held-out-packed")
    if options.packed is not None and (options.questions is not None or options.prep is not None):
        parser.error("--questions and --prep are for --data: packed examples are drawn already")
    config = ReinforceConfig.from_toml(options.config) if options.config else ReinforceConfig()
    packed: tuple[PackedExampleSet, PackedExampleSet] | None = None
    if options.packed is not None:
        packed = load_packed_examples(options.packed, options.held_out_packed, options.held_out)
        n_questions = packed[0].n_questions
        if config.questions_per_context not in (0, n_questions):
            raise ConfigError(
                f"{_names(options.packed)} wants questions_per_context = {n_questions} in the settings"
            )
        config = replace(config, questions_per_context=n_questions)
    start = options.start or shipped_retrieve()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    policy = Policy(
        start,
        rank=config.rank,
        alpha=config.alpha,
        frozen_layers=config.frozen_layers,
        base=options.base,
        device=device,
    )
    if packed is not None:
        environment, held_out = (PackedEnvironment(examples, policy.model) for examples in packed)
        result = reinforce(
            policy,
            environment,
            held_out,
            options.run,
            config,
            start=start,
            stop_after_s=options.stop_after_s,
        )
    else:
        result = _with_store(options, policy, config, start)
    described = json.dumps(_describe(result, config.prices), indent=2)
    (options.run / "result.json").write_text(described + "\n", encoding="utf-8")
    print(described)
    print(draw_run(options.run))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
