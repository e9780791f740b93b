"""What an ingest did, `IngestReport`, and what one would do, `IngestPlan`; in words that are safe to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prep.document import Rejected
from prep.text import printable_line

__all__ = ["IngestPlan", "IngestReport", "first_names"]


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The result of an ingest, counted over the generation that is current after it.

    generation: its id. n_unchanged: documents copied from the generation before, the others are n_added and n_changed.
    n_removed: documents of the generation before that are not in this one. n_kept: documents whose file could not be
    read this time, in their last version. n_chunks: boilerplate included. left_out: files and folders that were not
    looked into, by reason.
    """

    generation: str
    n_documents: int
    n_unchanged: int
    n_removed: int
    n_chunks: int
    rejected: list[Rejected]
    seconds: float
    n_added: int = 0
    n_changed: int = 0
    n_kept: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def summary(self, max_rejected: int = 20) -> str:
        """Return the report in printable words, with the first rejected documents and their reasons."""
        lines = [
            f"{self.n_documents} documents ({self.n_added} added, {self.n_changed} changed, "
            f"{self.n_unchanged} unchanged, {self.n_removed} removed), "
            f"{self.n_chunks} chunks in {self.seconds:.1f} s: generation {self.generation}"
        ]
        lines += _told_besides(self.n_kept, self.rejected, self.left_out, max_rejected)
        if len(self.rejected) > max_rejected:
            lines.append(f"  and {len(self.rejected) - max_rejected} more, in the generation's manifest")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """What an ingest would do, by document id; nothing was changed.

    changed: the text, title or prep version is another. kept: the file cannot be read, the last version stays.
    left_out: files and folders that were not looked into, by reason.
    """

    added: list[str]
    changed: list[str]
    removed: list[str]
    unchanged: list[str]
    kept: list[str]
    rejected: list[Rejected]
    left_out: dict[str, int]

    def summary(self) -> str:
        """Return the plan in printable words: a line for each document that is added, changed or removed."""
        lines = [
            f"{len(self.added)} to add, {len(self.changed)} to change, {len(self.removed)} to remove, "
            f"{len(self.unchanged)} unchanged; nothing was changed yet"
        ]
        for verb, names in (("add", self.added), ("change", self.changed), ("remove", self.removed)):
            lines += [f"  {verb} {printable_line(name)}" for name in names]
        return "\n".join(
            lines + _told_besides(len(self.kept), self.rejected, self.left_out, len(self.rejected))
        )


def _told_besides(
    n_kept: int, rejected: Sequence[Rejected], left_out: Mapping[str, int], max_rejected: int
) -> list[str]:
    lines = []
    if left_out:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(left_out.items()))
        lines.append(f"left out, files or folders: {reasons}")
    if rejected:
        kept = f", of which {n_kept} stay as they were read before" if n_kept else ""
        lines.append(f"{len(rejected)} rejected{kept}:")
        lines += [
            f"  {printable_line(row.path)}: {printable_line(row.reason)}" for row in rejected[:max_rejected]
        ]
    return lines


def first_names(names: Sequence[str], most: int = 20) -> str:
    """Return names in printable words, the first `most` of them."""
    shown = ", ".join(printable_line(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
