"""From folders, files and glob patterns to documents: `read_documents`.

Files are found, named and put in order here. A child process (`prep.parsing.parsing_process`) reads their content, by
suffix or, for an unknown suffix, by content. A file that cannot be read is a `Rejected` row.
"""

from __future__ import annotations

import glob as globbing
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from prep.document import Document, Rejected
from prep.errors import ConfigError, DataError
from prep.globs import compile_glob
from prep.parsing.parsed import UnreadableError
from prep.parsing.parsing_process import ParseLimits, ParseProcess
from prep.parsing.titles import title_from_name

__all__ = ["read_documents"]

_SKIPPED_FOLDERS = frozenset({"CVS", "RCS", "SCCS", "_darcs", "__pycache__"})
_DEFAULTS = ParseLimits()


def read_documents(
    *paths: str | os.PathLike[str],
    glob: str | Sequence[str] | None = None,
    timeout_s: float = _DEFAULTS.timeout_s,
    memory_limit_bytes: int = _DEFAULTS.memory_limit_bytes,
    max_bytes: int = _DEFAULTS.max_bytes,
    max_characters: int = _DEFAULTS.max_characters,
) -> Iterator[Document | Rejected]:
    """Return the documents under `paths`, by id, and a `Rejected` for each file that cannot be read.

    A path is a file, a folder (with all folders in it; hidden files and those of version control are left out) or a
    glob pattern (`**` for any folders). glob: patterns that files in folders must match; `*.md` is compared with file
    names, a pattern with a slash with paths inside the folder. Formats are known by suffix: Markdown, plain text,
    reStructuredText, AsciiDoc, Org, HTML, PDF, DOCX, ODT, RTF, PPTX, XLSX, ODS, EPUB, CSV and TSV, JSON and JSON Lines,
    XML, mail (EML, MSG) and saved pages (MHTML), Jupyter notebooks, source code and configuration (YAML, TOML, …), and
    archives of these (ZIP, TAR, gzip); files with other suffixes are read if their content is one of these, text being
    text.

    `Document.id` is the path inside the folder given (for a file its name), with `/` on every system; a file in an
    archive is a document of its own, `notes.zip!/folder/a.md`. Where
    two of the paths given hold the same id, their ids begin with the folders above. A file that is
    reached twice, by overlapping paths or symbolic links, is read once. `Document.text` is the text as read
    for Markdown and plain text, line ends as line feeds, and structure in Markdown form for the others.

    The limits hold for one file each: wall-clock `timeout_s`, memory of the parsing process, `max_bytes` of
    the file, `max_characters` of its text. Deterministic. Raises DataError at once for a path that does not
    exist or a pattern that fits nothing, ConfigError for a limit out of range or no path.
    """
    limits = ParseLimits(
        timeout_s=timeout_s,
        memory_limit_bytes=memory_limit_bytes,
        max_bytes=max_bytes,
        max_characters=max_characters,
    )
    if not paths:
        raise ConfigError("read_documents() was given no path; name a folder, a file or a glob pattern")
    wanted = [glob] if isinstance(glob, str) else list(glob or [])
    return _read(_name_apart(_find_all(paths, [compile_glob(pattern) for pattern in wanted])), limits)


@dataclass(frozen=True, slots=True)
class _Found:
    """A file: the root it was found under, its name inside that, and the reason why it cannot be read, if any."""

    root: Path
    name: str
    path: Path
    reason: str = ""


def _read(found: list[tuple[str, _Found]], limits: ParseLimits) -> Iterator[Document | Rejected]:
    with ParseProcess(limits) as process:
        for document_id, file in found:
            source = _printable(str(file.path))
            if file.reason:
                yield Rejected(source, file.reason)
                continue
            try:
                parsed = process.parse(file.path)
            except UnreadableError as error:
                yield Rejected(source, error.reason)
                continue
            for name, part in parsed.members or (("", parsed),):
                inner = f"!/{name}" if name else ""
                yield Document(
                    id=document_id + inner,
                    title=part.title or title_from_name(PurePath(name or document_id).stem),
                    text=part.text,
                    source=source + inner,
                    metadata=part.metadata,
                    places=part.places,
                )
            for where, why in parsed.losses:
                yield Rejected(f"{source} ({where})", why)


def _find_all(paths: Iterable[str | os.PathLike[str]], wanted: list[re.Pattern[str]]) -> list[_Found]:
    """Return every file once: under its own name rather than a link's, for the first path that holds it."""
    found: list[_Found] = []
    links: list[_Found] = []
    visited: set[tuple[int, int]] = set()
    for given in paths:
        path = Path(given) if _exists(given) else Path(os.path.expanduser(given))
        if _exists(path):
            if os.path.isdir(path):
                _walk(path, path, wanted, visited, found, links)
            else:
                found.append(_look_at(path.parent, path))
            continue
        root, matches = _expand(os.fspath(given))
        if not matches:
            raise DataError(_missing(given))
        for match in matches:
            if os.path.isdir(match):
                _walk(root, match, wanted, visited, found, links)
            else:
                found.append(_look_at(root, match))
    # Links to folders come last, so that a folder is found under its own name first.
    while links:
        link = links.pop(0)
        _walk(link.root, link.path, wanted, visited, found, links)
    return _drop_repeats(found)


def _walk(
    root: Path,
    folder: Path,
    wanted: list[re.Pattern[str]],
    visited: set[tuple[int, int]],
    found: list[_Found],
    links: list[_Found],
) -> None:
    """Add the files below `folder`, and the links to folders to `links`; a folder is visited once."""
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            status = current.stat()
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            found.append(
                _Found(root, _name_inside(root, current), current, f"folder cannot be listed: {_why(error)}")
            )
            continue
        # Inodes tell folders apart whatever their names; a link back up leads to one that was visited.
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in entries:
            path = current / entry.name
            if entry.name.startswith("."):
                continue
            if os.path.isdir(path) and entry.name in _SKIPPED_FOLDERS:
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            elif os.path.isdir(path):
                links.append(_Found(root, _name_inside(root, path), path))
            elif not wanted or _is_wanted(_name_inside(root, path), wanted):
                found.append(_look_at(root, path))


def _look_at(root: Path, path: Path) -> _Found:
    name = _name_inside(root, path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return _Found(root, name, path, "is a link to something that does not exist")
    except OSError as error:
        return _Found(root, name, path, f"cannot be opened: {_why(error)}")
    if not stat.S_ISREG(mode):
        return _Found(root, name, path, "is no regular file (a pipe, socket or device)")
    return _Found(root, name, path)


def _drop_repeats(found: list[_Found]) -> list[_Found]:
    kept: dict[str, _Found] = {}
    for file in sorted(found, key=lambda file: file.path.is_symlink()):
        # A link to nowhere and a folder that cannot be listed have no file behind them to repeat.
        kept.setdefault(os.path.realpath(file.path) if not file.reason else os.path.abspath(file.path), file)
    return list(kept.values())


def _name_apart(found: list[_Found]) -> list[tuple[str, _Found]]:
    """Return the files with their ids, sorted by id.

    Where roots hold the same id, the ids of these roots, all of them, begin with as many of the folders above
    as it takes.
    """
    parts = {
        root: [_printable(part) for part in _absolute_parts(root)] for root in {file.root for file in found}
    }
    depth = dict.fromkeys(parts, 0)
    while True:
        named: dict[str, list[_Found]] = defaultdict(list)
        for file in found:
            above = parts[file.root][len(parts[file.root]) - depth[file.root] :]
            named["/".join([*above, _printable(file.name)])].append(file)
        clashing = {file.root for files in named.values() if len(files) > 1 for file in files}
        growing = [root for root in clashing if depth[root] < len(parts[root])]
        if not growing:
            break
        for root in growing:
            depth[root] += 1
    # Left over: names in one folder that differ only in bytes that are no characters.
    return [
        (
            document_id,
            file if position == 0 else replace(file, reason=f"has the same printable name as {document_id}"),
        )
        for document_id, files in sorted(named.items(), key=lambda item: item[0].split("/"))
        for position, file in enumerate(sorted(files, key=lambda file: os.fsencode(file.path)))
    ]


def _absolute_parts(root: Path) -> list[str]:
    absolute = Path(os.path.abspath(root))
    return [part for part in absolute.parts if part != absolute.anchor]


def _exists(path: str | os.PathLike[str]) -> bool:
    """Whether the path exists, a broken link included."""
    try:
        return os.path.lexists(path)
    except ValueError:  # a NUL in the name
        return False


def _expand(pattern: str) -> tuple[Path, list[Path]]:
    """Return the folder before a glob pattern's first wildcard, and the paths that match, sorted."""
    if not globbing.has_magic(pattern):
        return Path(), []
    fixed: list[str] = []
    for part in Path(os.path.expanduser(pattern)).parts:
        if globbing.has_magic(part):
            break
        fixed.append(part)
    root = Path(*fixed)
    matches = sorted({Path(match) for match in globbing.glob(os.path.expanduser(pattern), recursive=True)})
    return root, [match for match in matches if _SKIPPED_FOLDERS.isdisjoint(match.relative_to(root).parts)]


def _missing(given: str | os.PathLike[str]) -> str:
    name = os.fspath(given)
    if globbing.has_magic(name):
        return f"no file fits the pattern {name!r}; patterns are relative to {os.getcwd()}"
    return f"{name!r} does not exist (looked for from {os.getcwd()}); check the path"


def _is_wanted(name: str, wanted: list[re.Pattern[str]]) -> bool:
    return any(pattern.fullmatch(name) for pattern in wanted)


def _name_inside(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _printable(name: str) -> str:
    """Return a file name with the bytes that are no characters written out, so that it can be stored."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
