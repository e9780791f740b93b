"""Traces that teach the model to write questions: people's own, on the passage and the sentence they asked about.

    python -m training.traces.question_traces --data DIR --out FOLDER

writes what `training.retrieve_model.supervised` trains on. Every sixth article is held out, as in
`training.traces.mixture`, so that asking about documents never trained on can be measured there.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from prep.model.prep_model import PrepModel
from retrieve.episode.grammar import Grammar
from retrieve.episode.question_writing import QuestionLimits, QuestionPrompt, QuestionState
from retrieve.lm.base import load_base
from training.data.dataset import Question, load_set
from training.data.passage_pool import PassagePool
from training.traces.mixture import DEVELOPMENT, TARGET_TOKENS, part_of, write_traces
from training.traces.traces import Trace, preferred_answer

__all__ = ["question_traces"]

#: Sets whose questions name what they are about, so that they can be asked without the passage; at most so many.
SETS = {DEVELOPMENT: 3_000, "drcd_dev": 300, "cmrc_trial": 200}
N_HELD_OUT = 150


def question_traces(
    questions: Sequence[Question], pool: PassagePool, grammar: Grammar, limits: QuestionLimits | None = None
) -> tuple[list[Trace], Counter[str]]:
    """Return a trace for each question that the grammar can write, in order; why others cannot be, counted.

    No two are on the same answer of a sentence.
    """
    limits = limits or QuestionLimits()
    traces: list[Trace] = []
    refused: Counter[str] = Counter()
    seen: set[tuple[object, ...]] = set()
    for question in questions:
        found = _trace(question, pool, grammar, limits, seen)
        if isinstance(found, Trace):
            traces.append(found)
        else:
            refused[found] += 1
    return traces, refused


def _trace(
    question: Question,
    pool: PassagePool,
    grammar: Grammar,
    limits: QuestionLimits,
    seen: set[tuple[object, ...]],
) -> Trace | str:
    answer = " ".join(preferred_answer(question).split())
    if not question.expects_answer or not answer:
        return "no answer"
    place = next(_places(question, answer, pool), None)
    if place is None:
        return "the answer stands in no sentence shown"
    prompt, number = place
    sentence = prompt.sentences[number - 1]
    key = (sentence.document_id, sentence.start, answer)
    if key in seen:
        return "asked already"
    tokens = grammar.encode(prompt.sentence(number))
    for words in (f" {answer}", answer):  # a script without blanks has none before its answer
        if _can_write(grammar.encode(words), QuestionState(grammar, number, tokens, limits)):
            seen.add(key)
            text = QuestionPrompt.target(number, words, question.question)
            return Trace(question.id, "ask", ((prompt.text, False), (text, True)))
    return "the answer is no run of whole tokens"


def _places(question: Question, answer: str, pool: PassagePool) -> Iterator[tuple[QuestionPrompt, int]]:
    """Yield the passages and the sentences' numbers in which evidence lies whole and the answer stands."""
    for span in question.evidence:
        for passage in pool.passages_of(span.document_id):
            if not (passage.start <= span.start and span.end <= passage.end):
                continue
            prompt = QuestionPrompt.of(passage)
            for number, sentence in enumerate(prompt.sentences, start=1):
                inside = sentence.start <= span.start and span.end <= sentence.end
                if inside and prompt.locate(number, answer) is not None:
                    yield prompt, number


def _can_write(answer: Sequence[int], state: QuestionState) -> bool:
    """Whether the grammar lets the answer be written and end there."""
    try:
        for token in (state.grammar.markers[state.number - 1], *answer, state.grammar.newline):
            state.advance(token)
    except ValueError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per labelled set")
    parser.add_argument("--out", type=Path, required=True, help="folder for train.jsonl and held_out.jsonl")
    parser.add_argument("--prep", default=None, help="a prep model version; the shipped one by default")
    parser.add_argument("--n", type=int, default=None, help="at most so many traces, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model, tokenizer = load_base()
    grammar = Grammar(tokenizer, model.get_input_embeddings().weight.shape[0])
    models = [PrepModel.load(arguments.prep, target_tokens=size) for size in TARGET_TOKENS]
    train: list[Trace] = []
    for name, most in SETS.items():
        dataset = load_set(arguments.data / name)
        for held_out in (False, True) if name == DEVELOPMENT else (False,):
            part = part_of(dataset, held_out=held_out)
            questions = list(part.questions)
            random.Random(arguments.seed).shuffle(questions)
            pool = PassagePool.build(part.documents.values(), models)
            traces, refused = question_traces(questions, pool, grammar)
            print(name, "held out" if held_out else "", len(traces), dict(refused), flush=True)
            if held_out:
                write_traces(arguments.out / "held_out.jsonl", traces[:N_HELD_OUT])
            else:
                train += traces[:most]
    random.Random(arguments.seed).shuffle(train)
    write_traces(arguments.out / "train.jsonl", train[: arguments.n])
    print(f"{len(train[: arguments.n])} traces to train on")


if __name__ == "__main__":
    main()
