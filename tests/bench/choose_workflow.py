"""Try settings of the usual workflow on training articles and print what each is worth. Not a test.

    python tests/bench/choose_workflow.py --data DIR/new_wiki --documents 16 --limit 60

The workflow that our models are measured against should be as good as its parts allow, so its prompt, order
and titles are chosen here, on articles that are never used to measure.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from prep.encoder import Encoder
from retrieve.base import load_base
from training.dataset import LabelledSet, load_set
from training.evaluate import evaluate_answers, format_table
from training.workflow import GreedyCompleter, UsualWorkflow, WorkflowSettings

TRIED = {
    "passages": WorkflowSettings(prompt="passages", best_last=False),
    "question twice": WorkflowSettings(prompt="question-twice", best_last=False),
    "citation first": WorkflowSettings(prompt="citation-first", best_last=False),
    "passages, best last": WorkflowSettings(prompt="passages", best_last=True),
    "question twice, best last": WorkflowSettings(prompt="question-twice", best_last=True),
    "citation first, best last": WorkflowSettings(prompt="citation-first", best_last=True),
    "passages, no titles": WorkflowSettings(prompt="passages", show_titles=False),
    "passages, titles in vectors": WorkflowSettings(prompt="passages", title_in_vector=True),
    "passages, three chunks": WorkflowSettings(prompt="passages", k=3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--base", default=None, help="a causal LM; the embedded one by default")
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=list(TRIED), choices=list(TRIED))
    arguments = parser.parse_args()

    whole = load_set(arguments.data)
    kept = dict(list(whole.documents.items())[: arguments.documents])
    questions = [q for q in whole.questions if all(span.document_id in kept for span in q.evidence)]
    dataset = LabelledSet(kept, whole.formats, questions, whole.name)
    encoder = Encoder.load()
    model, tokenizer = load_base(arguments.base)
    completer = GreedyCompleter(model, tokenizer)
    results = []
    for name in arguments.only:
        settings = replace(TRIED[name], batch_size=arguments.batch_size)
        workflow = UsualWorkflow(kept.values(), completer, encoder, settings=settings)
        results.append(evaluate_answers(dataset, workflow, limit=arguments.limit, label=name, progress=True))
        print(format_table(results), flush=True)
        for row in results[-1].rows[:8]:
            print("   ", row.question_id, row.expects_answer, repr(row.prediction), f"F1 {row.f1:.2f}")


if __name__ == "__main__":
    main()
