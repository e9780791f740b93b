"""Completions scored behind one prompt: the same numbers and gradients as one by one."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from tiny_models import make_gemma, make_llama

from retrieve.lm.base import load_base
from training.traces.packed_logprobs import lay_out, score_completions


@pytest.fixture(scope="module", params=["gemma", "llama"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    make = make_gemma if request.param == "gemma" else make_llama
    return load_base(make(tmp_path_factory.mktemp("base")), dtype=torch.float32)[0]


def drawn(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(sum(lengths))
    return [torch.randint(5, 200, (n,), generator=generator).tolist() for n in lengths]


def plain(model: Any, prompt: list[int], completion: list[int], temperature: float) -> torch.Tensor:
    """Return (n_tokens, vocabulary) log-probabilities of a forward pass over one sequence."""
    logits = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits.float() / temperature, dim=-1)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_packed_scores_are_those_of_every_completion_alone(
    model: Any, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt is longer than the tiny Gemma's sliding window, and so is a completion."""
    monkeypatch.setattr("training.traces.packed_logprobs._SCORED_TOGETHER", 8)  # two, one, one
    prompt, *completions = drawn(50, 3, 1, 40, 9)
    with torch.no_grad():
        scored = score_completions(model, prompt, completions, temperature=temperature)
        for completion, one in zip(completions, scored, strict=True):
            expected = plain(model, prompt, completion, temperature)
            chosen = expected.gather(1, torch.tensor(completion).unsqueeze(1)).squeeze(1)
            torch.testing.assert_close(one.logprobs, chosen, atol=1e-4, rtol=1e-4)
            entropy = -(expected.exp() * expected).sum(-1)
            torch.testing.assert_close(one.entropies, entropy, atol=1e-4, rtol=1e-4)


def test_completions_behind_a_stem_are_scored_as_behind_prompt_and_stem(model: Any) -> None:
    prompt, one, other, *completions = drawn(40, 6, 3, 4, 2, 5, 3)
    prefixes = [one, other, one, []]
    with torch.no_grad():
        scored = score_completions(model, prompt, completions, prefixes=prefixes)
        for completion, prefix, found in zip(completions, prefixes, scored, strict=True):
            expected = plain(model, [*prompt, *prefix], completion, 1.0)
            chosen = expected.gather(1, torch.tensor(completion).unsqueeze(1)).squeeze(1)
            torch.testing.assert_close(found.logprobs, chosen, atol=1e-4, rtol=1e-4)
    assert lay_out(model, prompt, completions, prefixes).ids.numel() == 40 + 6 + 3 + sum(
        map(len, completions)
    )


def test_packed_gradients_are_those_of_every_completion_alone(model: Any) -> None:
    prompt, *completions = drawn(20, 5, 2)
    weights = [1.0, -0.5]
    parameter = next(p for name, p in model.named_parameters() if "layers.0" in name and "q_proj" in name)
    parameter.requires_grad_(True)

    def gradient(values: list[torch.Tensor]) -> torch.Tensor:
        loss = torch.stack([w * v.sum() for w, v in zip(weights, values, strict=True)]).sum()
        return torch.autograd.grad(loss, parameter)[0]

    packed = gradient([one.logprobs for one in score_completions(model, prompt, completions)])
    alone = gradient(
        [
            plain(model, prompt, completion, 1.0).gather(1, torch.tensor(completion).unsqueeze(1))
            for completion in completions
        ]
    )
    torch.testing.assert_close(packed, alone, atol=1e-3, rtol=1e-3)


def test_nothing_of_the_vocabulary_is_kept_for_the_gradient(model: Any) -> None:
    prompt, *completions = drawn(20, 5, 2, 300)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    kept: list[torch.Size] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.shape)
        return tensor

    parameter = next(p for name, p in model.named_parameters() if "layers.0" in name and "q_proj" in name)
    parameter.requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scored = score_completions(model, prompt, completions)
    assert [len(one.logprobs) for one in scored] == [5, 2, 300]
    assert all(one.logprobs.requires_grad for one in scored)
    assert kept
    assert not [shape for shape in kept if len(shape) == 2 and shape[1] == vocabulary]


def test_what_was_not_allowed_has_no_part_in_the_distribution(model: Any) -> None:
    prompt, *completions = drawn(20, 4, 2)
    generator = torch.Generator().manual_seed(1)
    size = model.get_input_embeddings().weight.shape[0]
    allowed = [torch.rand((len(one), size), generator=generator) < 0.3 for one in completions]
    for mask, one in zip(allowed, completions, strict=True):
        mask[torch.arange(len(one)), one] = True
    allowed[1][0] = False
    allowed[1][0, completions[1][0]] = True  # the grammar left no choice
    with torch.no_grad():
        biases = [torch.zeros(mask.shape).masked_fill(~mask, float("-inf")) for mask in allowed]
        biases[0][1, completions[0][1]] = -2.0
        given = [partial(torch.clone, bias) for bias in biases]
        scored = score_completions(model, prompt, completions, biases=given)
        for one, mask, bias, found in zip(completions, allowed, biases, scored, strict=True):
            logits = model(input_ids=torch.tensor([[*prompt, *one]])).logits[0, len(prompt) - 1 : -1].float()
            expected = torch.log_softmax(logits + bias, dim=-1)
            chosen = expected.gather(1, torch.tensor(one).unsqueeze(1)).squeeze(1)
            torch.testing.assert_close(found.logprobs, chosen, atol=1e-4, rtol=1e-4)
            entropy = torch.stack(
                [-(row[m].exp() * row[m]).sum() for row, m in zip(expected, mask, strict=True)]
            )
            torch.testing.assert_close(found.entropies, entropy, atol=1e-4, rtol=1e-4)
    assert float(scored[1].logprobs[0]) == 0.0
