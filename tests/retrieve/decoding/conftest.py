"""A tiny base with a noisy-channel model, of either family."""

from __future__ import annotations

import pytest
from fixture_reranking import TinyBase


@pytest.fixture(scope="module", params=["gemma", "llama"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TinyBase:
    return TinyBase.make(request.param, tmp_path_factory.mktemp("base"))
