"""What we override or call of trl beside its public interface still has the signature that we were written for.

Where one of these fails after an upgrade of trl, read the method's new source, adapt `training.rl`, and then the text
here.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import trl.generation.vllm_generation
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer.grpo_trainer import GRPOTrainer

import training.rl.grpo
import training.rl.vllm_rollouts
from training.rl.grpo import EpisodeTrainer
from training.rl.vllm_rollouts import _attribute

OVERRIDDEN = {
    "_load_from_checkpoint": "(self, resume_from_checkpoint: str, "
    "model: torch.nn.modules.module.Module | None = None) -> None",
    "_compute_loss": "(self, model, inputs)",
    "_get_per_token_logps_and_entropies": "(self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, "
    "compute_entropy=False, compute_aux_loss=False, pixel_values=None, image_grid_thw=None, num_images=None, "
    "pixel_attention_mask=None, spatial_shapes=None, num_tiles=None, image_sizes=None, token_type_ids=None, "
    "mm_token_type_ids=None, image_position_ids=None) "
    "-> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]",
}
CALLED = {
    "generate": "(self, prompts: list[list[int]], images: list[list | None] | None, num_generations: int, "
    "profiler: trl.extras.profiling.ProfilingContext | None = None) -> tuple",
    "sync_weights": "(self)",
}


@pytest.mark.parametrize("name", sorted(OVERRIDDEN))
def test_a_private_method_of_trls_trainer_is_as_it_was_when_it_was_overridden(name: str) -> None:
    assert name in vars(EpisodeTrainer), f"{name} is not overridden any more: remove it here"
    assert str(inspect.signature(getattr(GRPOTrainer, name))) == OVERRIDDEN[name]


def test_every_method_of_trl_that_the_trainer_overrides_is_listed() -> None:
    own = {name for name, value in vars(EpisodeTrainer).items() if inspect.isfunction(value)}
    assert {name for name in own if hasattr(GRPOTrainer, name)} == set(OVERRIDDEN)


@pytest.mark.parametrize("name", sorted(CALLED))
def test_what_is_called_of_trls_engine_is_as_it_was(name: str) -> None:
    assert str(inspect.signature(getattr(VLLMGeneration, name))) == CALLED[name]


def test_trls_engine_makes_vllm_by_the_name_that_is_replaced() -> None:
    """`grammar_in_engine` puts logits processors into `LLM(…)` of that module."""
    tree = ast.parse(inspect.getsource(trl.generation.vllm_generation))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert any(isinstance(function, ast.Name) and function.id == "LLM" for function in calls)


def test_an_attribute_is_given_back_also_after_an_error() -> None:
    module = training.rl.vllm_rollouts
    own = module.ARGUMENT
    seen: list[str] = []

    def fail_with_another() -> None:
        with _attribute(module, "ARGUMENT", "other"):
            seen.append(module.ARGUMENT)
            raise KeyError

    with pytest.raises(KeyError):
        fail_with_another()
    assert (seen, module.ARGUMENT) == (["other"], own)
    with pytest.raises(AttributeError), _attribute(module, "no_such_name", 1):
        pass


def test_nothing_that_ships_imports_mocks() -> None:
    root = Path(training.rl.grpo.__file__).parents[2]
    files = [
        path
        for package in ("prep", "retrieve", "training", "flows")
        for path in (root / package).rglob("*.py")
    ]
    assert files
    assert not [path for path in files if "unittest" in path.read_text(encoding="utf-8")]
