"""The health of a workspace's corpus: sizes and roles of the chunks in the current generation, and rejected files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from flows.models.lineage import version_folder
from prep.document import Rejected
from prep.errors import EmptyStore, StoreError
from prep.manifest import read_manifest
from prep.store.workspace import Workspace

__all__ = ["CorpusHealth", "read_health"]


@dataclass(frozen=True, slots=True)
class CorpusHealth:
    """The current generation; where there is none, empty fields, and `problem` says why.

    lengths: (role, tokens with the header) → number of chunks. max_tokens: the limit of the prep version that cut
    them, None where that version was deleted. rejected: None where it was not noted.
    """

    generation: str | None = None
    created: str = ""
    prep_version: str = ""
    n_documents: int = 0
    lengths: Counter[tuple[str, int]] = field(default_factory=Counter)
    max_tokens: int | None = None
    rejected: tuple[Rejected, ...] | None = None
    problem: str = ""

    @property
    def n_chunks(self) -> int:
        return self.lengths.total()

    @property
    def roles(self) -> Counter[str]:
        """The number of chunks of each role."""
        found: Counter[str] = Counter()
        for (role, _), n_chunks in self.lengths.items():
            found[role] += n_chunks
        return found

    def roles_by_count(self) -> list[tuple[str, int]]:
        """Return the roles with their numbers of chunks, the most frequent first."""
        return sorted(self.roles.items(), key=lambda item: (-item[1], item[0]))

    @property
    def boilerplate_share(self) -> float:
        """The share of all tokens in chunks of boilerplate, which are not searched."""
        total = sum(tokens * n_chunks for (_, tokens), n_chunks in self.lengths.items())
        boilerplate = sum(tokens * n for (role, tokens), n in self.lengths.items() if role == "boilerplate")
        return boilerplate / total if total else 0.0

    @property
    def n_over(self) -> int | None:
        """The number of chunks over the limit; None where the limit is not known."""
        if self.max_tokens is None:
            return None
        return sum(n_chunks for (_, tokens), n_chunks in self.lengths.items() if tokens > self.max_tokens)

    def searched_lengths(self) -> Counter[int]:
        """Return tokens → number of searched chunks of that size."""
        found: Counter[int] = Counter()
        for (role, tokens), n_chunks in self.lengths.items():
            if role != "boilerplate":
                found[tokens] += n_chunks
        return found


def read_health(workspace: Workspace) -> CorpusHealth:
    """Return the health of the current generation. An error while reading becomes its `problem`."""
    try:
        with workspace.open_generation() as generation:
            manifest = generation.manifest
            rejected = manifest.get("rejected")
            return CorpusHealth(
                generation=generation.id,
                created=str(manifest.get("created_at", "")),
                prep_version=generation.prep_version,
                n_documents=generation.counts["documents"],
                lengths=generation.chunk_lengths(),
                max_tokens=_limit(workspace, generation.prep_version),
                rejected=None if rejected is None else tuple(Rejected(**row) for row in rejected),
            )
    except EmptyStore:
        return CorpusHealth(problem="Nothing has been ingested yet.")
    except StoreError as error:
        return CorpusHealth(problem=str(error))


def _limit(workspace: Workspace, prep_version: str) -> int | None:
    """Return the most tokens that a chunk of this prep version may have; None where the version was deleted."""
    folder = version_folder(workspace, "prep", prep_version)
    if folder is None:
        return None
    limit = read_manifest(folder).get("config", {}).get("limits", {}).get("max_tokens")
    return limit if isinstance(limit, int) else None
