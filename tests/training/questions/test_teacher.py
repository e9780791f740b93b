"""The teacher, against a real server of OpenAI's chat protocol whose model learnt to give one reply."""

from __future__ import annotations

import http.client
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import torch
from fixture_causal_lm import make_causal_lm
from fixture_prep import LinePrep, free_port
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from prep.document import Document, Span
from prep.errors import ConfigError, TeacherError
from training.data.passage_pool import PassagePool
from training.questions.generated_questions import QuestionGenerationConfig, target_sentences
from training.questions.question_generator import TargetSentence
from training.questions.teacher import Teacher, TeacherConfig

pytest.importorskip("openai", reason="the server of transformers needs it")
pytestmark = [pytest.mark.slow, pytest.mark.loopback]

REPLY = 'Sure! {"question": "When was the old bridge of Barlin opened?", "answer": "1893"}'
TEXT = "The old bridge of Barlin was opened in 1893 by its proud people.\nNobody knows who built the blue fountain."
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}>"


@pytest.fixture(scope="module")
def places() -> list[TargetSentence]:
    pool = PassagePool.build([Document("Barlin", "Barlin", TEXT)], [LinePrep()])
    return sorted(target_sentences(pool, QuestionGenerationConfig()), key=lambda place: place.passage.start)


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that gives one reply, whatever comes before."""
    folder = make_causal_lm(tmp_path_factory.mktemp("chat"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    wider = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 32, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig.from_pretrained(folder, tie_word_embeddings=False, **wider))
    reply = [*tokenizer.encode(REPLY, add_special_tokens=False), tokenizer.eos_token_id]
    prompt = tokenizer.encode(">", add_special_tokens=False)
    words = tokenizer.encode(" ".join(topics[name] for name in sorted(topics)[:20]), add_special_tokens=False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rng = random.Random(0)
    for _ in range(200):
        start = rng.randrange(len(words) - 400)
        before = words[start : start + rng.randrange(50, 400)] + prompt
        row = torch.tensor([before + reply])
        labels = torch.tensor([[-100] * len(before) + reply])
        loss = model(input_ids=row, labels=labels).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert loss.item() < 0.1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def config(chat_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeacherConfig]:
    """Start a server for the model; gives how it is reached."""
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "log"
    words = ["serve", str(chat_model), "--host", "127.0.0.1", "--port", port, "--device", "cpu"]
    command = [str(Path(sys.executable).with_name("transformers")), *words]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as server:
        give_up = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < give_up, log.read_text(encoding="utf-8")
                time.sleep(0.5)
        yield TeacherConfig(
            url=f"http://127.0.0.1:{port}/v1", model=str(chat_model), temperature=0.0, parallel=2, retries=1
        )
        server.terminate()


def test_a_reply_becomes_a_question_where_its_answer_stands_in_the_sentence(
    config: TeacherConfig, places: list[TargetSentence]
) -> None:
    written = Teacher(config).write(places, seed=1)
    assert len(written) == len(places) == 2
    first, second = written
    assert first is not None
    assert (first.question, first.answer) == ("When was the old bridge of Barlin opened?", "1893")
    start = TEXT.index("1893")
    assert first.evidence == Span("Barlin", start, start + 4)
    assert second is None  # the fountain's sentence does not hold that answer


def test_a_server_that_refuses_or_is_not_there_is_named(
    config: TeacherConfig, places: list[TargetSentence], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = replace(config, url="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(TeacherError, match=r"127\.0\.0\.1:9/v1/chat/completions did not answer 1 times"):
        Teacher(gone).write(places[:1], seed=1)
    with pytest.raises(TeacherError, match="refused: 40"):
        Teacher(replace(config, url=config.url + "/nothing")).write(places[:1], seed=1)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"url": "localhost:8000"}, "http://"), ({"model": ""}, "needs a model"), ({"parallel": 0}, "parallel")],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        TeacherConfig(**{"url": "http://localhost/v1", "model": "m", **wrong})


@pytest.mark.parametrize("url", ["http://[bad", "http://host:abc/v1", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        TeacherConfig(url=url, model="tiny")


def test_a_key_is_sent_without_the_line_break_of_its_file_and_never_shown(
    places: list[TargetSentence], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def refuse(request: urllib.request.Request, timeout: float) -> None:
        sent.append(str(request.get_header("Authorization")))
        raise http.client.IncompleteRead(b"")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("DIPTYCH_TEACHER_KEY", "sk-secret\n")
    with pytest.raises(TeacherError, match="IncompleteRead"):
        Teacher(TeacherConfig(url="http://localhost:1/v1", model="tiny", retries=0)).write(places[:1], 0)
    assert sent == ["Bearer sk-secret"]
    monkeypatch.setenv("DIPTYCH_TEACHER_KEY", "sk-secret\nof two lines")
    with pytest.raises(ConfigError) as refused:
        Teacher(TeacherConfig(url="http://localhost:1/v1", model="tiny"))
    assert "secret" not in str(refused.value)
