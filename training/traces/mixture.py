"""The traces the shipped retrieve model is trained on: which public sets, how much of each, what is held out.

    python -m training.traces.mixture --data DIR --out FOLDER [--prep VERSION]

Passages are the chunks of the prep model, ranked as the store ranks them, at several target sizes. `traces.html` shows
counts, refusals and samples. Deterministic by seed. Every sixth new_wiki article, by id, is held out for
development, and of the sets whose questions need several documents every third question with its evidence. Of the
other sets every sixth document is held out, too; `training.traces.packed_example_set --unseen` draws from all of these.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from prep.document import Document
from prep.errors import ConfigError, DataError
from prep.model.prep_model import PrepModel
from retrieve.episode.episode import one_line
from retrieve.lm.special_tokens import escape
from training.data.cloze_questions import synthesize_cloze
from training.data.dataset import LabelledSet, Question, held_out_documents, load_set
from training.data.passage_pool import PassagePool
from training.traces.packed_examples import PackedExampleConfig, build_packed_traces
from training.traces.traces import Trace, TraceConfig, TraceCounts, build_traces
from training.traces.traces_page import write_traces_page

__all__ = ["PARTS", "MixturePart", "held_out_documents", "left_out", "part_of", "read_traces", "write_traces"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixturePart:
    """One set's part of the mixture: at most `n` traces, built with `config`, and `n_packed` of packed examples.

    rounds: how often traces are built on each question, each time with other draws; equal traces are kept once.
    search_share: near misses of packed examples whose trace ends in a second search.
    """

    name: str
    n: int
    config: TraceConfig = field(default_factory=TraceConfig)
    n_packed: int = 0
    rounds: int = 1
    search_share: float = 0.75


TARGET_TOKENS = (100, 75, 130)  # of the chunks; documents take turns
DEVELOPMENT = "new_wiki"  # its held-out documents measure training as it runs
CLOZE_SETS = ("docs_vue", "docs_prometheus", "docs_site_policy", "docs_handbook")
_SHOWN = TraceConfig(most_passages=4)
# When to search once more.
_SEARCHING = replace(_SHOWN, missed_share=0.3, persistent_share=0.75, again_share=1.0)
_READING = replace(_SHOWN, reading=True, most_passages=3)
_SEVERAL = replace(_SHOWN, withheld_share=0.1, several=True)
_BROAD = replace(_SEVERAL, more_share=0.8)
_HOPS = replace(_SHOWN, withheld_share=0.05, again_share=1.0)
PARTS = (
    MixturePart(name="new_wiki", n=4_000, config=_SEARCHING, n_packed=22_000),
    MixturePart(name="amazon_reviews", n=50, config=_READING, n_packed=14_000),
    MixturePart(name="reddit", n=50, config=_READING, n_packed=14_000),
    MixturePart(
        name="policyqa_dev", n=300, config=replace(_SEARCHING, title_in_question=True), n_packed=2_500
    ),
    MixturePart(name="clapnq_dev", n=400, config=_SEVERAL),
    MixturePart(name="contractnli", n=300, config=_BROAD),
    MixturePart(name="qmsum_train", n=1_200, config=_BROAD, rounds=2),
    MixturePart(name="medquad", n=500, config=_BROAD),
    MixturePart(name="hotpot_train100", n=400, config=_HOPS, rounds=4),
    MixturePart(name="musique_train100", n=400, config=_HOPS, rounds=4),
    MixturePart(name="cloze", n=250, config=replace(_SEARCHING, withheld_share=0.15)),
    MixturePart(name="drcd_dev", n=150, config=_SEARCHING, n_packed=3_500),
    MixturePart(name="cmrc_trial", n=50, config=_SHOWN, n_packed=600),
)


def part_of(dataset: LabelledSet, *, held_out: bool) -> LabelledSet:
    """Return the set with its held-out documents alone, or all others, and the questions on them.

    Questions without evidence are trained on, never held out. Where questions need several documents, questions are
    held out instead: what is held out is searched among all documents, the others among those that no held-out question
    needs.
    """
    if any(question.kind == "multihop" for question in dataset.questions):
        return _part_of_hops(dataset, held_out=held_out)
    held = held_out_documents(dataset)
    documents = {name: d for name, d in dataset.documents.items() if (name in held) == held_out}
    questions = [
        question
        for question in dataset.questions
        if (
            all(span.document_id in documents for span in question.evidence)
            if question.evidence
            else not held_out
        )
    ]
    return replace(dataset, documents=documents, questions=questions)


def _part_of_hops(dataset: LabelledSet, *, held_out: bool, every: int = 3) -> LabelledSet:
    ids = frozenset(sorted(question.id for question in dataset.questions)[::every])
    needed = {
        span.document_id for question in dataset.questions if question.id in ids for span in question.evidence
    }
    if held_out:
        return replace(dataset, questions=[question for question in dataset.questions if question.id in ids])
    return replace(
        dataset,
        documents={name: document for name, document in dataset.documents.items() if name not in needed},
        questions=[
            question
            for question in dataset.questions
            if question.id not in ids and not any(span.document_id in needed for span in question.evidence)
        ],
    )


def build_part(
    dataset: LabelledSet, part: MixturePart, models: Sequence[PrepModel], *, held_out: bool
) -> tuple[list[Trace], TraceCounts]:
    """Return the traces of one set: of its held-out documents, or of all the others."""
    chosen = part_of(dataset, held_out=held_out)
    documents, questions = list(chosen.documents.values()), chosen.questions
    if part.config.reading or part.config.several:
        documents, questions = _fewer(documents, questions, part.n + part.n_packed, part.config.seed)
    random.Random(part.config.seed).shuffle(questions)
    pool = PassagePool.build(documents, models)
    traces: list[Trace] = []
    counts = TraceCounts(Counter(), Counter())
    for turn in range(part.rounds):
        config = replace(part.config, seed=part.config.seed + turn)
        more, of_turn = build_traces(questions[: round(part.n * 1.3)], pool, config)
        traces += more
        counts = TraceCounts(counts.built + of_turn.built, counts.refused + of_turn.refused)
    traces = list(dict.fromkeys(traces))[: part.n]
    if part.n_packed:
        shown = replace(part.config, fewest_passages=2, most_passages=4)
        share = 0.0 if shown.reading else 0.3
        packing = PackedExampleConfig(traces=shown, none_share=share, search_share=part.search_share)
        more, of_packed = build_packed_traces(questions, pool, packing, n=part.n_packed)
        traces += more
        counts = TraceCounts(counts.built + of_packed.built, counts.refused + of_packed.refused)
    return traces, counts


def _cloze_set(data: Path, part: MixturePart) -> LabelledSet:
    """Return cloze questions over documentation: no labels needed."""
    documents: dict[str, Document] = {}
    for name in CLOZE_SETS:
        found = sorted(load_set(data / name).documents.values(), key=lambda document: document.id)
        documents |= {document.id: document for document in found[::4] if len(document.text) < 20_000}
    questions = synthesize_cloze(documents.values(), n=2 * part.n, seed=part.config.seed)
    return LabelledSet(name=part.name, documents=documents, formats={}, questions=questions)


def _fewer(
    documents: Sequence[Document], questions: Sequence[Question], n: int, seed: int
) -> tuple[list[Document], list[Question]]:
    """Keep as many documents as give about n questions: no large pool is needed where little is searched."""
    order = sorted(documents, key=lambda document: document.id)
    random.Random(seed).shuffle(order)
    share = min(1.0, 1.5 * n / max(1, len(questions)))
    kept = {document.id for document in order[: max(1, round(len(order) * share))]}
    return (
        [d for d in documents if d.id in kept],
        [q for q in questions if not q.evidence or q.evidence[0].document_id in kept],
    )


def write_traces(path: Path, traces: Iterable[Trace]) -> None:
    """Write traces as JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        for trace in traces:
            row = {"question_id": trace.question_id, "kind": trace.kind, "segments": trace.segments}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_traces(path: Path) -> list[Trace]:
    """Read what `write_traces` wrote."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [
        Trace(row["question_id"], row["kind"], tuple((text, trained) for text, trained in row["segments"]))
        for row in rows
    ]


def left_out(traces: Sequence[Trace], questions: Iterable[Question]) -> list[Trace]:
    """Return the traces that ask none of the questions, nor the same in the same words.

    Raises DataError where that leaves out nothing.
    """
    kept = list(questions)
    ids, words = {one.id for one in kept}, {escape(one_line(one.question)).lower() for one in kept}
    found = [trace for trace in traces if trace.question_id not in ids and not words & set(_asked(trace))]
    if len(found) == len(traces):
        raise DataError(f"none of {len(traces)} traces asks one of the {len(kept)} questions to leave out")
    return found


def _asked(trace: Trace) -> list[str]:
    shown = "".join(text for text, trained in trace.segments if not trained)
    return [question.lower() for question in re.findall("<question>(.*?)</question>", shown)]


def _about(part: Path) -> Path:
    """Return the file with the settings of a part and the counts of its refused traces by reason."""
    return part.with_suffix(".about.json")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per labelled set")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for one file per set, train and held_out"
    )
    parser.add_argument("--parts", nargs="*", default=[part.name for part in PARTS], help="only these sets")
    parser.add_argument("--prep", default=None, help="a prep model version; the shipped one by default")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    models = [PrepModel.load(arguments.prep, target_tokens=size) for size in TARGET_TOKENS]
    for part in PARTS:
        path = arguments.out / f"part-{part.name}.jsonl"
        made_of = {"part": json.loads(json.dumps(asdict(part))), "prep": [model.version for model in models]}
        if part.name not in arguments.parts:
            continue
        if path.exists():
            if json.loads(_about(path).read_text(encoding="utf-8"))["made_of"] != made_of:
                raise ConfigError(f"{path} was made of other settings: remove it, or choose another --out")
            continue
        dataset = (
            _cloze_set(arguments.data, part) if part.name == "cloze" else load_set(arguments.data / part.name)
        )
        traces, counts = build_part(dataset, part, models, held_out=False)
        print(part.name, len(traces), dict(counts.built), "refused", dict(counts.refused), flush=True)
        if part.name == DEVELOPMENT:
            small = replace(part, n=200, n_packed=0)
            write_traces(
                arguments.out / "held_out.jsonl", build_part(dataset, small, models, held_out=True)[0]
            )
        about = {"made_of": made_of, "refused": dict(counts.refused)}
        _about(path).write_text(json.dumps(about), encoding="utf-8")
        write_traces(path, traces)
    paths = {part.name: arguments.out / f"part-{part.name}.jsonl" for part in PARTS}
    made = {name: read_traces(path) for name, path in paths.items() if path.exists()}
    notes = {name: json.loads(_about(paths[name]).read_text(encoding="utf-8")) for name in made}
    refused = {name: about["refused"] for name, about in notes.items()}
    print(write_traces_page(arguments.out / "traces.html", made, refused))
    train = [trace for some in made.values() for trace in some]
    random.Random(arguments.seed).shuffle(train)
    write_traces(arguments.out / "train.jsonl", train)
    print(f"{len(train)} traces to train on")


if __name__ == "__main__":
    main()
