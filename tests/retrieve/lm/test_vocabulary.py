"""Pruning: what is kept can be built, and every text still round-trips."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from tiny_models import base_tokens, gemma_tokenizer

from retrieve.lm.special_tokens import MARKERS, TAGS
from retrieve.lm.vocabulary import CONTROL, VocabularyLimits, build_tokenizer, prune

TOKENIZER = gemma_tokenizer()
# Sentence-piece vocabularies write a blank as ▁, and so cannot tell the two apart.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=60)


@given(TEXTS)
@example("the  bees\r\n\tmake 蜂蜜 🐝\u0000\u2028ﬁ é é")
@example(" leading and trailing ")
def test_any_text_round_trips_through_the_pruned_tokenizer(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert "<unk>" not in TOKENIZER.convert_ids_to_tokens(ids)
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == text


def test_own_tokens_come_after_the_control_tokens_and_before_the_kept_ones() -> None:
    vocabulary = prune(base_tokens())
    n_own = len(TAGS) + len(MARKERS)
    assert vocabulary.tokens[: 4 + n_own] == [*CONTROL, *TAGS, *MARKERS]
    assert vocabulary.source_ids[4 : 4 + n_own] == [-1] * n_own
    base = base_tokens()
    kept = zip(vocabulary.tokens, vocabulary.source_ids, strict=True)
    assert all(base[source] == token for token, source in kept if source >= 0)
    assert len(set(vocabulary.tokens)) == len(vocabulary.tokens)


def test_the_bases_other_control_tokens_are_dropped() -> None:
    assert not {"<start_of_turn>", "<unused7>"} & set(prune(base_tokens()).tokens)


def test_what_is_kept_brings_the_pieces_it_is_merged_from() -> None:
    """`honey` is kept and its beginnings are not, by rank: they come back, for `honey` is built from them."""
    base = [*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256))]
    base += ["honey", *"honey", "é", "ho", "hon", "hone", "zzé"]
    limits = VocabularyLimits(ascii_rank=base.index("honey") + 1, other_rank=0, n_single_characters=0)
    tokens = prune(base, limits).tokens
    assert {"ho", "hon", "hone"} <= set(tokens)
    assert not {"zzé", "é"} & set(tokens)
    assert build_tokenizer(prune(base, limits)).encode("honey", add_special_tokens=False).tokens == ["honey"]


def test_dropped_tokens_fall_back_to_bytes() -> None:
    ids = TOKENIZER.encode("ж", add_special_tokens=False)
    assert TOKENIZER.convert_ids_to_tokens(ids) == ["<0xD0>", "<0xB6>"]
    assert TOKENIZER.decode(ids) == "ж"


def test_the_text_of_a_byte_token_is_no_byte() -> None:
    ids = TOKENIZER.encode("<0x0A>", add_special_tokens=False)
    assert len(ids) == 6
    assert TOKENIZER.decode(ids) == "<0x0A>"
