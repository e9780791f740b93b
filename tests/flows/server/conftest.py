"""A workspace with three documents, a tiny real researcher over it, and the application in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from fixture_prep import LinePrep
from tiny_models import make_gemma

from flows.server.http_app import create_app
from prep.document import Document
from prep.ingest import ingest
from prep.store.workspace import Workspace
from retrieve.episode.grammar import ActionLimits
from retrieve.experience.log import ExperienceLog
from retrieve.lm.base import load_base
from retrieve.model import RetrieveModel, ServingConfig
from retrieve.researcher import Researcher

BEES = "# Food\nBees make honey from nectar. It keeps for years.\nThey dance.\n"
DOCUMENTS = [
    Document("bees.md", "Bees", BEES, "bees.md", {"label": "secret", "author": "Ada"}),
    Document("notes/glass.md", "Glass", "Glass is made of sand.\n", "notes/glass.md", {"label": "open"}),
    Document("kestrel.md", "", "The kestrel hovers.\nIt nests in holes.\n", "kestrel.md"),
]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> RetrieveModel:
    """A model that never refuses."""
    loaded, tokenizer = load_base(make_gemma(tmp_path_factory.mktemp("base")), dtype=torch.float32)
    serving = ServingConfig(
        abstention_bias=-1_000.0,
        action=ActionLimits(query_tokens=4, statement_tokens=6, max_findings=2, max_pointers=2),
    )
    return RetrieveModel("tiny-1", loaded, tokenizer, serving)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    ingest(tmp_path / "w", DOCUMENTS, LinePrep(), progress=False)
    return tmp_path / "w"


@pytest.fixture
def open_researcher(tmp_path: Path, tiny_model: RetrieveModel) -> Callable[[], Researcher]:
    """Open a researcher of the workspace `place`, which need not have a generation yet."""
    folder = tmp_path / "w"
    return lambda: Researcher(
        Workspace(folder),
        prep=LinePrep(),
        model=tiny_model,
        log=ExperienceLog.of(folder),  # type: ignore[arg-type]
    )


@pytest.fixture
def client(place: Path, open_researcher: Callable[[], Researcher]) -> Iterator[TestClient]:
    app = create_app(place, open_researcher=open_researcher, prep=LinePrep())
    with TestClient(app, base_url="http://localhost") as opened:
        yield opened
