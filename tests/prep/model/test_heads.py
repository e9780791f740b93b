from __future__ import annotations

import numpy as np
import pytest
import torch

from prep.model.heads import HeadsConfig, StructureHeads, _Cohesion

CONFIG = HeadsConfig(state_size=8, width=12, dilations=(1, 2), cohesion=(1, 3), cohesion_heads=2, dropout=0.0)


def test_cohesion_is_the_cosine_of_the_units_on_either_side() -> None:
    torch.manual_seed(1)
    module = _Cohesion(16, (1, 3), 2, head_size=5)
    states = torch.randn(1, 7, 16)
    found = module(states, torch.ones(1, 7, 1))[0].detach().numpy()
    projected = module.project(states)[0].detach().numpy().reshape(7, 2, 5)
    for at in range(7):
        for column, width in enumerate((1, 3)):
            left, right = projected[max(0, at + 1 - width) : at + 1], projected[at + 1 : at + 1 + width]
            for head in range(2):
                a, b = left[:, head].mean(0), right[:, head].mean(0) if len(right) else np.zeros(5)
                norm = np.linalg.norm(a) * np.linalg.norm(b)
                expected = float(a @ b / norm) if norm else 0.0
                assert found[at, 2 * column + head] == pytest.approx(expected, abs=1e-5)


def test_predictions_depend_on_units_in_reach_and_not_on_padding() -> None:
    torch.manual_seed(2)
    heads = StructureHeads(CONFIG).eval()
    n = 3 * heads.reach
    states, surface = torch.randn(1, n, 16), torch.randn(1, n, CONFIG.n_surface)
    alone = heads(states, surface)
    padded = [torch.cat([x, torch.randn(1, 9, x.shape[2])], dim=1) for x in (states, surface)]
    mask = torch.arange(n + 9)[None] < n
    for one, other in zip(alone, heads(*padded, mask), strict=True):
        torch.testing.assert_close(one, other[:, :n])
    changed = states.clone()
    changed[0, -1] = torch.randn(16)
    for one, other in zip(alone, heads(changed, surface), strict=True):
        torch.testing.assert_close(one[:, : n - 1 - heads.reach], other[:, : n - 1 - heads.reach])
        assert not torch.allclose(one[:, n - 2], other[:, n - 2])


def test_settings_of_versions_that_compare_nothing_are_read() -> None:
    assert HeadsConfig.from_json(CONFIG.to_json()) == CONFIG
    old = {key: value for key, value in CONFIG.to_json().items() if not key.startswith("cohesion")}
    assert HeadsConfig.from_json(old).cohesion == ()
    assert StructureHeads(HeadsConfig.from_json(old)).cohesion is None
