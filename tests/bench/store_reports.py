"""Store what the shipped models make of a few small documents: chunks, reports, a workspace. Not a test, not timed.

    python tests/bench/store_reports.py

Writes `tests/promises/stored_reports/reports.json` from the documents beside it and `tests/promises/stored_workspace/`.
`test_stored_reports.py` and `test_stored_workspace.py` there compare both with what the code does. Run it only when
answers are meant to change: with other weights, another search, other chunks. A change of the code alone must not need
it. The stored workspace stays where it can: it is of an older table format, and shows that those open.

Everything is computed in float32, whatever the processor is fast in, so that the file is the same on every machine.
Scores, vectors, times and ids are not stored. Nothing is drawn at random.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from prep import Document, PrepModel, Rejected, Workspace, read_documents
from prep.ingest import ingest
from retrieve import Report, Researcher, RetrieveModel

PROMISES = Path(__file__).resolve().parents[1] / "promises"
DOCUMENTS = PROMISES / "stored_reports" / "documents"
REPORTS = PROMISES / "stored_reports" / "reports.json"
WORKSPACE = PROMISES / "stored_workspace"
N_CHUNKS = 10  # of each document
DEADLINE_S = 600.0  # never reached: the answer must not depend on the machine's speed

#: (kind, question). "none": the documents do not say, though one comes near. Asked one after the other:
ALONE = (
    ("fact", "What is the capacity of the LB-40?"),  # said in a table
    ("yes/no", "May I bring a glass bottle to the Lantern Festival?"),
    ("chinese", "谁负责检查灭火器？"),
    ("none", "How many days of holiday do people on a fixed-term contract have?"),
    ("none", "Which team won the football World Cup of 1998?"),
)
#: Asked in one call, a question of those above again with them.
BATCH = (
    ("fact", "What does a ticket for adults cost on Saturday?"),
    ("howto", "How do I calibrate the balance?"),
    ("list", "Which exit statuses does sheaf have?"),
    ("broad", "What did the general meeting of the allotment association decide?"),
    ("none", "Who designed the flag of Skellness?"),
    ALONE[0],
)
#: Asked one after the other by the same user for the stored workspace, and what is said of the reports.
LOGGED = (
    "Who built the north mole of Skellness?",
    "How many days of paid holiday do employees of Larkfield Instruments have?",
)
USER = "ada"
CORRECTED = "27 days a year"


@contextmanager
def float32_processor() -> Iterator[None]:
    """Have models that are loaded inside compute in float32, as on a processor without fast bfloat16.

    The probes are torch's own, so that this holds wherever our code asks them.
    """
    with (
        patch.object(torch.cpu, "_is_amx_tile_supported", lambda: False, create=True),
        patch.object(torch.cpu, "_is_avx512_bf16_supported", lambda: False, create=True),
    ):
        yield


def load_models() -> tuple[PrepModel, RetrieveModel]:
    """Return the shipped models, in float32, on the CPU."""
    with float32_processor():
        return PrepModel.load(precision="float32"), RetrieveModel.load(device="cpu")


def stored_documents() -> list[Document]:
    """Return the documents as read, without what names this machine's folders and times."""
    documents = []
    for document in read_documents(DOCUMENTS):
        if isinstance(document, Rejected):
            raise ValueError(f"{document.path} cannot be read: {document.reason}")
        documents.append(replace(document, source=document.id, metadata={}))
    return documents


def chunks_of(workspace: str | Path) -> dict[str, Any]:
    """Return each document's title, its text's checksum, and its first chunks."""
    with Workspace(workspace).open_generation() as generation:
        return {
            document.id: {
                "title": document.title,
                "text_sha256": sha256(document.text.encode()).hexdigest(),
                "n_chunks": len(generation.document_chunks(document.id)),
                "chunks": [
                    {
                        "start": chunk.start,
                        "end": chunk.end,
                        "role": chunk.role,
                        "headings": list(chunk.headings),
                        "n_tokens": chunk.n_tokens,
                    }
                    for chunk in generation.document_chunks(document.id)[:N_CHUNKS]
                ],
            }
            for document in generation.documents()
        }


def stable_part(report: Report) -> dict[str, Any]:
    """Return what of a report must not change: no id, time, version or score."""
    return {
        "question": report.question,
        "abstained": report.abstained,
        "answer": report.answer,
        "findings": [
            {
                "statement": finding.statement,
                "alternative": finding.alternative,
                "quotes": [
                    {
                        "document_id": quote.document_id,
                        "start": quote.start,
                        "end": quote.end,
                        "text": quote.text,
                    }
                    for quote in finding.quotes
                ],
            }
            for finding in report.findings
        ],
        "searches": report.searches,
        "sources": [[source.document_id, source.start, source.end] for source in report.sources],
        "note": report.note,
    }


def ask_alone(researcher: Researcher) -> list[dict[str, Any]]:
    """Ask questions one after the other."""
    return [
        {"kind": kind, **stable_part(researcher.ask(question, deadline_s=DEADLINE_S))}
        for kind, question in ALONE
    ]


def ask_batch(researcher: Researcher) -> list[dict[str, Any]]:
    """Ask questions in one call, which answers eight of them at a time."""
    reports = researcher.ask_many([question for _, question in BATCH], deadline_s=DEADLINE_S)
    return [{"kind": kind, **stable_part(report)} for (kind, _), report in zip(BATCH, reports, strict=True)]


def make_workspace(folder: Path, prep: PrepModel, model: RetrieveModel) -> None:
    """Make a workspace with everything an old one may hold: a generation, two logged reports, feedback."""
    ingest(folder, stored_documents(), prep, progress=False)
    with Researcher.open(folder, prep=prep, model=model) as researcher:
        first, second = (researcher.ask(one, deadline_s=DEADLINE_S, user=USER) for one in LOGGED)
        researcher.feedback(first.id, helpful=True)
        researcher.feedback(first.id, quote=1, quote_right=True)
        researcher.feedback(second.id, helpful=False, answer=CORRECTED)
    (folder / ".lock").unlink(missing_ok=True)


def write_lines(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that a diff can be read of."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(argv)
    prep, model = load_models()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ingest(folder / "fresh", stored_documents(), prep, progress=False)
        with Researcher.open(folder / "fresh", prep=prep, model=model, log=False) as researcher:
            content = {
                "documents": chunks_of(folder / "fresh"),
                "alone": ask_alone(researcher),
                "batch": ask_batch(researcher),
            }
        make_workspace(folder / "workspace", prep, model)
        write_lines(REPORTS, content)
        shutil.rmtree(WORKSPACE, ignore_errors=True)
        shutil.copytree(folder / "workspace", WORKSPACE)


if __name__ == "__main__":
    main()
