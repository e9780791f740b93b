"""Converted models in the user's cache: made once, by one process, whole or not at all.

`retrieve.lm.base` converts the embedded base with it. A conversion that is interrupted leaves only a temporary folder,
which the next one removes. Where a model's file comes from and how it is converted is for the callers.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from prep.errors import BaseModelError

__all__ = ["convert_once", "dequantize_tensor", "print_progress"]


def convert_once(
    target: Path, write: Callable[[Path], None], *, bytes_needed: int, wait_s: float = 600.0
) -> Path:
    """Return the folder `target`, which `write` fills first, given an empty folder, where it is not complete.

    One process writes; others wait for it up to `wait_s` seconds. Raises BaseModelError: less than bytes_needed free,
    nothing can be written, or another process still at it. What `write` raises otherwise is passed on.
    """
    if (target / "complete").exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(target) + ".lock", timeout=wait_s):
            if not (target / "complete").exists():
                _convert(target, write, bytes_needed)
    except Timeout as error:
        raise BaseModelError(
            f"another process has been converting the base model into {target} for over {wait_s:g} s; "
            "if none is running, delete the .lock file beside it"
        ) from error
    except (OSError, SafetensorError) as error:
        raise BaseModelError(
            f"cannot write the converted base model to {target}: {error}. It needs {bytes_needed >> 20} MiB; "
            "free some space or point DIPTYCH_CACHE to another disk."
        ) from error
    return target


def _convert(target: Path, write: Callable[[Path], None], bytes_needed: int) -> None:
    for stale in target.parent.glob(f"{target.name}.tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    free = shutil.disk_usage(target.parent).free
    if free < bytes_needed:
        raise BaseModelError(
            f"converting the base model needs {bytes_needed >> 20} MiB in {target.parent}, "
            f"and {free >> 20} MiB are free; free some space or point DIPTYCH_CACHE to another disk"
        )
    work = Path(tempfile.mkdtemp(prefix=f"{target.name}.tmp-", dir=target.parent))
    try:
        write(work)
        (work / "complete").write_text("")
        os.replace(work, target)
        print_progress("converted and cached")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def dequantize_tensor(data: Any, quantisation: Any) -> torch.Tensor:
    """Return a GGUF tensor's rows as float32."""
    from gguf.quants import dequantize

    return torch.from_numpy(np.array(dequantize(data, quantisation), dtype=np.float32))


def print_progress(message: str) -> None:
    print(f"diptych: {message}", file=sys.stderr, flush=True)
