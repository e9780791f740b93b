"""Filters by metadata: `where={"folder": "policies", "modified": {">=": "2026-01-01"}}`, and which rows pass one.

Conditions are joined by "and"; a list of values means any of them. Values are compared as numbers or as dates where
both are, else as text; a date or a part of one stands for its whole day, month or year. A folder includes the folders
in it; `path` and `folder` take glob patterns. Keys have no case. A document without the key passes `!=` alone.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import numpy as np

from prep.document import Bools
from prep.errors import ConfigError, FilterError
from prep.files.globs import compile_glob, is_glob
from prep.store.origins import DocumentRecord

__all__ = ["MetadataFilter", "MetadataIndex", "Where", "parse_conditions"]

Where: TypeAlias = Mapping[str, Any]
"""Values by key: one, a list for any of them, or values by operator (`=`, `!=`, `<`, `<=`, `>`, `>=`)."""

_OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
_CONDITION = re.compile(r"\s*([^=!<>]+?)\s*(!=|<=|>=|==|=|<|>)(.*)", re.S)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_PART_OF_DATE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d)?)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:?\d\d.*)?", re.S)
_MAX_CACHED = 64


@dataclass(frozen=True, slots=True)
class _Condition:
    key: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetadataFilter:
    """A filter that was checked: conditions that a document must meet, all of them."""

    conditions: tuple[_Condition, ...]

    @classmethod
    def of(cls, where: Where | None) -> MetadataFilter | None:
        """Return the filter that `where` describes, None for none. Raises FilterError where it is malformed."""
        if where is None:
            return None
        if not isinstance(where, Mapping):
            raise FilterError(f"where={where!r} must map keys of metadata to values")
        found = [condition for key, wanted in where.items() for condition in _conditions(key, wanted)]
        found.sort(key=lambda one: (one.key, one.operator, one.values))
        return cls(tuple(found)) if found else None

    def as_where(self) -> dict[str, dict[str, list[str]]]:
        """Return the filter as a `where`, ready for JSON."""
        where: dict[str, dict[str, list[str]]] = {}
        for condition in self.conditions:
            where.setdefault(condition.key, {})[condition.operator] = list(condition.values)
        return where


class MetadataIndex:
    """The metadata of all documents, by key and value; not for several threads at once."""

    def __init__(self, records: Iterable[DocumentRecord]) -> None:
        documents: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        n_rows: list[int] = []
        for at, record in enumerate(records):
            n_rows.append(record.n_rows)
            for key, value in _flat({**record.metadata, "path": record.path}):
                documents[key][value].append(at)
        self._n_rows = np.array(n_rows, dtype=np.int64)
        self._documents = {
            key: {value: np.array(at, dtype=np.int64) for value, at in of_key.items()}
            for key, of_key in documents.items()
        }
        self._cached: OrderedDict[MetadataFilter, Bools] = OrderedDict()

    @property
    def keys(self) -> list[str]:
        """The keys that any document has."""
        return sorted(self._documents)

    def rows(self, where: MetadataFilter) -> Bools:
        """Return by row of the index whether its document passes. Raises FilterError for a key that no document has."""
        if where in self._cached:
            self._cached.move_to_end(where)
            return self._cached[where]
        passes = np.ones(len(self._n_rows), dtype=np.bool_)
        for condition in where.conditions:
            passes &= self._meeting(condition)
        rows = np.repeat(passes, self._n_rows)
        rows.setflags(write=False)
        self._cached[where] = rows
        if len(self._cached) > _MAX_CACHED:
            self._cached.popitem(last=False)
        return rows

    def _meeting(self, condition: _Condition) -> Bools:
        if condition.key not in self._documents:
            raise FilterError(
                f"no document has the key {condition.key!r}; known keys: {', '.join(self.keys) or 'none'}"
            )
        is_negative = condition.operator == "!="
        operator = "=" if is_negative else condition.operator
        tests = [_test(condition.key, operator, value) for value in condition.values]
        met = np.zeros(len(self._n_rows), dtype=np.bool_)
        for value, documents in self._documents[condition.key].items():
            if any(test(value) for test in tests):
                met[documents] = True
        return ~met if is_negative else met


def parse_conditions(conditions: Iterable[str]) -> dict[str, Any]:
    """Return as a `where` what conditions such as "folder=policies" and "modified>=2026-01-01" say.

    Several of `=` for one key mean any of the values, of `!=` none of them. Raises FilterError.

    >>> parse_conditions(["folder=policies", "author=Ada", "author=Bo", "modified >= 2026"])
    {'folder': {'=': ['policies']}, 'author': {'=': ['Ada', 'Bo']}, 'modified': {'>=': ['2026']}}
    """
    where: dict[str, dict[str, list[str]]] = {}
    for condition in conditions:
        found = _CONDITION.fullmatch(condition)
        if found is None:
            raise FilterError(
                f"{condition!r} is no condition: give KEY=VALUE, or another of {', '.join(_OPERATORS[1:])}"
            )
        key, operator, value = found.groups()
        of_key = where.setdefault(key, {})
        of_key.setdefault("=" if operator == "==" else operator, []).append(value.strip())
    return where


def _conditions(key: Any, wanted: Any) -> Iterator[_Condition]:
    if not isinstance(key, str) or not key.strip():
        raise FilterError(f"where: {key!r} is no key of metadata")
    by_operator = wanted if isinstance(wanted, Mapping) else {"=": wanted}
    if not by_operator:
        raise FilterError(f"where: {key!r} has no condition")
    for operator, value in by_operator.items():
        operator = "=" if operator == "==" else operator
        if operator not in _OPERATORS:
            raise FilterError(f"where: {key!r} has the operator {operator!r}; known: {', '.join(_OPERATORS)}")
        values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
        if not values or (len(values) > 1 and operator not in ("=", "!=")):
            raise FilterError(f"where: {key!r} {operator} takes one value, and was given {value!r}")
        texts = {_text(key, one) for one in values}
        yield _Condition(key.strip().casefold(), operator, tuple(sorted(texts)))


def _text(key: str, value: Any) -> str:
    """Return a value of a filter or of metadata as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise FilterError(
        f"where: {key!r} is compared with {value!r}, which is no text, number, date or truth value"
    )


def _flat(metadata: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield keys and values as text, each item of a list by itself, keys of mappings joined by a dot."""
    for key, value in metadata.items():
        name = f"{above}{str(key).strip().casefold()}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, Mapping):
                yield from _flat(one, f"{name}.")
            elif isinstance(one, str | int | float | bool):
                yield name, _text(name, one)


def _test(key: str, operator: str, wanted: str) -> Callable[[str], bool]:
    """Return the test of a stored value against `wanted`."""
    if operator == "=" and key in ("path", "folder"):
        return _test_of_path(wanted, with_inside=key == "folder")
    compare = _COMPARISONS[operator]
    number = float(wanted) if _NUMBER.fullmatch(wanted) else None
    moment = _moment(wanted)
    is_part = _PART_OF_DATE.fullmatch(wanted) is not None

    def test(value: str) -> bool:
        if number is not None and _NUMBER.fullmatch(value):
            return compare(float(value), number)
        if (is_part or moment is not None) and (at := _moment(value)) is not None:
            return compare(at.isoformat()[: len(wanted)], wanted) if is_part else compare(at, moment)
        if operator != "=" and (number is not None or moment is not None):
            return False
        return compare(value, wanted)

    return test


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, wanted: bool(value == wanted),
    "<": lambda value, wanted: bool(value < wanted),
    "<=": lambda value, wanted: bool(value <= wanted),
    ">": lambda value, wanted: bool(value > wanted),
    ">=": lambda value, wanted: bool(value >= wanted),
}


def _test_of_path(wanted: str, *, with_inside: bool) -> Callable[[str], bool]:
    plain = wanted.removeprefix("./").strip("/") if wanted != "." else ""
    pattern: re.Pattern[str] | None = None
    if is_glob(plain):
        try:
            pattern = compile_glob(plain)
        except ConfigError as error:
            raise FilterError(f"where: {error}") from error

    def test(value: str) -> bool:
        if value in (plain, wanted) or (pattern is not None and pattern.fullmatch(value)):
            return True
        if not with_inside:
            return False
        if not plain:
            return True
        if pattern is None:
            return value.startswith(f"{plain}/")
        names = value.split("/")
        return any(pattern.fullmatch("/".join(names[:n])) for n in range(1, len(names)))

    return test


def _moment(text: str) -> datetime | None:
    """Return the time that an ISO 8601 text gives, in UTC; None for another text."""
    if not _DATE.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
