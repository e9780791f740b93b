"""reST in Markdown form: what is no text is left out, what is code stays code, rows stay rows."""

from __future__ import annotations

import time

import pytest

from prep.parsing.formats.rest_parser import rest_to_markdown


@pytest.mark.parametrize(
    ("rest", "markdown"),
    [
        ("=====\nOvens\n=====\n\nHeat\n----\n\ntext\n\nCold\n----\n", "# Ovens\n\n## Heat\n\ntext\n\n## Cold\n"),
        ("Run::\n\n   # heat it\n   oven on\n\n   # cool it\n\nDone.\n",
         "Run:\n\n```\n# heat it\noven on\n\n# cool it\n```\n\nDone.\n"),
        (".. code-block:: yaml\n   :caption: oven.yml\n   :linenos:\n\n   # heat\n   cone: 6\n",
         "```yaml\n# heat\ncone: 6\n```\n"),
        ("::\n\n    # alone\n", "```\n# alone\n```\n"),
        (">>> heat(6)\n# out\n1222\n\nend\n", "```python\n>>> heat(6)\n# out\n1222\n```\n\nend\n"),
        (".. A draft.\n   # of nobody\n\n.. _oven:\n\n.. toctree::\n   :maxdepth: 2\n\n   one\n\ntext\n", "text\n"),
        (".. warning:: Hot.\n\n   Wait an hour.\n", "Warning: Hot.\n\nWait an hour.\n"),
        (".. versionadded:: 2.4\n   The second cone.\n", "Added in version 2.4: The second cone.\n"),
        (".. include:: /etc/passwd\n.. literalinclude:: ../secret\n\ntext\n", "text\n"),
        ("See :ref:`the plan <plan>`, :kbd:`Q`, ``a_b`` and `Cone`_.\n", "See the plan, Q, `a_b` and Cone.\n"),
        ("Ask the `guild <https://guild.example>`_ or Maker_.\n\n.. _Maker: https://maker.example\n",
         "Ask the guild (https://guild.example) or Maker (https://maker.example).\n"),
        ("|v| is out [1]_.\n\n.. |v| replace:: Version 3\n.. [1] In May.\n",
         "Version 3 is out [1].\n\n[1] In May.\n"),
        ("* one\n  goes on\n\n  * inner\n* two\n", "- one\n  goes on\n\n  - inner\n- two\n"),
        ("#. one\n#. two\n\n   ::\n\n      # no\n#. three\n",
         "1. one\n2. two\n\n   ```\n   # no\n   ```\n\n3. three\n"),
        (":Maker: Ovens Ltd\n:Year: 2031\n", "Maker: Ovens Ltd\nYear: 2031\n"),
        ("Cone\n   A measure\n   of heat.\n", "Cone\n: A measure\n  of heat.\n"),
        (".. image:: x.png\n   :alt: The oven from above\n", "The oven from above\n"),
        (".. function:: heat(cone)\n\n   Heats it.\n", "`heat(cone)`\n\nHeats it.\n"),
    ],
)  # fmt: skip
def test_structure_is_written_in_markdown_form(rest: str, markdown: str) -> None:
    assert rest_to_markdown(rest) == markdown


@pytest.mark.parametrize(
    ("rest", "rows"),
    [
        ("====  =====\nCone  Heat\n====  =====\n4     1060\n6     1222\n====  =====\n",
         ["| Cone | Heat |", "| --- | --- |", "| 4 | 1060 |", "| 6 | 1222 |"]),
        ("====  =====\n4     1060\n6     1222\n====  =====\n", ["| 4 | 1060 |", "| 6 | 1222 |"]),
        ("====  ==========\nCone  Use\n====  ==========\n4     earthen\n      ware\n====  ==========\n",
         ["| Cone | Use |", "| --- | --- |", "| 4 | earthen ware |"]),
        ("+------+------+\n| Cone | Heat |\n+======+======+\n| 4    | 1060 |\n|      | °C   |\n+------+------+\n",
         ["| Cone | Heat |", "| --- | --- |", "| 4 | 1060 °C |"]),
        ("+---+---+\n| a | b |\n|   +---+\n|   | c |\n+---+---+\n", ["| a | b |", "| a | c |"]),
        (".. list-table:: Heats\n   :header-rows: 1\n\n   * - Cone\n     - Heat\n   * - 4\n     - about\n       1060\n",
         ["Heats", "| Cone | Heat |", "| --- | --- |", "| 4 | about 1060 |"]),
        ('.. csv-table::\n   :header: "Cone", "Heat"\n\n   4, "1,060"\n   6, 1222\n',
         ["| Cone | Heat |", "| --- | --- |", "| 4 | 1,060 |", "| 6 | 1222 |"]),
        (".. table:: Heats\n\n   ====  ====\n   Cone  Heat\n   ====  ====\n   4     1060\n   ====  ====\n",
         ["Heats", "| Cone | Heat |", "| --- | --- |", "| 4 | 1060 |"]),
    ],
)  # fmt: skip
def test_tables_are_rows_below_their_header(rest: str, rows: list[str]) -> None:
    assert [line for line in rest_to_markdown(rest).split("\n") if line] == rows


@pytest.mark.parametrize(
    "unit",
    [
        ".. ",
        "x::\n\n",
        "- ",
        " - a\n",
        "`a <b",
        ":a",
        "+---+\n",
        "== ==\n",
        "a\n==\n",
        "#. a\n",
        "a_ ",
        ".. n::\n ",
    ],
)
def test_a_megabyte_of_anything_is_read_in_seconds(unit: str) -> None:
    started = time.process_time()
    rest_to_markdown(unit * (500_000 // len(unit)))
    assert time.process_time() - started < 10


def test_a_line_that_begins_like_a_heading_of_markdown_is_none() -> None:
    assert rest_to_markdown("# 4 is the largest.\n\n.. note::\n\n   # 5 is not made.\n") == (
        "\\# 4 is the largest.\n\nNote: \\# 5 is not made.\n"
    )
