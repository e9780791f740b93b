"""Questions as users ask them, written by hand over public documentation and kept here without the documents.

`user_questions/<set>.jsonl` holds the questions of one set, `user_questions/digests.json` the SHA-256 of every document
that they name; `user_questions/README.md` says how they were written and checked. The documents come from a folder in
the schema of `training.data.dataset`. Offsets are of these documents alone: another text under the same id is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from prep.errors import DataError
from training.data.dataset import LabelledSet, load_set

__all__ = ["USER_QUESTION_SETS", "load_user_questions", "user_question_files"]

USER_QUESTION_SETS = (
    "doc2dial",
    "docs_handbook",
    "docs_peps",
    "docs_powershell",
    "docs_prometheus",
    "docs_rust_book",
    "docs_site_policy",
    "docs_vue",
    "mtrag",
)

_FOLDER = Path(__file__).parent / "user_questions"


def load_user_questions(name: str, data: str | Path) -> LabelledSet:
    """Return the hand-written questions on a set, with the documents of `data`/`name`; its own questions are left out.

    Raises DataError for an unknown set, and where a document is missing or not the text that was asked about.
    """
    if name not in USER_QUESTION_SETS:
        raise DataError(
            f"there are no user questions on {name!r}; there are on {', '.join(USER_QUESTION_SETS)}"
        )
    digests: dict[str, str] = json.loads((_FOLDER / "digests.json").read_text(encoding="utf-8"))[name]
    documents = load_set(Path(data) / name, questions=False)
    for document_id, digest in digests.items():
        document = documents.documents.get(document_id)
        found = None if document is None else hashlib.sha256(document.text.encode()).hexdigest()
        if found != digest:
            raise DataError(
                f"{name}: the document {document_id!r} is {'missing' if found is None else 'another text'}; "
                "the questions' offsets do not fit it"
            )
    return replace(documents, questions=documents.read_questions(_FOLDER / f"{name}.jsonl"), name=name)


def user_question_files() -> list[Path]:
    """Return the files of all questions, in the order of their sets."""
    return [_FOLDER / f"{name}.jsonl" for name in USER_QUESTION_SETS]
