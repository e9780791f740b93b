"""The serving models of a workspace: the promoted versions, or those that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prep.store.workspace import Workspace

if TYPE_CHECKING:
    from prep.model.prep_model import PrepModel

__all__ = ["serving_prep", "serving_prep_path", "serving_retrieve_path"]


def serving_prep_path(workspace: Workspace) -> Path | None:
    """Return the folder of the serving prep version, None for the shipped one. Raises StoreError."""
    promoted = workspace.current().prep
    return workspace.model_path("prep", promoted) if promoted is not None else None


def serving_prep(workspace: Workspace) -> PrepModel:
    """Return the serving prep model. Raises WeightsError, StoreError."""
    from prep.model.prep_model import PrepModel

    return PrepModel.load(serving_prep_path(workspace))


def serving_retrieve_path(workspace: Workspace) -> Path:
    """Return the folder of the serving retrieve version. Raises WeightsError, StoreError."""
    from retrieve.model import shipped_retrieve

    promoted = workspace.current().retrieve
    return workspace.model_path("retrieve", promoted) if promoted is not None else shipped_retrieve()
