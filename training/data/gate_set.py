"""The gate set: the questions that candidates are judged by, out of reach of logs and of every training.

    gate-set/<nnn>-<digest>/   manifest.json  documents.jsonl  questions.jsonl

A layer is a labelled set that never changes once it is written: every n-th document of the corpus with cloze questions
made from it, or a set of the user's own. Documents that come into the corpus later make a new layer by the same rule.
Nothing is trained on a document of the gate set (by its id, or its text under another id) or on one of its questions
(whatever its case and punctuation): `holds_document`, `holds_question`. A set of the user's own can give its questions
alone: its documents may be trained on, and its questions measure what was learnt of them.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from prep.checks import check_counts
from prep.document import Document
from prep.errors import ConfigError, DataError
from prep.fault_injection import fault_point
from prep.manifest import MANIFEST_NAME, json_digest, sync_folder, verify_folder, write_manifest
from training.data.cloze_questions import synthesize_cloze
from training.data.dataset import LabelledSet, Question, load_set, save_set
from training.metrics.answer_metrics import normalise_answer

__all__ = ["GateSet", "GateSetConfig", "extend_gate_set", "normalise_text", "read_gate_set"]

_LOG = logging.getLogger(__name__)
_CORPUS = "corpus"
_QUESTIONS = "questions"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSetConfig:
    """Settings of the gate set: its part of a corpus, and sets of the user's own.

    held_out_every: every so many documents one is taken. n_questions: made from those of one layer, at most.
    labelled: folders of labelled sets of the user's own, each a layer of its own. labelled_questions: folders of those
    whose documents may be trained on, but for their questions.
    """

    held_out_every: int = 6
    n_questions: int = 200
    labelled: tuple[str, ...] = ()
    labelled_questions: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "n_questions")
        if self.held_out_every < 2:
            raise ConfigError(f"held_out_every={self.held_out_every!r} must be at least 2: nothing is left")


@dataclass(frozen=True)
class GateSet:
    """All layers, oldest first."""

    layers: tuple[LabelledSet, ...] = ()
    digests: tuple[str, ...] = ()
    open_layers: frozenset[int] = frozenset()  # whose documents may be trained on

    @property
    def digest(self) -> str:
        """Identifies the set: it changes when a layer is added, and never otherwise."""
        return json_digest(list(self.digests))[:12]

    @cached_property
    def documents(self) -> dict[str, Document]:
        """The documents by id, as they were when their layer was written."""
        return {name: document for layer in self.layers for name, document in layer.documents.items()}

    @property
    def formats(self) -> dict[str, str]:
        """The documents' formats by id."""
        return {name: form for layer in self.layers for name, form in layer.formats.items()}

    @property
    def questions(self) -> list[Question]:
        """The questions, those of the oldest layer first."""
        return [question for layer in self.layers for question in layer.questions]

    def n_layers_of(self, digest: str) -> int:
        """Return how many of the oldest layers make up a set of this digest, 0 where none do."""
        return next((n for n in range(len(self.layers), 0, -1) if self._first(n).digest == digest), 0)

    def _first(self, n_layers: int) -> GateSet:
        return GateSet(self.layers[:n_layers], self.digests[:n_layers])

    def old_questions(self, n_layers: int) -> frozenset[str]:
        """Return the ids of the questions of the oldest `n_layers` layers."""
        return frozenset(question.id for layer in self.layers[:n_layers] for question in layer.questions)

    def holds_document(self, document: Document) -> bool:
        """Whether nothing may be trained on this document."""
        return document.id in self._kept or normalise_text(document.text) in self._texts

    def holds_question(self, question: str) -> bool:
        """Whether nothing may be trained on this question."""
        return normalise_answer(question) in self._asked

    def repeats(self, document: Document) -> bool:
        """Whether this document has the text of a document of the set under another id."""
        return document.id not in self.documents and normalise_text(document.text) in self._all_texts

    @cached_property
    def _all_texts(self) -> frozenset[str]:
        return frozenset(normalise_text(document.text) for document in self.documents.values())

    @cached_property
    def _kept(self) -> dict[str, Document]:
        closed = [layer for number, layer in enumerate(self.layers) if number not in self.open_layers]
        return {name: document for layer in closed for name, document in layer.documents.items()}

    @cached_property
    def _texts(self) -> frozenset[str]:
        return frozenset(normalise_text(document.text) for document in self._kept.values())

    @cached_property
    def _asked(self) -> frozenset[str]:
        return frozenset(normalise_answer(question.question) for question in self.questions)


def read_gate_set(folder: str | Path) -> GateSet:
    """Return the gate set in `folder`, its files checked; an empty set where there is none.

    Raises ChecksumMismatch where a layer was changed, StoreError.
    """
    found = sorted(path.parent for path in Path(folder).glob(f"[0-9]*/{MANIFEST_NAME}"))
    manifests = [verify_folder(path) for path in found]
    return GateSet(
        tuple(load_set(path) for path in found),
        tuple(str(manifest["digest"]) for manifest in manifests),
        frozenset(n for n, manifest in enumerate(manifests) if manifest.get("freezes") == _QUESTIONS),
    )


def extend_gate_set(
    folder: str | Path,
    documents: Mapping[str, Document],
    formats: Mapping[str, str],
    config: GateSetConfig | None = None,
    *,
    trained: Callable[[Document], bool] = lambda document: False,
) -> GateSet:
    """Add layers for documents and sets that are new, and return the whole gate set. Run again, it adds nothing.

    documents: of the corpus, by id. trained: whether one was trained on already; those are taken only where no other
    is left. Raises DataError where a set of the user's own does not follow the schema or clashes with another document.
    """
    config = config or GateSetConfig()
    root = Path(folder)
    frozen = read_gate_set(root)
    seen = _considered(root)
    own = [(named, "documents") for named in config.labelled]
    own += [(named, _QUESTIONS) for named in config.labelled_questions]
    for named, freezes in own:
        labelled = load_set(named)
        texts = [[document.id, document.text] for document in labelled.documents.values()]
        content = [labelled.name, texts, [[q.id, q.question, q.answers] for q in labelled.questions]]
        digest = json_digest([*content, freezes] if freezes == _QUESTIONS else content)
        if digest not in seen:
            layer = _own(labelled, frozen, documents)
            _write_layer(root, len(frozen.layers), layer, [digest], labelled.name, freezes)
            frozen = read_gate_set(root)
    new = [
        name
        for name, document in sorted(documents.items())
        if name not in seen and name not in frozen.documents and not frozen.holds_document(document)
    ]
    unfit = frozenset(name for name in new if trained(documents[name]))
    chosen = _chosen(new, config.held_out_every, unfit)
    questions = synthesize_cloze((documents[name] for name in chosen), n=config.n_questions, seed=config.seed)
    if questions:
        layer = LabelledSet(
            {name: documents[name] for name in chosen},
            {name: formats.get(name, "text") for name in chosen},
            questions,
            _CORPUS,
        )
        _write_layer(root, len(frozen.layers), layer, new, _CORPUS)
        frozen = read_gate_set(root)
    return frozen


def _chosen(new: Sequence[str], every: int, trained: frozenset[str]) -> list[str]:
    """Return every n-th of the new documents by id, from those that nothing was trained on as far as they go."""
    if len(new) < every:
        return []  # too few to spare one: they are looked at again when there are more
    chosen = [name for name in new[::every] if name not in trained]
    spare = [name for name in new if name not in trained and name not in chosen]
    wanted = len(new[::every])
    chosen += spare[: wanted - len(chosen)]
    if not chosen:
        _LOG.warning(
            "all of %d documents were trained on before; %d of them join the gate set all the same",
            len(new),
            wanted,
        )
        return list(new[::every])
    return sorted(chosen)


def _own(labelled: LabelledSet, frozen: GateSet, documents: Mapping[str, Document]) -> LabelledSet:
    """Return a set of the user's own with question ids that cannot clash with those of another layer."""
    if not labelled.questions:
        raise DataError(f"the labelled set {labelled.name!r} has no questions to judge candidates by")
    for name, document in labelled.documents.items():
        other = frozen.documents.get(name) or documents.get(name)
        if other is not None and other.text != document.text:
            raise DataError(
                f"the document {name!r} of the labelled set {labelled.name!r} has another text than the corpus's: "
                "give it another id"
            )
    questions = [replace(q, id=f"{labelled.name}/{q.id}") for q in labelled.questions]
    taken = {question.id for question in frozen.questions}
    if any(question.id in taken for question in questions):
        raise DataError(
            f"a labelled set {labelled.name!r} is in the gate set already, with other content or settings: rename it"
        )
    return replace(labelled, questions=questions)


def _considered(root: Path) -> frozenset[str]:
    """Return the ids of all documents considered for a layer, and the digests of the sets that are layers."""
    found = (path.parent for path in root.glob(f"[0-9]*/{MANIFEST_NAME}"))
    return frozenset(name for path in found for name in verify_folder(path)["considered"])


def _write_layer(
    root: Path,
    number: int,
    layer: LabelledSet,
    considered: Iterable[str],
    source: str,
    freezes: str = "documents",
) -> None:
    root.mkdir(parents=True, exist_ok=True)
    temporary = root / f".partial-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        save_set(layer, temporary)
        counts = {"documents": len(layer.documents), "questions": len(layer.questions)}
        # The considered ids are part of the layer: a killed run does not consider them again.
        about: dict[str, Any] = {
            "kind": "frozen",
            "source": source,
            "counts": counts,
            "considered": list(considered),
            "freezes": freezes,
        }
        manifest = write_manifest(temporary, about)
        os.rename(temporary, root / f"{number:03d}-{manifest['digest'][:12]}")
        sync_folder(root)
        fault_point("after-freeze")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def normalise_text(text: str) -> str:
    """Return a text without its case and layout, to recognise the same document under another id."""
    return " ".join(text.split()).casefold()
