"""One Prefect server for all flow tests, on loopback, with its database in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows import prefect_settings


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start Prefect's test harness once and give its address. Tests that use it are marked `loopback`."""
    prefect_settings.configure(tmp_path_factory.mktemp("prefect-home"))
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=90):
        address = PREFECT_API_URL.value()
        assert address is not None
        yield address
