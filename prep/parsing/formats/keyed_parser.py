"""JSON, JSON Lines and XML: values with the keys that lead to them.

An object's values are a list, `- key: value`; what is larger than a few lines has its keys as a heading, so that every
value is read under the path to it; a list of records with the same short fields is a table. XML is read by lxml without
its entities or anything outside the file; elements are keys, attributes too, and text between elements paragraphs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.structured_text import table_lines
from prep.parsing.titles import clean_title

__all__ = ["parse_json", "parse_json_lines", "parse_xml"]

_MAX_LIST_CHARACTERS = 600
_MAX_ROW_CHARACTERS = 400
_MAX_COLUMNS = 40
_MAX_LEVEL = 6
_MAX_DEPTH = 200
# Of one element; lxml finds each of them by a search from the first.
_MAX_ATTRIBUTES = 1000
_TITLE_KEYS = ("title", "name", "subject", "question", "heading", "id", "key")


def parse_json(text: str) -> Parsed:
    """Return the value's text and its title. Raises UnreadableError for what is no JSON."""
    try:
        value = json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise UnreadableError("is nested too deeply") from None
    except ValueError as error:
        try:
            return parse_json_lines(text)
        except UnreadableError:
            raise UnreadableError(f"is no JSON: {error}") from None
    return Parsed(_title(value), _text(value))


def parse_json_lines(text: str) -> Parsed:
    """Return the records' text, one value a line. Raises UnreadableError for a line that is no JSON."""
    records = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except RecursionError:
                raise UnreadableError("is nested too deeply") from None
            except ValueError as error:
                raise UnreadableError(f"is no JSON Lines: line {number}: {error}") from None
    return Parsed("", _text(records))


def parse_xml(data: bytes) -> Parsed:
    """Return the text of the elements under their names. Raises UnreadableError for what is no XML."""
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        message = " ".join(str(error).split())[:200]
        raise UnreadableError(f"is no XML: {message}") from None
    value = _element_value(root)
    name = etree.QName(root).localname
    return Parsed(_title(value), _text(value if isinstance(value, dict) else {name: value}))


def _element_value(root: Any) -> Any:
    """Return an element as a text, a list of paragraphs, or a dictionary by names; without recursion."""
    values: dict[Any, Any] = {}
    for _, element in _walk(root):
        if not isinstance(element.tag, str):
            values[element] = ""
            continue
        children = [child for child in element if isinstance(child.tag, str)]
        pieces = [element.text, *(child.tail for child in element)]
        is_mixed = bool(children) and any(piece and piece.strip() for piece in pieces)
        named = ((key, element.get(key)) for key in element.keys()[:_MAX_ATTRIBUTES])
        attributes = {_local(key): value for key, value in named if value.strip()}
        if not children or is_mixed:
            text = " ".join("".join(element.itertext()).split())
            values[element] = (
                {**attributes, "text": text} if attributes and text else text or attributes or ""
            )
            continue
        members: dict[str, Any] = dict(attributes)
        grouped: dict[str, list[Any]] = {}
        for child in children:
            value = values.pop(child)
            if value not in ("", {}, []):
                grouped.setdefault(_local(child.tag), []).append(value)
        for name, found in grouped.items():
            members[name if name not in members else f"{name} (element)"] = (
                found[0] if len(found) == 1 else found
            )
        only = next(iter(members.values()), None)
        values[element] = only if len(members) == 1 and isinstance(only, list) else members
    return values[root]


def _walk(root: Any) -> Any:
    from lxml import etree

    return etree.iterwalk(root, events=("end",))


def _local(name: str) -> str:
    return name.rsplit("}", 1)[-1]


def _title(value: Any) -> str:
    if isinstance(value, dict):
        for key in ("title", "name", "info"):
            held = value.get(key)
            if isinstance(held, str) and clean_title(held):
                return clean_title(held)
            if isinstance(held, dict) and isinstance(held.get("title"), str):
                return clean_title(held["title"])
    return ""


def _text(value: Any) -> str:
    out: list[str] = []
    _write(value, (), out, 0)
    return "\n".join(out).strip("\n") + "\n"


def _write(value: Any, path: tuple[str, ...], out: list[str], depth: int) -> None:
    """Write a value below the heading of its path."""
    if depth > _MAX_DEPTH:
        raise UnreadableError("is nested too deeply")
    if isinstance(value, list):
        rows = _table(value)
        if rows is not None:
            out += [*table_lines(rows, n_header=1), ""]
        elif not any(_is_large(item) for item in value):
            out += [*_items(value, 0), ""]
        else:
            for number, item in enumerate(value, start=1):
                _write_under(_record_name(item, number), item, path, out, depth)
    elif isinstance(value, dict):
        small = {key: item for key, item in value.items() if not (_is_large(item) or _is_records(item))}
        if small:
            out += [*_items(small, 0), ""]
        for key, item in value.items():
            if key not in small:
                _write_under(str(key), item, path, out, depth)
    else:
        out += [*_scalar(value).split("\n"), ""]


def _write_under(name: str, value: Any, path: tuple[str, ...], out: list[str], depth: int) -> None:
    name = " ".join(name.split())[:120] or "value"
    level = len(path) + 1
    shown = name if level <= _MAX_LEVEL else " › ".join([*path[_MAX_LEVEL - 1 :], name])
    out += [f"{'#' * min(level, _MAX_LEVEL)} {shown[-150:]}", ""]
    _write(value, (*path, name), out, depth + 1)


def _record_name(record: Any, number: int) -> str:
    if isinstance(record, dict):
        for key in _TITLE_KEYS:
            held = record.get(key)
            if isinstance(held, (str, int)) and str(held).strip() and len(str(held)) <= 120:
                return str(held)
    return str(number)


def _is_large(value: Any) -> bool:
    """Whether a value needs a heading of its own."""
    budget = _MAX_LIST_CHARACTERS
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            budget -= 4 * len(item) + sum(len(str(key)) for key in item)
            pending.extend(item.values())
        elif isinstance(item, list):
            budget -= 4 * len(item)
            pending.extend(item)
        else:
            budget -= len(item) if isinstance(item, str) else 8
            if isinstance(item, str) and "\n" in item.strip():
                return True
        if budget < 0:
            return not isinstance(value, str) or len(value) > 2 * _MAX_LIST_CHARACTERS
    return False


def _items(value: Any, depth: int) -> list[str]:
    """Return the lines of a small value as a nested list."""
    lines: list[str] = []
    entries: Sequence[tuple[str, Any]] = (
        [(f"{key}:", item) for key, item in value.items()]
        if isinstance(value, dict)
        else [("", item) for item in value]
    )
    for label, item in entries:
        indent = "  " * min(depth, 10)
        if isinstance(item, (dict, list)) and item:
            if isinstance(item, list) and all(not isinstance(part, (dict, list)) for part in item):
                lines.append(f"{indent}- {label} {', '.join(map(_scalar, item))}".replace("-  ", "- "))
                continue
            inner = _items(item, depth + 1)
            if label:
                lines.append(f"{indent}- {label}")
                lines += inner
            else:
                lines.append(f"{indent}- {inner[0].strip().removeprefix('- ')}")
                lines += inner[1:]
        else:
            lines.append(f"{indent}- {label} {_scalar(item)}".replace("-  ", "- ").rstrip())
    return lines


def _table(records: list[Any]) -> list[list[str]] | None:
    """Return header and rows where every record has nearly the same short, plain fields; else None."""
    if len(records) < 2 or not all(isinstance(record, dict) and record for record in records):
        return None
    columns: dict[str, None] = {}
    n_filled = n_characters = 0
    for record in records:
        if not all(map(_is_flat, record.values())):
            return None
        columns.update(dict.fromkeys(record))
        n_filled += len(record)
        n_characters += sum(len(item) if isinstance(item, str) else 8 for item in record.values())
        if len(columns) > _MAX_COLUMNS:
            return None
    if n_filled < 0.5 * len(records) * len(columns) or n_characters > _MAX_ROW_CHARACTERS * len(records):
        return None
    return [
        list(map(str, columns)),
        *([_scalar(record.get(key, "")) for key in columns] for record in records),
    ]


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and _table(value) is not None


def _is_flat(value: Any) -> bool:
    return not isinstance(value, (dict, list)) or (
        isinstance(value, list)
        and all(not isinstance(item, (dict, list)) for item in value)
        and len(value) <= 20
    )


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return re.sub(r"\r\n?", "\n", value).strip()
    if isinstance(value, list):
        return ", ".join(map(_scalar, value))
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False)
