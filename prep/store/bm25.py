"""BM25 over the chunks, and the positions of query terms in a text.

A small encoder blurs names, numbers and rare words, which BM25 finds best; BM25 misses paraphrases, which the encoder
finds. `prep.store.ranking` makes one score of both.

The index is an FTS5 table of SQLite, so it lives in a generation's chunk table, on the disk, or in memory. FTS5 stems
the words (Porter, which leaves other scripts alone) and cuts identifiers at their underscores. Chinese, Japanese and
Korean runs have no blanks between words and are cut into bigrams. A number is one word however its thousands are
separated; the index holds its parts as well, by which it is found where it is none ("192.168").

Sources: Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond".
"""

from __future__ import annotations

import math
import re
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["CANDIDATES", "LexicalIndex", "QueryTerms", "header_of", "is_unspaced", "searchable_words"]

CANDIDATES = 100  # at least as many are retrieved by BM25 and by vectors before they are ranked
_MAX_WORDS = 48  # of a query; the rarest are kept
_COMMON = 0.3  # a word in more than this share of the rows is left out, where the query has rarer ones
_MOST_ROWS = 50_000  # so is a word in more rows than these, whose scores take long to compute

_ALLOWED = "AND substr(?, rowid + 1, 1) = x'01' "

_TOKENIZER = "porter unicode61 remove_diacritics 2"
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_CJK_RUN = re.compile(f"[{_CJK}]+")
_WORD = re.compile(r"\w+")
# "10,000", "1'234'567.80", "1,00,000"; groups parted by blanks ("10 000") only where few follow each other, as a row of
# numbers has many.
_SEPARATED_NUMBER = re.compile(
    r"(?<![\w.,'’٬])[1-9]\d{0,2}(?:([,.'’_\u00a0\u202f\u2009٬，])\d{2,3}(?:\1\d{2,3}){0,5}(?<=\d{3})(?!\1?\d)"
    r"|(?<!\d \d)(?<!\d \d\d)(?<!\d \d\d\d) \d{3}(?: \d{3})?(?! ?\d))"
)
_NO_DIGIT = re.compile(r"\D")


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """The stems of a query, in order, and the idf in the index (above 0) of those that it holds."""

    stems: tuple[str, ...]
    idf: dict[str, float]


class LexicalIndex:
    """BM25 over texts by row, for any number of threads, one search at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read the tables that `create` and `add` made. The index owns the connection.

        connection: made with `check_same_thread=False`; `close` closes it.
        """
        self._connection = connection
        self._lock = threading.Lock()
        # FTS5 has no function that stems a word; a small table of its own, with the texts in question, shows the stems.
        self._stems = sqlite3.connect(":memory:", check_same_thread=False)
        self._stems.execute(
            f"CREATE VIRTUAL TABLE texts USING fts5(words, content='', tokenize='{_TOKENIZER}')"
        )
        self._stems.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(texts, instance)")
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
            ((row, _indexed_words(text)) for row, text in texts),
        )

    @staticmethod
    def optimise(connection: sqlite3.Connection) -> None:
        """Merge the index's segments into one, once all texts are added."""
        connection.execute("INSERT INTO lexicon(lexicon) VALUES ('optimize')")

    @classmethod
    def build(cls, texts: Sequence[str]) -> LexicalIndex:
        """Return an index of `texts` in memory, by position."""
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        cls.create(connection)
        cls.add(connection, enumerate(texts))
        return cls(connection)

    def search(self, query: str, k: int, allowed: bytes | None = None) -> dict[int, float]:
        """Return the BM25 scores (above 0) of the k best rows, best first; ties by row.

        allowed: a byte for each row, 1 where it may be found; None for all. A word's idf is that of the whole index.
        """
        with self._lock:
            words = self._selective_words(query)
            if not words:
                return {}
            match = " OR ".join(f'"{word}"' for word in words)
            only, values = ("", (match, k)) if allowed is None else (_ALLOWED, (match, allowed, k))
            found = self._connection.execute(
                f"SELECT rowid, -rank FROM lexicon WHERE lexicon MATCH ? {only}ORDER BY rank, rowid LIMIT ?",
                values,
            ).fetchall()
        return {int(row): float(score) for row, score in found}

    def query_terms(self, query: str) -> QueryTerms:
        """Return the query's stems and their idf in the index."""
        with self._lock:
            self._hold([searchable_words(query)])
            rows = self._stems.execute("SELECT term FROM stems ORDER BY offset").fetchall()
            stems = tuple(stem for (stem,) in rows)
            counts = self._counts(set(stems))
        idf = {
            stem: math.log(1 + (self._n_rows - counts[stem] + 0.5) / (counts[stem] + 0.5))
            for stem in dict.fromkeys(stems)
            if stem in counts
        }
        return QueryTerms(stems, idf)

    def positions(self, texts: Sequence[str], stems: Iterable[str]) -> list[dict[int, str]]:
        """Return the positions of the stems in each text, n dicts: number of the word, from 0 → stem."""
        found: list[dict[int, str]] = [{} for _ in texts]
        with self._lock:
            self._hold([searchable_words(text) for text in texts])
            for stem in stems:
                for at, position in self._stems.execute(
                    "SELECT doc, offset FROM stems WHERE term = ?", (stem,)
                ):
                    found[at][position] = stem
        return found

    def _selective_words(self, query: str) -> list[str]:
        """Return the query's words that the index holds in few enough rows; its rarest words where all are common."""
        n_rows = self._rows_by_word(searchable_words(query))
        numbers = _SEPARATED_NUMBER.finditer(query.lower())
        if any(_joined(number) not in n_rows for number in numbers):  # found by its parts, if at all
            n_rows = self._rows_by_word(_indexed_words(query))
        ordered = sorted(n_rows, key=lambda word: (n_rows[word], word))[:_MAX_WORDS]
        most = max(8, min(_COMMON * self._n_rows, _MOST_ROWS))
        rare = [word for word in ordered if n_rows[word] <= most]
        return rare or ordered[:4]

    def _rows_by_word(self, text: str) -> dict[str, int]:
        """Return the document frequency of each word of a text that the index holds."""
        words = list(dict.fromkeys(_WORD.findall(text)))
        self._hold(words)
        stems = dict(self._stems.execute("SELECT doc, term FROM stems").fetchall())
        counts = self._counts(set(stems.values()))
        return {words[at]: counts[stem] for at, stem in stems.items() if stem in counts}

    def _hold(self, texts: Sequence[str]) -> None:
        """Put these texts, by position, into the table that shows their stems."""
        self._stems.execute("INSERT INTO texts(texts) VALUES ('delete-all')")
        self._stems.executemany("INSERT INTO texts(rowid, words) VALUES (?, ?)", enumerate(texts))

    def _counts(self, stems: Iterable[str]) -> dict[str, int]:
        """Return the document frequency of each stem, without stems that no row holds."""
        found = {
            stem: self._connection.execute("SELECT doc FROM lexicon_terms WHERE term = ?", (stem,)).fetchone()
            for stem in stems
        }
        return {stem: int(row[0]) for stem, row in found.items() if row is not None}

    def close(self) -> None:
        """Close the connection, too."""
        with self._lock:
            self._stems.close()
            self._connection.close()


def header_of(title: str, headings: Sequence[str]) -> str:
    """Return the header of a chunk, title and headings, with which its text is indexed and ranked."""
    return " ".join((title, *headings))


def searchable_words(text: str) -> str:
    """Return the text in lower case, CJK runs cut into bigrams and numbers without separators of their thousands."""
    return _CJK_RUN.sub(_bigrams, _SEPARATED_NUMBER.sub(_joined, text.lower()))


def _indexed_words(text: str) -> str:
    """Return searchable words with the parts of separated numbers besides, as texts are indexed."""
    return _CJK_RUN.sub(_bigrams, _SEPARATED_NUMBER.sub(lambda n: f"{n.group()} {_joined(n)}", text.lower()))


def _joined(number: re.Match[str]) -> str:
    return _NO_DIGIT.sub("", number.group())


def is_unspaced(text: str) -> bool:
    """Whether any of the text is in a script that is cut into bigrams."""
    return _CJK_RUN.search(text) is not None


def _bigrams(match: re.Match[str]) -> str:
    run = match.group()
    pairs = [run[place : place + 2] for place in range(max(1, len(run) - 1))]
    return f" {' '.join(pairs)} "
