"""How a command of `diptych` is declared: click's, with examples in its help and the options that all commands have.

Parsing and running are apart: invoking a command returns a `ParsedCommand`, and `flows.cli.app.main` runs it once the
whole line is parsed. Click starts faster than typer, which imports pydantic: 0.13 s of processor time, not 0.37 s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import click

__all__ = [
    "FILE",
    "FOLDER",
    "KINDS",
    "Command",
    "CommandGroup",
    "Kind",
    "ParsedCommand",
    "command",
    "command_group",
    "json_option",
    "kind_argument",
    "positive_float",
]

#: `prep.store.workspace.ModelKind`, which is slow to import; a test holds them equal.
Kind: TypeAlias = Literal["prep", "retrieve"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FILE = FOLDER = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
kind_argument = click.argument("kind", type=click.Choice(KINDS))


@dataclass(frozen=True, slots=True)
class ParsedCommand:
    """A command's function with its arguments.

    show_traceback: of an error that would be told in a line. verbosity: -1 for errors alone, 0 for warnings and
    progress, 1 for what is done, 2 for everything that is logged.
    """

    function: Callable[..., int]
    arguments: dict[str, Any]
    show_traceback: bool
    verbosity: int

    def run(self) -> int:
        """Run the command and return its exit status."""
        return self.function(**self.arguments)


class Command(click.Command):
    """A command that is run after it is parsed.

    several: options that take all words up to the next option, as in `--corpus a b`.
    """

    several: tuple[str, ...] = ()

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        workspace = click.Option(
            ["--workspace"],
            type=FOLDER,
            metavar="DIR",
            default=Path("workspace"),
            show_default=True,
            help="The workspace's folder.",
        )
        traceback = click.Option(
            ["--traceback"], is_flag=True, help="Show the whole traceback of an error, for a bug report."
        )
        verbose = click.Option(["-v", "--verbose"], count=True, help="Log what is done; -vv logs more.")
        quiet = click.Option(["-q", "--quiet"], is_flag=True, help="No progress and no warnings.")
        self.params += [workspace, verbose, quiet, traceback]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for option in self.several:
            args = _repeat_option(args, option)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> ParsedCommand:
        assert self.callback is not None
        arguments = dict(ctx.params)
        verbose, quiet = arguments.pop("verbose"), arguments.pop("quiet")
        if "quiet" in signature(self.callback).parameters:  # it tells of its progress itself
            arguments["quiet"] = quiet
        if verbose and quiet:
            raise click.UsageError("--verbose and --quiet exclude one another", ctx)
        return ParsedCommand(
            self.callback,
            arguments,
            show_traceback=arguments.pop("traceback"),
            verbosity=-1 if quiet else verbose,
        )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(self.epilog, formatter)


class CommandGroup(click.Group):
    """Commands under one word, listed in the order that they were added in.

    default: the command that is meant where none is named.
    """

    def __init__(self, *arguments: Any, default: str | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        if self.default is not None and not is_named:
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(self.epilog, formatter)


def command(
    name: str, *examples: str, cls: type[Command] = Command
) -> Callable[[Callable[..., int]], Command]:
    """Return what makes a command of a function; its docstring is the help."""
    return click.command(name, cls=cls, epilog=_examples(examples))


def command_group(
    name: str, *examples: str, **settings: Any
) -> Callable[[Callable[..., None]], CommandGroup]:
    """Return what makes a group of commands of a function; its docstring is the help."""
    return click.group(name, cls=CommandGroup, epilog=_examples(examples), **settings)


def positive_float(text: str) -> float:
    """Read a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise click.BadParameter(f"{text} is not a number above 0")
    return number


def _examples(examples: tuple[str, ...]) -> str:
    return "\n  ".join(("examples:", *examples))


def _write_examples(text: str | None, formatter: click.HelpFormatter) -> None:
    """Write the examples as they are: click would join their lines."""
    if text:
        formatter.write(f"\n{text}\n")


def _repeat_option(words: list[str], option: str) -> list[str]:
    """Return the words with the option before each of its values: `--corpus a b` as `--corpus a --corpus b`."""
    repeated: list[str] = []
    is_value = False
    for word in words:
        if word.startswith("-"):
            is_value = word == option
        elif is_value and repeated[-1] != option:
            repeated.append(option)
        repeated.append(word)
    return repeated
