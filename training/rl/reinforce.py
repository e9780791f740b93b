"""Stage two of the retrieve model: reinforced on its own episodes, by trl's `GRPOTrainer`.

    python -m training.rl.reinforce --data DATA --run RUN [--start VERSION] [--config FILE.toml] [--stop-after-s S]
    python -m training.rl.reinforce --sheets FOLDER --held-out-sheets FOLDER --run RUN …

Every step asks some questions several times each, through the code that serves
(`training.evaluation.served_episodes`), and pays the reports by `training.rewards`. The advantage of an episode is
its reward less the mean of its question's (Shao et al., https://arxiv.org/abs/2402.03300; not divided by the spread,
Liu et al., https://arxiv.org/abs/2503.20783).

How an episode gets into the trainer, and what makes it cheap, is `training.rl.grpo`. Low-rank pairs above the frozen
layers are trained, tags' and markers' rows are not. Resumable: a run that is started again goes on from its last
complete checkpoint.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm.auto import tqdm
from transformers import ProgressCallback, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig

from prep.checks import check_counts
from prep.errors import ConfigError, DataError
from prep.manifest import file_digest
from retrieve.model import ADAPTER
from training.evaluation.gains import figures_of, gains_of
from training.evaluation.served_episodes import Practice
from training.metrics.results import AnswersResult
from training.metrics.significance import Difference
from training.rewards import Prices
from training.rl.grpo import EpisodeTrainer, Policy, Rewarded, Rollouts
from training.rl.vllm_rollouts import EngineDecoder, check_engine, grammar_in_engine
from training.runs.config_file import read_config
from training.runs.run_folder import RunFolder
from training.traces.packed_environment import SheetPractice, Sheets

__all__ = ["ReinforceConfig", "Reinforced", "read_sheets", "reinforce"]

# transformers has renamed it.
_NO_CHECKPOINTING: dict[str, Any] = {
    name: False for name in ("activation_checkpointing",) if name in GRPOConfig.__dataclass_fields__
} or {"gradient_checkpointing": False}
_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforceConfig:
    """One run. questions: of a step, asked `episodes` times each.

    kl_weight: of the distance to the start, per token. frozen_layers: lowest layers left as they are. searches: most in
    an episode. prices: see `training.rewards`. evaluate_steps: held-out questions are answered greedily so often.
    schedule: the learning rate stays after the warm-up, or falls to nothing at the last step.
    sheet_questions: so many questions are asked on the same passages (`training.traces.packed_examples`), drawn
    instead of searched; 0 for each by its own search. use_vllm: episodes
    are written by vLLM, in this process, see `training.rl.vllm_rollouts`; vllm_memory: the share of the device's
    memory that it takes.
    """

    steps: int = 100
    questions: int = 8
    episodes: int = 8
    temperature: float = 1.0
    learning_rate: float = 5e-5
    warmup_steps: int = 5
    schedule: Literal["constant", "linear"] = "constant"
    clip_norm: float = 1.0
    kl_weight: float = 0.02
    frozen_layers: int = 9
    rank: int = 32
    alpha: int = 64
    searches: int = 2
    sheet_questions: int = 0
    prices: Prices = field(default_factory=Prices)
    checkpoint_steps: int = 10
    evaluate_steps: int = 25
    use_vllm: bool = False
    vllm_memory: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "steps", "questions", "rank", "searches", "checkpoint_steps", "evaluate_steps")
        if self.episodes < 2:
            raise ConfigError(f"episodes={self.episodes!r} must be at least 2: each is judged by the others")
        if self.sheet_questions < 0 or self.questions % (self.sheet_questions or 1):
            raise ConfigError(
                f"questions={self.questions!r} must be a multiple of sheet_questions={self.sheet_questions!r}"
            )
        if self.schedule not in _SCHEDULES:
            raise ConfigError(f"schedule={self.schedule!r} must be one of {', '.join(_SCHEDULES)}")
        if min(self.learning_rate, self.temperature) <= 0 or min(self.kl_weight, self.frozen_layers) < 0:
            raise ConfigError(
                "learning_rate and temperature must be positive, kl_weight and frozen_layers not negative"
            )

        if not 0 < self.vllm_memory <= 1:
            raise ConfigError(
                f"vllm_memory={self.vllm_memory!r} must be a share of the device's memory, up to 1"
            )

    @classmethod
    def from_toml(cls, path: str | Path) -> ReinforceConfig:
        """Read settings; an unknown key is a ConfigError."""
        return read_config(cls, path, nested={"prices": lambda row: Prices(**row)})


@dataclass(frozen=True, slots=True)
class Reinforced:
    """What a run gives: the adapter, and the start and the end on the held-out questions, greedily.

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
    practice: Practice | SheetPractice,
    held_out: Practice | SheetPractice,
    run: str | Path,
    config: ReinforceConfig,
    *,
    start: Path,
    stop_after_s: float | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> Reinforced:
    """Train the policy on the practice questions, or go on with a run.

    Deterministic by seed on one machine. stop_after_s: end early, at a checkpoint. report: called with each row of the
    log. Raises ConfigError where the folder holds another run, DataError where no held-out question has an answer.
    """
    started = time.monotonic()
    digest = file_digest(start / ADAPTER)
    identity = {"config": asdict(config), "start": digest, "practice": practice.digest}
    folder = RunFolder(run, {**identity, "held_out": held_out.digest})
    measured = f"{digest[:8]}-{held_out.digest[:8]}"
    with policy.writing():
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
    # Made before the checkpoint is loaded: the distance is that to the policy as it is now.
    keeper = _Keeper(policy, held_out, folder, config, started, stop_after_s, report)
    trainer = _trainer(policy, practice, folder, config, keeper)
    if checkpoint is not None:
        policy.load(checkpoint.tensors)
    if step < config.steps:
        with _known_warnings_ignored():
            trainer.train(resume_from_checkpoint=str(_of_trl(folder, step)) if step else None)
        step = trainer.state.global_step
    with policy.writing():
        after = held_out.measure(
            max_searches=config.searches,
            label="reinforced",
            kept=folder.path / f"after-{step}-{measured}.jsonl",
            progress=True,
        )
    adapter = folder.path / "adapter.safetensors"
    policy.save(adapter)
    gains = gains_of(before, after, config.prices)
    return Reinforced(adapter, step, time.monotonic() - started, before, after, gains)


@contextmanager
def _known_warnings_ignored() -> Iterator[None]:
    """What trl says about itself: that `rollout_func` is new, and names that transformers has newer ones for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*rollout_func.*")
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)
        yield


def _of_trl(folder: RunFolder, step: int) -> Path:
    """The trainer's own checkpoint of a step: optimiser, schedule, order of the questions."""
    return folder.path / "trainer" / f"checkpoint-{step}"


def _trainer(
    policy: Policy,
    practice: Practice | SheetPractice,
    folder: RunFolder,
    config: ReinforceConfig,
    keeper: _Keeper,
) -> EpisodeTrainer:
    from datasets import Dataset

    on_cuda = policy.model.model.device.type == "cuda"
    arguments = GRPOConfig(
        output_dir=str(folder.path / "trainer"),
        per_device_train_batch_size=config.questions * config.episodes,
        num_generations=config.episodes * (config.sheet_questions or 1),
        max_steps=config.steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=_SCHEDULES[config.schedule],
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
    with _known_warnings_ignored(), _engine(policy, practice, folder) if config.use_vllm else nullcontext():
        trainer = EpisodeTrainer(
            model=policy.wrapped,
            reward_funcs=Rewarded(config.prices),
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": [str(i) for i in range(len(practice))]}),
            processing_class=policy.model.tokenizer,
            rollout_func=Rollouts(
                policy,
                practice,
                searches=config.searches,
                temperature=config.temperature,
                seed=config.seed,
            ),
            callbacks=[keeper],
        )
    if config.use_vllm:
        practice.write_by(EngineDecoder(practice.decoder, _pushing(policy, trainer.vllm_generation)))
    trainer.remove_callback(ProgressCallback)  # prints every figure of every step
    return trainer


@contextmanager
def _engine(policy: Policy, practice: Practice | SheetPractice, folder: RunFolder) -> Iterator[None]:
    """Let trl start vLLM from the policy as it is."""
    check_engine()
    base = folder.path / "engine"
    policy.save_base(base)
    policy.wrapped.get_base_model().name_or_path = str(base)
    with grammar_in_engine():
        yield


def _pushing(policy: Policy, generation: Any) -> Any:
    """Return trl's engine, which leaves the policy to the bit as it was when it takes its weights."""
    push = generation.sync_weights

    def exactly() -> None:
        with policy.weights_put_back():
            push()

    generation.sync_weights = exactly
    return generation


# What trl logs of a step → what our log calls it.
_LOGGED = {
    "mean_reward": "reward",
    "spread": "reward_std",
    "without_spread": "skipped",
    **{name: name for name in ("loss", "entropy", "kl")},
    **{name: name for name in ("f1", "citation_precision", "citation_recall", "abstention_right")},
    **{name: name for name in ("searches", "tokens")},
    "grad_norm": "norm",
    "sampling/sampling_logp_difference/mean": "engine_difference",  # vLLM's log-probabilities to the policy's
}


class _Keeper(TrainerCallback):
    """Writes the run's log and checkpoints, measures held-out questions, and stops in time."""

    def __init__(
        self,
        policy: Policy,
        held_out: Practice | SheetPractice,
        folder: RunFolder,
        config: ReinforceConfig,
        started: float,
        stop_after_s: float | None,
        report: Callable[[dict[str, float]], None] | None,
    ) -> None:
        self.policy, self.held_out, self.folder, self.config = policy, held_out, folder, config
        self.started, self.stop_after_s, self.report = started, stop_after_s, report
        self.bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show progress."""
        self.bar = tqdm(
            total=self.config.steps, initial=state.global_step, desc="reinforce", unit="step", disable=None
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the end."""
        self.bar.close()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the figures of a step."""
        logs = kwargs["logs"]
        if "mean_reward" in logs:
            row = {ours: float(logs[theirs]) for theirs, ours in _LOGGED.items() if theirs in logs}
            row = {"step": state.global_step, **row, "seconds": time.monotonic() - self.started}
            self.folder.log(row)
            if self.report is not None:
                self.report(row)
            self.bar.set_postfix(reward=f"{row['reward']:.3f}", skipped=f"{row['skipped']:.2f}")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure, and stop where the time is over."""
        self.bar.update()
        if state.global_step % self.config.evaluate_steps == 0 and state.global_step < self.config.steps:
            with self.policy.writing():
                result = self.held_out.measure(max_searches=self.config.searches)
            held = {f"held_{name}": value for name, value in figures_of(result, self.config.prices).items()}
            self.folder.log({"step": state.global_step, **held})
        if self.stop_after_s is not None and time.monotonic() - self.started > self.stop_after_s:
            control.should_training_stop = control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write our checkpoint once the trainer's is whole: a run goes on from there."""
        self.folder.checkpoint(state.global_step, self.policy.pairs)


def _describe(result: Reinforced, prices: Prices) -> dict[str, Any]:
    """Return what is printed and kept of a run."""
    return {
        "steps": result.n_steps,
        "seconds": round(result.seconds),
        "held_out_questions": len(result.before.rows),
        "before": figures_of(result.before, prices),
        "after": figures_of(result.after, prices),
        "gains": {name: asdict(gain) for name, gain in result.gains.items()},
    }


def _with_store(options: Any, policy: Policy, config: ReinforceConfig, start: Path) -> Reinforced:
    """Practise and measure on stores of a labelled set's documents."""
    from prep.model.prep_model import PrepModel
    from training.data.dataset import load_set
    from training.traces.mixture import part_of

    dataset = load_set(options.data / options.set)
    if not dataset.questions:
        raise DataError(f"the set {options.set!r} has no questions to practise on")
    prep = PrepModel.load(options.prep)

    def opened(name: str, limit: int | None) -> AbstractContextManager[Practice]:
        documents = part_of(dataset, held_out=name == "held_out")
        return Practice.open(documents, options.run / name, policy.model, prep, limit=limit)

    with (
        opened("practice", options.questions) as practice,
        opened("held_out", options.held_out) as held_out,
    ):
        practised: Practice | SheetPractice = practice
        if config.sheet_questions:
            asked = replace(practice.dataset, questions=practice.questions)
            k = policy.serving.episode.passages_per_search
            drawn = Sheets.draw(asked, prep, config.sheet_questions, n_passages=k, seed=config.seed)
            practised = SheetPractice(drawn, policy.model)
        return reinforce(
            policy, practised, held_out, options.run, config, start=start, stop_after_s=options.stop_after_s
        )


def read_sheets(
    practised: Sequence[Path], held_out: Sequence[Path], n_held_out: int
) -> tuple[Sheets, Sheets]:
    """Return both, of the held-out ones so many questions, of each folder as many. Raises DataError."""
    drawn = reduce(Sheets.joined, map(Sheets.load, practised))
    parts = [Sheets.load(folder) for folder in held_out]
    each = n_held_out // len(parts)
    held = reduce(
        Sheets.joined,
        [replace(one, sheets=one.sheets[: max(1, each // one.n_questions)]) for one in parts],
    )
    if shared := {one.id for one in drawn.dataset.questions} & {one.id for one in held.dataset.questions}:
        raise DataError(f"{len(shared)} questions of {_names(held_out)} are in {_names(practised)}, too")
    return drawn, held


def _names(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line."""
    import argparse

    from retrieve.model import shipped_retrieve
    from training.runs.loss_curves import draw_run
    from training.traces.mixture import DEVELOPMENT

    parser = argparse.ArgumentParser(
        description="reinforce the retrieve model on its own episodes; resumes by itself"
    )
    parser.add_argument("--data", type=Path, help="folder of labelled sets")
    parser.add_argument(
        "--set", default=DEVELOPMENT, help="the labelled set; what is held out says training.traces.mixture"
    )
    parser.add_argument(
        "--sheets",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="practise on sheets drawn before (training.traces.packed_environment), without a store",
    )
    parser.add_argument(
        "--held-out-sheets", type=Path, nargs="+", metavar="FOLDER", help="with --sheets: measure on these"
    )
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of the run: log, checkpoints, adapter"
    )
    parser.add_argument("--start", type=Path, help="the version to start from; the shipped one by default")
    parser.add_argument("--base", help="causal LM of the version, by path (default: the embedded one)")
    parser.add_argument("--prep", help="a prep model version; the shipped one by default")
    parser.add_argument("--questions", type=int, help="practise on so many questions; all by default")
    parser.add_argument("--held-out", type=int, default=400, help="measure on so many held-out questions")
    parser.add_argument("--config", help="TOML file with settings")
    parser.add_argument("--stop-after-s", type=float, help="end by then, at a checkpoint")
    options = parser.parse_args(argv)
    if (options.sheets is None) == (options.data is None) or (options.sheets is None) != (
        options.held_out_sheets is None
    ):
        parser.error("give --data, or --sheets with --held-out-sheets")
    if options.sheets is not None and (options.questions is not None or options.prep is not None):
        parser.error("--questions and --prep are for --data: sheets are drawn already")
    config = ReinforceConfig.from_toml(options.config) if options.config else ReinforceConfig()
    sheets: tuple[Sheets, Sheets] | None = None
    if options.sheets is not None:
        sheets = read_sheets(options.sheets, options.held_out_sheets, options.held_out)
        n_questions = sheets[0].n_questions
        if config.sheet_questions not in (0, n_questions):
            raise ConfigError(
                f"{_names(options.sheets)} wants sheet_questions = {n_questions} in the settings"
            )
        config = replace(config, sheet_questions=n_questions)
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
    if sheets is not None:
        result = reinforce(
            policy,
            SheetPractice(sheets[0], policy.model),
            SheetPractice(sheets[1], policy.model),
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
