"""The ingest flow does what `prep.ingest` does, and shows it on the Prefect server."""

from __future__ import annotations

import pytest

from flows.demo.demo_corpus import write_corpus
from prep.store.workspace import Workspace

pytestmark = pytest.mark.loopback


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "tea.md").write_text("# Tea\n\nBlack tea is steeped for four minutes.\n", encoding="utf-8")
    (folder / "coffee.txt").write_text("Coffee is ground before it is brewed.\n", encoding="utf-8")
    (folder / "scan.pdf").write_bytes(b"%PDF-1.4 nothing follows")
    return folder


def artifacts(key):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))


def test_the_flow_makes_a_generation_and_reports_what_was_rejected(prefect_server, documents, tmp_path):
    from flows.deployments.ingest_flow import ingest

    receipt = ingest([str(documents)], str(tmp_path / "workspace"))
    assert (receipt["n_documents"], receipt["n_unchanged"]) == (2, 0)
    assert [row["path"] for row in receipt["rejected"]] == [str(documents / "scan.pdf")]
    assert Workspace(tmp_path / "workspace").current().generation == receipt["generation"]
    assert any(
        receipt["generation"] in artifact.data for artifact in artifacts("ingest")
    )  # others ran before
    assert any("scan.pdf" in artifact.data for artifact in artifacts("rejected"))


def test_running_it_again_prepares_nothing_again_and_keeps_the_generation(
    prefect_server, documents, tmp_path
):
    from flows.deployments.ingest_flow import ingest

    first = ingest([str(documents)], str(tmp_path / "workspace"))
    again = ingest([str(documents)], str(tmp_path / "workspace"))
    assert again["generation"] == first["generation"]
    assert again["n_unchanged"] == again["n_documents"] == 2


def test_a_wrong_path_fails_at_once_without_retries(prefect_server, tmp_path):
    from flows.deployments.ingest_flow import ingest
    from prep.errors import DataError

    with pytest.raises(DataError, match="does not exist"):
        ingest([str(tmp_path / "nowhere")], str(tmp_path / "workspace"))
    assert Workspace(tmp_path / "workspace").generations() == []


def test_two_writers_of_one_workspace_take_turns(prefect_server, tmp_path):
    from prefect import flow
    from prefect.client.orchestration import get_client

    from flows.deployments.tasks import writer_slot

    seen = []

    @flow
    def write() -> None:
        with writer_slot(tmp_path / "a") as name, get_client(sync_client=True) as client:
            limit = client.read_global_concurrency_limit_by_name(name)
            seen.append((limit.limit, limit.active_slots))

    write()
    assert seen == [(1, 1)]


def test_the_corpus_of_the_demo_is_written_once_and_kept_in_step(tmp_path):
    first = write_corpus(tmp_path, max_documents=3)
    times = [path.stat().st_mtime_ns for path in first]
    assert [path.stat().st_mtime_ns for path in write_corpus(tmp_path, max_documents=3)] == times
    assert len(write_corpus(tmp_path, max_documents=2)) == 2
    assert sorted(tmp_path.glob("*.rst")) == first[:2]
    first[0].write_text("changed", encoding="utf-8")
    write_corpus(tmp_path, max_documents=2)
    assert first[0].read_text(encoding="utf-8") != "changed"
