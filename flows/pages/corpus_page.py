"""The part of `diptych report` on the corpus: how long its chunks are, what they are, what could not be read."""

from __future__ import annotations

from flows.pages.charts import Bar, draw_bars
from flows.pages.corpus_health import CorpusHealth
from flows.pages.run_page import counted
from retrieve.report.render_html import html_text

__all__ = ["render_health", "share_of"]

MAX_REJECTED = 20
N_BARS = 24


def render_health(health: CorpusHealth) -> str:
    """Return the part as HTML."""
    if health.generation is None:
        return f'<p class="lead" dir="auto">{html_text(health.problem)}</p>'
    over = (
        "not known, its prep version is not here"
        if health.n_over is None
        else share_of(health.n_over, health.n_chunks)
    )
    facts = [
        ("Documents", f"{health.n_documents:,}"),
        ("Rejected", "not noted" if health.rejected is None else f"{len(health.rejected):,}"),
        ("Boilerplate, share of all tokens", f"{100 * health.boilerplate_share:.1f}%"),
        ("Chunks over the limit", over if not health.n_over else f'<b class="out">{over}</b>'),
        ("Chunks", f"{health.n_chunks:,}"),
    ]
    table = "".join(
        f'<tr><th scope="row">{name}</th><td class="number">{value}</td></tr>' for name, value in facts
    )
    roles = _roles(health)
    return (
        f'<div class="charts">{_histogram(health)}<table class="facts"><tbody>{table}{roles}</tbody></table></div>\n'
        f"{_rejected(health)}"
    )


def _roles(health: CorpusHealth) -> str:
    """Return table rows: how many chunks there are of each role, with a bar for their share."""
    rows = []
    for role, n_chunks in sorted(health.roles.items(), key=lambda item: (-item[1], item[0])):
        share = 100 * n_chunks / health.n_chunks
        rows.append(
            f'<tr class="role"><th scope="row">{html_text(role)}</th><td class="number">{n_chunks:,}'
            f'<span class="bar" aria-hidden="true"><i style="width:{share:.1f}%"></i></span></td></tr>'
        )
    return "".join(rows)


def _histogram(health: CorpusHealth) -> str:
    lengths = health.searched_lengths()
    if not lengths:
        return ""
    longest = max(max(lengths), health.max_tokens or 0)
    width = max(1, -(-longest // N_BARS))
    bars = []
    for low in range(0, longest, width):
        n_chunks = sum(lengths[tokens] for tokens in range(low + 1, low + width + 1))
        is_over = health.max_tokens is not None and low >= health.max_tokens
        bars.append(Bar(f"{low + 1} to {low + width} tokens", (n_chunks,), is_over))
    middle = sorted(lengths.elements())[lengths.total() // 2]
    limit = None if health.max_tokens is None else (health.max_tokens / width, f"limit {health.max_tokens}")
    return draw_bars(
        bars, "Lengths of chunks that are searched", f"half have {middle} tokens or fewer", limit=limit
    )


def _rejected(health: CorpusHealth) -> str:
    if not health.rejected:
        return ""
    rows = "\n".join(
        f'<tr><th scope="row"><bdi>{html_text(row.path)}</bdi></th><td dir="auto">{html_text(row.reason)}</td></tr>'
        for row in health.rejected[:MAX_REJECTED]
    )
    rest = len(health.rejected) - MAX_REJECTED
    more = f"<p>{counted(rest, 'more file')} in the generation's manifest.</p>" if rest > 0 else ""
    return (
        f"<details><summary>{counted(len(health.rejected), 'file')} could not be read</summary>\n"
        '<div class="wide"><table><thead><tr><th scope="col">File</th><th scope="col">Why</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>{more}</details>"
    )


def share_of(part: int, whole: int) -> str:
    """Return a share in percent; a dash where there is no whole."""
    return f"{100 * part / whole:.0f}%" if whole else "—"
