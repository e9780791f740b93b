"""Which files of a folder are left out, and by which words they are read all the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prep.errors import ConfigError
from prep.files.file_finder import find_files
from prep.files.ignore_rules import FileRules


def make(folder: Path, *names: str, **contents: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# text\n", encoding="utf-8")
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")


def names(*paths: Path | str, **rules: object) -> list[str]:
    found = find_files(paths, FileRules(**rules))  # type: ignore[arg-type]
    return sorted(file.name for file in found.files if not file.reason)


def left_out(path: Path, **rules: object) -> dict[str, int]:
    return dict(find_files([path], FileRules(**rules)).left_out)  # type: ignore[arg-type]


def gitignore(folder: Path, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("\n".join(lines), encoding="utf-8")


def test_hidden_installed_and_cached_files_are_left_out_and_counted(tmp_path: Path) -> None:
    make(
        tmp_path,
        *(
            "a.md",
            ".hidden.md",
            ".venv/lib/b.md",
            "node_modules/x/README.md",
            "env/pyvenv.cfg",
            "env/lib/c.md",
        ),
        *(
            "lib/python3/site-packages/p/d.md",
            "p.egg-info/SOURCES.txt",
            "x/__pycache__/e.md",
            ".git/info/f.md",
        ),
    )
    assert names(tmp_path) == ["a.md"]
    assert left_out(tmp_path) == {"hidden": 2, "version control": 1, "installed packages": 5}
    assert names(tmp_path / ".venv") == ["lib/b.md"]  # named by the user
    everything = names(tmp_path, ignore=False)
    assert "node_modules/x/README.md" in everything
    assert ".hidden.md" in everything
    assert not any(name.startswith(".git/") for name in everything)


@pytest.mark.parametrize(
    ("folder", "maker"),
    [("target", "Cargo.toml"), ("dist", "package.json"), ("build", "pyproject.toml"), ("_build", "conf.py")],
)
def test_a_folder_of_built_files_is_left_out_only_beside_what_builds_it(
    tmp_path: Path, folder: str, maker: str
) -> None:
    make(tmp_path, f"{folder}/plans.md", f"x/{folder}/plans.md", f"x/{maker}")
    assert names(tmp_path) == sorted([f"{folder}/plans.md", f"x/{maker}"])
    assert names(tmp_path, include=[f"x/{folder}/"]) == sorted(
        [f"{folder}/plans.md", f"x/{maker}", f"x/{folder}/plans.md"]
    )


def test_gitignore_files_hold_for_their_folders_and_inner_ones_win(tmp_path: Path) -> None:
    gitignore(tmp_path, "*.log", "/secret/", "# *.md", "drafts", "!keep.log")
    gitignore(tmp_path / "x", "!special.log", "only-here.md")
    make(
        tmp_path,
        *("a.log", "keep.log", "x/special.log", "x/b.log", "secret/a.md", "x/secret/a.md", "x/drafts/a.md"),
        *("only-here.md", "x/only-here.md", "x/y/only-here.md"),
    )
    assert names(tmp_path) == ["keep.log", "only-here.md", "x/secret/a.md", "x/special.log"]
    assert left_out(tmp_path)[".gitignore"] == 6
    assert len(names(tmp_path, ignore=False)) == 12  # the two .gitignore files, too


def test_in_a_git_repository_the_folders_above_hold_too_but_not_for_what_is_named(tmp_path: Path) -> None:
    (tmp_path / "repository" / ".git" / "info").mkdir(parents=True)
    (tmp_path / "repository" / ".git" / "info" / "exclude").write_text("*.tmp\n")
    gitignore(tmp_path / "repository", "docs/private/", "*.bak", "generated/")
    gitignore(tmp_path, "*.md")  # outside the repository
    docs = tmp_path / "repository" / "docs"
    make(docs, "a.md", "b.bak", "c.tmp", "private/d.md", "generated/e.md", "generated/f.bak")
    assert names(docs) == ["a.md"]
    assert names(docs / "generated") == ["e.md", "f.bak"]
    assert names(docs / "private" / "d.md") == ["d.md"]


def test_without_a_repository_only_gitignore_files_inside_hold(tmp_path: Path) -> None:
    gitignore(tmp_path, "*.md")
    make(tmp_path / "docs", "a.md")
    assert names(tmp_path / "docs") == ["a.md"]
    assert names(tmp_path) == []


def test_a_damaged_gitignore_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"\xff\xfe\n!\n[z-a]\n*.log\n")
    make(tmp_path, "a.md", "b.log")
    assert names(tmp_path) == ["a.md"]


def test_include_wins_over_exclude_and_over_what_is_left_out(tmp_path: Path) -> None:
    gitignore(tmp_path, "ignored/")
    make(
        tmp_path,
        *("a.md", "b.txt", "drafts/c.md", "drafts/final.md", "ignored/d.md", ".wiki/e.md", ".wiki/f.txt"),
        *("node_modules/x/g.md", ".git/h.md"),
    )
    assert names(tmp_path, exclude=["drafts/"]) == ["a.md", "b.txt"]
    assert names(tmp_path, exclude=["drafts/"], include=["final.md"]) == ["a.md", "b.txt", "drafts/final.md"]
    assert names(tmp_path, exclude=["*"], include=["*.md"]) == ["a.md", "drafts/c.md", "drafts/final.md"]
    assert names(tmp_path, exclude=["*"], include=["/ignored/", ".wiki/**/*.md"]) == [
        ".wiki/e.md",
        "ignored/d.md",
    ]
    assert names(tmp_path, exclude=["*"], include=["node_modules/x/*.md", ".git/"]) == ["node_modules/x/g.md"]


def test_a_pattern_of_many_stars_takes_no_time(tmp_path: Path) -> None:
    gitignore(tmp_path, "*a" * 30 + "b", "*.log")
    make(tmp_path, "a" * 200 + ".md", "x.log")
    assert names(tmp_path) == ["a" * 200 + ".md"]


@pytest.mark.parametrize("rules", [{"exclude": ["!"]}, {"exclude": "*.md"}, {"include": [3]}])
def test_patterns_that_are_none_are_errors(tmp_path: Path, rules: dict[str, object]) -> None:
    make(tmp_path, "a.md")
    with pytest.raises(ConfigError, match=next(iter(rules))):
        names(tmp_path, **rules)


def test_the_rules_hold_for_what_a_pattern_fits_but_not_for_parts_that_it_spells_out(tmp_path: Path) -> None:
    gitignore(tmp_path, "old/")
    make(tmp_path, "a.md", "old/b.md", "x/node_modules/c.md", "x/d.md")
    assert names(str(tmp_path / "**" / "*.md")) == ["a.md", "x/d.md"]
    assert names(str(tmp_path / "*" / "node_modules" / "*.md")) == ["x/node_modules/c.md"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_gitignore_that_is_a_pipe_or_a_link_is_none(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "x/b.md")
    os.mkfifo(tmp_path / ".gitignore")
    (tmp_path.parent / "patterns").write_text("*.md")
    (tmp_path / "x" / ".gitignore").symlink_to(tmp_path.parent / "patterns")
    assert names(tmp_path) == ["a.md", "x/b.md"]


def test_a_workspace_is_never_read(tmp_path: Path) -> None:
    make(
        tmp_path,
        "a.md",
        "workspace/CURRENT.json",
        "workspace/generations/1/b.md",
        "workspace/models/README.md",
    )
    assert names(tmp_path) == names(tmp_path, ignore=False) == ["a.md"]
    assert left_out(tmp_path) == {"workspaces": 1}
    assert names(str(tmp_path / "**" / "*.md")) == ["a.md"]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a right of their own")
def test_links_out_of_the_folders_are_named_and_read_only_where_asked(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    make(docs, "a.md", "x/b.md")
    make(tmp_path / "secret", "s.md")
    make(tmp_path / "docs-2", "t.md")
    (docs / "file.md").symlink_to(tmp_path / "secret" / "s.md")
    (docs / "x" / "folder").symlink_to(tmp_path / "secret")
    (docs / "prefix").symlink_to(tmp_path / "docs-2")  # begins as docs does
    (docs / "inside.md").symlink_to(docs / "x" / "b.md")
    found = find_files([docs], FileRules())
    assert sorted(file.name for file in found.files if not file.reason) == ["a.md", "x/b.md"]
    barred = {file.name: file.reason for file in found.files if file.is_barred}
    assert sorted(barred) == ["file.md", "prefix", "x/folder"]
    assert all(
        "out of the folders given" in reason and "--follow-links" in reason for reason in barred.values()
    )
    assert barred["file.md"].count(str(tmp_path / "secret" / "s.md")) == 1
    followed = names(docs, follow_links=True)
    assert [name for name in followed if name in ("file.md", "x/folder/s.md")]
    assert "prefix/t.md" in followed
    # A folder that is given is no other folder, and a link that is named itself is read.
    assert names(docs, tmp_path / "docs-2") == ["a.md", "t.md", "x/b.md"]
    assert names(docs / "file.md") == ["file.md"]
    # Patterns lead through links, too.
    assert names(str(docs / "**" / "*.md")) == ["a.md", "x/b.md"]
