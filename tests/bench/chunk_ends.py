"""Where chunks end: share at the end of a sentence or line, and whether they tile their text. Not a test, not timed.

    python tests/bench/chunk_ends.py --data DIR/drcd_dev [DIR/xquad_zh ...] [--limit 100] [--only NAME ...]

An end is clean where the text before it, blanks and closing marks left out, ends with a mark that ends sentences or
clauses (; and :) in English or Chinese, or where a line ends there; the ends of documents are not counted. What a
sentence is says this file, not our own splitting of sentences. Splitters of other libraries stand beside the prep model
(`bench` extra), set to the size that its chunks have on average. That the prep model's chunks joined are the text, and
each what its offsets say, is asserted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm.auto import tqdm

from prep import PrepModel
from prep.document import Document
from training.dataset import load_set
from training.peers import PEERS, peer_chunker

_ENDS = tuple(".!?。！？…；;:：")
_CLOSING = "\"'”’»)]）】」』》〉"


def is_clean(text: str, end: int) -> bool:
    """Whether a sentence or a line ends at the offset."""
    before = text[:end].rstrip()
    if "\n" in text[len(before) : end] or text[end : end + 1] == "\n":
        return True
    return before.rstrip(_CLOSING).endswith(_ENDS)


def measure(
    documents: Sequence[Document],
    cut: Callable[[Document], list[tuple[int, int]]],
    count: Callable[[str], int],
) -> tuple[int, int, int, int]:
    """Return how many chunks there are, their tokens, how many end inside a document, and how many of these cleanly."""
    chunks = tokens = inner = clean = 0
    for document in tqdm(documents, unit="doc", disable=None, leave=False):
        spans = cut(document)
        chunks += len(spans)
        tokens += sum(count(document.text[start:end]) for start, end in spans)
        ends = [end for _, end in spans[:-1]]
        inner += len(ends)
        clean += sum(is_clean(document.text, end) for end in ends)
    return chunks, tokens, inner, clean


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path, nargs="+", help="labelled sets")
    parser.add_argument("--prep", default=None, help="a prep model version; the shipped one by default")
    parser.add_argument("--limit", type=int, default=100, help="documents of a set, the first by id")
    parser.add_argument(
        "--only", nargs="*", default=["langchain-recursive", "chonkie-recursive"], choices=[*PEERS]
    )
    arguments = parser.parse_args()
    model = PrepModel.load(arguments.prep)

    def count(text: str) -> int:
        return len(model.encoder.tokenize([text])[0])

    def ours(document: Document) -> list[tuple[int, int]]:
        chunks = model.prepare(document)
        assert "".join(chunk.text for chunk in chunks) == document.text
        assert all(document.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
        return [(chunk.start, chunk.end) for chunk in chunks]

    for folder in arguments.data:
        labelled = load_set(folder)
        documents = [labelled.documents[name] for name in sorted(labelled.documents)][: arguments.limit]
        rows = {"prep model": measure(documents, ours, count)}
        alike = max(round(rows["prep model"][1] / rows["prep model"][0]), 1)
        for name in arguments.only:
            chunker = peer_chunker(name, model.encoder, alike)
            rows[name] = measure(documents, lambda document, c=chunker: list(c(document.text)), count)
        for name, (chunks, tokens, inner, clean) in rows.items():
            size = tokens / max(chunks, 1)
            print(
                f"{folder.name:12} {name:22} {len(documents)} documents, {chunks} chunks of {size:.0f} tokens: "
                f"{clean} of {inner} inner ends clean ({clean / max(inner, 1):.3f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
