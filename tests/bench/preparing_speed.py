"""What preparing costs, in passes over the same text: ours, and semantic splitting with encoding. Not a test.

    python tests/bench/preparing_speed.py --data DIR/new_wiki [--documents 12] [--rounds 5] [--prep VERSION]

One pass is the encoder alone over the same text in windows of the base's length that do not overlap: its own limit.
Preparing gives boundaries, roles and vectors. Semantic splitting (llama-index and chonkie, the `bench` extra) also
encodes each chunk it makes. The systems take turns, so that the machine's moods meet them alike; ratios are medians
over rounds of what a round's pair gave.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from prep import PrepModel
from prep.document import Document
from prep.model.base_encoder import Precision
from prep.model.encoder import Encoder
from training.data.dataset import load_set
from training.evaluation.splitters import FrozenEncoderSystem, make_splitter

SEMANTIC = ("chonkie-semantic", "llama-index-semantic")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--prep", default=None, help="a prep model version; the shipped one by default")
    parser.add_argument("--documents", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(SEMANTIC), choices=list(SEMANTIC))
    parser.add_argument("--megabytes", type=float, default=0.0, help="also prepare one text of this size")
    arguments = parser.parse_args()

    labelled = load_set(arguments.data)
    documents = [labelled.documents[name] for name in sorted(labelled.documents)][: arguments.documents]
    precision: Precision = "auto"
    model = PrepModel.load(arguments.prep, precision=precision)
    encoder = Encoder.load(precision=precision)
    megabytes = sum(len(document.text.encode()) for document in documents) / 1e6

    def one_pass() -> None:
        room = encoder.max_tokens - encoder.n_special
        tokens = encoder.tokenize([document.text for document in documents])
        encoder.encode_tokens([ids[at : at + room] for ids in tokens for at in range(0, len(ids), room)])

    def prepare() -> None:
        for _ in model.prepare_many(documents):
            pass

    systems: dict[str, Callable[[], None]] = {
        "one pass": one_pass,
        f"prepare ({model.config.vectors})": prepare,
    }
    for name in arguments.only:
        peer = FrozenEncoderSystem(make_splitter(name, encoder), encoder, name=name)
        systems[f"{name} and encoding"] = lambda p=peer: list(p.prepare_many(documents)) and None
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for turn in range(arguments.rounds + 1):
        for name, run in systems.items():
            started = time.perf_counter()
            run()
            if turn:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    print(f"{len(documents)} documents, {megabytes:.2f} MB; median of {arguments.rounds} rounds")
    for name, taken in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(taken, seconds["one pass"], strict=True))
        speed = megabytes / statistics.median(taken)
        print(f"{name:36s} {statistics.median(taken):7.2f} s  {speed:6.3f} MB/s  {ratio:5.2f} passes")
    if arguments.megabytes:
        long_text(model, documents, arguments.megabytes)


def long_text(model: PrepModel, documents: list[Document], megabytes: float) -> None:
    """Prepare one text of the given size and say how far memory rises above what the text and its chunks take."""
    texts = [document.text for document in documents]
    whole, size = [], 0
    while size < megabytes * 1e6:
        whole.append(texts[len(whole) % len(texts)])
        size += len(whole[-1].encode())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    chunks = model.prepare(Document("long", "Long", "\n\n".join(whole)))
    taken = time.perf_counter() - started
    kept = sum(len(c.text.encode()) + c.vector.nbytes for c in chunks) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"one text of {size / 1e6:.1f} MB: {taken:.0f} s, {len(chunks)} chunks; peak {peak:.0f} MiB, "
        f"{peak - before:.0f} above that before, of which {kept:.0f} are texts and vectors of the chunks"
    )


if __name__ == "__main__":
    main()
