"""Jupyter notebooks in the order of their cells: text as Markdown, code in fences, outputs short.

Formats 3 and 4 are read (nbformat's schema). Of an output a table is kept as rows, other text as its first lines, an
error as its name and message; pictures and other data are left out.
"""

from __future__ import annotations

import json
import re
from typing import Any

from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.structured_text import fence
from prep.parsing.titles import markdown_title

__all__ = ["parse_notebook"]

_MAX_OUTPUT_LINES = 30
_MAX_OUTPUT_CHARACTERS = 3000
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LONG_DATA = re.compile(r"[A-Za-z0-9+/=]{200,}|data:[\w/+.-]{1,60};base64,[A-Za-z0-9+/=]*")
_EMBEDDED = re.compile(r"!\[([^\]\n]{0,200})\]\((?:data|attachment):[^()\s]*\)")


def parse_notebook(text: str) -> Parsed:
    """Return the cells and the first heading as title. Raises UnreadableError for what is no notebook."""
    try:
        notebook = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"is no notebook: {str(error)[:200]}") from None
    cells = _cells(notebook)
    if cells is None:
        raise UnreadableError("is no notebook: it has no cells")
    language = _language(notebook)
    blocks: list[str] = []
    for cell in cells:
        if isinstance(cell, dict):
            blocks += [block for block in _cell(cell, language) if block.strip()]
    content = "\n\n".join(blocks)
    return Parsed(markdown_title(content), content + "\n" if content else "")


def _cells(notebook: Any) -> list[Any] | None:
    if not isinstance(notebook, dict):
        return None
    cells = notebook.get("cells")
    if cells is None and isinstance(notebook.get("worksheets"), list):
        cells = [
            cell
            for sheet in notebook["worksheets"]
            if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
            for cell in sheet["cells"]
        ]
    return cells if isinstance(cells, list) else None


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    for section, key in (("language_info", "name"), ("kernelspec", "language")):
        held = metadata.get(section) if isinstance(metadata, dict) else None
        if (
            isinstance(held, dict)
            and isinstance(held.get(key), str)
            and re.fullmatch(r"[\w+#.-]{1,40}", held[key])
        ):
            return str(held[key]).lower()
    return "python"


def _cell(cell: dict[str, Any], language: str) -> list[str]:
    """Return the blocks of one cell."""
    source = _joined(cell.get("source", cell.get("input")))
    kind = cell.get("cell_type")
    if kind == "code":
        blocks = ["\n".join(fence(source.split("\n"), language))]
        outputs = cell.get("outputs")
        for output in outputs if isinstance(outputs, list) else []:
            if isinstance(output, dict):
                blocks.append(_output(output))
        return blocks
    if kind == "heading":  # format 3
        level = cell.get("level")
        return [
            f"{'#' * (level if isinstance(level, int) and 1 <= level <= 6 else 1)} {' '.join(source.split())}"
        ]
    return [_EMBEDDED.sub(r"\1", source).strip("\n")]


def _output(output: dict[str, Any]) -> str:
    if output.get("output_type") in ("error", "pyerr"):
        return "\n".join(fence([f"{output.get('ename', 'Error')}: {_joined(output.get('evalue'))}"]))
    data = output.get("data")
    held = data if isinstance(data, dict) else output
    page = _joined(held.get("text/html", held.get("html")))
    if "<table" in page:
        from prep.parsing.formats.html_parser import parse_html

        return _short(parse_html(page.encode("utf-8", "replace")).text)
    for key in ("text/markdown", "markdown"):
        if _joined(held.get(key)).strip():
            return _short(_joined(held[key]))
    plain = _joined(held.get("text/plain", output.get("text")))
    short = _short(_ANSI.sub("", plain))
    return "\n".join(fence(short.split("\n"), "text"))


def _short(text: str) -> str:
    """Return the first lines of an output, without stretches of encoded data."""
    lines = _LONG_DATA.sub("…", text[: 4 * _MAX_OUTPUT_CHARACTERS]).strip("\n").split("\n")
    kept: list[str] = []
    n_characters = 0
    for line in lines[:_MAX_OUTPUT_LINES]:
        n_characters += len(line)
        if n_characters > _MAX_OUTPUT_CHARACTERS:
            break
        kept.append(line)
    if len(kept) < len(lines) or len(text) > 4 * _MAX_OUTPUT_CHARACTERS:
        kept.append("…")
    return "\n".join(kept)


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
