"""Promise: public names are listed, sorted and there; a module has a name of its own; a folder is read at a glance."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("prep", "retrieve", "training", "flows")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MOST_MODULES = 14  # of a folder, beside its __init__

#: What programs that use the library import, and no less.
PUBLIC = {
    "prep": {"Chunk", "Document", "PrepModel", "Rejected", "read_documents"},
    "retrieve": {"Finding", "Quote", "Report", "Researcher"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def listed_names(tree: ast.Module) -> list[str] | None:
    """Return what `__all__` lists, None where there is none. Raises where it is not a plain list of strings."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return None


def bound_names(statements: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements of a module bind: definitions, assignments, imports, also under an `if`."""
    for node in statements:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (name.id for one in targets for name in ast.walk(one) if isinstance(name, ast.Name))
        elif isinstance(node, ast.TypeAlias if hasattr(ast, "TypeAlias") else ()):
            yield node.name.id
        elif isinstance(node, ast.If | ast.Try):
            yield from bound_names([*node.body, *node.orelse])


def isort_key(name: str) -> tuple[int, list[tuple[bool, int, str]]]:
    """Order constants, then classes, then the rest, digits by their value: the order of ruff's RUF022."""
    kind = 0 if len(name) > 1 and name.isupper() else 1 if name[0].isupper() else 2
    parts = re.findall(r"\d+|\D+", name)
    return kind, [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


LISTED = {
    module_name(path): (names, tree)
    for path in MODULES
    for tree in [ast.parse(path.read_text(encoding="utf-8"))]
    for names in [listed_names(tree)]
    if names is not None
}


def test_the_order_is_by_kind_and_then_by_number() -> None:
    assert sorted(["b", "a10", "a9", "Z", "ROW", "X1"], key=isort_key) == ["ROW", "X1", "Z", "a9", "a10", "b"]


def test_every_package_with_a_public_interface_lists_its_names() -> None:
    assert LISTED.keys() >= PUBLIC.keys()
    assert len(LISTED) > 40


@pytest.mark.parametrize("module", LISTED)
def test_the_public_names_of_a_module_are_sorted_and_bound_in_it(module: str) -> None:
    names, tree = LISTED[module]
    assert names == sorted(set(names), key=isort_key)
    assert set(names) <= set(bound_names(tree.body))


@pytest.mark.parametrize("package", PUBLIC)
def test_a_package_lists_its_public_interface_and_gives_every_name(package: str) -> None:
    module = importlib.import_module(package)
    assert PUBLIC[package] <= set(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = module.nothing_of_this_name


def test_no_two_modules_have_the_same_name() -> None:
    names = Counter(path.name for path in MODULES if path.name != "__init__.py")
    assert [name for name, times in names.items() if times > 1] == []


def test_no_two_classes_have_the_same_name() -> None:
    names = Counter(
        node.name
        for path in MODULES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_a_folder_holds_few_enough_modules_to_be_read_at_a_glance() -> None:
    folders = Counter(path.parent.relative_to(ROOT) for path in MODULES if path.name != "__init__.py")
    assert {str(folder): n for folder, n in folders.items() if n > MOST_MODULES} == {}
