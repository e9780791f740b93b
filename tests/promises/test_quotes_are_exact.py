"""Promise: every quote is the source's own text at its offsets, whatever the model does and the text holds.

Thousands of episodes over random Unicode documents, their actions drawn at random from the grammar. More of them:

    DIPTYCH_EPISODES=10000 make test ARGS=tests/promises/test_quotes_are_exact.py
"""

from __future__ import annotations

import os
import random

from tiny_models import gemma_tokenizer

from prep.text import split_lines
from retrieve.episode.episode import Episode, EpisodeLimits, Passage
from retrieve.episode.grammar import ActionLimits, Grammar
from retrieve.lm.special_tokens import MARKERS, TAGS
from retrieve.report.build import expand_quotes

N_EPISODES = int(os.environ.get("DIPTYCH_EPISODES", "2000"))
PIECES = [
    *TAGS,
    *MARKERS[:3],
    "<eos>",
    ". ",
    "! ",
    "。",
    "? ",
    "\n",
    "\n\n",
    "\r\n",
    "- item ",
    "| cell |",
    "# ",
]
PIECES += [
    "é",
    "e\u0301",
    "👩‍🚀",
    "\u202e",
    "\u200b",
    "\u2028",
    "\x1c",
    "\x85",
    "\u3000",
    "  ",
    "Dr. ",
    "1. ",
    "蜂蜜",
    "مرحبا؟ ",
]


def random_text(rng: random.Random) -> str:
    parts = []
    for _ in range(rng.randint(0, 16)):
        if rng.random() < 0.4:
            parts.append(rng.choice(PIECES))
        else:
            parts.append("".join(chr(_code(rng)) for _ in range(rng.randint(1, 12))) + rng.choice(" \n"))
    return "".join(parts)


def random_texts(rng: random.Random) -> list[str]:
    """Texts of random lengths out of a few hundred stretches: what is costly is drawing characters."""
    stretches = [random_text(rng) for _ in range(300)]
    return ["".join(rng.choices(stretches, k=rng.randint(0, 3))) for _ in range(2_000)]


def _code(rng: random.Random) -> int:
    while 0xD800 <= (code := rng.randrange(1, rng.choice([0x80, 0x800, 0x10000, 0x110000]))) <= 0xDFFF:
        pass
    return code


def random_passages(texts: dict[str, str], titles: list[str], rng: random.Random) -> list[Passage]:
    """Stretches of the documents, cut anywhere, in no order, overlapping, some of them blank or empty."""
    passages = []
    for _ in range(rng.randint(0, 6)):
        name = rng.choice(sorted(texts))
        text = texts[name]
        lines = split_lines(text) or [(0, 0)]
        start = rng.choice([rng.randint(0, len(text)), rng.choice(lines)[0]])
        end = rng.randint(start, len(text))
        passages.append(Passage(name, rng.choice(titles), (), start, end, text[start:end], 0.5))
    return passages


def test_every_quote_of_random_episodes_equals_its_source() -> None:
    rng = random.Random(0)
    drawn = random_texts(rng)
    titles = [text[:20] for text in drawn]
    tokenizer = gemma_tokenizer()
    grammar = Grammar(tokenizer, len(tokenizer))
    action_limits = ActionLimits(query_tokens=2, statement_tokens=2, max_findings=4, max_pointers=3)
    n_quotes = n_second = 0
    for _ in range(N_EPISODES):
        texts = {f"d{n}": rng.choice(drawn) for n in range(3)}
        episode = Episode(
            rng.choice(drawn),
            EpisodeLimits(
                max_searches=3,
                max_sentence_characters=rng.choice([1, 5, 40, 400]),
                max_passage_characters=rng.choice([1, 30, 1_000]),
            ),
        )
        while episode.state != "done":
            if episode.state == "search":
                episode.give(random_passages(texts, titles, rng))
                continue
            state = grammar.start(len(episode.sentences), may_search=episode.may_search, limits=action_limits)
            tokens: list[int] = []
            while not state.done:
                allowed = state.allowed()
                choices = allowed.nonzero().flatten().tolist()
                pointing = [token for token in choices if token in grammar.number_of]
                token = rng.choice(pointing if pointing and rng.random() < 0.7 else choices)
                state.advance(token)
                tokens.append(token)
            episode.act(grammar.text(tokens))
        n_second += len(episode.queries) > 1
        for claim in episode.claims:
            quotes = list(expand_quotes(claim, episode))
            assert len(quotes) == len(claim.pointers) > 0
            for quote in quotes:
                assert quote.text == texts[quote.document_id][quote.start : quote.end]
                assert quote.text.strip()
                assert any(
                    p.document_id == quote.document_id and p.start <= quote.start < quote.end <= p.end
                    for p in episode.passages
                )
            n_quotes += len(quotes)
    assert n_quotes > N_EPISODES
    assert n_second > N_EPISODES // 5
