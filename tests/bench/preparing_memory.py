"""How much memory a long text takes to prepare. Not a test.

    python tests/bench/preparing_memory.py --data DIR/new_wiki [--megabytes 100]

A small random encoder with the shipped one's tokenizer stands in for it, so that a hundred megabytes take minutes
instead of hours; everything but the matrix products is what is served. What it would take with the shipped encoder
besides: its weights, and a vector of 384 numbers for each chunk.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

from prep import PrepModel
from prep.document import Document
from prep.model.config import PrepConfig
from prep.model.encoder import Encoder
from prep.model.heads import HeadsConfig, StructureHeads
from training.data.dataset import load_set


def small_model(folder: Path) -> PrepModel:
    """Return a prep model with random heads on a random encoder of 16 dimensions with the shipped tokenizer."""
    shipped = Encoder.load()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=shipped.tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=512,
    )
    BertModel(config).save_pretrained(folder)
    shipped.tokenizer.save_pretrained(folder)
    encoder = Encoder.load(folder, precision="float32")
    settings = PrepConfig(
        heads=HeadsConfig(layers=1, state_size=16, width=16, dilations=(1, 2)), vectors="shared"
    )
    return PrepModel(encoder, StructureHeads(settings.heads), settings, "small")


def resident() -> float:
    """Return what the process holds now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


class Watch(threading.Thread):
    """The most that the process held while it ran."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = resident()
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            self.peak = max(self.peak, resident())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10.0, 100.0])
    arguments = parser.parse_args()
    texts = [document.text for document in load_set(arguments.data).documents.values()]
    with tempfile.TemporaryDirectory() as folder:
        model = small_model(Path(folder))
    model.prepare(Document("first", "", texts[0]))  # what is loaded once
    for megabytes in arguments.megabytes:
        whole, size = [], 0
        while size < megabytes * 1e6:
            whole.append(texts[len(whole) % len(texts)])
            size += len(whole[-1].encode())
        document = Document("long", "Long", "\n\n".join(whole))
        del whole
        before = resident()
        watch = Watch()
        watch.start()
        started = time.perf_counter()
        chunks = model.prepare(document)
        taken = time.perf_counter() - started
        watch.over.set()
        watch.join()
        kept = resident() - before
        print(
            f"one text of {size / 1e6:.0f} MB: {taken:.0f} s, {len(chunks)} chunks; at most "
            f"{watch.peak - before:.0f} MiB above what was held before, {kept:.0f} at the end, with the chunks",
            flush=True,
        )
        assert "".join(chunk.text for chunk in chunks) == document.text
        del chunks


if __name__ == "__main__":
    main()
