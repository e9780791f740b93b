"""Finds the files under paths: folders, files and glob patterns, each file once.

What is left out of folders is `prep.files.ignore_rules`'s to say. A link that leads out of the folders given is found
with the reason why it is not read, as are files that cannot be opened and folders that cannot be listed.
"""

from __future__ import annotations

import glob as globbing
import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from re import Pattern

from prep.errors import DataError
from prep.files.ignore_rules import FileRules, FolderRules

__all__ = ["FoundFile", "FoundFiles", "find_files"]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file: the folder it was found under, without links in its path, its name inside that, and when it was modified.

    reason: why it cannot be read, if it cannot. is_unlisted: it is a folder that cannot be listed. is_barred: it may
    not be read.
    """

    root: Path
    name: str
    modified: float = 0.0
    reason: str = ""
    is_unlisted: bool = False
    is_barred: bool = False

    @property
    def path(self) -> Path:
        """Its full path."""
        return self.root / self.name


@dataclass(slots=True)
class FoundFiles:
    """The files found, and how many entries of folders were left out, by reason; a folder is one."""

    files: list[FoundFile] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find_files(
    paths: Iterable[str | os.PathLike[str]], rules: FileRules, wanted: Sequence[Pattern[str]] = ()
) -> FoundFiles:
    """Return every file under the paths once: under its own name, not a link's, for the first path that holds it.

    wanted: of which one must fit a file's path inside its folder. Raises DataError for a path that does not exist or a
    pattern that fits nothing, ConfigError for rules that are none.
    """
    finder = _Finder(rules, wanted)
    for given in paths:
        finder.add(given)
    finder.follow_links()
    found = finder.found
    found.files = _drop_repeats(found.files)
    return found


class _Finder:
    def __init__(self, rules: FileRules, wanted: Sequence[Pattern[str]]) -> None:
        self.found = FoundFiles()
        self._rules = rules
        self._wanted = wanted
        self._given: list[str] = []  # folders, without links
        self._folders: dict[Path, FolderRules] = {}
        self._visited: set[tuple[int, int]] = set()
        self._links: list[tuple[Path, str]] = []  # to files and to folders

    def add(self, given: str | os.PathLike[str]) -> None:
        path = Path(given) if _exists(given) else Path(os.path.expanduser(given))
        if _exists(path):
            if os.path.isdir(path):
                root = Path(os.path.realpath(path))
                self._given.append(str(root))
                self._walk(root, "")
            else:
                self.found.files.append(_look_at(Path(os.path.realpath(path.parent)), path.name))
            return
        root, matches, named = _expand(os.fspath(given))
        if not matches:
            raise DataError(_missing(given))
        self._given.append(str(root))
        for name in matches:
            self._add_match(root, name, named)

    def follow_links(self) -> None:
        """Look at links last, so that a file or a folder is found under its own name first."""
        while self._links:
            root, name = self._links.pop(0)
            path = root / name
            if _exists_behind(path) and not self._rules.follow_links and not self._is_inside(path):
                reason = f"is a link out of the folders given, to {os.path.realpath(path)}"
                reason += ": follow_links (--follow-links) reads it"
                self.found.files.append(FoundFile(root, name, reason=reason, is_barred=True))
            elif os.path.isdir(path):
                self._walk(root, name)
            elif self._is_wanted(name):
                self.found.files.append(_look_at(root, name))

    def _add_match(self, root: Path, name: str, named: frozenset[str]) -> None:
        """Add what fits a pattern, unless a folder above it is left out; named: parts that the pattern spells out."""
        rules = self._rules_of(root)
        parts = name.split("/")
        is_folder = os.path.isdir(root / name)
        for n, part in enumerate(parts):
            last = n == len(parts) - 1
            folder = rules.enter("/".join(parts[:n]))
            reason = rules.left_out(folder, part, is_folder=is_folder or not last)
            if reason is None and not last:
                reason = rules.left_out_once_listed(rules.enter("/".join(parts[: n + 1])).names)
            if reason is not None and part not in named:
                self.found.left_out[reason] += 1
                return
        if os.path.realpath(root / name) != str(root / name):
            self._links.append((root, name))
        elif is_folder:
            self._walk(root, name)
        else:
            self.found.files.append(_look_at(root, name))

    def _walk(self, root: Path, first: str) -> None:
        """Add the files below a folder, and the links; a folder is visited once."""
        rules = self._rules_of(root)
        pending = [first]
        while pending:
            name = pending.pop()
            path = root / name
            try:
                status = path.stat()
                entries = sorted(os.scandir(path), key=lambda entry: entry.name)
            except OSError as error:
                reason = f"folder cannot be listed: {_why(error)}"
                self.found.files.append(FoundFile(root, name or ".", reason=reason, is_unlisted=True))
                continue
            # Inodes tell folders apart whatever their names; a link back up leads to one that was visited.
            if (status.st_dev, status.st_ino) in self._visited:
                continue
            names = [entry.name for entry in entries]
            if name != first and (why := rules.left_out_once_listed(names)) is not None:
                self.found.left_out[why] += 1
                continue
            self._visited.add((status.st_dev, status.st_ino))
            folder = rules.enter(name, names)
            for entry in entries:
                inside = f"{name}/{entry.name}" if name else entry.name
                is_link = entry.is_symlink()
                is_folder = os.path.isdir(path / entry.name) if is_link else entry.is_dir()
                reason_left = rules.left_out(folder, entry.name, is_folder=is_folder)
                if reason_left is not None:
                    self.found.left_out[reason_left] += 1
                elif is_link:
                    self._links.append((root, inside))
                elif is_folder:
                    pending.append(inside)
                elif self._is_wanted(inside):
                    self.found.files.append(_look_at(root, inside))

    def _rules_of(self, root: Path) -> FolderRules:
        if root not in self._folders:
            self._folders[root] = FolderRules(root, self._rules)
        return self._folders[root]

    def _is_inside(self, path: Path) -> bool:
        real = os.path.realpath(path)
        return any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in self._given)

    def _is_wanted(self, name: str) -> bool:
        return not self._wanted or any(pattern.fullmatch(name) for pattern in self._wanted)


def _look_at(root: Path, name: str) -> FoundFile:
    try:
        status = (root / name).stat()
    except FileNotFoundError:
        return FoundFile(root, name, reason="is a link to something that does not exist")
    except OSError as error:
        return FoundFile(root, name, reason=f"cannot be opened: {_why(error)}")
    if not stat.S_ISREG(status.st_mode):
        return FoundFile(root, name, reason="is no regular file (a pipe, socket or device)")
    return FoundFile(root, name, status.st_mtime)


def _drop_repeats(found: Sequence[FoundFile]) -> list[FoundFile]:
    kept: dict[str, FoundFile] = {}
    for file in sorted(found, key=lambda file: file.path.is_symlink()):
        # A link to nowhere and a folder that cannot be listed have no file behind them to repeat.
        kept.setdefault(os.path.realpath(file.path) if not file.reason else os.path.abspath(file.path), file)
    return list(kept.values())


def _expand(pattern: str) -> tuple[Path, list[str], frozenset[str]]:
    """Return the folder before a pattern's first wildcard, the sorted names in it that fit, and the parts spelt out."""
    if not globbing.has_magic(pattern):
        return Path(), [], frozenset()
    parts = Path(os.path.expanduser(pattern)).parts
    n_fixed = next(n for n, part in enumerate(parts) if globbing.has_magic(part))
    root = Path(os.path.realpath(Path(*parts[:n_fixed])))
    matches = sorted(globbing.glob(str(Path(*parts[n_fixed:])), root_dir=root, recursive=True))
    names = [Path(match).as_posix() for match in matches]
    named = frozenset(part for part in parts[n_fixed:] if not globbing.has_magic(part))
    return root, [name for name in names if name != "."], named


def _missing(given: str | os.PathLike[str]) -> str:
    name = os.fspath(given)
    if globbing.has_magic(name):
        return f"no file fits the pattern {name!r}; patterns are relative to {os.getcwd()}"
    return f"{name!r} does not exist (looked for from {os.getcwd()}); check the path"


def _exists(path: str | os.PathLike[str]) -> bool:
    """Whether the path exists, a broken link included."""
    try:
        return os.path.lexists(path)
    except ValueError:  # a NUL in the name
        return False


def _exists_behind(path: Path) -> bool:
    try:
        return os.path.exists(path)
    except (OSError, ValueError):
        return False


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
