"""A page is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.pages.run_page import write_page
from prep.errors import StoreError


def test_an_unwritable_page_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"page\.html cannot be written"):
        write_page(tmp_path / "file" / "page.html", title="t")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(StoreError):
        write_page(tmp_path / "folder.html", title="t")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder.html"]
