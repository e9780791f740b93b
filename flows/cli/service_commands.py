"""`diptych serve`, `diptych mcp` and `diptych keys`: a workspace for other programs and people."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from flows.cli.command import FILE, command, command_group, json_option, positive_float
from flows.cli.output import format_moment, plain, print_columns, print_json

__all__ = ["keys", "mcp", "serve"]

keys_option = click.option(
    "--keys", "key_file", type=FILE, required=True, metavar="FILE", help="The file of keys."
)


@command(
    "serve",
    "diptych serve",
    "diptych serve --port 9000 --workspace notes-index",
    "diptych serve --host 0.0.0.0 --keys keys.json",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen; by default only this machine can ask.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N")
@click.option(
    "--keys",
    "key_file",
    type=FILE,
    metavar="FILE",
    help="Ask for an API key; `diptych keys add` makes the file.",
)
@click.option(
    "--max-deadline",
    type=positive_float,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="The most time that a request may ask for.",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="N",
    help="Requests that may wait; more are refused with status 429.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Questions that wait together are asked so many at a time; the first of them then waits for the last.",
)
@click.option(
    "--max-upload",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="MB",
    help="The largest upload.",
)
def serve(
    workspace: Path,
    host: str,
    port: int,
    key_file: Path | None,
    max_deadline: float,
    max_waiting: int,
    batch: int,
    max_upload: int,
    quiet: bool,
) -> int:
    """Answer over HTTP, with OpenAI's chat protocol too.

    A page to ask is at /, the description of the interface at /docs. With -v questions are logged.
    """
    _need("fastapi", "serve")
    from flows.server.http_app import LOOPBACK, create_app
    from flows.server.http_app import serve as serve_app
    from flows.server.keys import KeyFile
    from flows.server.question_queue import QueueLimits
    from flows.server.service import ServerSettings

    _log_with_times(access=not quiet)
    if host not in LOOPBACK and key_file is None:
        logging.getLogger(__name__).warning(
            "everyone who reaches %s can ask, read and delete: --keys FILE asks for an API key", host
        )
    settings = ServerSettings(
        max_upload_bytes=max_upload * 1_000_000,
        hosts=LOOPBACK if host in LOOPBACK else (),
        limits=QueueLimits(max_waiting=max_waiting, batch_size=batch, max_deadline_s=max_deadline),
    )
    app = create_app(workspace, settings, keys=None if key_file is None else KeyFile(key_file))
    serve_app(app, host, port)
    return 0


@command("mcp", "diptych mcp", "diptych mcp --workspace notes-index")
def mcp(workspace: Path) -> int:
    """Serve the Model Context Protocol on standard input and output.

    Tools: ask, search, read_document, feedback.
    """
    _need("mcp", "mcp")
    from flows.server.mcp_tools import serve_stdio

    serve_stdio(workspace)
    return 0


@command_group(
    "keys",
    "diptych keys add ada --keys keys.json",
    "diptych keys list --keys keys.json",
    "diptych keys remove ada --keys keys.json",
)
def keys() -> None:
    """Make, list and remove API keys of `diptych serve`."""


@command(
    "add",
    "diptych keys add ada --keys keys.json",
    "diptych keys add guests --where folder=public --keys keys.json",
    "diptych keys add editor --write --keys keys.json",
)
@click.argument("name")
@keys_option
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only documents with this metadata are searched for it; may be repeated. Several values of one KEY: any.",
)
@click.option("--write", "may_write", is_flag=True, help="It may add and delete documents.")
@json_option
def add_key(
    workspace: Path, name: str, key_file: Path, conditions: tuple[str, ...], may_write: bool, as_json: bool
) -> int:
    """Make a key and print it, this once."""
    from flows.server.keys import KeyFile

    del workspace
    secret = KeyFile(key_file).add(name, where=_parse_where(conditions), may_write=may_write)
    if as_json:
        print_json({"name": name, "key": secret})
    else:
        print(secret)
    return 0


@command("list", "diptych keys list --keys keys.json")
@keys_option
@json_option
def list_keys(workspace: Path, key_file: Path, as_json: bool) -> int:
    """List the keys' names and what each may, not the keys."""
    from flows.server.keys import KeyFile

    del workspace
    found = KeyFile(key_file).accesses()
    if as_json:
        print_json([{"access": access, "created": created} for access, created in found])
        return 0
    print_columns(
        (
            plain(access.name),
            format_moment(created),
            "writes" if access.may_write else "asks",
            plain(", ".join(f"{key}={value}" for key, value in access.where.items())),
        )
        for access, created in found
    )
    return 0


@command("remove", "diptych keys remove ada --keys keys.json")
@click.argument("name")
@keys_option
def remove_key(workspace: Path, name: str, key_file: Path) -> int:
    """Remove a key; a server that runs refuses it from now on."""
    from flows.server.keys import KeyFile

    del workspace
    KeyFile(key_file).remove(name)
    print(f"key {plain(name)} is removed")
    return 0


def _parse_where(conditions: tuple[str, ...]) -> dict[str, object]:
    values: dict[str, list[str]] = {}
    for condition in conditions:
        key, equals, value = (part.strip() for part in condition.partition("="))
        if not key or not equals or not value or key[-1] in "!<>":
            raise click.BadParameter(f"{condition!r} is no KEY=VALUE", param_hint="--where")
        values.setdefault(key, []).append(value)
    return {key: found[0] if len(found) == 1 else found for key, found in values.items()}


def _need(package: str, extra: str) -> None:
    """Say which extra is not installed. Raises DependencyError."""
    from importlib.util import find_spec

    from prep.errors import DependencyError

    if find_spec(package) is None:
        raise DependencyError(f"{package} is not installed: pip install 'diptych[{extra}]'")


def _log_with_times(*, access: bool) -> None:
    """Log to standard error with the time. access: a line a request."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    if access:
        for name in ("flows.server.access", "flows.server.http_app"):
            logging.getLogger(name).setLevel(logging.INFO)


for _command in (add_key, list_keys, remove_key):
    keys.add_command(_command)
