"""Training a tiny reader: the loss falls, a run goes on where it stopped."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fixture_encoder import make_bert

from prep.document import Document, Span
from prep.model.encoder import Encoder
from retrieve.reader.inputs import InputLimits
from training.data.dataset import Question
from training.reader.examples import ExampleFiles, ExampleOptions, LexicalCorpus, make_examples
from training.reader.text_windows import cut_windows
from training.reader.train import ReaderTraining, new_network, train_reader
from training.runs.run_folder import read_log

TOWNS = ["Ark", "Bow", "Cog", "Dun", "Elm", "Fir"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def files(base: Path) -> ExampleFiles:
    documents = [
        Document(t, t, f"{t} is on the hill. The tower of {t} is {n}0 feet.") for n, t in enumerate(TOWNS)
    ]
    windows = [one for document in documents for one in cut_windows(document, random.Random(0))]
    questions = [
        Question(
            t, f"the tower of {t}", (f"{n}0",), (Span(t, d.text.index(f"{n}0"), d.text.index(f"{n}0") + 2),)
        )
        for n, (t, d) in enumerate(zip(TOWNS, documents, strict=True))
    ]
    files = ExampleFiles()
    make_examples(
        questions,
        LexicalCorpus(windows),
        Encoder.load(base, precision="float32"),
        files,
        dataset="towns",
        options=ExampleOptions(withheld_share=0.2),
        limits=InputLimits(),
        rng=random.Random(0),
    )
    return files


def settings(**changed: float) -> ReaderTraining:
    return ReaderTraining(
        **{  # type: ignore[arg-type]
            "minutes": 60,
            "questions_per_step": 3,
            "learning_rate": 3e-3,
            "heads_learning_rate": 1e-2,
            "warmup_share": 0,
            **changed,
        }
    )


def test_the_loss_falls(files: ExampleFiles, base: Path, tmp_path: Path) -> None:
    encoder = Encoder.load(base, precision="float32")
    before = new_network(encoder).encoder.embeddings.word_embeddings.weight.clone()  # type: ignore[union-attr]
    network = train_reader(lambda _: files, encoder, tmp_path / "run", settings(max_steps=60)).network
    losses = [row["loss"] for row in read_log(tmp_path / "run" / "log.jsonl")]
    assert losses[-1] < 0.8 * losses[0]
    assert (network.encoder.embeddings.word_embeddings.weight == before).all()  # type: ignore[union-attr]


def test_a_run_goes_on_where_it_stopped(files: ExampleFiles, base: Path, tmp_path: Path) -> None:
    train_reader(
        lambda _: files, Encoder.load(base, precision="float32"), tmp_path / "run", settings(max_steps=10)
    )
    steps: list[int] = []
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace('"max_steps": 10', '"max_steps": 20'))
    train_reader(
        lambda _: files,
        Encoder.load(base, precision="float32"),
        tmp_path / "run",
        settings(max_steps=20),
        on_step=lambda row: steps.append(int(row["step"])),
    )
    assert steps == [20]
    assert [row["step"] for row in read_log(tmp_path / "run" / "log.jsonl")] == [10, 20]


def test_a_second_list_of_examples_takes_over(files: ExampleFiles, base: Path, tmp_path: Path) -> None:
    asked: list[float] = []

    def examples(share: float) -> ExampleFiles:
        asked.append(share)
        return files if len(asked) < 3 else ExampleFiles(files.examples[:1], files.passages)

    train_reader(examples, Encoder.load(base, precision="float32"), tmp_path / "run", settings(max_steps=5))
    assert len(asked) == 5
    assert asked == sorted(asked)
