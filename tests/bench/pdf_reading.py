"""Reading PDFs beside pypdf, pdfminer.six and pdfplumber: pages a second, peak memory, share of the words.

    python tests/bench/pdf_reading.py FILE.pdf ...

Each reader runs in a process of its own over all files, the first PAGES pages of each counted as seconds of its
processor time. Peers that are not installed are left out. Words are compared with pypdf's: those that only it has are
running headers and page numbers for the most part.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

PAGES = 150
_WORD = re.compile(r"[^\W\d_]{2,}|\d+")


def read_diptych(path: str) -> str:
    from prep.parsing.formats.pdf.pdf_parser import parse_pdf

    return parse_pdf(Path(path).read_bytes()).text


def read_pypdf(path: str) -> str:
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(path).pages)


def read_pdfminer(path: str) -> str:
    from pdfminer.high_level import extract_text

    return extract_text(path)


def read_pdfplumber(path: str) -> str:
    import pdfplumber

    with pdfplumber.open(path) as document:
        return "\n".join(f"{page.extract_text()}{page.extract_tables()}" for page in document.pages)


READERS: dict[str, Callable[[str], str]] = {
    "diptych": read_diptych,
    "pypdf": read_pypdf,
    "pdfminer": read_pdfminer,
    "pdfplumber": read_pdfplumber,
}


def measure(reader: str, paths: list[str]) -> None:
    """Print as JSON what one reader needs for the files and which words it finds."""
    words: Counter[str] = Counter()
    start = time.process_time()
    for path in paths:
        words.update(_WORD.findall(READERS[reader](path)))
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "words": words}))


def first_pages(paths: list[str], folder: Path) -> int:
    """Write the first PAGES pages of each file into a folder; return how many there are in all."""
    from pypdf import PdfReader, PdfWriter

    total = 0
    for number, path in enumerate(paths):
        writer = PdfWriter()
        for page in PdfReader(path).pages[:PAGES]:
            writer.add_page(page)
            total += 1
        writer.write(folder / f"{number}.pdf")
    return total


def main() -> None:
    """Measure every installed reader on the files named on the command line."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE.pdf")
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as folder:
        n_pages = first_pages(files, Path(folder))
        paths = sorted(map(str, Path(folder).iterdir()))
        found: dict[str, Counter[str]] = {}
        for reader in ("pypdf", "diptych", "pdfminer", "pdfplumber"):
            if reader != "diptych" and find_spec(reader) is None:
                continue
            command = [sys.executable, __file__, "--measure", reader, *paths]
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            found[reader] = Counter(result["words"])
            reference = found["pypdf"]
            share = 1 - (reference - found[reader]).total() / max(reference.total(), 1)
            print(
                f"{reader:10} {n_pages / result['seconds']:6.1f} pages/s  {result['peak_mib']:4} MiB  "
                f"{share:.3f} of pypdf's words"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], sys.argv[3:])
    else:
        main()
