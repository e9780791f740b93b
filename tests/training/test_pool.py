"""The passage pool: passages of whole sentences, searched exactly."""

from __future__ import annotations

import random

import numpy as np
import pytest
from fixture_encoder import make_bert
from hypothesis import given, settings
from hypothesis import strategies as st

from prep.document import Document
from prep.encoder import Encoder
from prep.lexical import hybrid_scores
from prep.text import split_sentences
from training.pool import PassagePool, cut_at_sentences

DOCUMENTS = [
    Document("a", "Bees", "Bees make honey. It keeps. They dance in the dark. They fly far, and back again."),
    Document("b", "", "Glass is sand."),
    Document("c", "Blank", " \n\n"),
    Document("d", "Empty", ""),
]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> PassagePool:
    encoder = Encoder.load(make_bert(tmp_path_factory.mktemp("bert")))
    return PassagePool.build(DOCUMENTS, encoder, smallest=10, largest=40)


@settings(deadline=None)
@given(st.text(alphabet="aB1é .!?\n。-|", max_size=200), st.integers(1, 60), st.integers(0, 9))
def test_passages_are_exact_whole_sentences_that_leave_out_only_blanks(
    text: str, largest: int, seed: int
) -> None:
    document = Document("d", "T", text)
    passages = cut_at_sentences(document, smallest=1, largest=largest, rng=random.Random(seed))
    at = 0
    edges = {edge for span in split_sentences(text) for edge in span}
    for passage in passages:
        assert passage.text == text[passage.start : passage.end] == passage.text.strip()
        assert not text[at : passage.start].strip()
        assert any(not text[passage.end : edge].strip() for edge in edges if edge >= passage.end)
        at = passage.end
        if len(passage.text) > largest:
            inside = split_sentences(text, passage.start, passage.end)
            assert len([1 for left, right in inside if text[left:right].strip()]) == 1
    assert not text[at:].strip()


def test_a_search_ranks_by_cosine_and_words_and_breaks_ties_by_position(pool: PassagePool) -> None:
    (found,) = pool.search(["honey"], 100)
    cosines = pool.vectors @ pool.encoder.encode_queries(["honey"])[0]
    scores = hybrid_scores("honey", cosines, pool.lexical)
    assert found == [
        pool.passages[row] for row in sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    ]
    assert pool.search(["honey", "sand"], 2)[0] == found[:2]
    assert pool.search([], 3) == []
    blind = PassagePool(pool.passages, np.zeros_like(pool.vectors), pool.encoder)
    assert "honey" in blind.search(["honey"], 1)[0][0].text
    assert blind.search(["nowhere"], 3)[0] == pool.passages[:3]


def test_passages_are_found_by_document_in_order(pool: PassagePool) -> None:
    bees = pool.passages_of("a")
    assert len(bees) > 1
    assert bees == sorted(bees, key=lambda passage: passage.start)
    assert {passage.document_id for passage in pool.passages} == {"a", "b"}
    assert pool.passages_of("c") == pool.passages_of("nowhere") == []


def test_a_pool_is_the_same_for_the_same_seed(pool: PassagePool) -> None:
    again = PassagePool.build(DOCUMENTS, pool.encoder, smallest=10, largest=40)
    assert again.passages == pool.passages
    assert np.array_equal(again.vectors, pool.vectors)
    assert (
        PassagePool.build(DOCUMENTS, pool.encoder, smallest=10, largest=40, seed=3).passages != pool.passages
    )
