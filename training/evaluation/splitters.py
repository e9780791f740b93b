"""Splitters of other libraries, measured beside the prep model: chonkie, langchain, llama-index.

Each is used as its documentation shows, without overlap; sizes are counted by the frozen encoder's own tokenizer, and
each chunk has the frozen encoder's vector (`FrozenEncoderSystem`). The pieces that a splitter returns are traced back
to exact offsets of the text; a piece that is not in the text is a DataError. The libraries are the `bench` extra,
imported when a splitter is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from prep.document import Chunk, Document, Floats
from prep.errors import ConfigError, DataError, DependencyError
from prep.text import split_lines, split_sentences

if TYPE_CHECKING:
    from prep.model.encoder import Encoder

__all__ = ["SPLITTERS", "Chunker", "FrozenEncoderSystem", "locate", "make_splitter"]

#: From a text to the spans of its chunks, in order, in code points, half open.
Chunker: TypeAlias = Callable[[str], list[tuple[int, int]]]

_BLOCK_DOCUMENTS = 64


def make_splitter(name: str, encoder: Encoder, chunk_tokens: int = 200) -> Chunker:
    """Return the splitter called `name` (a key of SPLITTERS), set to chunks of `chunk_tokens`.

    Raises ConfigError for an unknown name, DependencyError where its library is not installed.
    """
    if name not in SPLITTERS:
        raise ConfigError(f"there is no splitter {name!r}; known are {', '.join(SPLITTERS)}")
    if chunk_tokens < 1:
        raise ConfigError(f"chunk_tokens={chunk_tokens!r} must be at least 1")
    return SPLITTERS[name](encoder, chunk_tokens)


class FrozenEncoderSystem:
    """A splitter and a frozen encoder in the place of a prep model."""

    def __init__(
        self, chunker: Chunker, encoder: Encoder, *, name: str, title_in_vector: bool = False
    ) -> None:
        """title_in_vector: encode the document's title before each chunk, as some pipelines do."""
        self.chunker = chunker
        self.encoder = encoder
        self.version = name
        self.dimension = encoder.dimension
        self.title_in_vector = title_in_vector

    def prepare(self, document: Document) -> list[Chunk]:
        """Return the document's chunks in order, each with the encoder's vector of its text."""
        return next(self.prepare_many([document]))[1]

    def prepare_many(self, documents: Iterable[Document]) -> Iterator[tuple[Document, list[Chunk]]]:
        """Yield each document with its chunks, in order; texts of several documents are encoded together."""
        block: list[Document] = []
        for document in documents:
            block.append(document)
            if len(block) == _BLOCK_DOCUMENTS:
                yield from self._prepare_block(block)
                block = []
        yield from self._prepare_block(block)

    def encode_queries(self, queries: Sequence[str]) -> Floats:
        """Return the encoder's vectors of the questions: float32 (n, d), L2-normalised."""
        return self.encoder.encode_queries(queries)

    def _prepare_block(self, documents: Sequence[Document]) -> Iterator[tuple[Document, list[Chunk]]]:
        spans = [
            [(start, end) for start, end in self.chunker(d.text) if d.text[start:end].strip()]
            for d in documents
        ]
        texts = [d.text[s:e] for d, of_document in zip(documents, spans, strict=True) for s, e in of_document]
        titles = [d.title for d, of_document in zip(documents, spans, strict=True) for _ in of_document]
        titled = zip(titles, texts, strict=True)
        headed = [f"{title}\n{text}" for title, text in titled] if self.title_in_vector else texts
        vectors = self.encoder.encode(headed, prompt=self.encoder.document_prompt)
        lengths = [len(ids) for ids in self.encoder.tokenize(texts)]
        row = 0
        for document, of_document in zip(documents, spans, strict=True):
            chunks = []
            for number, (start, end) in enumerate(of_document):
                chunks.append(
                    Chunk(
                        id=f"{document.id}#{number}",
                        document_id=document.id,
                        start=start,
                        end=end,
                        text=document.text[start:end],
                        headings=(),
                        role="text",
                        n_tokens=lengths[row],
                        vector=vectors[row],
                    )
                )
                row += 1
            yield document, chunks


def locate(text: str, pieces: Sequence[str], name: str = "the splitter") -> list[tuple[int, int]]:
    """Return where consecutive pieces of `text` stand in it; blank pieces are dropped.

    A piece may start before the end of the one before it (overlap) but not before its start. Pieces that
    differ from the text in blank space only are found too, without blanks at their ends. Raises DataError for
    other changes.
    """
    spans: list[tuple[int, int]] = []
    floor = 0
    dense: tuple[str, list[int]] | None = None
    for piece in pieces:
        if not piece.strip():
            continue
        # Look from the end of the last piece first: short pieces repeat.
        end_before = spans[-1][1] if spans else 0
        at = text.find(piece, end_before)
        if at < 0 or text[end_before:at].strip():
            overlapping = text.find(piece, floor)
            at = overlapping if overlapping >= 0 else at
        if at >= 0:
            span = (at, at + len(piece))
        else:
            dense = dense or _without_blanks(text)
            span = _locate_without_blanks(dense, piece, floor, name)
        spans.append(span)
        floor = span[0]
    return spans


def _without_blanks(text: str) -> tuple[str, list[int]]:
    positions = [i for i, character in enumerate(text) if not character.isspace()]
    return "".join(text[i] for i in positions), positions


def _locate_without_blanks(
    dense: tuple[str, list[int]], piece: str, floor: int, name: str
) -> tuple[int, int]:
    characters, positions = dense
    wanted = "".join(piece.split())
    at = characters.find(wanted, int(np.searchsorted(positions, floor)))
    if at < 0:
        raise DataError(f"{name} changed the text: {piece[:60]!r} is not in it, so it has no exact offsets")
    return positions[at], positions[at + len(wanted) - 1] + 1


class _Tokenizer:
    """The encoder's tokens as pieces of the text that tile it, for splitters that encode, cut and decode.

    A piece runs from the start of its token to the start of the next, so that decoding gives the text back
    exactly, which a lower-casing tokenizer alone cannot.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._ids: dict[str, int] = {}
        self._pieces: list[str] = []
        self.count_tokens = lru_cache(maxsize=1 << 16)(self._count)

    def tokenize(self, text: str) -> list[str]:
        starts = list(dict.fromkeys(start for start, end in self._encoder.token_offsets(text) if end > start))
        if not starts:
            return [text] if text else []
        starts[0] = 0
        return [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]

    def encode(self, text: str) -> list[int]:
        ids = []
        for piece in self.tokenize(text):
            if piece not in self._ids:
                self._ids[piece] = len(self._pieces)
                self._pieces.append(piece)
            ids.append(self._ids[piece])
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self._pieces[token] for token in tokens)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode_batch(self, token_sequences: Sequence[Sequence[int]]) -> list[str]:
        return [self.decode(tokens) for tokens in token_sequences]

    def _count(self, text: str) -> int:
        return len(self._encoder.tokenize([text])[0])


def _library(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(
            f"{package} is not installed ({error}); get it with: pip install 'diptych[bench]'"
        ) from error


def _chonkie(make: Callable[[Any, Any, Encoder, int], Any]) -> Callable[[Encoder, int], Chunker]:
    def build(encoder: Encoder, chunk_tokens: int) -> Chunker:
        tokenizer = _library("chonkie.tokenizer", "chonkie").ChonkieAutoTokenizer(_Tokenizer(encoder))
        chunker = make(_library("chonkie", "chonkie"), tokenizer, encoder, chunk_tokens)

        def chunk(text: str) -> list[tuple[int, int]]:
            if not text.strip():
                return []
            chunks = chunker.chunk(text)
            spans = [(int(c.start_index), int(c.end_index)) for c in chunks]
            if all(text[s:e] == c.text for (s, e), c in zip(spans, chunks, strict=True)):
                return spans
            return locate(text, [c.text for c in chunks], "chonkie")

        return chunk

    return build


def _chonkie_embeddings(encoder: Encoder, tokenizer: Any) -> Any:
    base = _library("chonkie.embeddings", "chonkie").BaseEmbeddings

    class FrozenEmbeddings(base):  # type: ignore[misc, valid-type]
        """The frozen encoder behind chonkie's interface."""

        def embed(self, text: str) -> Any:
            return encoder.encode([text])[0]

        def embed_batch(self, texts: list[str]) -> list[Any]:
            return list(encoder.encode(texts)) if texts else []

        @property
        def dimension(self) -> int:
            return encoder.dimension

        def get_tokenizer(self) -> Any:
            return tokenizer

    return FrozenEmbeddings()


def _langchain(separators: list[str] | None) -> Callable[[Encoder, int], Chunker]:
    def build(encoder: Encoder, chunk_tokens: int) -> Chunker:
        library = _library("langchain_text_splitters", "langchain-text-splitters")
        splitter = library.RecursiveCharacterTextSplitter(
            separators=separators,
            chunk_size=chunk_tokens,
            chunk_overlap=0,
            length_function=_Tokenizer(encoder).count_tokens,
        )
        return lambda text: locate(text, splitter.split_text(text), "langchain-text-splitters")

    return build


def _llama_index_sentence(encoder: Encoder, chunk_tokens: int) -> Chunker:
    parsers = _library("llama_index.core.node_parser", "llama-index-core")
    splitter = parsers.SentenceSplitter(
        chunk_size=chunk_tokens, chunk_overlap=0, tokenizer=_Tokenizer(encoder).tokenize
    )
    return lambda text: locate(text, splitter.split_text(text), "llama-index-core")


def _llama_index_semantic(encoder: Encoder, chunk_tokens: int) -> Chunker:
    """`chunk_tokens` has no say here: this splitter cuts at the largest distances, whatever the length."""
    parsers = _library("llama_index.core.node_parser", "llama-index-core")
    schema = _library("llama_index.core.schema", "llama-index-core")
    base = _library("llama_index.core.base.embeddings.base", "llama-index-core").BaseEmbedding

    class FrozenEmbedding(base):  # type: ignore[misc, valid-type]
        """The frozen encoder behind llama-index's interface."""

        def _get_text_embedding(self, text: str) -> list[float]:
            return self._get_text_embeddings([text])[0]

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return [[float(x) for x in vector] for vector in encoder.encode(texts)]

        def _get_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

    splitter = parsers.SemanticSplitterNodeParser.from_defaults(
        embed_model=FrozenEmbedding(embed_batch_size=256), include_metadata=False, include_prev_next_rel=False
    )

    def chunk(text: str) -> list[tuple[int, int]]:
        if not text.strip():
            return []
        nodes = splitter.get_nodes_from_documents([schema.Document(text=text)])
        return locate(text, [node.text for node in nodes], "llama-index-core")

    return chunk


def _plain_recursive(encoder: Encoder, chunk_tokens: int) -> Chunker:
    """The usual recursive splitter without a library.

    Cuts at blank lines, then lines, sentences, words, tokens, each only where pieces are still too long, and
    joins neighbours as long as they fit. The chunks tile the text.
    """

    def chunk(text: str) -> list[tuple[int, int]]:
        starts = np.array(
            [start for start, end in encoder.token_offsets(text) if end > start], dtype=np.int64
        )

        def count(start: int, end: int) -> int:
            return int(np.searchsorted(starts, end) - np.searchsorted(starts, start))

        def split(start: int, end: int, level: int) -> Iterator[tuple[int, int]]:
            """Yield pieces of text[start:end], each small enough to keep."""
            if count(start, end) <= chunk_tokens:
                yield start, end
                return
            cuts = [start, *(cut for cut in _cuts(text, start, end, level, starts) if start < cut < end), end]
            for left, right in pairwise(cuts):
                if level == _TOKEN_LEVEL:
                    yield left, right
                else:
                    yield from split(left, right, level + 1)

        spans: list[tuple[int, int]] = []
        for start, end in split(0, len(text), 0) if text else ():
            if spans and count(spans[-1][0], end) <= chunk_tokens:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return spans

    return chunk


_TOKEN_LEVEL = 4
_BLANK_LINE = re.compile(r"\n\s*\n")
_WORD = re.compile(r"\s+")


def _cuts(text: str, start: int, end: int, level: int, token_starts: npt.NDArray[np.int64]) -> Iterable[int]:
    match level:
        case 0:
            return (match.end() for match in _BLANK_LINE.finditer(text, start, end))
        case 1:
            return (start + right for _, right in split_lines(text[start:end]))
        case 2:
            return (right for _, right in split_sentences(text, start, end))
        case 3:
            return (match.end() for match in _WORD.finditer(text, start, end))
        case _:
            return (int(at) for at in token_starts if start < at < end)


# Chroma's evaluation splits at sentence ends too; the library's default goes from lines straight to words.
_WITH_SENTENCES = ["\n\n", "\n", ".", "?", "!", " ", ""]

#: Splitters by name: from a frozen encoder and a size in its tokens to a `Chunker`.
SPLITTERS: dict[str, Callable[[Encoder, int], Chunker]] = {
    "plain-recursive": _plain_recursive,
    "langchain-recursive": _langchain(None),
    "langchain-recursive-sentences": _langchain(_WITH_SENTENCES),
    "chonkie-token": _chonkie(
        lambda library, tokenizer, encoder, n: library.TokenChunker(tokenizer, chunk_size=n, chunk_overlap=0)
    ),
    "chonkie-sentence": _chonkie(
        lambda library, tokenizer, encoder, n: library.SentenceChunker(tokenizer, chunk_size=n)
    ),
    "chonkie-recursive": _chonkie(
        lambda library, tokenizer, encoder, n: library.RecursiveChunker(tokenizer, chunk_size=n)
    ),
    "chonkie-semantic": _chonkie(
        lambda library, tokenizer, encoder, n: library.SemanticChunker(
            _chonkie_embeddings(encoder, tokenizer), chunk_size=n
        )
    ),
    "llama-index-sentence": _llama_index_sentence,
    "llama-index-semantic": _llama_index_semantic,
}
