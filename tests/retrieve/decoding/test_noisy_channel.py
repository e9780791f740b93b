"""The noisy-channel model shares all that its adapter leaves alone, and scores each report as if it stood alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_reranking import NONE, PARTS, TinyBase, report
from tiny_models import make_gemma, make_llama, make_updates

from prep.errors import WeightsError
from prep.lora import merge_updates, read_updates
from retrieve.decoding.noisy_channel import channel_format, channel_scores, load_channel_model, sharing_copy
from retrieve.lm.base import load_base

IDS = torch.tensor([[5, 80, 90, 100, 110]])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("make", [make_gemma, make_llama])
def test_the_channel_model_is_the_model_with_the_updates_merged_and_the_model_stays_as_it_is(
    make: Any, tmp_path: Path
) -> None:
    model, _ = load_base(make(tmp_path / "base"), dtype=torch.float32)
    before = logits(model)
    path = make_updates(model, tmp_path / "channel.safetensors", layers=(1,))
    channel_model = load_channel_model(model, path)
    assert torch.equal(logits(model), before)
    merge_updates(model, read_updates(path)[0])
    assert torch.allclose(logits(channel_model), logits(model), atol=1e-5)
    assert not torch.allclose(logits(channel_model), before, atol=1e-2)


def test_only_what_the_updates_change_is_not_shared(tmp_path: Path) -> None:
    model, _ = load_base(make_gemma(tmp_path / "base"), dtype=torch.float32)
    channel_model = load_channel_model(
        model, make_updates(model, tmp_path / "channel.safetensors", layers=(1,))
    )
    own, shared = dict(channel_model.named_parameters()), dict(model.named_parameters())
    different = {name for name in shared if own[name] is not shared[name]}
    assert different
    assert all(".layers.1." in name and "proj" in name for name in different)
    assert all(
        one is other for one, other in zip(sharing_copy(model).parameters(), model.parameters(), strict=True)
    )


def test_updates_of_another_model_are_refused(tmp_path: Path) -> None:
    gemma, _ = load_base(make_gemma(tmp_path / "gemma"), dtype=torch.float32)
    llama, _ = load_base(make_llama(tmp_path / "llama"), dtype=torch.float32)
    path = make_updates(gemma, tmp_path / "channel.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        load_channel_model(llama, path)
    renamed = tmp_path / "renamed.safetensors"
    renamed.write_bytes(path.read_bytes().replace(b"model.layers.1.", b"model.layers.9."))
    with pytest.raises(WeightsError, match=r"does not fit the model: it has no model\.layers\.9"):
        load_channel_model(gemma, renamed)


@torch.inference_mode()
def test_the_question_is_scored_behind_each_report_as_if_it_stood_there_alone(base: TinyBase) -> None:
    generator = base.generator()
    encode = generator.grammar.encode
    reports = [report("honey"), "<report> bees make honey⟦1⟧⟦3⟧</report>", NONE]
    for parts in PARTS:
        found, n_read = channel_scores(generator, base.channel_model, parts, reports)
        alone = [channel_scores(generator, base.channel_model, parts, [one])[0][0] for one in reports]
        assert found == pytest.approx(alone, abs=1e-3)
        question = encode(parts.question.strip().removeprefix("<question>"))
        given = [encode(f"{one}\n<question>") for one in reports]
        results = generator.encode(parts.results)
        wanted = [logprob_of(base, results, some, question) for some in given]
        assert found == pytest.approx(wanted, abs=1e-3)
        assert n_read == sum(map(len, given)) + len(reports) * len(question)


def logprob_of(base: TinyBase, results: list[int], given: list[int], tokens: list[int]) -> float:
    """Return the log-probability of tokens behind others, the results read by the model itself. One plain pass each."""
    read = base.model(input_ids=torch.tensor([results]), use_cache=True)
    behind = torch.tensor([[*given, *tokens]])
    logits = base.channel_model(input_ids=behind, past_key_values=read.past_key_values).logits[0].float()
    scores = torch.log_softmax(logits, -1)[len(given) - 1 : -1]
    return float(scores.gather(1, torch.tensor(tokens).unsqueeze(1)).sum())


def test_only_an_episode_s_question_can_be_scored() -> None:
    given, question = channel_format("<question>Who?</question>\n", "<report> Ada⟦1⟧</report>")
    assert (given, question) == ("<report> Ada⟦1⟧</report>\n<question>", "Who?</question>")
    with pytest.raises(ValueError, match="no question"):
        channel_format("Who?", "<report> Ada⟦1⟧</report>")
