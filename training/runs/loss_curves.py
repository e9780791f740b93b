"""The curves of a run, drawn from its log into one picture: `curves.png` beside it.

python -m training.runs.loss_curves RUN
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prep.errors import DataError, DependencyError

__all__ = ["draw_run", "smooth"]

_SKIPPED = ("step", "epoch", "seconds", "n_questions", "n_chunks")


def draw_run(run: str | Path) -> Path:
    """Draw every figure of the log over the steps, held-out ones as dots; returns the picture's path.

    Raises DataError for a run without a log, DependencyError without matplotlib.
    """
    from training.runs.run_folder import read_log

    rows = read_log(Path(run) / "log.jsonl")
    series = _series(rows)
    if not series:
        raise DataError(f"there is no curve to draw in {run}: its log has no steps")
    try:
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise DependencyError(f"curves need matplotlib ({error}): pip install 'diptych[train]'") from error
    columns = min(3, len(series))
    lines = -(-len(series) // columns)
    figure, axes = pyplot.subplots(
        lines, columns, figsize=(4.2 * columns, 2.8 * lines), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(series) :]:
        axis.set_visible(False)
    for axis, (name, points) in zip(axes.flat, series.items(), strict=False):
        steps, values = zip(*points, strict=True)
        if len(points) < 60:
            axis.plot(steps, values, "o-", markersize=3, linewidth=1)
        else:
            axis.plot(steps, values, linewidth=0.5, alpha=0.4)
            axis.plot(steps, smooth(values), linewidth=1.6)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        axis.set_xlabel("step", fontsize=7)
    path = Path(run) / "curves.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _series(rows: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return the points (step, value) of every figure of the log; of several sets, each by itself."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        of = f"{row['set']}, " if "set" in row else ""
        for name, value in row.items():
            if name not in _SKIPPED and isinstance(value, int | float):
                series.setdefault(of + name, []).append((int(row["step"]), float(value)))
    return series


def smooth(values: Sequence[float]) -> list[float]:
    """Return the running mean of `values` over a centred window of about a tenth of them.

    >>> smooth([1.0, 1.0, 1.0])
    [1.0, 1.0, 1.0]
    """
    half = max(1, len(values) // 20)
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    spans = ((max(0, i - half), min(len(values), i + half + 1)) for i in range(len(values)))
    return [(sums[high] - sums[low]) / (high - low) for low, high in spans]


def main(argv: Sequence[str] | None = None) -> int:
    """Draw from the command line."""
    parser = argparse.ArgumentParser(description="draw the curves of a training run")
    parser.add_argument("run", help="the run's folder")
    print(draw_run(parser.parse_args(argv).run))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
