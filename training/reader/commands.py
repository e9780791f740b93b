"""Commands of the reader's training: `python -m training.reader.commands train RUN FIRST` and others.

    base       a base encoder out of an ONNX file
    first      examples of the labelled sets            real    examples of questions asked as people ask
    train      train on them, go on where it stopped    save    write a version of a run's newest checkpoint
    mix        shuffle several examples together
    search     candidates of a set's questions          measure read them, calibrate on one set, report on all

One thread, as training beside other work has; more by OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prep.model.encoder import Encoder
from prep.model.prep_model import PrepModel
from retrieve.reader.calibration import Calibration
from retrieve.reader.inputs import InputLimits
from retrieve.reader.reader import Reader
from retrieve.reader.selection import Selection
from training.data.dataset import LabelledSet, held_out_documents, load_set, sample, withhold_every
from training.data.passage_pool import PassagePool
from training.data.user_questions import user_question_files
from training.reader.calibrate import calibrate
from training.reader.examples import ExampleFiles, ExampleOptions, LexicalCorpus, read_examples
from training.reader.measure import (
    find_candidates,
    load_candidates,
    read_candidates,
    reader_figures,
    save_candidates,
)
from training.reader.onnx_encoder import convert_onnx_encoder
from training.reader.reader_mixture import FIRST_MIXTURE, SECOND_MIXTURE, make_mixture
from training.reader.real_questions import (
    interleave,
    make_real_examples,
    mix_examples,
    real_set,
)
from training.reader.text_windows import cut_windows
from training.reader.train import ReaderTraining, checkpoint_reader, train_reader

_TRAINED_LIMITS = InputLimits(question_tokens=56, text_tokens=220)
_REAL = ExampleOptions(n_negatives=4, n_right=2, n_searched=16, withheld_share=0.08)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m training.reader.commands", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("base")
    command.add_argument("onnx", type=Path, help="dynamically quantised, its tokenizer beside it")
    command.add_argument("out", type=Path)
    for name in ("first", "real", "train", "save"):
        command = commands.add_parser(name)
        command.add_argument("--base", help="a sentence-transformers encoder instead of the embedded one")
    for name in ("first", "real"):
        command = commands.choices[name]
        command.add_argument("data", type=Path)
        command.add_argument("out", type=Path)
        command.add_argument("--seed", type=int, default=0)
    commands.choices["first"].add_argument("--second", action="store_true", help="the smaller, later mixture")
    command.add_argument("--questions", type=Path, nargs="+", default=user_question_files())
    command.add_argument("--without", nargs="*", default=["docs_prometheus"])
    command.add_argument("--first", type=Path, help="mixed with these examples")
    command.add_argument("--n-first", type=int, default=1300, help="of them, with each of the three views")
    command.add_argument(
        "--chunks",
        action="store_true",
        help="passages and negatives of the prep model and the store's search",
    )
    command = commands.add_parser("mix")
    command.add_argument("out", type=Path)
    command.add_argument("folders", type=Path, nargs="+")
    command.add_argument("--most", type=int, default=8000, help="of every folder but the first")
    command = commands.choices["train"]
    command.add_argument("run", type=Path)
    command.add_argument("first", type=Path)
    command.add_argument("--second", type=Path)
    command.add_argument("--start", type=Path, help="a saved reader to train on")
    command.add_argument("--second-from", type=float, default=0.4, help="share of the time")
    command.add_argument("--minutes", type=float, default=90.0)
    command.add_argument("--questions-per-step", type=int, default=5)
    command.add_argument("--learning-rate", type=float, default=1.5e-4, help="the highest, of the layers")
    command = commands.choices["save"]
    command.add_argument("run", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--calibration", type=Path, help="what `measure --calibration` wrote")
    command = commands.add_parser("search")
    command.add_argument("set", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--questions", type=Path, help="a file of questions, instead of the set's own")
    command.add_argument("--limit", type=int)
    command.add_argument("--withhold-every", type=int, default=0)
    command.add_argument(
        "--held-out", action="store_true", help="questions on the documents kept out of training"
    )
    command.add_argument("--k", type=int, default=50)
    command = commands.add_parser("measure")
    command.add_argument("reader", type=Path)
    command.add_argument("candidates", type=Path, nargs="+")
    command.add_argument("--k", type=int, default=20)
    command.add_argument("--calibrate-on", type=Path, help="candidates of a development set")
    command.add_argument("--threshold-on", type=Path, nargs="*", default=[], help="candidates of others")
    command.add_argument("--wrongly-refused", type=float, default=0.03, help="at most, of any of these sets")
    command.add_argument("--calibration", type=Path, help="where to write what was fitted")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    _COMMANDS[options.command](options)


def _base(options: argparse.Namespace) -> None:
    convert_onnx_encoder(options.onnx, options.out)


def _first(options: argparse.Namespace) -> None:
    encoder = Encoder.load(options.base, precision="float32")
    portions = SECOND_MIXTURE if options.second else FIRST_MIXTURE
    make_mixture(options.data, portions, encoder, limits=_TRAINED_LIMITS, seed=options.seed).save(options.out)


def _real(options: argparse.Namespace) -> None:
    views = make_real_examples(
        options.data,
        options.questions,
        _chunks if options.chunks else _windows,
        Encoder.load(options.base, precision="float32"),
        limits=_TRAINED_LIMITS,
        options=_REAL,
        without=options.without,
        held_out_of={"doc2dial", "mtrag"},
        n_documents=150,
        n_views=3,
        seed=options.seed,
    )
    first = read_examples(options.first) if options.first else ExampleFiles()
    interleave(views, first, n_others=options.n_first).save(options.out)


def _mix(options: argparse.Namespace) -> None:
    mix_examples([read_examples(folder) for folder in options.folders], options.most).save(options.out)


def _chunks(labelled: LabelledSet) -> PassagePool:
    return PassagePool.build(labelled.documents.values(), [PrepModel.load()], progress=True)


def _windows(labelled: LabelledSet) -> LexicalCorpus:
    rng = random.Random(labelled.name)
    return LexicalCorpus(
        [
            window
            for document in labelled.documents.values()
            for window in cut_windows(document, rng, least=300, most=950)
        ]
    )


def _train(options: argparse.Namespace) -> None:
    held: dict[Path, ExampleFiles] = {}

    def examples(share: float) -> ExampleFiles:
        wanted = options.second if options.second and share >= options.second_from else options.first
        if wanted not in held:
            held.clear()
            held[wanted] = read_examples(wanted)
        return held[wanted]

    start = Reader.load(options.start, precision="float32") if options.start else None
    train_reader(
        examples,
        start.encoder if start else Encoder.load(options.base, precision="float32"),
        options.run,
        ReaderTraining(
            minutes=options.minutes,
            questions_per_step=options.questions_per_step,
            learning_rate=options.learning_rate,
        ),
        start=start.weights() if start else None,
        on_step=lambda row: logging.info("%s", row),
    )


def _save(options: argparse.Namespace) -> None:
    calibration = (
        Calibration(**json.loads(options.calibration.read_text())) if options.calibration else Calibration()
    )
    reader, step = checkpoint_reader(
        options.run, Encoder.load(options.base, precision="float32"), calibration
    )
    config = json.loads((options.run / "config.json").read_text(encoding="utf-8"))
    reader.save(options.out, training={"step": step, **config})


def _search(options: argparse.Namespace) -> None:
    if options.questions:
        labelled = real_set(options.set, options.questions, n_documents=10**6, rng=random.Random(0))
    else:
        labelled = load_set(options.set)
    if options.held_out:
        away = held_out_documents(labelled)
        kept = [one for one in labelled.questions if any(span.document_id in away for span in one.evidence)]
        labelled = replace(labelled, questions=kept)
    questions = withhold_every(sample(labelled.questions, options.limit), options.withhold_every)
    pool = PassagePool.build(labelled.documents.values(), [PrepModel.load()])
    save_candidates(find_candidates(labelled, pool, questions, k=options.k), options.out)


def _measure(options: argparse.Namespace) -> None:
    reader, selection = Reader.load(options.reader), Selection()
    calibration = reader.calibration
    if options.calibrate_on:
        first, *others = (
            read_candidates(reader, load_candidates(path), k=options.k)
            for path in (options.calibrate_on, *options.threshold_on)
        )
        calibration = calibrate(first, selection, others=others, wrongly_refused=options.wrongly_refused)
        if options.calibration:
            options.calibration.write_text(json.dumps(calibration.to_json(), indent=2) + "\n")
    for path in options.candidates:
        rows = read_candidates(reader, load_candidates(path), k=options.k)
        sure = [calibration.confidence(row.signals) for row in rows]
        figures = reader_figures(rows, selection, threshold=calibration.threshold, confidences=sure)
        print(json.dumps({"set": path.stem, **{name: round(value, 3) for name, value in figures.items()}}))


_COMMANDS = {
    "base": _base,
    "first": _first,
    "real": _real,
    "mix": _mix,
    "train": _train,
    "save": _save,
    "search": _search,
    "measure": _measure,
}

if __name__ == "__main__":
    main()
