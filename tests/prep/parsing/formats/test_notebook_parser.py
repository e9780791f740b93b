"""Notebooks: cells in order, outputs short, no encoded pictures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prep.parsing.formats.notebook_parser import parse_notebook
from prep.parsing.parsed import UnreadableError


def notebook(*cells: dict[str, Any], **metadata: Any) -> str:
    return json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4})


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source.splitlines(keepends=True), "outputs": list(outputs)}


def test_cells_stand_in_order_as_text_and_code() -> None:
    text = notebook(
        {
            "cell_type": "markdown",
            "source": ["# Kiln\n", "\n", "How hot ![a](data:image/png;base64,iVBO) it was."],
        },
        code("# not a heading\nheat = 6", {"output_type": "stream", "text": ["1222\n"]}),
        {"cell_type": "raw", "source": "as it is"},
        language_info={"name": "R"},
    )
    parsed = parse_notebook(text)
    assert parsed.title == "Kiln"
    assert parsed.text == (
        "# Kiln\n\nHow hot a it was.\n\n```r\n# not a heading\nheat = 6\n```\n\n```text\n1222\n```\n\nas it is\n"
    )


def test_outputs_are_short_and_tables_are_rows() -> None:
    picture = {"output_type": "display_data", "data": {"image/png": "iVBO" * 900, "text/plain": "<Figure>"}}
    table = {"output_type": "execute_result",
             "data": {"text/html": "<table><tr><th>a<th>b<tr><td>1<td>2</table>", "text/plain": "a b"}}  # fmt: skip
    error = {"output_type": "error", "ename": "HeatError", "evalue": "too hot", "traceback": ["\x1b[31mx"]}
    long = {"output_type": "stream", "text": "line\n" * 900}
    text = parse_notebook(
        notebook(code("x", picture), code("y", table), code("z", error), code("w", long))
    ).text
    assert "iVBO" not in text
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in text
    assert "HeatError: too hot" in text
    assert text.count("line\n") == 30


def test_format_3_is_read() -> None:
    cells = [{"cell_type": "heading", "level": 2, "source": "Kiln"}, {"cell_type": "code", "input": "x = 1"}]
    assert (
        parse_notebook(json.dumps({"worksheets": [{"cells": cells}]})).text
        == "## Kiln\n\n```python\nx = 1\n```\n"
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 3}', "{" * 100_000])
def test_what_is_no_notebook_is_rejected(text: str) -> None:
    with pytest.raises(UnreadableError, match="is no notebook"):
        parse_notebook(text)
