"""What the reader reads: pairs with sentences and offsets."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixture_encoder import make_bert, make_multilingual

from prep.model.encoder import Encoder
from retrieve.reader.inputs import (
    InputLimits,
    join_pairs,
    sentences_of,
    tokenise_passages,
    tokenise_questions,
)

TEXT = "It is on the hill. Open from 9 to 5.\n\n- by bus\n- by tram"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(make_bert(tmp_path_factory.mktemp("base")), precision="float32")


def test_sentences_hold_all_that_is_said_and_no_blanks_at_their_ends() -> None:
    said = [TEXT[start:end] for start, end in sentences_of(TEXT)]
    assert said == ["It is on the hill.", "Open from 9 to 5.", "- by bus", "- by tram"]


def test_a_long_sentence_is_cut_at_blanks() -> None:
    text = "word " * 300
    pieces = sentences_of(text)
    assert len(pieces) > 2
    assert all(end - start <= 400 for start, end in pieces)
    assert "".join(text[start:end] for start, end in pieces).replace(" ", "") == "word" * 300


def test_every_token_has_its_place_in_the_text_and_its_sentence(encoder: Encoder) -> None:
    (passage,) = tokenise_passages(encoder, [("Museum", ("Visits", "Hours"), TEXT)], InputLimits())
    assert len(passage.text) == len(passage.offsets) == len(passage.sentence_of)
    for (start, end), number in zip(passage.offsets, passage.sentence_of, strict=True):
        left, right = passage.sentences[number]
        assert left <= start < end <= right


def test_what_is_too_long_is_cut(encoder: Encoder) -> None:
    limits = InputLimits(question_tokens=4, header_tokens=3, text_tokens=5)
    (passage,) = tokenise_passages(encoder, [("Museum " * 9, (), TEXT)], limits)
    (question,) = tokenise_questions(encoder, ["is it on the hill and is it the tower"], limits)
    assert (len(passage.header), len(passage.text), len(question)) == (3, 5, 4)
    assert question == tuple(encoder.tokenize(["tower"])[0][-4:])
    assert len(passage.sentences) == 1


@pytest.mark.parametrize("make", [make_bert, make_multilingual])
def test_a_batch_names_the_text_tokens_and_sentences_of_each_pair(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    encoder = Encoder.load(make(tmp_path / "base"), precision="float32")
    passages = tokenise_passages(encoder, [("", (), TEXT), ("The", (), "It is.")], InputLimits())
    (question,) = tokenise_questions(encoder, ["is it"], InputLimits())
    batch = join_pairs(encoder, [(question, one) for one in passages])
    for pair, passage in enumerate(passages):
        left, right = batch.first_token[pair], batch.first_token[pair + 1]
        rows, columns = batch.text_row[left:right], batch.text_column[left:right]
        assert batch.ids[rows, columns].tolist() == list(passage.text)
        assert batch.types[rows, columns].tolist() == [1] * len(passage.text)
        assert bool(batch.mask[rows, columns].all())
        first = batch.first_sentence[pair]
        assert (batch.text_sentence[left:right] - first).tolist() == list(passage.sentence_of)
        assert (batch.sentence_pair[first : batch.first_sentence[pair + 1]] == pair).all()
    assert batch.mask[1].sum() < batch.ids.shape[1]
