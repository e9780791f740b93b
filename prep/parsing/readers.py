"""From folders, files and glob patterns to documents: `read_documents`.

`prep.files.file_finder` finds the files, `prep.files.file_names` names them, and a child process
(`prep.parsing.parsing_process`) reads their content, by suffix or, for an unknown suffix, by content. A file that
cannot be read is a `Rejected` row.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import PurePath

from prep.document import INSIDE, Document, Rejected
from prep.errors import ConfigError
from prep.files.file_finder import find_files
from prep.files.file_names import KnownDocument, NamedFile, name_files, printable_name
from prep.files.globs import compile_glob
from prep.files.ignore_rules import FileRules
from prep.files.sidecars import Sidecars
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.parsing_process import ParseLimits, ParseProcess
from prep.parsing.titles import title_from_name

__all__ = ["DocumentFiles", "FileRules", "find_documents", "read_documents"]

_DEFAULTS = ParseLimits()


def read_documents(
    *paths: str | os.PathLike[str],
    glob: str | Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    ignore: bool = True,
    follow_links: bool = False,
    timeout_s: float = _DEFAULTS.timeout_s,
    memory_limit_bytes: int = _DEFAULTS.memory_limit_bytes,
    max_bytes: int = _DEFAULTS.max_bytes,
    max_characters: int = _DEFAULTS.max_characters,
) -> Iterator[Document | Rejected]:
    """Return the documents under `paths`, by id, and a `Rejected` for each file that cannot be read.

    A path is a file, a folder (with all folders in it) or a glob pattern (`**` for any folders). glob: patterns that
    files in folders must match; `*.md` is compared with names, a pattern with a slash with paths inside the folder.
    exclude, include, ignore, follow_links: `prep.files.ignore_rules.FileRules`; by default hidden files, what
    `.gitignore` names and installed packages are left out, and links out of the folders given are rejected. What is
    named itself is read. Formats are known by suffix: Markdown, plain text, reStructuredText, AsciiDoc, Org, HTML, PDF,
    DOCX, ODT, RTF, PPTX, XLSX, ODS, EPUB, CSV and TSV, JSON and JSON Lines, XML, mail (EML, MSG) and saved pages
    (MHTML), Jupyter notebooks, source code and configuration (YAML, TOML, …), and archives of these (ZIP, TAR, gzip);
    files with other suffixes are read if their content is one of these, text being text.

    `Document.id` is the path inside the folder given (for a file its name), with `/` on every system; a file in an
    archive is a document of its own, `notes.zip!/folder/a.md`. Where two of the paths given hold the same id, their ids
    begin with the folders above. A file that is reached twice, by overlapping paths or symbolic links, is read once.
    `Document.text` is the text as read for Markdown and plain text, line ends as line feeds, and structure in Markdown
    form for the others.

    `Document.metadata` has the file's `path` and `folder` inside the folder given, its `format`, when it was `modified`
    (ISO 8601, UTC), what the file says of itself, front matter included, and, winning over these, what a
    `metadata.jsonl` beside the files or above them says (`prep.files.sidecars`). Path, folder and format are never
    what a file says.

    The limits hold for one file each: wall-clock `timeout_s`, memory of the parsing process, `max_bytes` of
    the file, `max_characters` of its text. Deterministic. Raises DataError at once for a path that does not
    exist or a pattern that fits nothing, ConfigError for a limit out of range, a pattern that is none, or no path.
    """
    limits = ParseLimits(
        timeout_s=timeout_s,
        memory_limit_bytes=memory_limit_bytes,
        max_bytes=max_bytes,
        max_characters=max_characters,
    )
    rules = FileRules(exclude=exclude, include=include, ignore=ignore, follow_links=follow_links)
    return iter(find_documents(*paths, glob=glob, rules=rules, limits=limits))


def find_documents(
    *paths: str | os.PathLike[str],
    glob: str | Sequence[str] | None = None,
    rules: FileRules | None = None,
    limits: ParseLimits | None = None,
    known: Sequence[KnownDocument] = (),
    keep_known: bool = True,
) -> DocumentFiles:
    """Find and name the files that `read_documents` reads, and read none yet; raises what it raises.

    known, keep_known: the documents of a workspace, and whether they stay (`prep.files.file_names.name_files`).
    """
    if not paths:
        raise ConfigError("read_documents() was given no path; name a folder, a file or a glob pattern")
    wanted = [glob] if isinstance(glob, str) else list(glob or [])
    found = find_files(paths, rules or FileRules(), [compile_glob(pattern) for pattern in wanted])
    sidecars = Sidecars()
    files = [file for file in found.files if not sidecars.is_sidecar(file.path)]
    named = name_files(files, known, keep_known=keep_known)
    return DocumentFiles(named, found.left_out, sidecars, limits or ParseLimits())


class DocumentFiles:
    """Files that were found and named. Iterating reads them, by id."""

    def __init__(
        self, files: Sequence[NamedFile], left_out: Counter[str], sidecars: Sidecars, limits: ParseLimits
    ) -> None:
        """left_out: how many files and folders were left out, by reason."""
        self.left_out = left_out
        self.n_done = 0
        self._files = files
        self._sidecars = sidecars
        self._limits = limits

    def __len__(self) -> int:
        """Return the number of files; `n_done` of them were read or rejected so far."""
        return len(self._files)

    @property
    def document_ids(self) -> set[str]:
        """The ids of the documents that the files are, whether or not they can be read."""
        return {named.document_id for named in self._files if named.document_id}

    def __iter__(self) -> Iterator[Document | Rejected]:
        self.n_done = n_told = 0
        with ParseProcess(self._limits) as process:
            for named in self._files:
                rows = list(_read(named, process, self._sidecars))
                self.n_done += 1
                yield from rows
                yield from self._sidecars.rejected[n_told:]
                n_told = len(self._sidecars.rejected)


def _read(named: NamedFile, process: ParseProcess, sidecars: Sidecars) -> Iterator[Document | Rejected]:
    """Yield the document, or why there is none, and then what of it could not be read."""
    file = named.file
    source = printable_name(str(file.path))
    if file.reason:
        yield Rejected(source, file.reason, named.document_id)
        return
    try:
        parsed = process.parse(file.path)
    except UnreadableError as error:
        yield Rejected(source, error.reason, named.document_id)
        return
    beside = sidecars.metadata(file.root, file.name)
    for name, part in parsed.members or (("", parsed),):
        inner = f"{INSIDE}{name}" if name else ""
        title = "" if name else str(beside.get("title") or "")
        yield Document(
            id=named.document_id + inner,
            title=title or part.title or title_from_name(PurePath(name or named.path).stem),
            text=part.text,
            source=source + inner,
            metadata=_metadata(named, named.path + inner, part, beside),
            places=part.places,
        )
    for where, why in parsed.losses:
        member_id = f"{named.document_id}{INSIDE}{where}" if parsed.members else ""
        yield Rejected(f"{source} ({where})", why, member_id)


def _metadata(named: NamedFile, path: str, parsed: Parsed, beside: dict[str, object]) -> dict[str, object]:
    modified = datetime.fromtimestamp(named.file.modified, UTC).isoformat(timespec="seconds")
    of_place = {
        "path": path,
        "folder": path.rpartition("/")[0],
        "format": parsed.metadata.get("format", "text"),
    }
    said = {**parsed.metadata, **beside}
    return {
        "modified": modified,
        **{key: said[key] for key in said if key.casefold() not in of_place},
        **of_place,
    }
