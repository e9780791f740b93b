"""Feedback examples of a workspace's experience log, on its documents as they are now.

Which rows become examples is `training.data.feedback_examples`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from prep.document import Span
from prep.store.workspace import Workspace
from retrieve.experience.log import LOG_NAME, ExperienceLog
from training.data.dataset import Question
from training.data.feedback_examples import FeedbackConfig, draw_examples, examples_from_log
from training.data.gate_set import GateSet

__all__ = ["LoggedExamples", "logged_examples"]


_SEARCHED = 5  # passages, for a corrected answer that was not shown


@dataclass(frozen=True, slots=True)
class LoggedExamples:
    """The questions to train on, oldest first; how many of each kind, and why other rows give none."""

    questions: tuple[Question, ...] = ()
    kinds: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def logged_examples(
    workspace: Workspace, gate_set: GateSet, config: FeedbackConfig | None = None
) -> LoggedExamples:
    """Return the feedback examples of a workspace's log. Raises StoreError, EmptyStore."""
    with workspace.open_generation() as generation:

        def search(text: str) -> list[Span]:
            found = generation.chunks(generation.search_words(text, _SEARCHED))
            return [Span(chunk.document_id, chunk.start, chunk.end) for chunk in found]

        documents = {document.id: document for document in generation.documents()}
        rows = ExperienceLog(workspace.path / LOG_NAME).rows()
        found = examples_from_log(rows, documents, gate_set, config, search=search)
    questions = tuple(draw_examples(found.examples))
    left_out = found.left_out + Counter({"not drawn, by its weight": len(found.examples) - len(questions)})
    return LoggedExamples(questions, Counter(question.kind for question in questions), +left_out)
