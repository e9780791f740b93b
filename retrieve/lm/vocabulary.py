"""Prune a byte-fallback BPE vocabulary to the part worth its embedding rows.

Gemma's 262k tokens are two thirds of the small model's parameters. Kept are control tokens, all bytes, all ASCII
tokens, the commoner other tokens, single characters first, and the merges that build them. Dropped tokens fall back to
smaller ones and in the end to bytes, so every text still round-trips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from retrieve.lm.special_tokens import MARKERS, TAGS

__all__ = ["CONTROL", "PrunedVocabulary", "VocabularyLimits", "build_tokenizer", "prune"]

CONTROL = ("<pad>", "<eos>", "<bos>", "<unk>")
_SPACE = "▁"


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyLimits:
    """How many of the base's tokens are kept; counts by rank (a lower id is a commoner token)."""

    ascii_rank: int = 50_000
    other_rank: int = 24_000
    n_single_characters: int = 5_000


@dataclass(frozen=True, slots=True)
class PrunedVocabulary:
    """`tokens[i]` is the i-th kept token and `source_ids[i]` its row in the base, -1 for our own tags and markers."""

    tokens: list[str]
    source_ids: list[int]
    merges: list[tuple[str, str]]


def prune(tokens: Sequence[str], limits: VocabularyLimits | None = None) -> PrunedVocabulary:
    """Choose the tokens to keep of `tokens`, the base's tokens by id (common first, single characters last).

    Ids: control tokens, tags, markers, then the kept tokens in the base's order. Deterministic.
    """
    limits = limits or VocabularyLimits()
    identifiers = {token: number for number, token in enumerate(tokens)}
    kept: set[str] = set()
    n_single = 0
    for number, token in enumerate(tokens):
        if _is_control(token):
            continue
        plain = token.replace(_SPACE, " ")
        if _is_byte(token) or (len(token) == 1 and plain.isascii()):
            kept.add(token)
        elif len(token) == 1 and number > limits.ascii_rank:
            if n_single < limits.n_single_characters:
                n_single += 1
                kept.add(token)
        elif number < (limits.ascii_rank if plain.isascii() else limits.other_rank):
            kept.add(token)
    _close(kept, identifiers)
    ordered = sorted(kept, key=identifiers.__getitem__)
    own = [*CONTROL, *TAGS, *MARKERS]
    source = [identifiers[token] for token in CONTROL] + [-1] * (len(TAGS) + len(MARKERS))
    return PrunedVocabulary(
        tokens=own + ordered,
        source_ids=source + [identifiers[token] for token in ordered],
        merges=_merges(ordered),
    )


def build_tokenizer(vocabulary: PrunedVocabulary) -> Tokenizer:
    """Return the fast tokenizer of a pruned vocabulary: BPE with byte fallback, blanks as `▁`, `<bos>` in front."""
    model = models.BPE(
        vocab={token: number for number, token in enumerate(vocabulary.tokens)},
        merges=vocabulary.merges,
        unk_token="<unk>",
        byte_fallback=True,
        fuse_unk=True,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", vocabulary.tokens.index("<bos>"))]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in (*TAGS, *MARKERS)])
    return tokenizer


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _is_control(token: str) -> bool:
    if _is_byte(token) or len(token) < 3:
        return False
    return (
        token[0] == "<" and token[-1] == ">" and token[1:-1].replace("_", "").replace("/", "").isalnum()
    ) or (token == "[multimodal]")


def _close(kept: set[str], identifiers: dict[str, int]) -> None:
    """Add to `kept` what its tokens are merged from, until every token can be built."""
    queue = [token for token in kept if len(token) > 1 and not _is_byte(token)]
    while queue:
        token = queue.pop()
        if any(token[:cut] in kept and token[cut:] in kept for cut in range(1, len(token))):
            continue
        splits = [
            (max(identifiers[left], identifiers[right]), left, right)
            for cut in range(1, len(token))
            if (left := token[:cut]) in identifiers and (right := token[cut:]) in identifiers
        ]
        if not splits:
            continue
        for part in min(splits)[1:]:
            if part not in kept:
                kept.add(part)
                if len(part) > 1:
                    queue.append(part)


def _merges(ordered: Sequence[str]) -> list[tuple[str, str]]:
    """Return every pair of kept tokens that gives a kept token, in the order in which the base would merge them."""
    known = set(ordered)
    return [
        (token[:cut], token[cut:])
        for token in ordered
        if len(token) > 1 and not _is_byte(token)
        for cut in range(1, len(token))
        if token[:cut] in known and token[cut:] in known
    ]
