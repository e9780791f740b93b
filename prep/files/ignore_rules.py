"""What of a folder is left out: the user's patterns, `.gitignore` files, hidden files, and what tools put there.

Left out by default are hidden files and folders, what `.gitignore` files say (nested ones, and in a git repository
those above the folder), folders of installed packages, and folders of built files where the file that builds them lies
beside them: `docs/build` is read unless there is, say, a `conf.py` in `docs`. Folders of version control are never
read. Patterns are gitignore's, from the folder that was given; what is to be included wins over everything else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from prep.errors import ConfigError

__all__ = ["FileRules", "FolderRules"]

_VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".bzr", "CVS", "RCS", "SCCS", "_darcs"})
_INSTALLED = frozenset(
    {"node_modules", "bower_components", "jspm_packages", "site-packages", "__pycache__", "__pypackages__"}
)
_BUILT_BESIDE = {
    "build": frozenset(
        {"package.json", "pyproject.toml", "setup.py", "CMakeLists.txt", "build.gradle", "build.gradle.kts"}
        | {"meson.build", "conf.py"}
    ),
    "dist": frozenset({"package.json", "pyproject.toml", "setup.py"}),
    "target": frozenset({"Cargo.toml", "pom.xml", "build.sbt"}),
    "vendor": frozenset({"go.mod", "composer.json", "Gemfile"}),
    "_build": frozenset({"conf.py", "_config.yml", "mix.exs", "dune-project"}),
    "_site": frozenset({"_config.yml"}),
    "site": frozenset({"mkdocs.yml"}),
}
_GITIGNORE = ".gitignore"
_MAX_GITIGNORE_BYTES = 1 << 20
_MAX_STARS = 4  # in a pattern of a `.gitignore`: more can take very long to compare with a name
_WILDCARD = re.compile(r"[*?[\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRules:
    """Which files of the folders given are read.

    exclude, include: gitignore's patterns, from the folder given; include wins over all but version control. ignore:
    whether hidden files, what `.gitignore` files name, installed packages and built files are left out. follow_links:
    whether links that lead out of the folders given are read.
    """

    exclude: Sequence[str] = ()
    include: Sequence[str] = ()
    ignore: bool = True
    follow_links: bool = False


@dataclass(frozen=True, slots=True)
class _Spec:
    """Patterns of a `.gitignore`. start: of the path inside the given folder, code points; above: comes before it."""

    spec: GitIgnoreSpec
    start: int
    above: str


@dataclass(frozen=True, slots=True)
class _Folder:
    """What is known where a folder is entered. path: inside the given folder, "" for itself, else ending with `/`."""

    path: str
    names: frozenset[str]
    specs: tuple[_Spec, ...]
    only_included: bool


class FolderRules:
    """The rules for one folder that was given and all in it."""

    def __init__(self, root: Path, rules: FileRules) -> None:
        """Raises ConfigError for a pattern that is none."""
        self._root = root
        self._rules = rules
        self._exclude = _spec(rules.exclude, "exclude")
        self._include = _spec(rules.include, "include")
        self._folders: dict[str, _Folder] = {}

    def enter(self, path: str, names: Iterable[str] | None = None) -> _Folder:
        """Return what holds in a folder. path: inside the given one, "" for itself; names: of what is in it."""
        if path in self._folders:
            return self._folders[path]
        folder = self._root / path
        if names is None:
            try:
                names = os.listdir(folder)
            except OSError:
                names = ()
        held = frozenset(names)
        if path:
            above = self.enter(path.rpartition("/")[0])
            name = path.rpartition("/")[2]
            specs = above.specs
            only_included = self._only_included(above, name)
        else:
            specs, only_included = self._specs_above(), False
        inside = f"{path}/" if path else ""
        if self._rules.ignore and _GITIGNORE in held and (spec := _read_gitignore(folder)) is not None:
            specs = (_Spec(spec, len(inside), ""), *specs)
        entered = self._folders[path] = _Folder(inside, held, specs, only_included)
        return entered

    def left_out(self, folder: _Folder, name: str, *, is_folder: bool) -> str | None:
        """Return why an entry of a folder is left out, in a word or two; None where it is read."""
        path = f"{folder.path}{name}"
        if is_folder and name in _VERSION_CONTROL:
            return "version control"
        shown = f"{path}/" if is_folder else path
        if self._matches(self._include, shown):
            return None
        if is_folder and self._is_named(path):
            return None
        if not is_folder and folder.only_included:
            return "excluded"
        if self._rules.ignore and (reason := self._left_out_by_default(folder, name, shown)) is not None:
            return reason
        if self._matches(self._exclude, shown):
            return None if is_folder and self._include is not None else "excluded"
        return None

    def left_out_once_listed(self, names: Iterable[str]) -> str | None:
        """Return why a folder below the given one is left out for what is in it; None where it is read."""
        held = set(names)
        if {"CURRENT.json", "generations"} <= held:
            return "workspaces"
        if self._rules.ignore and ("pyvenv.cfg" in held or "conda-meta" in held):
            return "installed packages"
        return None

    def _left_out_by_default(self, folder: _Folder, name: str, shown: str) -> str | None:
        if name.startswith("."):
            return "hidden"
        if shown.endswith("/"):
            if name in _INSTALLED or name.endswith(".egg-info"):
                return "installed packages"
            if not _BUILT_BESIDE.get(name, frozenset()).isdisjoint(folder.names):
                return "built files"
        for spec in folder.specs:
            found = spec.spec.check_file(spec.above + shown[spec.start :]).include
            if found is not None:
                return _GITIGNORE if found else None
        return None

    def _only_included(self, above: _Folder, name: str) -> bool:
        """Whether a folder is entered only for what is to be included in it."""
        path = f"{above.path}{name}/"
        if self._include is None or self._matches(self._include, path):
            return False
        if above.only_included or self._matches(self._exclude, path):
            return True
        return self._rules.ignore and self._left_out_by_default(above, name, path) is not None

    def _is_named(self, path: str) -> bool:
        """Whether a pattern of what is to be included spells out this folder, or one above or below it."""
        for pattern in self._rules.include:
            spelt = _WILDCARD.split(pattern.lstrip("/"), maxsplit=1)[0].rpartition("/")[0]
            if spelt and (f"{spelt}/".startswith(f"{path}/") or path.startswith(f"{spelt}/")):
                return True
        return False

    @staticmethod
    def _matches(spec: GitIgnoreSpec | None, path: str) -> bool:
        return spec is not None and spec.check_file(path).include is True

    def _specs_above(self) -> tuple[_Spec, ...]:
        """Return the patterns of a git repository's folders above the given one, innermost first.

        None where they leave out the given folder itself: the user named it.
        """
        if not self._rules.ignore:
            return ()
        specs: list[_Spec] = []
        folder, above = self._root, ""
        while not (folder / ".git").exists():
            if folder.parent == folder:
                return ()
            above = f"{folder.name}/{above}"
            folder = folder.parent
            if (spec := _read_gitignore(folder)) is not None:
                specs.append(_Spec(spec, 0, above))
        if above and (spec := _read_gitignore(folder / ".git" / "info", "exclude")) is not None:
            specs.append(_Spec(spec, 0, above))
        verdicts = (spec.spec.check_file(spec.above).include for spec in specs if spec.above)
        is_left_out = next((verdict for verdict in verdicts if verdict is not None), False)
        return () if is_left_out else tuple(specs)


def _spec(patterns: Sequence[str], name: str) -> GitIgnoreSpec | None:
    if isinstance(patterns, str):
        raise ConfigError(f"{name}={patterns!r} must be a list of patterns")
    try:
        return GitIgnoreSpec.from_lines(patterns) if patterns else None
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise ConfigError(f"{name}={list(patterns)!r} holds no valid pattern: {error}") from error


def _read_gitignore(folder: Path, name: str = _GITIGNORE) -> GitIgnoreSpec | None:
    """Return the patterns of a `.gitignore`, without those that are not valid; None where it cannot be read."""
    path = folder / name
    try:
        if path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as file:
            content = file.read(_MAX_GITIGNORE_BYTES)
    except OSError:
        return None
    lines = [
        line
        for line in content.decode("utf-8-sig", "replace").splitlines()
        if len(re.findall(r"\*+", line)) <= _MAX_STARS
    ]
    if (spec := _parsed(lines)) is not None:
        return spec
    return _parsed([line for line in lines if _parsed([line]) is not None])


def _parsed(lines: Sequence[str]) -> GitIgnoreSpec | None:
    try:
        return GitIgnoreSpec.from_lines(lines)
    except (ValueError, re.error):
        return None
