"""`diptych status`, `list`, `show`, `delete` and `generations`: what is in a workspace. No model is loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.command import KINDS, command, command_group, json_option
from flows.cli.output import format_moment, plain, print_columns, print_json

if TYPE_CHECKING:
    from prep.document import Chunk
    from prep.store.workspace import Workspace

__all__ = ["delete", "generations", "list_documents", "show", "status"]

# What a terminal would act on, or what reorders text: all but line ends and tabs.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@command("status", "diptych status", "diptych status --workspace notes-index --json")
@json_option
def status(workspace: Path, as_json: bool) -> int:
    """Show what is in a workspace, and whether its files are intact."""
    from prep.store.workspace import Workspace
    from retrieve.experience.log import ExperienceLog

    place = Workspace(workspace)
    current = place.current()
    about = None if current.generation is None else _about_generation(place, current.generation, check=True)
    models = {kind: getattr(current, kind) or "shipped" for kind in KINDS}
    n_questions = ExperienceLog.of(workspace).count()
    n_bytes = sum(path.stat().st_size for path in place.path.rglob("*") if path.is_file())
    if as_json:
        found = {
            "workspace": str(place.path),
            "generation": about,
            "generations": len(place.generations()),
            "models": models,
            "questions_kept": n_questions,
            "bytes": n_bytes,
        }
        print_json(found)
        return 0
    rows = [("workspace", plain(place.path))]
    if about is None:
        rows.append(("documents", "none: diptych ingest PATH makes them searchable"))
    elif about["damage"]:
        rows.append(
            ("damaged", f"{plain(about['damage'])}: diptych generations rollback, or diptych ingest PATH")
        )
    else:
        rows += [
            ("documents", f"{about['documents']:,}, {about['rejected']:,} rejected"),
            ("chunks", f"{about['chunks']:,}, {about['indexed']:,} searchable"),
            ("generation", f"{about['id']}, {format_moment(about['created'])}, files intact"),
        ]
    rows += [(kind, plain(version)) for kind, version in models.items()]
    rows += [("questions", f"{n_questions:,} kept"), ("size", f"{n_bytes / 1e6:,.1f} MB")]
    print_columns(rows)
    return 0


@command("list", "diptych list", "diptych list --json")
@json_option
def list_documents(workspace: Path, as_json: bool) -> int:
    """List the documents: id, characters, chunks, title."""
    from prep.store.workspace import Workspace

    with Workspace(workspace).open_generation() as generation:
        rows = list(generation.summaries())
    if as_json:
        print_json(rows)
        return 0
    print_columns(
        (plain(row.id), f"{row.n_characters:>9,}", f"{row.n_chunks:>5,}", plain(row.title)) for row in rows
    )
    return 0


@command("show", "diptych show handbook/pay.md", "diptych show handbook/pay.md --chunks")
@click.argument("document", metavar="DOCUMENT")
@click.option("--chunks", "with_chunks", is_flag=True, help="Show the chunks, each with its place and role.")
@json_option
def show(workspace: Path, document: str, with_chunks: bool, as_json: bool) -> int:
    """Show a document as it was read, or its chunks."""
    from prep.document_deletion import unknown_document
    from prep.errors import StoreError
    from prep.store.workspace import Workspace

    with Workspace(workspace).open_generation() as generation:
        hashes = generation.content_hashes()
        if document not in hashes:
            raise StoreError(unknown_document(document, hashes))
        found = generation.document(document)
        chunks = generation.document_chunks(document) if with_chunks else []
    if as_json:
        about: dict[str, Any] = {name: getattr(found, name) for name in ("id", "title", "source", "text")}
        if found.metadata:
            about["metadata"] = dict(found.metadata)
        if with_chunks:
            about["chunks"] = [_chunk_dict(chunk) for chunk in chunks]
        print_json(about)
        return 0
    if not with_chunks:
        print(_printable(found.text))
        return 0
    for chunk in chunks:
        headings = " › ".join(map(plain, chunk.headings))
        print(f"{chunk.start}–{chunk.end}  {chunk.role}, {chunk.n_tokens} tokens  {headings}".rstrip())
        print(f"{_printable(chunk.text).strip()}\n")
    return 0


@command("delete", "diptych delete handbook/pay.md", "diptych delete old.md older.md --json")
@click.argument("documents", nargs=-1, required=True, metavar="DOCUMENT...")
@json_option
def delete(workspace: Path, documents: tuple[str, ...], as_json: bool) -> int:
    """Make a new generation without these documents.

    Their files stay: the next ingest that names them, or their folder, brings the documents back.
    """
    from prep.document_deletion import delete_documents

    report = delete_documents(workspace, documents)
    if as_json:
        print_json(report)
        return 0
    print(
        f"{report.n_removed} deleted, {report.n_documents} documents stay: generation {report.generation}\n"
        "An ingest of the same files brings them back; diptych generations rollback takes this back. Reports that\n"
        "quote them stay in the log: diptych experience delete --document ID removes them."
    )
    return 0


@command_group("generations", "diptych generations", "diptych generations rollback", default="list")
def generations() -> None:
    """List the kept states of the documents; go back to one.

    Without a command, the list.
    """


@command("list", "diptych generations", "diptych generations list --json")
@json_option
def list_generations(workspace: Path, as_json: bool) -> int:
    """List the generations, oldest first."""
    from prep.store.workspace import Workspace

    place = Workspace(workspace)
    current = place.current()
    rows = [_about_generation(place, generation_id) for generation_id in place.generations()]
    for row in rows:
        row["current"] = row["id"] == current.generation
    if as_json:
        print_json(rows)
        return 0
    if not rows:
        print("there is no generation: diptych ingest PATH makes the first")
    cells = []
    for row in rows:
        state = "current" if row["current"] else ""
        if row["id"] == current.previous.get("generation"):
            state = state or "before"
        counts = (
            plain(f"damaged: {row['damage']}")
            if row["damage"]
            else (f"{row['documents']:,} documents, {row['chunks']:,} chunks")
        )
        cells.append((row["id"], format_moment(row["created"]), state, counts))
    print_columns(cells)
    return 0


@command("rollback", "diptych generations rollback", "diptych generations rollback 20260101T093000-3f2a91bc")
@click.argument("generation", required=False, metavar="[ID]")
@json_option
def rollback(workspace: Path, generation: str | None, as_json: bool) -> int:
    """Make a generation current again; by default the one before."""
    from prep.store.workspace import Workspace

    place = Workspace(workspace)
    current = place.rollback_generation(generation)
    assert current.generation is not None
    if as_json:
        print_json(_about_generation(place, current.generation))
        return 0
    about = _about_generation(place, current.generation)
    print(
        f"generation {about['id']} is current: {about['documents']:,} documents, {about['chunks']:,} chunks"
    )
    return 0


def _about_generation(place: Workspace, generation_id: str, *, check: bool = False) -> dict[str, Any]:
    """Return what a generation's manifest says of it, and why it cannot be used. check: its files, too."""
    from prep.errors import StoreError
    from prep.manifest import read_manifest, verify_folder

    folder = place.generations_path / generation_id
    manifest: dict[str, Any] = {}
    damage = ""
    try:
        manifest = read_manifest(folder)
        if check:
            verify_folder(folder)
    except StoreError as error:
        damage = str(error)
    counts = manifest.get("counts", {})
    return {
        "id": generation_id,
        "created": manifest.get("created_at"),
        "documents": counts.get("documents", 0),
        "chunks": counts.get("chunks", 0),
        "indexed": counts.get("indexed", 0),
        "rejected": len(manifest.get("rejected", [])),
        "prep_version": manifest.get("prep_version"),
        "damage": damage,
    }


def _chunk_dict(chunk: Chunk) -> dict[str, Any]:
    names = ("id", "start", "end", "role", "n_tokens", "headings", "text")
    return {name: getattr(chunk, name) for name in names}


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)


for _command in (list_generations, rollback):
    generations.add_command(_command)
