"""Sentences: spans that tile any text, ends in many scripts, and none of great length."""

from __future__ import annotations

import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from prep.text import MAX_SENTENCE_CHARACTERS, split_sentences


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "n_sentences"),
    [
        ("Das Tor ist zu. Es öffnet um neun.", 2),
        ("ប្រាសាទបើកនៅម៉ោងប្រាំពីរ។ ចូលដោយឥតគិតថ្លៃ។សូមយកទឹកមក។", 3),
        ("စာကြည့်တိုက်ကို ကိုးနာရီတွင်ဖွင့်သည်။ တနင်္ဂနွေနေ့ပိတ်သည်။", 2),
        ("Գրադարանը բաց է իննից։ Կիրակի փակ է։ Մուտքն ազատ է։", 3),
        ("ሙዚየሙ በሦስት ሰዓት ይከፈታል። እሁድ ዝግ ነው።", 2),
        ("यह पुल पुराना है। इसे पार न करें॥ धन्यवाद।", 3),
        ("图书馆九点开门。周日闭馆！", 2),
        ("هل المكتبة مفتوحة؟ نعم.", 2),
    ],
)
def test_sentences_end_as_their_script_ends_them(text: str, n_sentences: int) -> None:
    assert len(sentences(text)) == n_sentences


@pytest.mark.parametrize("clause", ["ห้องสมุดเปิดเวลาเก้าโมงเช้าและปิดเวลาห้าโมงเย็น ", "ຫໍສະໝຸດເປີດເວລາເກົ້າໂມງ "])
def test_thai_and_lao_sentences_end_at_blanks(clause: str) -> None:
    found = sentences(clause * 80)
    assert max(map(len, found)) < 250
    assert all(sentence.endswith(" ") for sentence in found)
    assert len(sentences(clause.strip())) == 1


@pytest.mark.parametrize(
    "unit",
    ["word ", "one; two three ", "x", "ข", "字", "ក", "က", "Ա", "a, b ", "- ", ".", "!", "…", ". a", "🇦🇹"],
)
def test_no_sentence_is_longer_than_the_limit_and_splitting_takes_linear_time(unit: str) -> None:
    text = unit * (400_000 // len(unit))
    started = time.process_time()
    spans = split_sentences(text)
    assert time.process_time() - started < 5
    assert max(end - start for start, end in spans) <= MAX_SENTENCE_CHARACTERS
    assert "".join(text[start:end] for start, end in spans) == text


@pytest.mark.parametrize(
    "cluster",
    [
        "e\u0301",
        "กำ",
        "ကျွ",
        "क्षि",
        "\u1100\u1161\u11a8",
        "👩\u200d👩\u200d👧",
        "🇦🇹",
        "👍🏽",
        "x" + "\u0308" * 7,
    ],
)
def test_a_long_word_is_cut_between_grapheme_clusters(cluster: str) -> None:
    text = "a" + cluster * (5000 // len(cluster))
    edges = {match.end() for match in regex.finditer(r"\X", text)}
    spans = split_sentences(text)
    assert len(spans) > 5
    assert {end for _, end in spans} <= edges
    assert max(end - start for start, end in spans) <= MAX_SENTENCE_CHARACTERS


def test_marks_without_end_are_cut_somewhere() -> None:
    spans = split_sentences("a" + "\u0301" * 50_000)
    assert max(end - start for start, end in spans) <= MAX_SENTENCE_CHARACTERS


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("Thai", "ห้องสมุดเปิดเวลาเก้าโมงเช้าและปิดเวลาห้าโมงเย็นทุกวันยกเว้นวันหยุดนักขัตฤกษ์"),
        ("Khmer", "បណ្ណាល័យបើកនៅម៉ោងប្រាំបួនព្រឹកហើយបិទនៅម៉ោងប្រាំល្ងាច"),
        ("Burmese", "စာကြည့်တိုက်ကိုနံနက်ကိုးနာရီတွင်ဖွင့်ပြီးညနေငါးနာရီတွင်ပိတ်သည်"),
        ("Tibetan", "དཔེ་མཛོད་ཁང་ཆུ་ཚོད་དགུ་པར་སྒོ་ཕྱེ"),
        ("Ethiopic", "ቤተ፡መጻሕፍቱ፡በሦስት፡ሰዓት፡ይከፈታል"),
        ("Devanagari", "पुस्तकालयनौबजेखुलताहैऔरपाँचबजेबंदहोताहै"),
    ],
)
def test_no_script_has_a_sentence_of_a_thousand_characters(language: str, text: str) -> None:
    found = sentences(text * 100)
    assert max(map(len, found)) < 1000
    assert not any(regex.match(r"[\p{M}\u0e33\u0eb3]", sentence) for sentence in found)


def test_a_long_sentence_is_cut_at_its_weaker_marks() -> None:
    found = sentences("the first of the parts is here; " * 100)
    assert all(part.endswith("; ") for part in found)


@given(st.text(st.characters(codec="utf-8") | st.sampled_from(" \n.!?。ขຂ។။։፣,;|-"), max_size=400))
def test_sentences_tile_any_text(text: str) -> None:
    assert "".join(sentences(text)) == text
