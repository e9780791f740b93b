"""Names files: a document's id and path stay the same whatever folder or working directory a file is reached from.

An id is the path inside the folder given. A file that the workspace holds already, known by its full path, keeps its
id; a new file whose id another file has is named with as many of the folders above as it takes. A file that lies in a
folder of which the workspace knows files is named as those are.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prep.document import INSIDE
from prep.files.file_finder import FoundFile

__all__ = ["KnownDocument", "NamedFile", "name_files", "printable_name"]


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document of the workspace: its id, the full path of its file, and the path that it is known by.

    For what an archive holds, those of the archive.
    """

    document_id: str
    source: str
    path: str

    @classmethod
    def of(cls, document_id: str, source: str, path: str) -> KnownDocument:
        """Return the document, or the archive that it is in."""
        return cls(*(text.partition(INSIDE)[0] for text in (document_id, source, path)))


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file with the id of its document, and its path, `/` between the parts; both empty where it holds none.

    The file's root is the folder that the path begins in.
    """

    document_id: str
    path: str
    file: FoundFile


def name_files(
    found: Iterable[FoundFile], known: Sequence[KnownDocument] = (), *, keep_known: bool = True
) -> list[NamedFile]:
    """Return the files with their ids, sorted by id.

    known: what the workspace holds. keep_known: whether documents whose file is not among those found stay, so that
    their ids are taken, unless their file is gone from its place: then it was moved.
    """
    times = Counter(one.source for one in known)  # documents that are parts of one file are not that file
    by_source = {os.path.abspath(one.source): one for one in known if one.source and times[one.source] == 1}
    named: list[NamedFile] = []
    new: list[FoundFile] = []
    for file in found:
        if file.is_barred or file.is_unlisted:
            named.append(NamedFile("", "", file))
            if file.is_unlisted:
                named += _inside(file, by_source)
        elif (document := by_source.get(printable_name(str(file.path)))) is not None:
            named.append(_named_as_known(file, document))
        else:
            new.append(file)
    held = {one.document_id for one in named}
    taken = {name for one in named if one.document_id for name in (one.document_id, one.path)}
    if keep_known:
        taken |= {
            name
            for one in known
            if one.document_id not in held and one.source and os.path.lexists(one.source)
            for name in (one.document_id, one.path)
        }
    roots = _roots(known)
    named += _name_apart([_reroot(file, roots) for file in new], taken)
    return sorted(named, key=lambda one: (one.document_id.split("/"), os.fsencode(one.file.path)))


def printable_name(name: str) -> str:
    """Return a file name with the bytes that are no characters written out, so that it can be stored."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _named_as_known(file: FoundFile, document: KnownDocument) -> NamedFile:
    """Name a file as it was named before; its path is the longest that it was reached by."""
    name = printable_name(file.name)
    if len(document.path) > len(name) and _is_end(document.path, document.source):
        return NamedFile(document.document_id, document.path, _with_parts(file, document.path.count("/") + 1))
    return NamedFile(document.document_id, name, file)


def _inside(folder: FoundFile, by_source: dict[str, KnownDocument]) -> list[NamedFile]:
    """Return the known documents in a folder that cannot be listed: they cannot be read either."""
    above = printable_name(str(folder.path)).rstrip(os.sep) + os.sep
    return [
        NamedFile(
            one.document_id,
            one.path,
            replace(folder, name=source[len(above) :], root=folder.path, is_unlisted=False),
        )
        for source, one in by_source.items()
        if source.startswith(above)
    ]


def _roots(known: Iterable[KnownDocument]) -> dict[str, set[str]]:
    """Return the folders that known paths begin in, each with the folders of known documents inside it."""
    roots: dict[str, set[str]] = defaultdict(set)
    for one in known:
        if _is_end(one.path, one.source):
            folders = roots[one.source[: -len(one.path) - 1]]
            folder = one.path.rpartition("/")[0]
            while folder and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
    return roots


def _reroot(file: FoundFile, roots: dict[str, set[str]]) -> FoundFile:
    """Return the file as named from the nearest root above whose known folders include the one it was found under."""
    for n, above in enumerate(file.root.parents, start=1):
        folder = printable_name("/".join(file.root.parts[-n:]))
        if folder in roots.get(printable_name(str(above)), ()):
            return _with_parts(file, n + file.name.count("/") + 1)
    return file


def _name_apart(found: Sequence[FoundFile], taken: set[str]) -> list[NamedFile]:
    """Name files by their paths inside their roots.

    Where roots hold the same name, or one that is taken, the names of these roots, all of them, begin with as many of
    the folders above as it takes.
    """
    depth = dict.fromkeys((file.root for file in found), 0)
    while True:
        named: dict[str, list[FoundFile]] = defaultdict(list)
        for file in found:
            above = file.root.parts[len(file.root.parts) - depth[file.root] :]
            named[printable_name("/".join([*above, file.name]))].append(file)
        clashing = {
            file.root for name, files in named.items() if len(files) > 1 or name in taken for file in files
        }
        growing = [root for root in clashing if depth[root] < len(root.parts) - 1]
        if not growing:
            break
        for root in growing:
            depth[root] += 1
    rows: list[NamedFile] = []
    for name, files in named.items():
        for position, file in enumerate(sorted(files, key=lambda file: os.fsencode(file.path))):
            rooted = _with_parts(file, depth[file.root] + file.name.count("/") + 1)
            if position == 0 and name not in taken:
                rows.append(NamedFile(name, name, rooted))
                continue
            # Left over: names in one folder that differ only in bytes that are no characters.
            barred = replace(rooted, reason=f"has the same printable name as {name}", is_barred=True)
            rows.append(NamedFile("", "", barred))
    return rows


def _with_parts(file: FoundFile, n_parts: int) -> FoundFile:
    """Return the file with the last n_parts of its full path as its name."""
    root = file.path.parents[n_parts - 1]
    return replace(file, root=root, name=file.path.relative_to(root).as_posix())


def _is_end(path: str, source: str) -> bool:
    return Path(source).is_absolute() and source.endswith(f"/{path}")
