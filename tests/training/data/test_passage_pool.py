"""The passage pool: documents prepared as they are served, searched exactly."""

from __future__ import annotations

import numpy as np
import pytest
from fixture_encoder import make_bert
from fixture_prep import LinePrep

from prep.document import Document
from prep.errors import ConfigError
from prep.model.config import ChunkLimits, PrepConfig
from prep.model.prep_model import PrepModel
from prep.store.bm25 import CANDIDATES
from prep.store.ranking import Ranker
from training.data.passage_pool import PassagePool

DOCUMENTS = [
    Document("a", "Bees", "# Honey\nBees make honey.\n~ menu\nIt keeps.\nThey dance in the dark.\n"),
    Document("b", "", "Glass is sand.\nIt melts.\n"),
    Document("c", "Empty", ""),
]


@pytest.fixture(scope="module")
def pool() -> PassagePool:
    return PassagePool.build(DOCUMENTS, [LinePrep()])


def test_a_search_ranks_by_cosine_and_words_and_breaks_ties_by_position(pool: PassagePool) -> None:
    (found,) = pool.search(["honey"], 100)
    cosines = pool.vectors @ pool.encoder.encode_queries(["honey"])[0]
    headed = [(" ".join((p.title, *p.headings)), p.text) for p in pool.passages]
    ranker = Ranker(pool.lexical, lambda rows: [headed[row] for row in rows])
    words = pool.lexical.search("honey", CANDIDATES)
    scores = ranker.scores("honey", np.arange(len(headed)), cosines, words)
    assert found == [
        pool.passages[row] for row in sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    ]
    assert pool.search(["honey", "sand"], 2)[0] == found[:2]
    assert pool.search([], 3) == []
    blind = PassagePool(pool.passages, np.zeros_like(pool.vectors), pool.encoder)
    assert "honey" in blind.search(["honey"], 1)[0][0].text.lower()
    assert blind.search(["nowhere"], 3)[0] == pool.passages[:3]


def test_passages_are_the_chunks_that_would_be_indexed(pool: PassagePool) -> None:
    """Found by document in order, with titles and headings; boilerplate is not among them."""
    bees = pool.passages_of("a")
    assert [passage.text for passage in bees] == [
        "# Honey\n",
        "Bees make honey.\n",
        "It keeps.\n",
        "They dance in the dark.\n",
    ]
    assert {(passage.title, passage.headings) for passage in bees} == {("Bees", ("Honey",))}
    assert all(DOCUMENTS[0].text[p.start : p.end] == p.text for p in bees)
    assert {passage.document_id for passage in pool.passages} == {"a", "b"}
    assert pool.passages_of("c") == pool.passages_of("nowhere") == []
    indexed = LinePrep()
    assert np.array_equal(pool.vectors, np.stack([indexed.vector(p.text) for p in pool.passages]))


def test_documents_are_dealt_out_to_models_of_several_sizes(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = make_bert(tmp_path_factory.mktemp("bert"))
    text = " ".join(f"Bees make honey number {i}. It keeps." for i in range(12))
    documents = [Document(name, "", text) for name in "abcd"]
    models = [
        PrepModel.untrained(base=base, config=PrepConfig(limits=ChunkLimits(target_tokens=n, max_tokens=64)))
        for n in (8, 60)
    ]
    pool = PassagePool.build(documents, models)
    sizes = [[p.text for p in pool.passages_of(name)] for name in "abcd"]
    assert sizes[0] == sizes[2] != sizes[1] == sizes[3]
    assert len(sizes[0]) > len(sizes[1])
    with pytest.raises(ConfigError, match="prep model"):
        PassagePool.build(documents, [])
