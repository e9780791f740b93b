"""The health of a corpus: its numbers add up, and damage is named."""

from __future__ import annotations

import shutil

import pytest
from fixture_pages import fill, serve
from fixture_prep import LinePrep

from flows.pages.corpus_health import read_health
from flows.pages.overview import read_overview
from flows.pages.workspace_page import (
    render_workspace,
)
from prep.document import Document, Rejected
from prep.ingest import ingest
from prep.store.workspace import Workspace
from retrieve.experience.log import ExperienceLog


def test_the_numbers_of_a_corpus_add_up(place: Workspace) -> None:
    serve(place, "prep", "p1", {"config": {"limits": {"max_tokens": 3}}})
    documents = [
        Document("d1", "", "# Vaults\none two three four\n~menu about\n"),
        Document("d2", "", "one\ntwo three\n"),
        Rejected("scan.pdf", "no text"),
    ]
    ingest(place, documents, LinePrep("p1"), progress=False)
    health = read_health(place)
    assert (health.n_documents, health.n_chunks, health.max_tokens, health.n_over) == (2, 5, 3, 1)
    assert health.roles == {"heading": 1, "text": 3, "boilerplate": 1}
    assert health.boilerplate_share == pytest.approx(2 / (2 + 4 + 2 + 1 + 2))
    assert health.searched_lengths() == {1: 1, 2: 2, 4: 1}
    assert health.rejected == (Rejected("scan.pdf", "no text"),)
    page = render_workspace(read_overview(place))
    assert page.count('<rect class="over"') == 1
    assert "limit 3" in page
    assert "scan.pdf" in page
    shutil.rmtree(place.model_path("prep", "p1"))
    assert read_health(place).n_over is None
    assert "not known, its prep version is not here" in render_workspace(read_overview(place))


def test_a_damaged_generation_is_named_and_the_rest_is_shown(place: Workspace, log: ExperienceLog) -> None:
    fill(place, log)
    generation = place.current().generation
    with (place.generations_path / str(generation) / "chunks.sqlite").open("ab") as file:
        file.write(b"x")
    page = render_workspace(read_overview(place))
    assert "chunks.sqlite is damaged" in page
    assert "Questions per day" in page
