"""The loop inside the parsing process: read a file, find its format, parse it, answer; then the next file.

`prep.parsing.parsing_process` starts it and keeps the time; memory and processor limits are set here, on the process
itself. Requests are JSON lines on standard input. An answer is eight bytes of length and that much JSON on standard
output. A parser is imported for the first file of its format.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from prep.parsing.formats.source_parser import LANGUAGES, is_source_name
from prep.parsing.parsed import Parsed, UnreadableError
from prep.parsing.text_parser import decode, magic_name, storable, unix_lines
from prep.parsing.titles import plain_title, rest_title
from prep.parsing.unsupported import ole_kind, unsupported_reason
from prep.parsing.zip_package import package_kind

if TYPE_CHECKING:
    from prep.parsing.formats.archives.archive_parser import UnpackBudget

__all__ = ["FORMATS", "main", "parse_file"]

FORMATS = {
    **dict.fromkeys(LANGUAGES, "source"),
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdown": "markdown",
    ".mkd": "markdown",
    ".mdx": "markdown",
    ".txt": "text",
    ".text": "text",
    ".rst": "rest",
    ".rest": "rest",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".pptx": "pptx",
    ".pptm": "pptx",
    ".ppsx": "pptx",
    ".ppsm": "pptx",
    ".potx": "pptx",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".xltx": "xlsx",
    ".ods": "ods",
    ".ots": "ods",
    ".epub": "epub",
    ".docm": "docx",
    ".dotx": "docx",
    ".dotm": "docx",
    ".odt": "odt",
    ".ott": "odt",
    ".fodt": "flat odt",
    ".rtf": "rtf",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".geojson": "json",
    ".webmanifest": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xml": "xml",
    ".eml": "mail",
    ".mht": "mhtml",
    ".mhtml": "mhtml",
    ".ipynb": "notebook",
    ".adoc": "asciidoc",
    ".asciidoc": "asciidoc",
    ".org": "org",
    ".zip": "zip",
    ".tar": "tar",
    ".tgz": "tar",
    ".tbz2": "tar",
    ".txz": "tar",
    ".gz": "compressed",
    ".bz2": "compressed",
    ".xz": "compressed",
}
_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.S | re.I
)
#: Formats that are told by the parts of a ZIP package.
_PACKAGES = frozenset({"docx", "odt", "pptx", "xlsx", "ods", "epub"})
_LENGTH_BYTES = 8


def parse_file(path: str, *, max_bytes: int, max_characters: int, memory_limit_bytes: int) -> Parsed:
    """Return the text and title of one file. Raises UnreadableError with the reason."""
    data = _read(path, max_bytes)
    if not data:
        raise UnreadableError("is empty")
    parsed = parse_data(Path(path).name, data, memory_limit_bytes=memory_limit_bytes)
    if parsed.members:
        return _checked_members(parsed, max_characters)
    parsed = _checked(parsed)
    if len(parsed.text) > max_characters:
        raise UnreadableError(
            f"has {len(parsed.text):,} characters of text, more than the {max_characters:,} of max_characters"
        )
    return parsed


def _checked(parsed: Parsed) -> Parsed:
    """Return it with characters that can be stored. Raises UnreadableError where it has no text."""
    text = storable(parsed.text)
    if not text.strip():
        raise UnreadableError("has no text")
    return replace(parsed, title=storable(parsed.title), text=text)


def _checked_members(archive: Parsed, max_characters: int) -> Parsed:
    """Return the members that have text, as many as have at most `max_characters` together; the others are losses."""
    members: list[tuple[str, Parsed]] = []
    losses = list(archive.losses)
    seen: set[str] = set()
    for name, member in archive.members:
        name = storable(name)
        max_characters -= len(member.text)
        if name in seen:
            losses.append((name, "stands in the archive twice: the first is read"))
        elif max_characters < 0:
            losses.append((name, "the archive has more characters of text than max_characters"))
            max_characters += len(member.text)
        else:
            try:
                members.append((name, _checked(member)))
            except UnreadableError as error:
                losses.append((name, error.reason))
        seen.add(name)
    if not members:
        raise UnreadableError(f"is an archive that holds no text: {losses[0][0]} {losses[0][1]}")
    return replace(archive, members=tuple(members), losses=tuple(losses))


def parse_data(
    name: str, data: bytes, *, memory_limit_bytes: int, budget: UnpackBudget | None = None
) -> Parsed:
    """Return the text and title of a file's content; its format by name, else by content.

    budget: what may be unpacked of the archives in it; None for a file that is in none. Raises UnreadableError.
    """
    suffix = Path(name).suffix.lower()
    kind = FORMATS.get(suffix) or _sniff(data, name)
    try:
        parsed = _parse(name, data, kind, memory_limit_bytes, budget)
    except RecursionError:
        raise UnreadableError("is nested too deeply") from None
    return replace(parsed, metadata={**parsed.metadata, "format": kind})


def _parse_held(name: str, data: bytes, *, memory_limit_bytes: int, budget: UnpackBudget | None) -> Parsed:
    """Return what a file in another says. Raises UnreadableError whatever the parser raises: the rest is read."""
    try:
        return parse_data(name, data, memory_limit_bytes=memory_limit_bytes, budget=budget)
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:
        raise _unparsable(error) from error


def _unparsable(error: Exception) -> UnreadableError:
    """Return the error for a file that makes a parser raise anything. Raises MemoryError where memory ran out."""
    if isinstance(error, MemoryError) or "memory allocation failed" in str(error).lower():
        raise MemoryError from error
    message = storable(" ".join(str(error).split()))[:200]
    return UnreadableError(f"cannot be parsed: {type(error).__name__}{f': {message}' if message else ''}")


def _read(path: str, max_bytes: int) -> bytes:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= max_bytes:
                data = file.read(size + 1)
                while len(data) > size and len(data) <= max_bytes:  # it grows while it is read
                    size = len(data)
                    data += file.read(1 << 20)
                size = len(data)
    except FileNotFoundError:
        raise UnreadableError("vanished before it was read") from None
    except PermissionError:
        raise UnreadableError("cannot be opened: permission denied") from None
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}") from error
    if size > max_bytes:
        raise UnreadableError(f"has {size:,} bytes, more than the {max_bytes:,} of max_bytes")
    return data


def _sniff(data: bytes, file_name: str) -> str:
    """Return the format by content, for files with an unknown suffix."""
    suffix = Path(file_name).suffix.lower()
    if data.startswith(b"%PDF-"):
        return "pdf"
    if data.startswith(b"PK\x03\x04"):
        from prep.parsing.formats.word.docx.docx_package import is_docx

        kind = "docx" if is_docx(data) else package_kind(data)
        if kind in _PACKAGES or (kind == "zip" and not suffix):
            return str(kind)
    if data.startswith(b"{\\rtf"):
        return "rtf"
    if not suffix and data[257:262] == b"ustar":
        return "tar"
    if not suffix and data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")) and magic_name(data):
        return "compressed"
    if ole_kind(data) == ".msg":
        return "msg"
    if _HTML_START.match(data[:4096]):
        return "html"
    reason = unsupported_reason(data, suffix)
    if reason is not None:
        raise UnreadableError(reason)
    if data.startswith(b"#!") or is_source_name(file_name):
        return "source"
    return "text"


def _parse(name: str, data: bytes, kind: str, memory_limit_bytes: int, budget: UnpackBudget | None) -> Parsed:
    if kind == "zip":  # whatever it is called, a document that is a package of parts is read as one
        kind = package_kind(data) or kind
    if kind in ("zip", "tar", "compressed"):
        return _parse_archive(name, data, kind, memory_limit_bytes, budget)
    if kind == "html":
        from prep.parsing.formats.html_parser import parse_html

        return parse_html(data)
    if kind == "pdf":
        from prep.parsing.formats.pdf.pdf_parser import parse_pdf

        return parse_pdf(data)
    if kind == "docx":
        from prep.parsing.formats.word.docx.docx_parser import parse_docx

        return parse_docx(data, memory_limit_bytes, partial(_parse_chunk, memory_limit_bytes))
    if kind == "odt":
        from prep.parsing.formats.word.odt.odt_parser import parse_odt

        return parse_odt(data, memory_limit_bytes)
    if kind == "flat odt":
        from prep.parsing.formats.word.odt.odt_parser import parse_flat_odt

        return parse_flat_odt(data)
    if kind == "rtf":
        from prep.parsing.formats.word.rtf.rtf_parser import parse_rtf

        return parse_rtf(data)
    if kind in ("pptx", "xlsx", "ods", "epub"):
        return _parse_package(data, kind, memory_limit_bytes)
    if kind in ("mail", "msg"):
        from prep.parsing.formats.mail_parser import parse_mail
        from prep.parsing.formats.msg_parser import parse_msg

        parse = parse_msg if kind == "msg" else parse_mail
        return parse(data, partial(_parse_held, memory_limit_bytes=memory_limit_bytes, budget=budget))
    if kind == "mhtml":
        from prep.parsing.formats.mail_parser import parse_mhtml

        return parse_mhtml(data)
    if kind == "xml":
        from prep.parsing.formats.keyed_parser import parse_xml

        return parse_xml(data)
    text, losses = decode(data)
    parsed = _parse_text(name, unix_lines(text), kind)
    return replace(parsed, losses=(*losses, *parsed.losses))


def _parse_package(data: bytes, kind: str, memory_limit_bytes: int) -> Parsed:
    """Return what a package of parts says: slides, sheets, chapters."""
    if kind == "pptx":
        from prep.parsing.formats.office.pptx_parser import parse_pptx

        return parse_pptx(data, memory_limit_bytes)
    if kind == "xlsx":
        from prep.parsing.formats.office.xlsx_parser import parse_xlsx

        return parse_xlsx(data, memory_limit_bytes)
    if kind == "ods":
        from prep.parsing.formats.office.ods_parser import parse_ods

        return parse_ods(data, memory_limit_bytes)
    from prep.parsing.formats.archives.epub_parser import parse_epub

    return parse_epub(data, memory_limit_bytes)


def _parse_archive(
    name: str, data: bytes, kind: str, memory_limit_bytes: int, budget: UnpackBudget | None
) -> Parsed:
    """Return the files in an archive; a file that is only compressed, as itself."""
    from prep.parsing.formats.archives.archive_parser import (
        UnpackBudget,
        parse_compressed,
        parse_tar,
        parse_zip,
    )

    budget = budget or UnpackBudget(n_bytes=min(memory_limit_bytes // 2, UnpackBudget().n_bytes))

    def parse_member(name: str, data: bytes, budget: UnpackBudget) -> Parsed:
        return _parse_held(
            PurePosixPath(name).name, data, memory_limit_bytes=memory_limit_bytes, budget=budget
        )

    if kind == "zip":
        return parse_zip(data, parse_member, budget)
    if kind == "tar":
        return parse_tar(data, parse_member, budget)
    return parse_compressed(name, data, parse_member, budget)


def _parse_chunk(memory_limit_bytes: int, name: str, data: bytes) -> Parsed:
    """Return what a file inside a Word document says, which is of a format that Word reads in."""
    kind = FORMATS.get(Path(name).suffix.lower()) or _sniff(data, name)
    if kind == "docx":
        from prep.parsing.formats.word.docx.docx_parser import parse_docx

        return parse_docx(data, memory_limit_bytes)  # what that one holds is a loss, so that nesting ends
    if kind not in ("html", "mhtml", "rtf", "text", "xml"):
        raise UnreadableError("is of a format that Word does not read in")
    return _parse(name, data, kind, memory_limit_bytes, None)


def _parse_text(name: str, text: str, kind: str) -> Parsed:
    """Return what a format that is text in itself says. text: line ends are line feeds."""
    if kind == "markdown":
        from prep.parsing.formats.markdown_parser import parse_markdown

        return parse_markdown(text)
    if kind == "rest":
        from prep.parsing.formats.rest_parser import rest_to_markdown

        return Parsed(rest_title(text), rest_to_markdown(text))
    if kind in ("asciidoc", "org"):
        from prep.parsing.formats.light_markup.asciidoc_parser import parse_asciidoc
        from prep.parsing.formats.light_markup.org_parser import parse_org

        return parse_asciidoc(text) if kind == "asciidoc" else parse_org(text)
    if kind == "source":
        from prep.parsing.formats.source_parser import parse_source

        return parse_source(text, name)
    if kind in ("csv", "tsv"):
        from prep.parsing.formats.delimited_parser import parse_delimited

        return parse_delimited(text, "\t" if kind == "tsv" else ",")
    if kind in ("json", "jsonl"):
        from prep.parsing.formats.keyed_parser import parse_json, parse_json_lines

        return parse_json(text) if kind == "json" else parse_json_lines(text)
    if kind == "notebook":
        from prep.parsing.formats.notebook_parser import parse_notebook

        return parse_notebook(text)
    return Parsed(plain_title(text), text)


def main() -> None:
    """Answer requests until standard input ends. The first line sets the memory limit."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not get between the answers
    limits = json.loads(sys.stdin.buffer.readline())
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _limit_memory(limits["memory_limit_bytes"])
    _answer(answers, {})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_processor(request.pop("timeout_s"))
        try:
            _answer(answers, _respond(request))
        except MemoryError:
            _answer(answers, {"over_memory": True})
        except BrokenPipeError:
            return


def _respond(request: dict[str, Any]) -> dict[str, Any]:
    try:
        parsed = parse_file(**request)
    except UnreadableError as error:
        return {"reason": storable(error.reason)}
    except Exception as error:
        return {"reason": _unparsable(error).reason}
    return _content(parsed)


def _content(parsed: Parsed) -> dict[str, Any]:
    return {
        "title": parsed.title,
        "text": parsed.text,
        "losses": [(storable(where), storable(why)) for where, why in parsed.losses],
        "places": [(place.start, place.kind, storable(place.label)) for place in parsed.places],
        "metadata": {
            storable(key): storable(value) if isinstance(value, str) else [storable(one) for one in value]
            for key, value in parsed.metadata.items()
        },
        "members": [(name, _content(member)) for name, member in parsed.members],
    }


def _answer(answers: BinaryIO, content: dict[str, Any]) -> None:
    payload = json.dumps(content, ensure_ascii=False).encode("utf-8")
    answers.write(len(payload).to_bytes(_LENGTH_BYTES, "big"))
    answers.write(payload)
    answers.flush()


def _limit_memory(limit_bytes: int) -> None:
    """Allow `limit_bytes` of memory besides the interpreter's own, where the system has such limits."""
    try:
        import resource
    except ImportError:
        return
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        held = pages * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        held = 0
    try:
        resource.setrlimit(
            resource.RLIMIT_AS, (held + limit_bytes, resource.getrlimit(resource.RLIMIT_AS)[1])
        )
    except (ValueError, OSError):
        return


def _limit_processor(timeout_s: float) -> None:
    """Let the system end this process soon after its time, in case the parent is gone."""
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(usage.ru_utime + usage.ru_stime + timeout_s) + 5
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    except (ValueError, OSError):
        return
