"""The parsing process from outside: it is started, watched, killed when it takes too long, and replaced.

One process serves file after file, so that thousands of small files cost one start. It runs
`prep.parsing.parsing_worker`. The memory limit holds where the system has `RLIMIT_AS` (Linux; not Windows, and macOS
ignores it); the time limit holds everywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from prep.errors import ConfigError, DiptychError
from prep.parsing.parsed import Parsed, UnreadableError
from prep.places import Place

__all__ = ["ParseLimits", "ParseProcess"]

_MIB = 1 << 20
_LENGTH_BYTES = 8
_START_TIMEOUT_S = 120.0
# The package without its `__init__`: the parsers need no arrays, and every process starts the faster for it.
_BOOT = """
import json, sys, types
sys.path[:], folder = json.loads(sys.argv[1])
sys.modules["prep"] = types.ModuleType("prep")
sys.modules["prep"].__path__ = [folder]
from prep.parsing.parsing_worker import main
main()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseLimits:
    """Limits for one file: wall-clock seconds, bytes of memory, bytes of the file, characters of text."""

    timeout_s: float = 60.0
    memory_limit_bytes: int = 2048 * _MIB
    max_bytes: int = 256 * _MIB
    max_characters: int = 50_000_000

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 86_400:
            raise ConfigError(
                f"timeout_s={self.timeout_s!r} must be seconds above 0 and at most a day (86400)"
            )
        if self.memory_limit_bytes < 64 * _MIB:
            raise ConfigError(
                f"memory_limit_bytes={self.memory_limit_bytes!r} must be at least {64 * _MIB} (64 MiB)"
            )
        if self.max_bytes < 1 or self.max_characters < 1:
            raise ConfigError(
                f"max_bytes={self.max_bytes!r} and max_characters={self.max_characters!r} must be at least 1"
            )


class ParseProcess:
    """Parses files in a child process; use as a context manager, or call `close`."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._n_served = 0

    def __enter__(self) -> ParseProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """The child's process id while it lives, else None."""
        return self._process.pid if self._process is not None else None

    def parse(self, path: Path) -> Parsed:
        """Return the text of one file. Raises UnreadableError with the reason, also for a file that kills the child.

        A file that runs out of memory or crashes in a process that has served others is tried again in a fresh one, so
        that the files before it are not the cause.
        """
        was_fresh = self._process is None or self._n_served == 0
        try:
            return self._parse_once(path)
        except _DiedError as error:
            if was_fresh or not error.is_worth_retrying:
                raise UnreadableError(error.reason) from None
        try:
            return self._parse_once(path)
        except _DiedError as error:
            raise UnreadableError(error.reason) from None

    def close(self) -> None:
        """Kill the child process, if there is one, and wait for its end."""
        process, self._process = self._process, None
        self._n_served = 0
        if process is not None:
            _end(process)

    def _parse_once(self, path: Path) -> Parsed:
        limits = self._limits
        process = self._process or self._start()
        request = {
            "path": os.fspath(path),
            "timeout_s": limits.timeout_s,
            "max_bytes": limits.max_bytes,
            "max_characters": limits.max_characters,
            "memory_limit_bytes": limits.memory_limit_bytes,
        }
        answer, ran_out = self._exchange(process, request, limits.timeout_s)
        if answer is None:
            exit_code = process.wait()
            self.close()
            if ran_out or exit_code == -getattr(signal, "SIGXCPU", 0):
                raise _DiedError(f"parsing took longer than {limits.timeout_s:g} s", is_worth_retrying=False)
            raise _DiedError(f"made the parser crash ({_exit_name(exit_code)})", is_worth_retrying=True)
        self._n_served += 1
        if ran_out:  # the answer came in the moment the time ran out
            self.close()
        if answer.get("over_memory"):
            self.close()
            raise _DiedError(
                f"parsing needs more than {limits.memory_limit_bytes / 2**30:.1f} GiB of memory",
                is_worth_retrying=True,
            )
        if "reason" in answer:
            raise UnreadableError(answer["reason"])
        return _parsed(answer)

    def _start(self) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        # Threads of numeric libraries reserve address space that the memory limit would count.
        environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-W",
                "ignore",
                "-c",
                _BOOT,
                json.dumps(
                    [[entry for entry in sys.path if isinstance(entry, str)], str(Path(__file__).parents[1])]
                ),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        settings = {"memory_limit_bytes": self._limits.memory_limit_bytes}
        try:
            ready, _ = self._exchange(process, settings, _START_TIMEOUT_S)
        except BaseException:
            _end(process)
            raise
        self._process, self._n_served = process, 0
        if ready is None:
            exit_code = process.wait()
            self.close()
            raise DiptychError(f"the parsing process did not start ({_exit_name(exit_code)})")
        return process

    def _exchange(
        self, process: subprocess.Popen[bytes], request: dict[str, Any], timeout_s: float
    ) -> tuple[dict[str, Any] | None, bool]:
        """Send a request and return the answer, None if the child died, and whether its time ran out."""
        ran_out = threading.Event()

        def kill() -> None:
            ran_out.set()
            process.kill()

        clock = threading.Timer(timeout_s, kill)
        clock.daemon = True
        clock.start()
        try:
            return _talk(process, request), ran_out.is_set()
        finally:
            clock.cancel()


class _DiedError(Exception):
    """The child did not survive a file."""

    def __init__(self, reason: str, *, is_worth_retrying: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_worth_retrying = is_worth_retrying


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # unwritten bytes have no reader left
                pipe.close()
    process.wait()


def _talk(process: subprocess.Popen[bytes], request: dict[str, Any]) -> dict[str, Any] | None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
        process.stdin.flush()
        header = process.stdout.read(_LENGTH_BYTES)
        if len(header) < _LENGTH_BYTES:
            return None
        size = int.from_bytes(header, "big")
        payload = process.stdout.read(size)
    except OSError:  # a broken pipe: the child is gone
        return None
    if len(payload) < size:
        return None
    content: dict[str, Any] = json.loads(payload)
    return content


def _parsed(answer: dict[str, Any]) -> Parsed:
    return Parsed(
        answer["title"],
        answer["text"],
        losses=tuple((where, why) for where, why in answer["losses"]),
        places=tuple(Place(*one) for one in answer["places"]),
        metadata=answer["metadata"],
        members=tuple((name, _parsed(member)) for name, member in answer["members"]),
    )


def _exit_name(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
