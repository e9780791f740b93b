from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixture_encoder import make_bert, make_multilingual
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from prep.document import Chunk, Document
from prep.errors import ConfigError, WeightsError
from prep.model.config import ChunkLimits, PrepConfig
from prep.model.encoder import Encoder
from prep.model.heads import HeadsConfig, StructureHeads
from prep.model.prep_model import PrepModel
from prep.model.prep_version import save_version
from prep.model.segmentation import CHARACTERS_PER_TOKEN, HEADER_JOIN, header_tokens

LIMITS = ChunkLimits(target_tokens=24, max_tokens=48)
HEADS = HeadsConfig(layers=1, state_size=16, width=8, dilations=(1, 2))
CONFIG = PrepConfig(limits=LIMITS, heads=HEADS, window_tokens=96, overlap_tokens=12, unit_tokens=24)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    folder = tmp_path_factory.mktemp("versions") / "tiny"
    torch.manual_seed(3)
    heads = StructureHeads(HEADS)
    save_version(folder, heads, CONFIG, Encoder.load(base), name="tiny")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, base: Path, version: Path) -> list[PrepModel]:
    """Random heads, rules, shared lower layers, and rules on a sentence-piece encoder: what holds, holds for all."""
    multilingual = make_multilingual(tmp_path_factory.mktemp("xlmr"))
    return [
        PrepModel.load(version, base=base, precision="float32"),
        PrepModel.untrained(base=base, config=CONFIG, precision="float32"),
        PrepModel.load(version, base=base, vectors="shared", precision="float32"),
        PrepModel.untrained(base=multilingual, config=CONFIG, precision="float32"),
    ]


def check(model: PrepModel, document: Document, chunks: list[Chunk]) -> None:
    position = 0
    for chunk in chunks:
        assert chunk.start == position
        assert chunk.end > chunk.start
        assert chunk.text == document.text[chunk.start : chunk.end]
        assert chunk.document_id == document.id
        assert chunk.n_tokens <= model.limits.max_tokens
        assert len(chunk.text) <= CHARACTERS_PER_TOKEN * model.limits.max_tokens
        assert chunk.vector.dtype == np.float32
        assert chunk.vector.shape == (model.dimension,)
        position = chunk.end
    assert position == len(document.text)
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    vectors = np.stack([chunk.vector for chunk in chunks]) if chunks else np.zeros((0, 1))
    norms = np.linalg.norm(vectors, axis=1)
    assert np.abs(norms - 1).max(initial=0.0) < 1e-4


TEXTS = st.text(
    st.characters(codec="utf-8")
    | st.sampled_from("\n\n\n\r\t .!?。-#|`*=1a\u200b\u0301\u202e🙂👩‍👩‍👧ﷺ한汉ß"),
    max_size=250,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, title=st.text(max_size=80))
@example(text="", title="")
@example(text=" ", title="t")
@example(text="\u200b\n" * 200, title="t")
@example(text="ab" * 900, title="x" * 500)
@example(text="1" * 99 + " " + "1" * 101, title="a b c " * 50)
@example(text="# " + "h" * 150 + "\n\n" + "word. " * 80, title="")
@example(text="مرحبا بالعالم. " * 40 + "👩‍👩‍👧" * 60, title="עברית")
def test_chunks_tile_any_text_within_the_limit(models: list[PrepModel], text: str, title: str) -> None:
    document = Document("d", title, text)
    for model in models:
        check(model, document, model.prepare(document))


def test_an_empty_document_has_no_chunks(models: list[PrepModel]) -> None:
    assert [model.prepare(Document("d", "Title", "")) for model in models] == [[], [], [], []]


def test_blanks_alone_are_boilerplate(models: list[PrepModel]) -> None:
    for model in models:
        chunks = model.prepare(Document("d", "Title", " \n\t\n" * 10))
        assert {chunk.role for chunk in chunks} == {"boilerplate"}


@pytest.mark.parametrize("unit", ["word ", "x", "你好世界", "a\n", "\u200b\n", " \n", "🙂"])
def test_a_giant_line_is_prepared_whole(models: list[PrepModel], unit: str) -> None:
    document = Document("d", "Title", unit * (30_000 // len(unit)))
    check(models[0], document, models[0].prepare(document))


def test_the_same_document_gives_the_same_chunks_alone_or_in_company(models: list[PrepModel]) -> None:
    texts = ["# A\n\nOne. Two.\n\n- item\n- item two\n", "Plain text. " * 60, "", "x\n" * 90]
    documents = [Document(f"d{i}", f"Title {i}", text) for i, text in enumerate(texts)]
    for model in models:
        together = list(model.prepare_many(documents))
        assert [document for document, _ in together] == documents
        for document, chunks in together:
            alone = model.prepare(document)
            again = model.prepare(document)
            assert [(c.id, c.headings, c.role, c.n_tokens) for c in chunks] == [
                (c.id, c.headings, c.role, c.n_tokens) for c in alone
            ]
            for one, two, three in zip(chunks, alone, again, strict=True):
                assert np.abs(one.vector - two.vector).max() < 1e-4
                assert (two.vector == three.vector).all()


def test_groups_do_not_change_what_is_found(models: list[PrepModel]) -> None:
    documents = [Document(f"d{i}", "T", "Some words here. " * (5 * i)) for i in range(6)]
    small = [[c.id for c in chunks] for _, chunks in models[0].prepare_many(documents, group_characters=50)]
    large = [[c.id for c in chunks] for _, chunks in models[0].prepare_many(documents)]
    assert small == large


def test_a_long_document_is_prepared_in_parts_that_keep_their_headings(models: list[PrepModel]) -> None:
    text = "".join(
        f"# Part {i}\n\n" + f"Words of the part {i} on this and that.\n\n" * 9 + "```\ncode\n\nis\n```\n\n"
        for i in range(12)
    )
    document, other = Document("long", "T", text), Document("short", "T", "Short.")
    for model in models:
        prepared = list(model.prepare_many([other, document, other], part_characters=700))
        assert [done for done, _ in prepared] == [other, document, other]
        chunks = prepared[1][1]
        check(model, document, chunks)
        whole = {chunk.start: chunk.headings for chunk in model.prepare(document)}
        shared = [chunk for chunk in chunks if chunk.start in whole]
        assert len(shared) > 12
        if model.heads is None:  # rules do not look far, so that the outline is that of the whole
            assert all(chunk.headings == whole[chunk.start] for chunk in shared)


def test_topics_tile_the_text_and_are_more_where_less_is_asked(models: list[PrepModel]) -> None:
    document = Document("d", "Guide", MARKDOWN * 3)
    for model in models:
        counts = []
        for probability in (0.01, 0.9):
            config = replace(model.config, topic_probability=probability)
            topics = PrepModel(model.encoder, model.heads, config, "v").topics(document)
            assert "".join(document.text[start:end] for start, end in topics) == document.text
            counts.append(len(topics))
        assert counts[0] > counts[1] >= 1
        assert model.topics(Document("d", "", "")) == []
    by_rules = models[1].topics(document)
    assert [document.text[start:].lstrip()[:2] for start, _ in by_rules[1:3]] == ["##", "##"]


MARKDOWN = """# Guide

Start here.

## Install

Run this now and then wait for it to be done, as it is not quick.

```
pip install thing

thing --now
```

## Use

### Often

Words about it that go on for a while, so that there is something to cut here. And then more words.

| a | b |
|---|---|
| 1 | 2 |
"""


def test_headings_enclose_outermost_first_and_skip_the_title(models: list[PrepModel]) -> None:
    rules = models[1]
    chunks = rules.prepare(Document("d", "Guide", MARKDOWN))
    paths = dict.fromkeys(chunk.headings for chunk in chunks)
    assert all(path[:1] in ((), ("Install",), ("Use",)) for path in paths)
    found = [chunk for chunk in chunks if "Words about it" in chunk.text]
    assert found[0].headings == ("Use", "Often")
    other = rules.prepare(Document("d", "Another title", MARKDOWN))
    assert next(c for c in other if "Words about it" in c.text).headings == ("Guide", "Use", "Often")


def test_what_a_colon_announces_stands_in_its_chunk(models: list[PrepModel]) -> None:
    sections = [f"It is as it is. At this by them:\n\n    are be {i}\n\n" for i in range(40)]
    for model in models[:3]:
        chunks = model.prepare(Document("d", "Guide", "".join(sections)))
        assert len(chunks) > 3
        assert not any(chunk.text.rstrip().endswith(":") for chunk in chunks)


def test_a_fence_that_fits_is_never_cut(models: list[PrepModel]) -> None:
    for model in models[:3]:
        for chunk in model.prepare(Document("d", "Guide", MARKDOWN)):
            assert chunk.text.count("```") in (0, 2)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.sampled_from(["fence", "row", "item"]))
def test_rows_items_and_fences_that_fit_stay_whole(
    models: list[PrepModel], sizes: list[int], kind: str
) -> None:
    blocks = []
    for i, size in enumerate(sizes):
        body = " ".join(["is."] * min(size, 8))
        if kind == "fence":
            blocks.append("```\n" + "is\n" * min(size, 8) + "```\n\ntext between.\n")
        elif kind == "row":
            blocks.append(f"| {i} | {body} |")
        else:
            blocks.append(f"- {i} {body}\n  {body}")
    text = "\n".join(blocks)
    cuts = {chunk.start for chunk in models[0].prepare(Document("d", "", text))}
    position = 0
    for block in blocks:
        whole = block.split("\n\ntext")[0]
        inside = {cut for cut in cuts if position < cut < position + len(whole)}
        assert not inside, (block, inside)
        position += len(block) + 1


def test_what_is_encoded_is_the_header_and_the_text(models: list[PrepModel]) -> None:
    model = models[1]
    chunk = model.prepare(Document("d", "Guide", "Short words."))[0]
    header = HEADER_JOIN.join(["Guide", *chunk.headings])
    expected = model.encoder.encode([f"{header} {chunk.text}"])[0]
    assert np.abs(chunk.vector - expected).max() < 1e-5
    assert chunk.n_tokens == len(model.encoder.tokenize([f"{header} {chunk.text}"])[0])


def test_shared_vectors_go_on_from_the_window_with_the_header_before_the_text(
    models: list[PrepModel],
) -> None:
    model = models[2]
    document = Document("d", "Guide", "of the on is. The of to and of the.\n" * 8)
    chunks = model.prepare(document)
    assert len(chunks) > 2
    encoder, layers = model.encoder, model.config.heads.layers
    page = model.read_document(document)
    window = model.windows([page])[0]
    lower = next(encoder.states([window.tokens], layers=layers)).states[0].numpy()
    edges = {
        page.units[unit].start: int(edge) for unit, edge in enumerate(window.edges[:-1], start=window.first)
    }
    checked = 0
    for chunk in chunks:
        if chunk.start not in edges or chunk.end not in edges:
            continue  # the rest of the document lies in other windows
        (header,) = header_tokens("Guide", [chunk.headings], encoder.tokenize, 11).values()
        around = next(encoder.states([header], layers=layers, specials=True)).states[0].numpy()
        body = lower[edges[chunk.start] : edges[chunk.end]]
        sequence = np.concatenate([around[:-1], body, around[-1:]])
        expected = encoder.encode_states([sequence], layers=layers)[0]
        assert np.abs(chunk.vector - expected).max() < 1e-5
        checked += 1
    assert checked >= 2


def test_limits_can_be_changed_and_the_version_says_so(base: Path, version: Path) -> None:
    plain = PrepModel.load(version, base=base)
    small = PrepModel.load(version, base=base, limits=ChunkLimits(target_tokens=12, max_tokens=24))
    assert small.version.startswith(plain.version + "+")
    document = Document("d", "T", "Some words. " * 50)
    assert max(chunk.n_tokens for chunk in small.prepare(document)) <= 24
    assert PrepModel.load(version, base=base, limits=LIMITS).version == plain.version
    other = PrepModel.load(version, base=base, target_tokens=12)
    assert other.limits == ChunkLimits(target_tokens=12, max_tokens=LIMITS.max_tokens)
    assert other.version not in (plain.version, small.version)


def test_limits_above_what_the_base_reads_are_refused(base: Path) -> None:
    with pytest.raises(ConfigError, match="max_tokens=600"):
        PrepModel.untrained(base=base, config=PrepConfig(limits=ChunkLimits(target_tokens=9, max_tokens=600)))


def test_a_flipped_bit_in_the_weights_is_found(tmp_path: Path, base: Path, version: Path) -> None:
    copy = Path(shutil.copytree(version, tmp_path / "copy"))
    weights = copy / "heads.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="checksum"):
        PrepModel.load(copy, base=base)


@pytest.mark.parametrize("damage", ["missing", "no manifest", "not json", "other kind", "no heads"])
def test_damaged_versions_are_weights_errors(tmp_path: Path, base: Path, version: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    if damage != "missing":
        shutil.copytree(version, copy)
    manifest = copy / "manifest.json"
    if damage == "no manifest":
        manifest.unlink()
    elif damage == "not json":
        manifest.write_text("{", encoding="utf-8")
    elif damage == "other kind":
        values = json.loads(manifest.read_text(encoding="utf-8"))
        manifest.write_text(json.dumps({**values, "kind": "retrieve"}), encoding="utf-8")
    elif damage == "no heads":
        (copy / "heads.safetensors").unlink()
    with pytest.raises(WeightsError):
        PrepModel.load(copy, base=base)


def test_another_base_is_refused_and_both_are_named(tmp_path: Path, version: Path) -> None:
    other = make_bert(tmp_path / "otherbase", layers=2)
    with pytest.raises(WeightsError, match=r"trained on bert.*not on otherbase"):
        PrepModel.load(version, base=other)


def test_settings_survive_the_manifest() -> None:
    assert PrepConfig.from_json(json.loads(json.dumps(CONFIG.to_json()))) == CONFIG
    with pytest.raises(ConfigError, match="unknown"):
        PrepConfig.from_json({**CONFIG.to_json(), "colour": 1})


@pytest.mark.slow
def test_the_shipped_version_loads_and_cuts_a_text_by_what_it_says() -> None:
    model = PrepModel.load()
    assert model.dimension == 384
    assert "-" in model.version
    document = Document("d", "Guide", MARKDOWN)
    chunks = model.prepare(document)
    check(model, document, chunks)
    queries = model.encode_queries(["how do I install it?"])
    assert queries.shape == (1, 384)
    best = max(chunks, key=lambda chunk: float(chunk.vector @ queries[0]))
    assert "pip install thing" in best.text
