"""Words beside vectors: BM25 over the chunks, and the fusion of both into one score.

A small encoder blurs names, numbers and rare words, which is what BM25 sees best; what is worded otherwise is what
BM25 misses. Fused, they find more than either (LOG.md, "Words beside vectors").

The index is an FTS5 table of SQLite, so it lives in a generation's chunk table, on the disk, or in memory. Words are
stemmed by FTS5 (Porter, which leaves other scripts alone); Chinese, Japanese and Korean runs are cut into bigrams,
having no blanks between words.

Sources: Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond".
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from prep.document import Floats

__all__ = ["CANDIDATES", "LEXICAL_SHARE", "LexicalIndex", "fuse", "hybrid_scores", "searchable_words"]

LEXICAL_SHARE = 0.2  # of a fused score; the rest is the cosine
CANDIDATES = 100  # taken from each side, at least, before they are fused
_MAX_WORDS = 48  # of a query; the rarest are kept
_COMMON = 0.3  # a word in more than this share of the rows says nothing, where rarer ones do
_MOST_ROWS = 50_000  # nor one in more rows than these, whose scores take long to compute

_TOKENIZER = "porter unicode61 remove_diacritics 2"
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_CJK_RUN = re.compile(f"[{_CJK}]+")
_WORD = re.compile(r"\w+")


class LexicalIndex:
    """BM25 over texts by row, for any number of threads, one search at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read the tables that `create` and `add` made. The connection, open to all threads, is the index's now."""
        self._connection = connection
        self._lock = threading.Lock()
        # FTS5 does not say how it stems a word; a table of its own, holding nothing but the query, does.
        self._stems = sqlite3.connect(":memory:", check_same_thread=False)
        self._stems.execute(f"CREATE VIRTUAL TABLE query USING fts5(words, tokenize='{_TOKENIZER}')")
        self._stems.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(query, instance)")
        (self._n_rows,) = connection.execute("SELECT count(*) FROM lexicon_docsize").fetchone()

    @staticmethod
    def create(connection: sqlite3.Connection) -> None:
        """Make the empty tables. The texts themselves are not kept."""
        connection.execute(
            f"CREATE VIRTUAL TABLE lexicon USING fts5(words, content='', tokenize='{_TOKENIZER}')"
        )
        connection.execute("CREATE VIRTUAL TABLE lexicon_terms USING fts5vocab(lexicon, row)")

    @staticmethod
    def add(connection: sqlite3.Connection, texts: Iterable[tuple[int, str]]) -> None:
        """Add texts by row."""
        connection.executemany(
            "INSERT INTO lexicon(rowid, words) VALUES (?, ?)",
            ((row, searchable_words(text)) for row, text in texts),
        )

    @staticmethod
    def optimise(connection: sqlite3.Connection) -> None:
        """Merge what was added into one tree: for tables that are complete."""
        connection.execute("INSERT INTO lexicon(lexicon) VALUES ('optimize')")

    @classmethod
    def build(cls, texts: Sequence[str]) -> LexicalIndex:
        """Return an index of `texts` in memory, by position."""
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        cls.create(connection)
        cls.add(connection, enumerate(texts))
        return cls(connection)

    def search(self, query: str, k: int) -> dict[int, float]:
        """Return the BM25 scores (above 0) of the k best rows, best first; ties by row."""
        with self._lock:
            words = self._telling_words(query)
            if not words:
                return {}
            asked = " OR ".join(f'"{word}"' for word in words)
            found = self._connection.execute(
                "SELECT rowid, -rank FROM lexicon WHERE lexicon MATCH ? ORDER BY rank, rowid LIMIT ?",
                (asked, k),
            ).fetchall()
        return {int(row): float(score) for row, score in found}

    def _telling_words(self, query: str) -> list[str]:
        """Return the query's words that are in the index and not in too many rows; the common ones if no other."""
        words = list(dict.fromkeys(_WORD.findall(searchable_words(query))))
        self._stems.execute("DELETE FROM query")
        self._stems.executemany("INSERT INTO query(rowid, words) VALUES (?, ?)", enumerate(words))
        stems = dict(self._stems.execute("SELECT doc, term FROM stems").fetchall())
        counts = {
            stem: self._connection.execute("SELECT doc FROM lexicon_terms WHERE term = ?", (stem,)).fetchone()
            for stem in set(stems.values())
        }
        n_rows = {words[row]: counts[stem][0] for row, stem in stems.items() if counts[stem] is not None}
        ordered = sorted(n_rows, key=lambda word: (n_rows[word], word))[:_MAX_WORDS]
        most = max(8, min(_COMMON * self._n_rows, _MOST_ROWS))
        rare = [word for word in ordered if n_rows[word] <= most]
        return rare or ordered[:4]

    def close(self) -> None:
        """Close the connection, too."""
        with self._lock:
            self._stems.close()
            self._connection.close()


def searchable_words(text: str) -> str:
    """Return the text in lower case with CJK runs cut into bigrams: what is indexed and what is asked."""
    return _CJK_RUN.sub(_bigrams, text.lower())


def _bigrams(match: re.Match[str]) -> str:
    run = match.group()
    pairs = [run[place : place + 2] for place in range(max(1, len(run) - 1))]
    return f" {' '.join(pairs)} "


def fuse(cosines: Mapping[int, float], lexical: Mapping[int, float]) -> dict[int, float]:
    """Return a score for each row of `cosines`, best first: its cosine and its share of the best BM25 score.

    Scores lie in [-1, 1]. Rows that only `lexical` knows are left out: give their cosines too. Ties by row.
    """
    best = max(lexical.values(), default=0.0) or 1.0
    scores = {
        row: (1 - LEXICAL_SHARE) * cosine + LEXICAL_SHARE * lexical.get(row, 0.0) / best
        for row, cosine in cosines.items()
    }
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


def hybrid_scores(query: str, cosines: Floats, lexical: LexicalIndex) -> Floats:
    """Return the fused score of every row, given the query's cosine with each, (n,)."""
    words = lexical.search(query, CANDIDATES)
    best = max(words.values(), default=0.0) or 1.0
    scores = (1 - LEXICAL_SHARE) * cosines
    scores[list(words)] += np.float32(LEXICAL_SHARE / best) * np.fromiter(
        words.values(), np.float32, len(words)
    )
    return np.asarray(scores, dtype=np.float32)
