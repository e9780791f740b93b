"""A catalogue of damages: how pages lose their structure on the way to plain text.

Each damage takes a `Page` and a seeded generator and returns a page whose pieces keep their labels. Nothing
here reads files or looks at a model; which damages a training set gets is decided by `damage_page`.
"""

from __future__ import annotations

import random
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias

from prep.errors import ConfigError
from prep.text import split_sentences
from training.pages.render import Page, Piece

__all__ = ["CATALOGUE", "Damage", "damage_page", "misread", "random_damages"]

Damage: TypeAlias = Callable[[Page, random.Random], Page]


def flatten_headings(page: Page, rng: random.Random) -> Page:
    """Headings lose their marks and underlines: left as they are, upper case, bold, numbered or with a
    colon.
    """
    style = rng.choice(("as is", "as is", "upper", "bold", "numbered", "colon"))
    counters = [0, 0, 0]
    pieces: list[Piece] = []
    for piece in page.pieces:
        if piece.role not in ("heading", "title"):
            pieces.append(piece)
            continue
        if not piece.plain:  # an underline: its break and its blank line go to the heading above
            if pieces and pieces[-1].block == piece.block:
                pieces[-1] = replace(pieces[-1], glue=piece.glue, after=piece.after)
            continue
        words = piece.plain
        if style == "upper":
            words = words.upper()
        elif style == "bold":
            words = f"**{words}**"
        elif style == "colon":
            words = words.rstrip(":") + ":"
        elif style == "numbered" and piece.role == "heading" and piece.level >= 0:
            counters[piece.level] += 1
            counters[piece.level + 1 :] = [0] * (2 - piece.level)
            words = ".".join(str(max(n, 1)) for n in counters[: piece.level + 1]) + " " + words
        pieces.append(replace(piece, text=words))
    return replace(page, pieces=tuple(pieces))


def rewrap(page: Page, rng: random.Random) -> Page:
    """Prose is broken into lines of one width."""
    return _wrap(page, rng.randint(45, 100), hyphens=False)


def hyphenate(page: Page, rng: random.Random) -> Page:
    """Prose is broken into narrow lines, and long words at their ends are parted with a hyphen."""
    return _wrap(page, rng.randint(35, 70), hyphens=True)


def _wrap(page: Page, width: int, *, hyphens: bool) -> Page:
    pieces: list[Piece] = []
    for piece in page.pieces:
        if piece.role not in ("text", "list", "reference") or len(piece.text) <= width:
            pieces.append(piece)
            continue
        indent = len(piece.text) - len(piece.text.lstrip())
        hang = " " * (indent + 2) if piece.role == "list" else ""
        lines = textwrap.wrap(
            piece.text.strip(),
            width,
            initial_indent=piece.text[:indent],
            subsequent_indent=hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
        if hyphens:
            lines = _part_words(lines, width)
        for j, line in enumerate(lines):
            if j == len(lines) - 1:
                pieces.append(replace(piece, text=line, plain=line.strip()))
            else:
                after = 1 if re.search(r"[.!?。！？][\"'”’)]*$", line) else 0
                pieces.append(replace(piece, text=line, plain=line.strip(), after=after, glue="\n"))
    return replace(page, pieces=tuple(pieces))


def _part_words(lines: list[str], width: int) -> list[str]:
    parted = list(lines)
    for j in range(len(parted) - 1):
        words = parted[j + 1].split()
        room = width - len(parted[j]) - 2
        if words and words[0].isalpha() and len(words[0]) >= 7 and 3 <= room <= len(words[0]) - 3:
            indent = parted[j + 1][: len(parted[j + 1]) - len(parted[j + 1].lstrip())]
            parted[j] += " " + words[0][:room] + "-"
            parted[j + 1] = indent + " ".join([words[0][room:], *words[1:]])
    return parted


def lose_blank_lines(page: Page, rng: random.Random) -> Page:
    """Blank lines between blocks are lost, all of them or most."""
    share = rng.choice((0.7, 1.0, 1.0))
    return _reglue(page, lambda p: "\n" if p.glue == "\n\n" and rng.random() < share else p.glue)


def double_spacing(page: Page, rng: random.Random) -> Page:
    """Every line is followed by a blank one, so that blank lines say nothing."""
    return _reglue(page, lambda p: "\n\n" if p.glue.startswith("\n") else p.glue)


def _reglue(page: Page, glue: Callable[[Piece], str]) -> Page:
    return replace(page, pieces=tuple(replace(piece, glue=glue(piece)) for piece in page.pieces))


def running_headers(page: Page, rng: random.Random) -> Page:
    """Page numbers, running headers and footers come every thirty to seventy lines, in the midst of
    anything.
    """
    every = rng.randint(12, 60)
    title = page.title or "Untitled"
    left = rng.choice((title, title.upper(), f"{title} | Draft", f"{rng.randint(1990, 2030)} Annual Report"))
    number = rng.randint(1, 300)
    where = rng.choice(("header", "footer", "both"))
    form = rng.choice(("Page {n}", "{n}", "- {n} -", "Page {n} of {m}", "{t}    {n}", "{n} | {t}"))
    total = number + rng.randint(5, 200)
    notice = rng.choice(("", "", "CONFIDENTIAL", f"© {rng.randint(1995, 2030)} All rights reserved"))
    pieces: list[Piece] = []
    lines = rng.randint(0, every - 1)
    for piece in page.pieces:
        pieces.append(piece)
        lines += 1
        if lines < every or (piece.role in ("heading", "title") and piece.after == 0):
            continue
        lines = 0
        shown: list[str] = []
        if where in ("footer", "both"):
            shown.append(form.format(n=number, m=total, t=left))
            if notice:
                shown.append(notice)
        number += 1
        if where in ("header", "both"):
            shown.append(left if where == "both" else form.format(n=number, m=total, t=left))
        blank = rng.choice(("\n", "\n\n", "\n\n"))
        pieces[-1] = replace(piece, glue=blank)
        for j, words in enumerate(shown):
            end = j == len(shown) - 1
            pieces.append(
                Piece(words, words, "boilerplate", -1, piece.after if end else 0, blank if end else "\n", -1)
            )
    return replace(page, pieces=tuple(pieces))


_MENU_ENTRIES = (
    "Home|About us|Contact|Products|Services|Blog|News|Careers|Support|Documentation|Pricing|Log in|"
    "Sign up|Register|My account|Cart|Help|FAQ|Forum|Community|Downloads|Search|Menu|"
    "Skip to main content|Skip to content|Toggle navigation|English|Français|Deutsch|Español|"
    "Privacy policy|Terms of service|Sitemap|Accessibility|Previous|Next|Back to top|Print this page|"
    "Edit this page|Share|Facebook|Twitter|LinkedIn|Email|RSS|Table of contents|Related articles|"
    "Read more|See all|Main page|Random article|View source|View history"
)
_COOKIES = (
    "We use cookies to improve your experience on our website. By continuing to browse you agree to "
    "our use of cookies.",
    "This site uses cookies from third parties to deliver its services and to analyse traffic. Learn "
    "more. Got it",
    "We value your privacy. We and our partners store and access information on your device. Accept "
    "all Reject all",
    "Your browser does not support JavaScript. Please enable it to view this page correctly.",
    "Sign up for our newsletter and get the latest updates straight to your inbox. No spam, "
    "unsubscribe any time.",
    "Subscribe now for unlimited access. Already a subscriber? Log in.",
    "Advertisement",
    "Was this page helpful? Yes No Give feedback",
    "Enjoyed this article? Share it with your friends and follow us for more.",
)
_FOOTERS = (
    "© {y} {n}. All rights reserved.",
    "Copyright {y} {n} | Privacy Policy | Terms of Use | Contact",
    "Last updated on {d} {m} {y}",
    "Powered by {n} | Theme by {n}",
    "Follow us on Facebook, Twitter and Instagram",
    "{n}, Inc. Registered office: {d} Main Street. Company number {k}",
)


def navigation(page: Page, rng: random.Random) -> Page:
    """A web page's frame: menus and cookie notices before the text, share bars within, footers after it."""
    join = rng.choice(("\n", "\n", " | ", " "))
    blank = rng.choice(("\n\n", "\n\n", "\n"))

    def run(lines: list[str]) -> list[Piece]:
        return [
            Piece(
                words,
                words,
                "boilerplate",
                -1,
                3 if j == len(lines) - 1 else 1,
                blank if j == len(lines) - 1 else "\n",
                -1,
            )
            for j, words in enumerate(lines)
        ]

    def menu(n: int) -> list[str]:
        entries = rng.sample(_MENU_ENTRIES.split("|"), n)
        mark = rng.choice(("", "", "* ", "- "))
        return [mark + entry for entry in entries] if join == "\n" else [join.join(entries)]

    top = menu(rng.randint(4, 12)) + ([rng.choice(_COOKIES)] if rng.random() < 0.6 else [])
    if rng.random() < 0.3:
        top.reverse()
    name = rng.choice(("Acme", "Northwind", "Example", "Globex", "Initech", page.title[:30] or "Home"))
    bottom = [
        line.format(
            y=rng.randint(1998, 2030),
            n=name,
            d=rng.randint(1, 28),
            m=rng.choice(("May", "June", "March")),
            k=rng.randint(10**5, 10**7),
        )
        for line in rng.sample(_FOOTERS, rng.randint(1, 3))
    ] + (menu(rng.randint(3, 8)) if rng.random() < 0.5 else [])
    pieces = list(page.pieces)
    if pieces and rng.random() < 0.7:
        pieces[-1] = replace(pieces[-1], glue="\n\n", after=3)
        pieces.extend(run(bottom))
    middles = [
        j for j, p in enumerate(pieces[:-1]) if p.after >= 2 and p.role != "boilerplate" and p.glue != " "
    ]
    if middles and rng.random() < 0.5:
        at = rng.choice(middles)
        inserted = run([rng.choice(_COOKIES)] if rng.random() < 0.5 else menu(rng.randint(3, 6)))
        pieces[at + 1 : at + 1] = inserted
    if rng.random() < 0.8:
        pieces[:0] = run(top)
    return replace(page, pieces=tuple(pieces))


_CONFUSIONS = {
    "l": "1", "1": "l", "O": "0", "0": "O", "rn": "m", "m": "rn", "e": "c", "c": "e", "h": "b", "i": "j",
    "S": "5", "5": "S", "B": "8", "g": "q", "u": "ii", "cl": "d", "d": "cl", "I": "l", "t": "f", "'": "`",
}  # fmt: skip


def ocr_noise(page: Page, rng: random.Random) -> Page:
    """Characters are misread, dropped, or run together, in one to five of a hundred."""
    rate = rng.choice((0.01, 0.02, 0.05))
    pieces = [replace(piece, text=misread(piece.text, rate, rng) or piece.text) for piece in page.pieces]
    return replace(page, pieces=tuple(pieces))


def misread(text: str, rate: float, rng: random.Random) -> str:
    """Return the text as a scan of it might be read: about that share of its characters wrong."""
    out: list[str] = []
    i = 0
    while i < len(text):
        two, one = text[i : i + 2], text[i]
        if rng.random() >= rate or one in "\n#|":
            out.append(one)
            i += 1
        elif two in _CONFUSIONS:
            out.append(_CONFUSIONS[two])
            i += 2
        elif one in _CONFUSIONS:
            out.append(_CONFUSIONS[one])
            i += 1
        elif one == " ":
            out.append(rng.choice(("", "  ", ". ")))
            i += 1
        else:
            out.append(rng.choice(("", one, one + " ", "~")))
            i += 1
    return "".join(out)


def merge_lists(page: Page, rng: random.Random) -> Page:
    """Lists lose their marks, or all items of a list run together in one line."""
    joint = rng.choice(("\n", "\n", "; ", " • ", " "))
    pieces: list[Piece] = []
    for j, piece in enumerate(page.pieces):
        if piece.role != "list":
            pieces.append(piece)
            continue
        following = page.pieces[j + 1] if j + 1 < len(page.pieces) else None
        inner = following is not None and following.role == "list" and piece.glue == "\n"
        pieces.append(replace(piece, text=piece.plain, glue=joint if inner else piece.glue))
    return replace(page, pieces=tuple(pieces))


def table_rows(page: Page, rng: random.Random) -> Page:
    """Tables lose their bars: cells apart by blanks or tabs, or every cell on a line of its own."""
    joint = rng.choice(("  ", "\t", " ", "\n"))
    pieces: list[Piece] = []
    for piece in page.pieces:
        cells = [cell.strip() for cell in piece.plain.split("\t") if cell.strip()]
        if piece.role != "table" or len(cells) < 2:
            pieces.append(piece)
        elif joint == "\n":
            pieces.extend(replace(piece, text=cell, plain=cell, after=0, glue="\n") for cell in cells[:-1])
            pieces.append(replace(piece, text=cells[-1], plain=cells[-1]))
        else:
            pieces.append(replace(piece, text=joint.join(cells)))
    return replace(page, pieces=tuple(pieces))


def lost_fences(page: Page, rng: random.Random) -> Page:
    """Code loses its fences, and sometimes its indentation."""
    flat = rng.random() < 0.5
    pieces: list[Piece] = []
    for piece in page.pieces:
        if piece.role != "code":
            pieces.append(piece)
        elif not piece.plain.strip():
            if pieces and pieces[-1].block == piece.block:
                pieces[-1] = replace(pieces[-1], glue=piece.glue, after=piece.after)
        else:
            pieces.append(replace(piece, text=piece.plain.strip() if flat else piece.plain))
    return replace(page, pieces=tuple(pieces))


def join_lines(page: Page, rng: random.Random) -> Page:
    """Line ends are lost: the prose of the page runs on in one line, headings and all, or in a few."""
    keep = rng.choice((0.0, 0.0, 0.1))
    flowing = ("text", "heading", "title", "list", "reference")

    def glue(piece: Piece) -> str:
        if piece.role in flowing and piece.plain and rng.random() >= keep:
            return " "
        return piece.glue

    pieces = [
        replace(
            piece, text=piece.plain if piece.plain and piece.role in flowing else piece.text, glue=glue(piece)
        )
        for piece in page.pieces
    ]
    return replace(page, pieces=tuple(pieces))


def sentence_lines(page: Page, rng: random.Random) -> Page:
    """Every sentence of the prose stands on a line of its own, as in corpora that were split."""
    pieces: list[Piece] = []
    for piece in page.pieces:
        spans = split_sentences(piece.text) if piece.role == "text" else []
        lines = [line for start, end in spans if (line := piece.text[start:end].strip())]
        if len(lines) < 2:
            pieces.append(piece)
            continue
        pieces.extend(replace(piece, text=line, plain=line, after=1, glue="\n") for line in lines[:-1])
        pieces.append(replace(piece, text=lines[-1], plain=lines[-1]))
    return replace(page, pieces=tuple(pieces))


_APART = re.compile(r"(?<=\w)(?=[.,;:?!%)\]](?:\s|$|[\"”)]))|(?<=[(\[$])(?=\w)|(?<=[.,?!])(?=[\"”])")


def spaced_tokens(page: Page, rng: random.Random) -> Page:
    """Punctuation stands apart from words, as in corpora that were tokenised, sometimes with `` and '' for quotes."""
    quotes = rng.random() < 0.5

    def apart(text: str) -> str:
        text = _APART.sub(" ", text)
        if quotes:
            text = re.sub(r"[\"”](?=\s|$)", "''", re.sub(r"(?<!\S)[\"“](?=\S)", "`` ", text))
        return text

    flowing = ("text", "heading", "title", "list", "reference")
    pieces = [
        replace(piece, text=apart(piece.text)) if piece.role in flowing else piece for piece in page.pieces
    ]
    return replace(page, pieces=tuple(pieces))


def lost_case(page: Page, rng: random.Random) -> Page:
    """Everything is in lower case, as in a transcript."""
    return replace(page, pieces=tuple(replace(piece, text=piece.text.lower()) for piece in page.pieces))


def left_margin(page: Page, rng: random.Random) -> Page:
    """Every line is indented, and paragraphs begin with more blanks than the rest."""
    margin, first = " " * rng.choice((1, 2, 4, 8)), " " * rng.choice((0, 0, 2, 5))
    pieces: list[Piece] = []
    fresh = True
    for piece in page.pieces:
        indent = margin + (first if fresh and piece.role == "text" else "")
        pieces.append(replace(piece, text=indent + piece.text))
        fresh = piece.after >= 2
    return replace(page, pieces=tuple(pieces))


CATALOGUE: Mapping[str, Damage] = MappingProxyType(
    {
        "flatten_headings": flatten_headings,
        "merge_lists": merge_lists,
        "table_rows": table_rows,
        "lost_fences": lost_fences,
        "rewrap": rewrap,
        "hyphenate": hyphenate,
        "one_line": join_lines,
        "sentence_lines": sentence_lines,
        "lose_blank_lines": lose_blank_lines,
        "double_spacing": double_spacing,
        "running_headers": running_headers,
        "navigation": navigation,
        "ocr_noise": ocr_noise,
        "spaced_tokens": spaced_tokens,
        "lost_case": lost_case,
        "left_margin": left_margin,
    }
)

# How often each is drawn; those that exclude one another share a group.
_SHARES = {
    "flatten_headings": 0.6,
    "merge_lists": 0.25,
    "table_rows": 0.3,
    "lost_fences": 0.4,
    "running_headers": 0.25,
    "navigation": 0.25,
    "ocr_noise": 0.1,
    "spaced_tokens": 0.05,
    "lost_case": 0.05,
    "left_margin": 0.08,
}
_LINES = (("rewrap", 0.3), ("hyphenate", 0.08), ("one_line", 0.17), ("sentence_lines", 0.05), ("", 0.4))
_BLANKS = (("lose_blank_lines", 0.3), ("double_spacing", 0.1), ("", 0.6))


def random_damages(rng: random.Random) -> tuple[str, ...]:
    """Draw the names of damages for one page, in the order of the catalogue; one page in eight is left
    whole.
    """
    if rng.random() < 0.125:
        return ()
    drawn = {name for name, share in _SHARES.items() if rng.random() < share}
    for group in (_LINES, _BLANKS):
        names, shares = zip(*group, strict=True)
        drawn.add(rng.choices(names, shares)[0])
    if "one_line" in drawn:
        drawn -= {"lose_blank_lines", "double_spacing", "left_margin"}
    return tuple(name for name in CATALOGUE if name in drawn)


def damage_page(page: Page, names: tuple[str, ...], rng: random.Random) -> Page:
    """Apply the named damages in the given order. Raises ConfigError for a name not in the catalogue."""
    for name in names:
        if name not in CATALOGUE:
            raise ConfigError(f"damage {name!r} is not one of {', '.join(CATALOGUE)}")
        page = CATALOGUE[name](page, rng)
    return replace(page, damages=(*page.damages, *names))
