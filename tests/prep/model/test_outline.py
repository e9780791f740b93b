"""Headings that enclose each unit: the header of a table reaches every row, in every part of a long document."""

from __future__ import annotations

from prep.document import Document
from prep.model.line_features import rule_predictions
from prep.model.markup import markup
from prep.model.outline import heading_paths, line_roles
from prep.model.units import read_units
from prep.model.windows import split_document


def test_every_row_of_a_long_table_knows_its_header_in_every_part() -> None:
    rows = [f"| glaze {i} | {i % 12} | {i * 7} |\n" for i in range(120)]
    table = "".join(["| Glaze | Cone | Price |\n", "| --- | --- | --- |\n", *rows])
    text = f"# Shop\n\nAll glazes.\n\n{table}\n## After\n\nNothing is left.\n"
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    parts = list(split_document(Document("d", "Shop", text), 900))
    assert len(parts) > 2
    for part in parts:
        part_text = part.as_document().text
        units = read_units(part_text, 100, lambda texts: [len(one.split()) for one in texts], lambda _: [])
        marks = markup(part_text, units, part.own_containers())
        predictions = rule_predictions(part_text, units, marks, "Shop")
        roles = line_roles(units, predictions, marks, part_text)
        paths = heading_paths(units, roles, predictions, marks, part_text, "Shop", part.open_headings)
        for unit, role, (path, _) in zip(units, roles, paths, strict=True):
            found[part_text[unit.start : unit.end]] = (role, path)
    header = ("Glaze | Cone | Price",)
    assert [found[row] for row in rows[:-1]] == [("table", header)] * (len(rows) - 1)
    assert found[rows[-1] + "\n"] == ("table", header)
    assert found["| Glaze | Cone | Price |\n"] == ("table", ())
    assert found["Nothing is left.\n"] == ("text", ("After",))
