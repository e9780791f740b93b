"""Source code and configuration: the file word for word in fences, a heading for each definition or key.

In a fence a comment is no heading, whatever it begins with. Python is cut at its functions, classes and methods (by
`ast`), other languages at lines that define something, YAML at its keys, INI and TOML at their sections. A file's
title is its name.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import PurePath

from prep.parsing.parsed import Parsed
from prep.parsing.structured_text import fence

__all__ = ["LANGUAGES", "is_source_name", "parse_source"]

#: Suffix → language, as fences name them.
LANGUAGES = {
    ".bash": "bash", ".bat": "batch", ".c": "c", ".cc": "cpp", ".cfg": "ini", ".clj": "clojure", ".cmake": "cmake",
    ".conf": "conf", ".cpp": "cpp", ".cs": "csharp", ".css": "css", ".cxx": "cpp", ".dart": "dart", ".diff": "diff",
    ".ex": "elixir", ".exs": "elixir", ".erl": "erlang", ".env": "ini", ".f90": "fortran", ".fish": "fish", ".go": "go",
    ".gradle": "groovy", ".graphql": "graphql", ".groovy": "groovy", ".h": "c", ".hcl": "hcl", ".hh": "cpp",
    ".hpp": "cpp", ".hs": "haskell", ".ini": "ini", ".java": "java", ".jl": "julia", ".js": "javascript",
    ".jsx": "jsx", ".kt": "kotlin", ".less": "less", ".lua": "lua", ".m": "matlab", ".mjs": "javascript",
    ".mk": "makefile", ".ml": "ocaml", ".nix": "nix", ".patch": "diff", ".php": "php", ".pl": "perl",
    ".pm": "perl", ".properties": "properties", ".proto": "protobuf", ".ps1": "powershell", ".py": "python",
    ".pyi": "python", ".r": "r", ".rb": "ruby", ".rs": "rust", ".sass": "sass", ".scala": "scala", ".scss": "scss",
    ".sh": "sh", ".sql": "sql", ".swift": "swift", ".tcl": "tcl", ".tf": "hcl", ".toml": "toml", ".ts": "typescript",
    ".tsx": "tsx", ".vb": "vb", ".vue": "vue", ".yaml": "yaml", ".yml": "yaml", ".zig": "zig", ".zsh": "zsh",
}  # fmt: skip
_NAMES = {
    "dockerfile": "dockerfile",
    "makefile": "makefile",
    "gnumakefile": "makefile",
    "jenkinsfile": "groovy",
}
_NAMES |= {"containerfile": "dockerfile", "vagrantfile": "ruby", "rakefile": "ruby", "gemfile": "ruby"}
_SHEBANG = re.compile(r"#!\s*\S*?/(?:env\s+(?:-S\s+)?)?([\w.+-]+)")
_DEFINITION = re.compile(
    r"(?:(?:export|default|pub(?:\([\w:]+\))?|public|private|protected|internal|static|final|abstract|async|unsafe|open"
    r"|override|virtual|extern|inline|sealed|data|const)\s+){0,6}"
    r"(?:def|class|func|function|fn|struct|enum|interface|trait|impl|module|namespace|protocol|object|record|sub|macro_rules!"
    r"|CREATE\s+(?:OR\s+REPLACE\s+)?(?:TABLE|VIEW|FUNCTION|PROCEDURE|TRIGGER|INDEX))"
    r"\s+(?:\([^()]{0,80}\)\s*)?([\w.:<>$]+)|([\w-]+)\s*\(\)\s*\{",
    re.I,
)
_C_FUNCTION = re.compile(
    r"[A-Za-z_][\w\s*&:<>,]{0,120}?\b([A-Za-z_]\w*)\s*\([^;{}]{0,400}\)?[^;{}]{0,40}\{?\s*\Z"
)
_C_LIKE = frozenset(["c", "cpp", "java", "csharp", "dart"])
_COMMENT = re.compile(r"\s*(?:#|//|/\*|\*|--|;|@|%)")
_YAML_KEY = re.compile(
    r"( *)(?:- )?([^\s#&*!|>'\"%@`{\[-][^#]{0,80}?|\"[^\"]{1,80}\"|'[^']{1,80}')\s*:(?:\s|\Z)"
)
_SECTION = re.compile(r"\s*\[\[?\s{0,40}([^\[\]\s][^\[\]]{0,119})\]\]?\s*(?:[#;].*)?\Z")
_MAX_LEVEL = 6
# A block of keys as short as this stays in one fence with its neighbours.
_MAX_BLOCK_LINES = 12
_MAX_PARSED_CHARACTERS = 2_000_000

#: A definition: its first line, heading level, name.
_Heading = tuple[int, int, str]


def is_source_name(name: str) -> bool:
    """Whether a name without a telling suffix is that of a program or build file (`Dockerfile`)."""
    return PurePath(name).name.lower().split(".")[0] in _NAMES


def _language_of(name: str, text: str = "") -> str:
    """Return the language of a file by its name, by its interpreter else, "" where neither tells."""
    path = PurePath(name)
    known = LANGUAGES.get(path.suffix.lower()) or _NAMES.get(path.name.lower().split(".")[0])
    if known is not None:
        return known
    shebang = _SHEBANG.match(text)
    return re.sub(r"[\d.]+\Z", "", shebang.group(1)) if shebang else ""


def parse_source(text: str, name: str) -> Parsed:
    """Return the file `name` in fences, cut at its definitions or keys."""
    language = _language_of(name, text)
    lines = text.split("\n")
    out: list[str] = []
    headings = _headings(text, lines, language)
    edges = [(0, 0, ""), *headings, (len(lines), 0, "")]
    for (first, level, title), (last, _, _) in pairwise(edges):
        if title:
            out += [f"{'#' * min(level, _MAX_LEVEL)} {title}", ""]
        body = fence(lines[first:last], language)
        out += [*body, ""] if body else []
    return Parsed(PurePath(name).name, "\n".join(out).rstrip("\n") + "\n" if text.strip() else "")


def _headings(text: str, lines: list[str], language: str) -> list[_Heading]:
    if language == "python":
        found = _python_definitions(text)
        if found is not None:
            return _with_comments(found, lines)
    if language == "yaml":
        return _with_comments(list(_yaml_keys(lines)), lines)
    if language in ("ini", "toml", "conf", "properties"):
        sections = [
            (i, 2, section.group(1).strip())
            for i, line in enumerate(lines)
            if (section := _SECTION.match(line))
        ]
        return _with_comments(sections, lines)
    definitions: list[_Heading] = []
    for i, line in enumerate(lines):
        if not line or line[0] in " \t#/*-}" or len(line) > 500:
            continue
        defined = _DEFINITION.match(line)
        name = (defined.group(1) or defined.group(2)) if defined else ""
        if not name and language in _C_LIKE and (function := _C_FUNCTION.match(line)):
            name = function.group(1)
        if name:
            definitions.append((i, 2, name.rstrip(":;<>")))
    return _with_comments(definitions, lines)


def _python_definitions(text: str) -> list[_Heading] | None:
    """Return functions, classes and methods; None for what is no Python of today."""
    if len(text) > _MAX_PARSED_CHARACTERS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found: list[_Heading] = []
    pending: list[tuple[ast.stmt, int, str]] = [(node, 2, "") for node in reversed(tree.body)]
    while pending:
        node, level, path = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{path}.{node.name}" if path else node.name
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
            found.append((first, level, name))
            if isinstance(node, ast.ClassDef) and level < _MAX_LEVEL:
                pending.extend((inner, level + 1, name) for inner in reversed(node.body))
    return found


def _yaml_keys(lines: list[str]) -> Iterator[_Heading]:
    """Yield keys whose blocks are long, outermost first; block scalars and short blocks have none inside."""
    keys: list[tuple[int, int, str]] = []  # line, indent, name
    scalar: int | None = None
    for i, line in enumerate(lines):
        stripped = line.lstrip(" ")
        if not stripped or stripped.startswith("#"):
            continue
        indent = len(line) - len(stripped)
        if scalar is not None and indent > scalar:
            continue
        scalar = indent if re.search(r"[|>][+-]?\d?\s*(?:#.*)?\Z", line) and ":" in line else None
        key = _YAML_KEY.match(line)
        if key is not None and not stripped.startswith("- "):
            keys.append((i, indent, key.group(2).strip("\"'")))
    path: list[tuple[int, str, bool]] = []  # indent, name, whether its block is long
    n_said = list(accumulate((bool(line.strip()) and not _COMMENT.match(line) for line in lines), initial=0))
    ends = _block_ends(keys, len(lines))
    for (i, indent, name), end in zip(keys, ends, strict=True):
        while path and path[-1][0] >= indent:
            path.pop()
        n_lines = n_said[end] - n_said[i + 1]  # of the block below the key, comments left aside
        is_long = n_lines > _MAX_BLOCK_LINES
        has_heading = n_lines > 0 and (not path or path[-1][2])
        path.append((indent, name, is_long))
        if has_heading and len(path) < _MAX_LEVEL:
            yield i, len(path) + 1, ".".join(part for _, part, _ in path)


def _block_ends(keys: list[tuple[int, int, str]], n_lines: int) -> list[int]:
    ends = [n_lines] * len(keys)
    open_keys: list[int] = []
    for number, (i, indent, _) in enumerate(keys):
        while open_keys and keys[open_keys[-1]][1] >= indent:
            ends[open_keys.pop()] = i
        open_keys.append(number)
    return ends


def _with_comments(headings: list[_Heading], lines: list[str]) -> list[_Heading]:
    """Move each heading above the comment and the decorators that stand right before what it names."""
    moved: list[_Heading] = []
    floor = 0
    for first, level, name in headings:
        start = first
        while start > floor and _COMMENT.match(lines[start - 1]):
            start -= 1
        if start == 0 or (start > floor and not lines[start - 1].strip()) or start == floor:
            first = start
        moved.append((first, level, name))
        floor = first + 1
    return moved
