"""One Prefect server for all flow tests, on loopback; a workspace with documents and a tiny retrieve model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fixture_candidates import SETTINGS
from fixture_causal_lm import serve_tiny_model

from flows.candidates.candidate_folder import Candidate
from flows.candidates.dataset_folder import Dataset
from flows.candidates.retrieve_candidates import train_retrieve_candidate
from flows.candidates.training_sets import synthesize_data
from flows.demo.demo_corpus import write_corpus
from flows.deployments import prefect_settings
from flows.models.serving import serving_prep
from prep.ingest import ingest
from prep.store.workspace import Workspace


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start Prefect's test harness once (None: our own start-up limit) and give its address."""
    prefect_settings.configure(tmp_path_factory.mktemp("prefect-home"))
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=None):
        address = PREFECT_API_URL.value()
        assert address is not None
        yield address


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A dozen short topics of the language reference, the shipped prep model, a tiny retrieve model."""
    folder: Path = tmp_path_factory.mktemp("workspace")
    place = Workspace(folder / "workspace")
    serve_tiny_model(place, folder / "model")
    small = [path for path in write_corpus(folder / "docs") if path.stat().st_size < 1600][:12]
    ingest(place, small, serving_prep(place), progress=False)
    return place


@pytest.fixture(scope="session")
def dataset(workspace: Workspace) -> Dataset:
    """Training data made from the workspace's documents."""
    return synthesize_data(workspace, SETTINGS)


@pytest.fixture(scope="session")
def retrieve_candidate(workspace: Workspace, dataset: Dataset) -> Candidate:
    """A candidate of the workspace, not promoted."""
    return train_retrieve_candidate(workspace, dataset, SETTINGS)
