"""Which prep model serves in a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prep.model import PrepModel
    from prep.workspace import Workspace

__all__ = ["serving_prep"]


def serving_prep(workspace: Workspace) -> PrepModel:
    """Return the promoted prep version, or the shipped one. Raises WeightsError, StoreError."""
    from prep.model import PrepModel

    promoted = workspace.current().prep
    return PrepModel.load(workspace.model_path("prep", promoted) if promoted is not None else None)
