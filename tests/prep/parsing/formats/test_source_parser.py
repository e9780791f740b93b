"""Source code and configuration: word for word in fences, under the names of what is defined."""

from __future__ import annotations

import re

import pytest

from prep.parsing.formats.source_parser import LANGUAGES, parse_source

KILN = '''#!/usr/bin/env python3
# Copyright the Kiln guild

"""Fires a kiln."""

# How hot it may get
MOST = 1300


# Opens the door
@logged
def open_door(kiln):
    # wait for it to cool
    return kiln.open()


class Kiln:
    """One kiln."""

    def heat(self, cone):
        text = """
# not a heading
"""
        return text

    async def cool(self):
        pass
'''


def headings(text: str) -> list[str]:
    outside = re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", text, flags=re.S | re.M)
    return [line for line in outside.split("\n") if line.strip()]


def code(text: str) -> str:
    return "\n".join(re.findall(r"^```\w*\n(.*?)\n```$", text, flags=re.S | re.M))


def test_python_is_cut_at_its_definitions_and_its_comments_go_with_them() -> None:
    parsed = parse_source(KILN, "tools/kiln.py")
    assert parsed.title == "kiln.py"
    assert headings(parsed.text) == ["## open_door", "## Kiln", "### Kiln.heat", "### Kiln.cool"]
    assert "```python\n# Opens the door\n@logged\ndef open_door" in parsed.text
    assert code(parsed.text).split() == KILN.split()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("fire.sh", "#!/bin/sh\n# Copyright\nset -e\n\n# heats\nheat() {\n  # wait\n  sleep 9\n}\n", ["## heat"]),
        ("kiln.go", "// Package kiln\npackage kiln\n\nfunc (k *Kiln) Heat(c int) error {\n}\n", ["## Heat"]),
        ("kiln.rs", "pub struct Kiln;\n\nimpl Kiln {\n    fn a() {}\n}\n", ["## Kiln", "## Kiln"]),
        ("kiln.c", "#include <a.h>\n\nstatic int heat(int cone)\n{\n  return 0;\n}\n", ["## heat"]),
        ("kiln.toml", "# settings\n[kiln]\ncone = 6\n\n# the door\n[kiln.door]\nopen = false\n",
         ["## kiln", "## kiln.door"]),
        ("kiln.py", "# Python 2\nprint 'hot'\n", []),
        ("Makefile", "# all of it\nall:\n\tfire\n", []),
        ("run", "#!/bin/bash\n# begin\nfire\n", []),
    ],
)  # fmt: skip
def test_other_languages_have_their_definitions_and_no_comment_is_a_heading(
    name: str, text: str, expected: list[str]
) -> None:
    parsed = parse_source(text, name)
    assert headings(parsed.text) == expected
    assert parsed.title == name
    assert code(parsed.text).split() == text.split()


def test_yaml_has_its_keys_as_headings_and_keeps_its_comments() -> None:
    ports = "".join(f"    port{i}: {i}  # of {i}\n" for i in range(20))
    text = f"# The kilns\nname: north\n\n# open ones\nserver:\n  # none\n  ports:\n{ports}"
    text += "note: |\n  # text: no key\n  a: b\n"
    parsed = parse_source(text, "kilns.yaml")
    assert headings(parsed.text) == ["## server", "### server.ports", "## note"]
    assert "```yaml\n# open ones\nserver:\n" in parsed.text
    assert code(parsed.text).split() == text.split()


def test_items_of_long_lists_in_yaml_have_their_names_and_what_follows_a_block_is_not_under_it() -> None:
    fields = "".join(f"    field{i}: {i}\n" for i in range(9))
    text = (
        f"kilns:\n  - id: north\n{fields}  - cone: 6\n    name: 'South kiln'  # the old one\n{fields}"
        f"version: 3\nowner: Ann\ndoors:\n  - left\n  - right\n---\nother: document\nmore:\n- a: 1\n  b: 2\n"
    )
    parsed = parse_source(text, "kilns.yaml")
    assert headings(parsed.text) == [
        "## kilns", "### kilns › north", "### kilns › South kiln", "## version, owner", "## doors",
        "## other", "## more",
    ]  # fmt: skip
    assert code(parsed.text).split() == text.split()


def test_strings_of_several_lines_hold_no_section_of_toml() -> None:
    text = "a = \"\"\"\n[no]\n\"\"\"\nb = \"x\" # '''\n[yes]\nc = '''\n[no]\n'''\n[[also]]\n"
    assert headings(parse_source(text, "a.toml").text) == ["## yes", "## also"]


def test_a_fence_in_the_code_does_not_end_it() -> None:
    assert parse_source("# a\nx = '''\n```\n# b\n```\n'''\n", "a.rb").text.startswith("````ruby\n")


@pytest.mark.parametrize("language", sorted(set(LANGUAGES.values())))
def test_a_long_file_of_any_language_is_read_in_linear_time(language: str) -> None:
    suffix = next(suffix for suffix, name in LANGUAGES.items() if name == language)
    for unit in ("static ", "a(", "# a\n", "f() {\n", "[a", "a:\n", " "):
        parse_source(unit * (50_000 // len(unit)), f"a{suffix}")
