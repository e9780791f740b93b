"""The loss: what is right against all that is wrong and refusing, over all passages of a question."""

from __future__ import annotations

import math

import pytest
import torch

from training.reader.loss import competition_loss


def loss(logits: list[float], right: list[bool], *, soft: bool = False) -> float:
    found = competition_loss(
        torch.tensor(logits),
        torch.zeros(len(logits), dtype=torch.long),
        torch.tensor(right),
        torch.tensor([soft]),
    )
    return float(found[0])


def test_one_right_is_a_softmax_with_refusing() -> None:
    expected = -math.log(math.exp(2) / (math.exp(2) + math.exp(1) + 1))
    assert loss([2.0, 1.0], [True, False]) == pytest.approx(expected, rel=1e-5)


def test_nothing_right_is_to_refuse() -> None:
    expected = -math.log(1 / (math.exp(2) + math.exp(1) + 1))
    assert loss([2.0, 1.0], [False, False]) == pytest.approx(expected, rel=1e-5)


def test_right_ones_do_not_compete() -> None:
    assert loss([5.0, 5.0], [True, True]) == pytest.approx(loss([5.0], [True]), rel=1e-5)


def test_soft_wants_any_of_them() -> None:
    assert loss([5.0, -5.0, 0.0], [True, True, False], soft=True) < 0.1
    assert loss([5.0, -5.0, 0.0], [True, True, False]) > 2


def test_questions_do_not_see_one_another() -> None:
    logits, question = torch.tensor([2.0, 9.0, 1.0]), torch.tensor([0, 1, 0])
    right = torch.tensor([True, True, False])
    both = competition_loss(logits, question, right, torch.tensor([False, False]))
    assert float(both[0]) == pytest.approx(loss([2.0, 1.0], [True, False]), rel=1e-5)
    assert float(both[1]) == pytest.approx(loss([9.0], [True]), rel=1e-3)


def test_large_logits_stay_finite() -> None:
    logits = torch.tensor([800.0, -800.0], requires_grad=True)
    found = competition_loss(
        logits, torch.tensor([0, 0]), torch.tensor([False, True]), torch.tensor([False])
    ).sum()
    found.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(float(found.detach()))
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
