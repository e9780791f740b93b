"""Source code and configuration: the file word for word in fences, a heading for each definition or key.

In a fence a comment is no heading, whatever it begins with. Python is cut at its functions, classes and methods (by
`ast`), other languages at lines that define something, YAML at its keys and the items of its lists, INI and TOML at
their sections; comments stay where they explain. A file's title is its name.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
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
_BLOCK_SCALAR = re.compile(r"[|>][+-]?\d?\s*(?:#.*)?\Z")
_NAMING_KEY = re.compile(r"(?:name|id|title|key|question|label|slug)\s*:\s+([^\s|>&*!{\[#][^#]{0,200})", re.I)
_LONG_QUOTE = re.compile("\"\"\"|'''")
_SECTION = re.compile(r"\s*\[\[?\s{0,40}([^\[\]\s][^\[\]]{0,119})\]\]?\s*(?:[#;].*)?\Z")
_MAX_LEVEL = 6
# A block of keys as short as this stays in one fence with its neighbours.
_MAX_BLOCK_LINES = 12
_MAX_NAMES = 8
_MAX_NAME_CHARACTERS = 80
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
        return _with_comments(list(_sections(lines, language)), lines)
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


@dataclass(frozen=True, slots=True)
class _Node:
    """A key of YAML, an item of a list, or (without a name) the line between two documents.

    depth: by which what is inside goes deeper; an item lies inside the key above it though its dash may stand below it.
    """

    line: int
    depth: int
    name: str
    is_item: bool = False


def _yaml_keys(lines: list[str]) -> Iterator[_Heading]:
    """Yield keys and items whose blocks are long, outermost first; what follows such a block has its own heading."""
    nodes = list(_yaml_nodes(lines))
    n_said = list(accumulate((bool(line.strip()) and not _COMMENT.match(line) for line in lines), initial=0))
    path: list[tuple[_Node, str, bool, int]] = []  # node, its path, whether its block is long, where it ends
    covered = 0  # up to where the last heading tells what holds
    for number, (node, end) in enumerate(zip(nodes, _block_ends(nodes, len(lines)), strict=True)):
        while path and path[-1][0].depth >= node.depth:
            path.pop()
        if not node.name:
            covered = node.line
            continue
        n_lines = n_said[end] - n_said[node.line + 1]  # of the block below the key, comments left aside
        above = path[-1][1] if path else ""
        name = f"{above}{' › ' if node.is_item and above else '.' if above else ''}{node.name}"
        has_heading = n_lines > 0 and (not path or path[-1][2]) and len(path) < _MAX_LEVEL - 1
        if has_heading:
            covered = end
            yield node.line, len(path) + 2, name
        elif node.line >= covered > 0:
            covered = path[-1][3] if path else len(lines)
            yield node.line, len(path) + 1 + (not path), above or _names(nodes[number : number + _MAX_NAMES])
        path.append((node, name, n_lines > _MAX_BLOCK_LINES, end))


def _yaml_nodes(lines: list[str]) -> Iterator[_Node]:
    """Yield keys and items in order; block scalars have none inside."""
    scalar: int | None = None
    for number, line in enumerate(lines):
        stripped = line.lstrip(" ")
        if not stripped or stripped.startswith("#"):
            continue
        indent = len(line) - len(stripped)
        if scalar is not None and indent > scalar:
            continue
        scalar = indent if _BLOCK_SCALAR.search(line) and ":" in line else None
        if line.startswith("---"):
            yield _Node(number, -1, "")
        elif stripped.startswith("- "):
            yield _Node(number, 2 * indent + 1, _item_name(lines, number, indent), is_item=True)
        elif (key := _YAML_KEY.match(line)) is not None:
            yield _Node(number, 2 * indent, key.group(2).strip("\"'"))


def _item_name(lines: list[str], number: int, indent: int) -> str:
    """Return what an item of a list calls itself by one of its first keys, else its first line."""
    first = lines[number].strip()[2:].strip()
    for line in (first, *lines[number + 1 : number + _MAX_NAMES]):
        is_inside = line is first or line.startswith(" " * (indent + 2))
        if not is_inside:
            break
        named = _NAMING_KEY.match(line if line is first else line[indent + 2 :])
        if named is not None:
            return " ".join(named.group(1).split()).strip("\"'")[:_MAX_NAME_CHARACTERS]
    return first[:_MAX_NAME_CHARACTERS].rstrip(":") or "item"


def _names(nodes: list[_Node]) -> str:
    """Return the names of the first keys, as far as they hold no others: those that stand under one heading."""
    names = [nodes[0].name]
    for node, following in pairwise(nodes[1:]):
        if node.depth != nodes[0].depth or not node.name or following.depth > node.depth:
            break
        names.append(node.name)
    return ", ".join(dict.fromkeys(names))[:_MAX_NAME_CHARACTERS]


def _block_ends(nodes: list[_Node], n_lines: int) -> list[int]:
    ends = [n_lines] * len(nodes)
    open_nodes: list[int] = []
    for number, node in enumerate(nodes):
        while open_nodes and nodes[open_nodes[-1]].depth >= node.depth:
            ends[open_nodes.pop()] = node.line
        open_nodes.append(number)
    return ends


def _sections(lines: list[str], language: str) -> Iterator[_Heading]:
    """Yield the sections of INI and TOML; strings of several lines have none inside."""
    quote = ""
    for number, line in enumerate(lines):
        if quote or language == "toml":
            for mark in _LONG_QUOTE.findall(line if quote else line.split(" #")[0]):
                quote = "" if mark == quote else quote or mark
        if not quote and (section := _SECTION.match(line)):
            yield number, 2, section.group(1).strip()


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
