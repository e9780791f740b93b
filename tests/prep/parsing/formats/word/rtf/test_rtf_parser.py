"""RTF: characters of all code pages, labels, tables, fields, notes, hidden text; what is damaged or endless."""

from __future__ import annotations

import contextlib
import random
import time

import pytest

from prep.parsing.formats.word.rtf.rtf_parser import parse_rtf
from prep.parsing.parsed import UnreadableError

HEAD = (
    r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fcharset0 Times;}{\f1\fcharset204 Arial Cyr;}"
    r"{\f2\fcharset2 Symbol;}{\f3\fcharset128 Gothic;}}"
)


def read(body: str) -> str:
    return parse_rtf(f"{HEAD}{body}}}".encode("latin-1")).text


def lines(body: str) -> list[str]:
    return [line for line in read(body).split("\n") if line]


def test_characters_of_code_pages_and_unicode() -> None:
    assert read(r"caf\'e9 \u8364? \u-10179?\u-8704? \uc0\u945\uc1 z\emdash \rquote\~x\_y\-z \{\\\}") == (
        "café € 😀 αz—’ x-yz {\\}\n"
    )
    assert read(r"{\f1 \'cf\'f0\'e8} {\f2 \'61\u-3999?} {\f3 \'83e\'83\'58\'83g}") == "При αα テスト\n"
    assert read(r"{\uc2 \u20013\'d6\'d0\u25991 ??!}") == "中文!\n"
    assert parse_rtf(rb"{\rtf1\ansi\ansicpg1251 \'cf\'f0\'e8\'e2\'e5\'f2}").text == "Привет\n"


def test_paragraphs_lines_and_headings() -> None:
    sheet = r"{\stylesheet{\s0 Normal;}{\s1\outlinelevel0 heading 1;}{\s2 heading 2;}}"
    body = (
        sheet
        + r"\pard\s1 Top\par\pard\s2 Below\par\pard\outlinelevel2 Third\par\pard text\line next\par more"
    )
    assert read(body) == "# Top\n\n## Below\n\n### Third\n\ntext\nnext\n\nmore\n"
    assert parse_rtf(f"{HEAD}{body}}}".encode()).title == "Top"


def test_styles_inherit_headings_and_keep_code() -> None:
    sheet = r"{\stylesheet{\s1 heading 1;}{\s5\sbasedon1 Mine;}{\s6 Preformatted Text;}{\s7\sbasedon7 Loop;}}"
    body = sheet + r"\pard\s5 Top\par\pard\s6 if x:\par     y\par\pard\s7 text\par"
    assert read(body) == "# Top\n\n```\nif x:\n    y\n```\n\ntext\n"


def test_a_mark_of_its_own_stands_with_its_note() -> None:
    assert lines(r"said{\super *}{\footnote\pard{\super *} who}\par next\par") == ["said*", "[*] who", "next"]


def test_stored_labels_stand_before_items_and_headings() -> None:
    body = (
        r"\pard\ls1{\listtext\pard (a)\tab}first\par\ilvl1{\listtext\f2\'b7\tab}second\par\pard\ls2"
        r"{\pntext 2.1\tab}third\par\pard\outlinelevel0{\listtext Article 5\tab}Fees\par"
    )
    assert lines(body) == ["(a) first", "  - second", "2.1 third", "# Article 5 Fees"]


def test_tables_are_rows_and_spans_are_written_out() -> None:
    def row(cells: str, *definitions: str, more: str = "") -> str:
        return rf"\trowd{more}{''.join(definitions)}\pard\intbl {cells}\row "

    edges = r"\cellx1000", r"\cellx2000", r"\cellx3000"
    body = (
        "before\\par "
        + row(r"Place\cell Tall\cell Price\cell", *edges, more=r"\trhdr")
        + row(r"wide\cell 9\cell", r"\cellx2000", r"\cellx3000")
        + row(r"a\cell up\cell 1\par and 2\cell", edges[0], r"\clvmgf\cellx2000", edges[2])
        + row(r"b\cell \cell 3\cell", edges[0], r"\clvmrg\cellx2000", edges[2])
        + row(r"x\cell \cell 4\cell", r"\clmgf\cellx1000", r"\clmrg\cellx2000", edges[2])
        + r"\pard after\par"
    )
    assert lines(body) == [
        "before", "| Place | Tall | Price |", "| --- | --- | --- |", "| wide | wide | 9 |", "| a | up | 1 and 2 |",
        "| b | up | 3 |", "| x | x | 4 |", "after",
    ]  # fmt: skip


def test_a_nested_table_stands_in_its_cell_and_a_frame_is_text() -> None:
    end = r"{\*\nesttableprops\trowd\cellx1\cellx2\nestrow}"
    nested = (
        rf"\trowd\cellx1\cellx2\pard\intbl k\cell\pard\intbl\itap2 1\nestcell 2\nestcell{end}3\nestcell 4\nestcell{end}"
        r"{\nonesttables\par}\pard\intbl\cell\row "
    )
    assert lines(nested) == ["| k | 1 2; 3 4 |"]
    assert lines(r"\trowd\cellx9\pard\intbl framed\cell\row\pard end\par") == ["framed", "end"]


def test_hidden_deleted_and_skipped_text_is_left_out() -> None:
    body = (
        r"{\v hidden}{\*\unknown no}{\deleted old}{\revised new}{\pict 0102ff}{\*\annotation remark}{\strike 30}"
        r"{\strike 0} m{\super 2} 1{\super st}\v0{\*\bkmkstart b}"
    )
    assert read(body) == "new~~300~~ m^2 1st\n"


def test_fields_show_results_and_addresses() -> None:
    def field(instruction: str, result: str | None) -> str:
        shown = "" if result is None else rf"{{\fldrslt {{{result}}}}}"
        return rf"{{\field{{\*\fldinst {{ {instruction}}}}}{shown}}}"

    body = (
        field('HYPERLINK "https://kit.example/a"', "Kit") + " " + field(r'HYPERLINK \\l "b"', "in") + r"\par "
        + field("REF x", "2.1") + " " + field(r"EQ \\f(a,b)", None) + r"\par "
        + r"{\field{\*\fldinst FORMCHECKBOX {\*\formfield{\fftype1\ffres1}}}}yes "
        + r"{\field{\*\fldinst FORMDROPDOWN {\*\formfield{\fftype2\ffres1{\*\ffl red}{\*\ffl blue}}}}}"
    )  # fmt: skip
    assert lines(body) == ["Kit (https://kit.example/a) in", "2.1 a/b", "[x] yes blue"]


def test_notes_headers_boxes_and_equations() -> None:
    body = (
        r"{\header\pard Ref 7\par Page {\field{\*\fldinst PAGE}{\fldrslt 3}}\par}{\footer foot\par}"
        r"said{\super\chftn{\footnote\pard{\super\chftn} who}} so{\chftn{\footnote\ftnalt late}}"
        r"{\shp{\*\shpinst\shpleft0{\sp{\sn a}{\sv b}}{\shptxt boxed\par}}{\shprslt boxed}}\par next "
        r"{\mmath{\*\moMath{\mf{\mfPr{\mctrlPr x}}{\mnum{\mr\mscr0 a+b}}{\mden{\mr 2}}}{\mr =}{\mnary"
        r"{\mnaryPr{\mchr \u8721?}}{\msub{\mr i}}{\msup}{\me{\mr x}}}}}\par"
    )
    assert lines(body) == [
        "Ref 7",
        "said[1] so[2]",
        "[1] who",
        "boxed",
        "next (a+b)/2=∑_i x",
        "[2] late",
        "foot",
    ]


def test_information_is_metadata() -> None:
    parsed = parse_rtf(
        rb"{\rtf1{\info{\title Plan \'41}{\author Ada}{\creatim\yr2024\mo5\dy1\hr9\min30}{\revtim\yr2024\mo6\dy2}}x}"
    )
    assert parsed.title == "Plan A"
    assert parsed.metadata == {
        "title": "Plan A", "creator": "Ada", "created": "2024-05-01T09:30", "modified": "2024-06-02",
    }  # fmt: skip


def test_objects_are_losses_and_binary_data_are_passed_over() -> None:
    data = rb"{\rtf1 a{\object{\*\objclass Equation.3}{\*\objdata 01}{\result shown}}{\pict\bin5 }{}\\}b}"
    parsed = parse_rtf(data)
    assert parsed.text == "ashownb\n"
    assert parsed.losses == (("embedded objects", "not read"),)


def test_what_is_cut_is_read_and_what_is_no_rtf_has_a_reason() -> None:
    assert parse_rtf(rb"{\rtf1 begun {\b and cut").text == "begun and cut\n"
    with pytest.raises(UnreadableError, match="no RTF"):
        parse_rtf(b"plain text")
    with pytest.raises(UnreadableError, match="nested too deeply"):
        parse_rtf(rb"{\rtf1 " + b"{" * 100_000)


@pytest.mark.parametrize(
    "shape",
    [
        r"\u8364?",
        r"{\b x}",
        r"\trowd\cellx{n}\intbl x\cell\row ",
        r"{\field{\*\fldinst X",
        r"{\shptxt x}",
        r"\'e9 ",
        "{\\footnote x}",
    ],
)
def test_cost_grows_with_the_length(shape: str) -> None:
    def seconds(n: int) -> float:
        data = ("{\\rtf1 " + "".join(shape.replace("{n}", str(100 * i)) for i in range(n))).encode()
        start = time.process_time()
        with contextlib.suppress(UnreadableError):  # nested too deeply
            parse_rtf(data)
        return time.process_time() - start

    seconds(100)
    assert seconds(8000) < 20 * seconds(1000) + 0.2


def test_damaged_files_are_read_or_have_a_reason() -> None:
    source = random.Random(5)
    sound = (
        HEAD
        + r"\pard a\par\trowd\cellx1\cellx2\intbl b\cell c\cell\row{\field{\*\fldinst X}{\fldrslt y}}{\footnote n}}"
    ).encode()
    for _ in range(300):
        data = bytearray(sound)
        for _ in range(source.choice((1, 5, 40))):
            data[source.randrange(7, len(data))] = source.choice(b"{}\\*' 19abuvf\xff")
        assert isinstance(parse_rtf(bytes(data)).text, str)
