"""Reinforcement on a tiny real model: it learns, it is what trl would compute, it resumes, it does not change."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_causal_lm import make_causal_lm, make_retrieve_version
from fixture_prep import LinePrep
from fixture_rows import answer_row
from fixture_stages import log_rows
from fixture_words import words_set

from prep.errors import ConfigError, DataError
from retrieve.decoding.reranking import RerankingConfig
from retrieve.episode.episode import EpisodeLimits
from retrieve.episode.grammar import ActionLimits
from retrieve.lm.adapter import read_adapter
from retrieve.model import ADAPTER, RetrieveModel, ServingConfig, save_retrieve_version
from training.data.dataset import LabelledSet
from training.evaluation.packed_environment import PackedEnvironment
from training.evaluation.store_environment import StoreEnvironment
from training.metrics.results import AnswerRow
from training.retrieve_model.candidate_sets import packed_candidate_sets, store_candidate_sets
from training.rl.grpo import EpisodeTrainer, RewardFunction, Rollouts
from training.rl.policy import Policy
from training.rl.reinforce import ReinforcementResult, load_packed_examples, main, reinforce
from training.rl.reinforce_config import ReinforceConfig
from training.traces.mixture import held_out_documents
from training.traces.packed_example_set import PackedExampleSet, environment_part, unseen_part

CONFIG = ReinforceConfig(
    steps=16,
    questions=4,
    episodes=6,
    learning_rate=0.02,
    warmup_steps=1,
    kl_weight=0.01,
    frozen_layers=0,
    rank=2,
    alpha=4,
    searches=2,
    checkpoint_steps=4,
    evaluate_steps=8,
)
WORDS = ("bees", "glass", "rain", "iron", "salt", "wool", "clay", "milk")
TERSE = ActionLimits(query_tokens=3, statement_tokens=3, max_findings=1, max_pointers=1)


def small_set() -> LabelledSet:
    return words_set(WORDS)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_causal_lm(tmp_path_factory.mktemp("base") / "lm")


@pytest.fixture(scope="module")
def start(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "version"
    make_retrieve_version(folder, base)
    save_retrieve_version(folder, folder / ADAPTER, serving=ServingConfig(action=TERSE), source=str(base))
    return folder


@pytest.fixture(scope="module")
def last(start: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The start as a version that reads the question last."""
    folder = tmp_path_factory.mktemp("last") / "version"
    limits = EpisodeLimits()
    save_retrieve_version(
        folder, start / ADAPTER, serving=ServingConfig(action=TERSE, episode=limits), source=str(base)
    )
    return folder


Opened = Callable[..., Any]


@pytest.fixture(scope="module")
def opened(base: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Opens the start as a policy with its practice."""
    workspace = tmp_path_factory.mktemp("workspace")

    @contextmanager
    def both(frozen_layers: int = 0, begin: Path = start) -> Iterator[tuple[Policy, StoreEnvironment]]:
        policy = Policy(begin, rank=2, alpha=4, frozen_layers=frozen_layers, base=base)
        with StoreEnvironment.open(
            small_set(), workspace, policy.model, LinePrep(), withheld_every=4
        ) as practice:
            yield policy, practice

    return both


def train(
    opened: Opened, run: Path, start: Path, config: ReinforceConfig = CONFIG, **more: Any
) -> ReinforcementResult:
    with opened(config.frozen_layers, start) as (policy, practice):
        n = config.questions_per_context
        practised = (
            PackedEnvironment(PackedExampleSet.draw(small_set(), LinePrep(), n), policy.model)
            if n
            else practice
        )
        return reinforce(policy, practised, practice, run, config, start=start, **more)


@pytest.fixture(scope="module")
def trained(
    opened: Opened, start: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ReinforcementResult]:
    run = tmp_path_factory.mktemp("run")
    return run, train(opened, run, start)


def test_the_reward_rises_and_the_log_holds_the_curves(trained: tuple[Path, ReinforcementResult]) -> None:
    run, result = trained
    rows = [row for row in log_rows(run) if "reward" in row]
    assert [row["step"] for row in rows] == list(range(1, CONFIG.steps + 1))
    early, late = (sum(row["reward"] for row in part) for part in (rows[:4], rows[-4:]))
    assert late > early
    wanted = {"reward", "skipped", "entropy", "kl", "f1", "citation_recall", "searches", "tokens", "norm"}
    assert wanted <= rows[-1].keys()
    assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert rows[-1]["kl"] > 0
    assert result.n_steps == CONFIG.steps
    assert result.gains["reward"].n == len(WORDS)
    assert any("held_reward" in row for row in log_rows(run))


def test_a_stored_short_run_guards_against_silent_change(trained: tuple[Path, ReinforcementResult]) -> None:
    """Same seed, same losses: a change of these numbers is a change of the recipe, to be explained in the log."""
    stored = json.loads(Path(__file__).with_name("reinforce_run.json").read_text(encoding="utf-8"))
    rows = [row for row in log_rows(trained[0]) if "reward" in row][: len(stored)]
    found = [{name: row[name] for name in ("step", "reward", "loss", "entropy")} for row in rows]
    for one, kept in zip(found, stored, strict=True):
        assert one == pytest.approx(kept, rel=1e-3, abs=1e-5)


def test_the_adapter_loads_and_only_its_pairs_have_moved(
    trained: tuple[Path, ReinforcementResult], start: Path
) -> None:
    before, after = read_adapter(start / ADAPTER), read_adapter(trained[1].adapter)
    assert before.updates.keys() == after.updates.keys()
    assert any(not torch.equal(before.updates[name][0], after.updates[name][0]) for name in before.updates)
    for token, row in before.rows.items():
        assert torch.equal(row, after.rows[token])


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_end_and_another_is_refused(
    opened: Opened, start: Path, trained: tuple[Path, ReinforcementResult], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stopped = train(opened, run, start, stop_after_s=0.0)
    assert stopped.n_steps == 1
    again = train(opened, run, start)
    assert again.n_steps == CONFIG.steps
    expected = [row for row in log_rows(trained[0]) if "reward" in row]
    found = [row for row in log_rows(run) if "reward" in row]
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["reward"] == pytest.approx(other["reward"], rel=1e-3)
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-2, abs=1e-5)
        assert one["kl"] == pytest.approx(
            other["kl"], rel=1e-2, abs=1e-6
        )  # of the start, not of the checkpoint
    (max((run / "checkpoints").iterdir()) / "complete").unlink()  # as if killed while it was being written
    shutil.rmtree(run / "trainer" / f"checkpoint-{CONFIG.steps}")
    assert train(opened, run, start).n_steps == CONFIG.steps
    with pytest.raises(ConfigError, match=r"other settings or data \(config\)"):
        train(opened, run, start, replace(CONFIG, episodes=4))


def test_frozen_layers_stay_and_settings_are_checked(opened: Opened, start: Path, base: Path) -> None:
    policy = Policy(start, rank=2, alpha=4, frozen_layers=1, base=base)
    trained = {name for name, pair in policy.pairs.items() if pair.requires_grad}
    assert trained < policy.pairs.keys()
    assert all(".layers.1." in name for name in trained)
    with pytest.raises(ConfigError, match="rank 3"):
        Policy(start, rank=3, alpha=6, base=base)
    for wrong in (
        {"episodes": 1},
        {"steps": 0},
        {"learning_rate": 0.0},
        {"kl_weight": -1.0},
        {"schedule": "cosine"},
        {"vllm_memory": 0.0},
    ):
        with pytest.raises(ConfigError):
            replace(CONFIG, **wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pairs_are_merged_for_writing_and_weights_are_put_back_to_the_bit(
    start: Path, base: Path, dtype: torch.dtype
) -> None:
    policy = Policy(start, rank=2, alpha=4, base=base)
    policy.wrapped.get_base_model().to(dtype)
    for pair in policy.pairs.values():
        torch.nn.init.normal_(pair, std=0.3)

    def weights() -> dict[str, torch.Tensor]:
        return {
            name: value.clone() for name, value in policy.wrapped.state_dict().items() if "base_layer" in name
        }

    before = weights()
    with policy.generating():
        assert all(not torch.equal(value, before[name]) for name, value in weights().items())
    assert all(torch.equal(value, before[name]) for name, value in weights().items())


def test_frozen_layers_stay_when_a_run_goes_on(opened: Opened, start: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=2, frozen_layers=1)

    assert train(opened, tmp_path / "run", start, config, stop_after_s=0.0).n_steps == 1
    result = train(opened, tmp_path / "run", start, config)
    assert result.n_steps == 2
    before, after = read_adapter(start / ADAPTER), read_adapter(result.adapter)
    moved = {
        name for name in before.updates if not torch.equal(before.updates[name][1], after.updates[name][1])
    }
    assert moved
    assert all(".layers.1." in name for name in moved)


class _State:
    global_step = 3


def test_episodes_become_token_ids_and_what_the_model_wrote_is_marked(opened: Opened) -> None:
    with opened() as (policy, practice):
        rollouts = Rollouts(policy, practice, searches=2, temperature=1.0, seed=0)
        trainer = type("Trainer", (), {"state": _State()})()
        columns = rollouts(["0", "0", "0", "0", "3", "3", "3", "3"], trainer)
        again = rollouts(["0", "0", "0", "0", "3", "3", "3", "3"], trainer)
    assert columns == again
    decode = policy.model.tokenizer.decode
    searched = 0
    for ids, mask, row in zip(columns["completion_ids"], columns["env_mask"], columns["judged"], strict=True):
        assert len(ids) == len(mask)
        assert sum(mask) == row.completion_tokens
        text = decode(ids)
        shown = decode([token for token, own in zip(ids, mask, strict=True) if not own])
        assert text.endswith("</report>")
        assert ("<results>" in shown) == (row.n_searches == 2)
        assert "<report>" not in shown
        searched += row.n_searches == 2
    assert 0 < searched < 8
    assert len({tuple(ids) for ids in columns["prompt_ids"]}) == 2
    withheld = practice.questions[3]
    assert withheld.withheld
    assert all(not row.expects_answer for row in columns["judged"][4:])
    assert "iron is old" not in decode(columns["prompt_ids"][4])


def test_refusing_is_given_in_scoring_what_it_was_given_in_writing(
    opened: Opened, start: Path, base: Path, tmp_path: Path
) -> None:
    serving = ServingConfig(action=TERSE, abstention_bias=0.5, abstention_bias_after_search=2.25)
    save_retrieve_version(tmp_path / "v", start / ADAPTER, serving=serving, source=str(base))
    with opened(0, tmp_path / "v") as (policy, practice):
        rollouts = Rollouts(policy, practice, searches=1, temperature=1.0, seed=0)
        trainer = type("Trainer", (), {"state": _State()})()
        rollouts(["0", "0", "3", "3"], trainer)
        none = practice.decoder.grammar.none[0]
    decided = {float(how.biases()[1, none]) for how in trainer.generated.values()}  # behind <report>
    assert decided == {0.5}


def test_episodes_of_a_packed_example_share_its_passages_and_have_their_question_before_them(
    opened: Opened, last: Path
) -> None:
    with opened(0, last) as (policy, _):
        packed = PackedEnvironment(PackedExampleSet.draw(small_set(), LinePrep(), 4), policy.model)
        rollouts = Rollouts(policy, packed, searches=2, temperature=1.0, seed=0)
        trainer = type("Trainer", (), {"state": _State()})()
        columns = rollouts(["0"] * 8 + ["1"] * 8, trainer)
    decode = policy.model.tokenizer.decode
    assert len({tuple(ids) for ids in columns["prompt_ids"]}) == 2
    for row, number in enumerate([0] * 8 + [1] * 8):
        example = packed.packed.examples[number]
        question = example.questions[row % 8 // 2]
        ids, mask = columns["completion_ids"][row], columns["env_mask"][row]
        shown = decode([token for token, own in zip(ids, mask, strict=True) if not own])
        assert f"<question>{question.question}</question>" in shown
        assert mask == sorted(mask)
        prompt = decode(columns["prompt_ids"][row])
        assert all(passage.text.split(".")[0] in prompt for passage in example.passages)
        judged = columns["judged"][row]
        assert (judged.question_id, judged.expects_answer) == (question.id, not question.withheld)
        assert judged.n_searches == 1
    kinds = {question.withheld for example in packed.packed.examples for question in example.questions}
    assert kinds == {False, True}


def test_of_a_second_look_only_the_report_is_the_model_s(opened: Opened, last: Path, tmp_path: Path) -> None:
    documents = small_set()
    drawn = PackedExampleSet.draw_second_searches(documents, LinePrep(), n_passages=2)
    drawn.save(tmp_path / "packed")
    assert PackedExampleSet.load(tmp_path / "packed").examples == drawn.examples
    with opened(0, last) as (policy, _):
        practice = PackedEnvironment(drawn, policy.model)
        rollouts = Rollouts(policy, practice, searches=2, temperature=1.0, seed=0)
        columns = rollouts(["0"] * 4, type("Trainer", (), {"state": _State()})())
        measured = practice.measure()
    example, decode = drawn.examples[0], policy.model.tokenizer.decode
    for ids, mask, judged in zip(
        columns["completion_ids"], columns["env_mask"], columns["judged"], strict=True
    ):
        given = decode([token for token, own in zip(ids, mask, strict=True) if not own])
        assert f"<search> {example.query}</search>" in given
        assert all(passage.text.split(".")[0] in given for passage in example.more)
        own = decode([token for token, own in zip(ids, mask, strict=True) if own])
        assert own.startswith("<report>")
        assert mask == sorted(mask)
        assert judged.n_searches == 2
    assert len(measured.rows) == len(drawn.examples)
    plain = PackedEnvironment(
        replace(drawn, examples=[replace(one, query="") for one in drawn.examples]), policy.model
    )
    assert plain.digest != practice.digest


@pytest.mark.parametrize("questions_per_context", [0, 2])
def test_the_trainer_s_loss_is_that_of_every_episode_scored_by_itself(
    questions_per_context: int,
    opened: Opened,
    tmp_path: Path,
    start: Path,
    last: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gradient of the first step, by hand: advantage times that of the model's own words, under the grammar."""
    kept: dict[str, Any] = {}
    compute = EpisodeTrainer._compute_loss

    def seen(self: Any, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss = compute(self, model, inputs)
        if not kept:
            kept.update(inputs=inputs)
            pairs = [p for p in model.parameters() if p.requires_grad]
            kept["gradient"] = torch.autograd.grad(loss, pairs, retain_graph=True)
            kept["expected"] = torch.autograd.grad(by_hand(self, model, inputs), pairs)
        return loss

    def by_hand(trainer: Any, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        total = torch.zeros(())
        own = inputs["completion_mask"] * inputs["tool_mask"]
        for row, advantage in enumerate(inputs["advantages"]):
            prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()]
            completion = inputs["completion_ids"][row][inputs["completion_mask"][row].bool()]
            logits = model.get_base_model()(input_ids=torch.cat([prompt, completion]).unsqueeze(0)).logits
            how = trainer.generated[tuple(prompt.tolist()), tuple(completion.tolist())]
            assert how.n_prefix > 0  # the question, after the results
            bias = torch.nn.functional.pad(how.biases(), (0, 0, how.n_prefix, 0))
            assert bool(bias[torch.arange(len(completion)), completion].isfinite().all())
            logprobs = torch.log_softmax(logits[0, len(prompt) - 1 : -1].float() + bias, dim=-1)
            chosen = logprobs.gather(1, completion.unsqueeze(1)).squeeze(1)
            total = total - advantage * (chosen * own[row][: len(completion)]).sum()
        return total / (len(inputs["advantages"]) * trainer.max_completion_length)

    monkeypatch.setattr(EpisodeTrainer, "_compute_loss", seen)
    # Where the processor is fast in bfloat16, its rounding would hide what is compared.
    monkeypatch.setattr("retrieve.lm.base.cpu_dtype", lambda: torch.float32)
    if questions_per_context:  # where nothing is searched, all that so small a model says is equally wrong
        monkeypatch.setattr("training.rl.grpo.reward", lambda row, prices: len(row.prediction) % 3 / 3)
    config = replace(CONFIG, steps=1, kl_weight=0.0, questions_per_context=questions_per_context)
    train(opened, tmp_path / "run", last if questions_per_context else start, config)
    advantages = kept["inputs"]["advantages"]
    assert advantages.abs().max() > 0
    assert advantages.mean() == pytest.approx(0.0, abs=1e-6)
    for found, expected in zip(kept["gradient"], kept["expected"], strict=True):
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-2)


def test_a_reward_is_measured_against_those_of_its_question_on_its_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.rl.grpo.reward", lambda row, prices: row.f1)
    with_f1 = [("q", 1.0), ("q", 0.0), ("r", 0.5), ("r", 0.5), ("q", 0.5), ("q", 0.1)]
    judged = [answer_row(question_id=name, f1=value) for name, value in with_f1]
    logged: dict[str, float] = {}
    prompts = ["0", "0", "0", "0", "1", "1"]
    centred = RewardFunction(CONFIG.prices)(prompts, judged, logged.__setitem__)
    assert centred == pytest.approx([0.5, -0.5, 0.0, 0.0, 0.2, -0.2])
    assert logged["mean_reward"] == pytest.approx(2.6 / 6)
    assert logged["without_spread"] == pytest.approx(1 / 3)


def test_a_step_without_spread_moves_nothing(
    opened: Opened, tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.rl.grpo.reward", lambda row, prices: 0.5)
    result = train(opened, tmp_path / "run", start, replace(CONFIG, steps=2))
    rows = [row for row in log_rows(tmp_path / "run") if "skipped" in row]
    assert [row["skipped"] for row in rows] == [1.0, 1.0]
    before, after = read_adapter(start / ADAPTER), read_adapter(result.adapter)
    for name, (a, b) in before.updates.items():
        assert torch.equal(after.updates[name][0], a)
        assert torch.equal(after.updates[name][1], b)


def comparing_version(last: Path, base: Path) -> RetrieveModel:
    serving = ServingConfig(
        abstention_bias=-50.0,
        reranking=RerankingConfig(n_candidates=3, max_logprob_gap=50.0),
        action=TERSE,
        episode=EpisodeLimits(),
    )
    return RetrieveModel.load(last, base=base, device="cpu", serving=serving)


def test_candidates_of_a_packed_example_are_judged_as_if_they_had_been_given(last: Path, base: Path) -> None:
    drawn = PackedExampleSet.draw(small_set(), LinePrep(), 4, often=1)
    practice = PackedEnvironment(drawn, comparing_version(last, base))
    (found,) = packed_candidate_sets(practice, 0, 1)
    given = practice.episodes([0], 4, searches=1, temperature=0.0, generator=torch.Generator())
    assert len(found) == 4
    for one, question, (run, row) in zip(found, drawn.examples[0].questions, given, strict=True):
        texts = [rival.text for rival in one.candidates]
        assert len(set(texts)) == len(texts) == len(one.rows) > 1
        assert one.rows[texts.index(run.actions[0].text)].prediction == row.prediction
        assert {each.question_id for each in one.rows} == {question.id}
        assert all(each.prediction in text for text, each in zip(texts, one.rows, strict=True))
        assert one.n_question_tokens == len(
            practice.decoder.grammar.encode(f"{question.question}</question>")
        )


def test_rivals_of_what_a_store_finds_are_judged_and_withheld_evidence_is_not_shown(
    last: Path, base: Path, tmp_path: Path
) -> None:
    model = comparing_version(last, base)
    with StoreEnvironment.open(
        small_set(), tmp_path / "store", model, LinePrep(), withheld_every=2
    ) as practice:
        found = [one for some in store_candidate_sets(practice, 1, 7) for one in some]
        questions = practice.questions[1:7]
    assert [one.rows[0].question_id for one in found] == [one.id for one in questions]
    assert {one.withheld for one in questions} == {True, False}
    for one, question in zip(found, questions, strict=True):
        assert (f"{question.id} is old." in one.prompt.results) is not question.withheld
        assert len(one.candidates) == len(one.rows) > 1
        assert all(row.expects_answer is not question.withheld for row in one.rows)
        if question.withheld:
            continue
        there = re.search(rf"(⟦\d+⟧) ?{question.id} is old", one.prompt.results)
        assert there is not None
        for rival, row in zip(one.candidates, one.rows, strict=True):
            assert (row.citation_recall == 1.0) is (there[1] in rival.text)


def test_packed_examples_are_kept_in_a_folder_and_measured_without_a_store(
    last: Path, base: Path, tmp_path: Path
) -> None:
    drawn = PackedExampleSet.draw(small_set(), LinePrep(), 4, often=1)
    drawn.save(tmp_path / "packed")
    again = PackedExampleSet.load(tmp_path / "packed")
    (tmp_path / "packed" / "packed_examples.jsonl").rename(tmp_path / "packed" / "sheets.jsonl")
    assert PackedExampleSet.load(tmp_path / "packed") == again  # by the file's old name
    (tmp_path / "packed" / "sheets.jsonl").rename(tmp_path / "packed" / "packed_examples.jsonl")
    assert again.examples == drawn.examples
    asked = {question.id for example in drawn.examples for question in example.questions}
    assert {question.id for question in again.dataset.questions} == asked
    practice = PackedEnvironment(again, Policy(last, rank=2, alpha=4, base=base).model)
    first = practice.measure(kept=tmp_path / "rows.jsonl")
    assert len(first.rows) == 4 * len(drawn.examples) == len(asked)
    assert practice.measure(kept=tmp_path / "rows.jsonl").rows == first.rows
    several = PackedExampleSet(again.dataset, [*again.examples, again.examples[0]])
    with pytest.raises(DataError, match="in several packed examples"):
        PackedEnvironment(several, Policy(last, rank=2, alpha=4, base=base).model).measure()
    (tmp_path / "packed" / "packed_examples.jsonl").write_text('{"passages": []}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 1: not a packed example"):
        PackedExampleSet.load(tmp_path / "packed")


def test_packed_examples_are_trained_on_from_the_command_line(
    last: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = small_set()
    for name, some in (("practice", whole.questions[:4]), ("held", whole.questions[4:])):
        PackedExampleSet.draw(replace(whole, questions=some), LinePrep(), 1, often=1).save(tmp_path / name)
    settings = tmp_path / "settings.toml"
    settings.write_text(
        "steps = 2\nquestions = 2\nepisodes = 2\nfrozen_layers = 0\nrank = 2\nalpha = 4\nwarmup_steps = 0\n"
        'schedule = "linear"\n'
    )
    given = [
        "--run",
        str(tmp_path / "run"),
        "--start",
        str(last),
        "--base",
        str(base),
        "--config",
        str(settings),
    ]
    folders = ["--packed", str(tmp_path / "practice"), "--held-out-packed", str(tmp_path / "held")]
    assert main([*given, *folders]) == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["held_out_questions"] == len(
        PackedExampleSet.load(tmp_path / "held").examples
    )
    assert [row["step"] for row in log_rows(tmp_path / "run") if "reward" in row] == [1, 2]
    with pytest.raises(DataError, match="are in"):
        main([*given, *folders[:3], str(tmp_path / "practice")])
    with pytest.raises(DataError, match="are in"):
        main([*given, *folders, str(tmp_path / "practice")])
    shutil.copytree(tmp_path / "practice", tmp_path / "other")
    lines = (tmp_path / "other" / "packed_examples.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "other" / "packed_examples.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(ConfigError, match=r"other settings or data \(environment\)"):
        main([*given, "--packed", str(tmp_path / "other"), *folders[2:]])
    for wrong in (folders[:2], [*folders, "--questions", "3"], ["--data", "x", *folders]):
        with pytest.raises(SystemExit):
            main([*given, *wrong])
    assert "held-out-packed" in capsys.readouterr().err


def test_a_version_must_be_shown_all_passages_of_a_packed_example(base: Path, tmp_path: Path) -> None:
    make_retrieve_version(tmp_path / "version", base)
    serving = ServingConfig(episode=EpisodeLimits(passages_per_search=2))
    save_retrieve_version(tmp_path / "two", tmp_path / "version" / ADAPTER, serving=serving, source=str(base))
    with pytest.raises(ConfigError, match="packed examples have 3 passages"):
        PackedEnvironment(
            PackedExampleSet.draw(small_set(), LinePrep(), 2),
            Policy(tmp_path / "two", rank=2, alpha=4, base=base).model,
        )


def test_packed_examples_of_two_sets_take_turns() -> None:
    drawn = PackedExampleSet.draw(small_set(), LinePrep(), 2)
    other = replace(drawn, examples=drawn.examples[:2])
    joined = drawn.joined(other)
    assert len(joined.examples) == len(drawn.examples) + 2
    assert joined.examples[:2] == [drawn.examples[0], other.examples[0]]
    with pytest.raises(DataError, match="of 2 and of 1 questions"):
        drawn.joined(PackedExampleSet.draw(small_set(), LinePrep(), 1))


def test_packed_examples_whose_reports_are_not_all_right_are_found(
    last: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice = PackedEnvironment(
        PackedExampleSet.draw(small_set(), LinePrep(), 2), Policy(last, rank=2, alpha=4, base=base).model
    )
    asked: list[str] = []

    def right_but_once(row: AnswerRow) -> bool:
        asked.append(row.question_id)
        return asked.count(row.question_id) < 2 or row.question_id != hard

    hard = practice.packed.examples[1].questions[0].id
    monkeypatch.setattr("training.evaluation.packed_environment.is_right", right_but_once)
    found = practice.unsolved(2, temperature=1.0, seed=0)
    on = [
        n
        for n, example in enumerate(practice.packed.examples)
        if hard in {one.id for one in example.questions}
    ]
    assert found == on
    assert 0 < len(found) < len(practice)
    some = practice.select(found)
    assert [len(some), some.packed.examples[0]] == [len(found), practice.packed.examples[found[0]]]
    assert some.digest != practice.digest
    monkeypatch.setattr("training.evaluation.packed_environment.is_right", lambda row: True)
    assert practice.unsolved(2, temperature=1.0, seed=0) == []


def test_without_a_held_out_answer_nothing_is_trained(last: Path, base: Path, tmp_path: Path) -> None:
    drawn = PackedExampleSet.draw(small_set(), LinePrep(), 1, often=1)
    withheld = [
        replace(example, questions=tuple(replace(one, withheld=True) for one in example.questions))
        for example in drawn.examples[:3]
    ]
    policy = Policy(last, rank=2, alpha=4, base=base)
    practice, held_out = (
        PackedEnvironment(some, policy.model) for some in (drawn, replace(drawn, examples=withheld))
    )
    with pytest.raises(DataError, match="of 3 held-out questions none has an answer"):
        reinforce(policy, practice, held_out, tmp_path / "run", CONFIG, start=last)
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_packed_examples_of_several_folders_are_trained_on_and_equally_many_of_each_measured(
    tmp_path: Path,
) -> None:
    whole, names = small_set(), ("a", "b", "held a", "held b")
    for number, name in enumerate(names):
        some = replace(whole, questions=whole.questions[number::4])
        PackedExampleSet.draw(some, LinePrep(), 1, often=1).save(tmp_path / name)
    a, b, held_a, held_b = (tmp_path / name for name in names)
    drawn, held = load_packed_examples([a, b], [held_a, held_b], 2)
    assert len(drawn.examples) == len(PackedExampleSet.load(a).examples) + len(
        PackedExampleSet.load(b).examples
    )
    assert held.examples == [
        PackedExampleSet.load(held_a).examples[0],
        PackedExampleSet.load(held_b).examples[0],
    ]
    with pytest.raises(DataError, match="are in"):
        load_packed_examples([a, b], [held_a, b], 2)


def test_what_is_kept_for_practice_is_by_question_or_by_document() -> None:
    whole = small_set()
    by_question, by_document = (environment_part(whole, reading=reading) for reading in (False, True))
    kept = {question.id for question in by_question.questions}
    assert 0 < len(kept) < len(WORDS)
    assert kept == {question.id for question in by_document.questions} == set(by_document.documents)
    assert by_question.documents == whole.documents


def test_what_is_unseen_is_practised_or_measured_never_both() -> None:
    whole = small_set()
    held = held_out_documents(whole)
    practised, measured = (unseen_part(whole, reading=False, measured=measured) for measured in (False, True))
    assert practised.documents.keys() | measured.documents.keys() == held
    assert practised.documents
    assert measured.documents
    assert not practised.documents.keys() & measured.documents.keys()
    for part in (practised, measured):
        assert part.questions
        assert {span.document_id for one in part.questions for span in one.evidence} <= part.documents.keys()
    assert unseen_part(whole, reading=True).documents.keys() == held
