"""Chunking metrics against a plain second implementation on Python sets of character positions."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from prep.document import Span
from training.metrics.chunking_metrics import cover, evidence_recall, first_tokens, precision_omega

spans = st.builds(
    lambda document_id, start, length: Span(document_id, start, start + length),
    st.sampled_from(["a", "b"]),
    st.integers(0, 60),
    st.integers(1, 30),
)
some_spans = st.lists(spans, max_size=6)


def positions(*of: Span) -> Counter[tuple[str, int]]:
    return Counter((span.document_id, i) for span in of for i in range(span.start, span.end))


@given(excerpts=some_spans, retrieved=some_spans)
def test_recall_precision_and_iou_are_counts_of_positions(
    excerpts: list[Span], retrieved: list[Span]
) -> None:
    wanted, got = set(positions(*excerpts)), positions(*retrieved)
    shared = wanted & set(got)
    score = cover(excerpts, retrieved)
    assert score.recall == (len(shared) / len(wanted) if wanted else 0.0)
    assert score.precision == (len(shared) / got.total() if got else 0.0)
    paid = got.total() + len(wanted - set(got))
    assert score.iou == (len(shared) / paid if paid else 0.0)


@given(excerpts=some_spans, chunks=some_spans)
def test_precision_omega_is_the_precision_of_all_chunks_that_hold_an_excerpt(
    excerpts: list[Span], chunks: list[Span]
) -> None:
    wanted = set(positions(*excerpts))
    holding: set[tuple[str, int]] = set()
    for chunk in chunks:
        if wanted & set(positions(chunk)):
            holding |= set(positions(chunk))
    expected = len(holding & wanted) / len(holding | wanted) if wanted else 0.0
    assert precision_omega(excerpts, chunks) == expected


@given(excerpts=some_spans, chunks=some_spans)
def test_touching_chunks_can_only_lower_precision_omega(excerpts: list[Span], chunks: list[Span]) -> None:
    assert precision_omega(excerpts, chunks, touching=True) <= precision_omega(excerpts, chunks)


@given(excerpts=some_spans, ranked=some_spans, budget=st.integers(0, 120))
def test_with_one_token_a_character_the_budget_is_a_cut_in_characters(
    excerpts: list[Span], ranked: list[Span], budget: int
) -> None:
    wanted = set(positions(*excerpts))
    read = [(span.document_id, i) for span in ranked for i in range(span.start, span.end)][:budget]
    expected = len(wanted & set(read)) / len(wanted) if wanted else 0.0
    costs = [span.end - span.start for span in ranked]
    assert evidence_recall(excerpts, first_tokens(ranked, costs, budget), alternatives=False) == expected
