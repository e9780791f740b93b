"""Examples from questions asked as people ask, over passages cut by rules or the prep model's own chunks.

The questions are files of rows as in `training.data.user_questions`, each named after the set whose documents lie with
the public sets; `near` is the span that almost answers an unanswerable one.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from prep.model.encoder import Encoder
from retrieve.reader.inputs import InputLimits
from training.data.dataset import LabelledSet, held_out_documents, load_set
from training.data.user_questions import load_user_questions, user_question_files
from training.reader.examples import Example, ExampleFiles, ExampleOptions, ReadableCorpus, make_examples
from training.reader.reader_mixture import near_spans

__all__ = ["interleave", "make_real_examples", "mix_examples", "real_set"]

_LOG = logging.getLogger(__name__)


def real_set(folder: Path, path: Path, *, n_documents: int, rng: random.Random) -> LabelledSet:
    """Return a set with the questions of a file: the documents they are about, and others up to `n_documents`.

    folder: that of the set whose documents these are. Raises DataError as `load_set` does, and for our own questions
    as `load_user_questions` does.
    """
    if path.resolve() in map(Path.resolve, user_question_files()):
        whole = load_user_questions(folder.name, folder.parent)
    else:
        whole = load_set(folder, questions=False)
        whole = replace(whole, questions=whole.read_questions(path))
    spans = [span for question in whole.questions for span in question.evidence]
    spans += [span for near in near_spans(path).values() for span in near]
    named = {span.document_id for span in spans}
    others = [document_id for document_id in whole.documents if document_id not in named]
    kept = named | set(rng.sample(others, max(0, min(len(others), n_documents - len(named)))))
    documents = {key: document for key, document in whole.documents.items() if key in kept}
    return replace(whole, documents=documents, topics={})


def make_real_examples(
    data: Path,
    paths: Sequence[Path],
    corpus_of: Callable[[LabelledSet], ReadableCorpus],
    encoder: Encoder,
    *,
    limits: InputLimits,
    options: ExampleOptions,
    without: Collection[str] = (),
    held_out_of: Collection[str] = (),
    n_documents: int = 200,
    n_views: int = 1,
    seed: int = 0,
) -> list[ExampleFiles]:
    """Return examples of all sets but those in `without`, shuffled; n_views: so often, with other negatives each time.

    corpus_of: gives the passages of a set's documents and a search over them (`PassagePool`, or `LexicalCorpus`).
    held_out_of: sets of which every sixth document is left out (`held_out_documents`), as in the first examples.
    """
    views = [ExampleFiles() for _ in range(n_views)]
    for path in sorted(paths, key=lambda path: path.stem):
        if (name := path.stem) in without:
            continue
        rng = random.Random(f"{seed} {name}")
        labelled = real_set(data / name, path, n_documents=n_documents, rng=rng)
        kept = labelled.questions
        if name in held_out_of:
            away = held_out_documents(load_set(data / name))
            kept = [one for one in kept if not any(span.document_id in away for span in one.evidence)]
        corpus = corpus_of(labelled)
        for files in views:
            n = make_examples(
                kept,
                corpus,
                encoder,
                files,
                dataset=name,
                options=options,
                limits=limits,
                near=near_spans(path),
                rng=rng,
            )
        _LOG.info("%s: %d examples of %d questions", name, n, len(kept))
    for number, files in enumerate(views):
        random.Random(f"{seed} {number}").shuffle(files.examples)
    return views


def interleave(
    views: Sequence[ExampleFiles], others: ExampleFiles, *, n_others: int = 1300, seed: int = 5
) -> ExampleFiles:
    """Return all views, one after the other, each shuffled with as many of the last of `others`."""
    rng = random.Random(seed)
    last = others.examples[-n_others * len(views) :]
    mixed = ExampleFiles(passages=list(others.passages))
    for number, view in enumerate(views):
        block = [*_moved(view, view.examples, mixed), *last[number * n_others : (number + 1) * n_others]]
        rng.shuffle(block)
        mixed.examples += block
    return mixed


def mix_examples(parts: Sequence[ExampleFiles], most: int, *, seed: int = 0) -> ExampleFiles:
    """Return all of the first part, and at most `most` drawn from each other, shuffled."""
    rng = random.Random(seed)
    mixed = ExampleFiles()
    for number, part in enumerate(parts):
        chosen = part.examples if number == 0 else rng.sample(part.examples, min(most, len(part.examples)))
        mixed.examples += _moved(part, chosen, mixed)
    rng.shuffle(mixed.examples)
    return mixed


def _moved(part: ExampleFiles, examples: Sequence[Example], to: ExampleFiles) -> list[Example]:
    """Add a part's passages to those of `to`, and return examples of the part that name them there."""
    first = len(to.passages)
    to.passages += part.passages
    return [
        replace(example, passages=tuple(first + place for place in example.passages)) for example in examples
    ]
