"""Run episodes: give them passages and actions until they are done or the deadline has come.

Serving and training share this loop. Serving runs it greedily; training samples several episodes of a question at a
time. An episode that runs alone keeps its prefix cache between actions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from prep.document import Span
from retrieve.decoding.decoder import Action, Decoder
from retrieve.decoding.generator import PrefixCache
from retrieve.episode.episode import Episode, EpisodeLimits, Passage
from retrieve.episode.grammar import ActionLimits, Grammar, GrammarState
from retrieve.reader.answering import ReaderAnswer
from retrieve.reader.reader_policy import ReaderPolicy, passages_shown, settle

__all__ = ["DEADLINE_NOTE", "EpisodeRunner", "Run", "Search", "Start"]

DEADLINE_NOTE = "the deadline ran out before the model had read the sources"
_FIRST_GUESS_TOKENS_PER_S = 700.0
_CHARACTERS_PER_TOKEN = 3.5

# Takes queries, the spans withheld from each, and how many passages are wanted; returns passages, best first.
Search = Callable[[Sequence[str], Sequence[Sequence[Span]], int], list[list[Passage]]]


@dataclass(frozen=True, slots=True)
class Start:
    """The beginning of an action: the number of sentences shown, whether a search is allowed, searches so far."""

    n_sentences: int
    may_search: bool
    n_searches: int = 1

    @classmethod
    def of(cls, episode: Episode) -> Start:
        """Return the beginning of an episode's next action."""
        return cls(len(episode.sentences), episode.may_search, len(episode.queries))

    def state(self, grammar: Grammar, limits: ActionLimits) -> GrammarState:
        """Return its place in the grammar."""
        return grammar.start(
            self.n_sentences, may_search=self.may_search, limits=limits, n_searches=self.n_searches
        )


@dataclass(slots=True)
class Run:
    """One episode and the actions that were taken in it. `note` says why it ended early, if it did.

    starts: one for each action. prefix: of the prompt, kept while the episode runs alone. answer: where a reader read
    the passages.
    """

    episode: Episode
    actions: list[Action] = field(default_factory=list)
    note: str = ""
    starts: list[Start] = field(default_factory=list)
    prefix: PrefixCache = field(default_factory=PrefixCache, repr=False)
    answer: ReaderAnswer | None = None

    @property
    def n_prompt_tokens(self) -> int:
        """Tokens read, the reader's too. The prompt after a second search contains the first one, which counts once."""
        read = 0 if self.answer is None else self.answer.n_tokens
        return read + max((action.n_prompt_tokens for action in self.actions), default=0)

    @property
    def n_completion_tokens(self) -> int:
        """Tokens written in all actions, and those written and read for reranking."""
        return sum(len(action.token_ids) + action.n_reranking_tokens for action in self.actions)


class EpisodeRunner:
    """A decoder and a search, with the limits of episodes and actions.

    reader: reads the first results before the model does, unless actions are sampled or the question is in a script
    that it does not know; what it is sure of, the model is not asked.
    """

    def __init__(
        self,
        decoder: Decoder,
        search: Search,
        episode: EpisodeLimits,
        action: ActionLimits | None = None,
        *,
        reader: ReaderPolicy | None = None,
    ) -> None:
        self.decoder = decoder
        self.search = search
        self.reader = reader
        self.episode_limits = episode
        self.action_limits = action or ActionLimits()
        self._tokens_per_s = _FIRST_GUESS_TOKENS_PER_S

    def run(
        self,
        questions: Sequence[str],
        *,
        withheld: Sequence[Sequence[Span]] | None = None,
        max_searches: int | None = None,
        deadline: float | None = None,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        search: Search | None = None,
    ) -> list[Run]:
        """Run one episode per question, together.

        deadline: `time.monotonic()` value for all of them. search: instead of the runner's own.
        """
        limits = self.episode_limits
        if max_searches is not None:
            limits = replace(limits, max_searches=min(max_searches, limits.max_searches))
        return self.go_on(
            [Episode(question, limits) for question in questions],
            withheld=withheld,
            deadline=deadline,
            temperature=temperature,
            generator=generator,
            search=search,
        )

    def go_on(
        self,
        episodes: Sequence[Episode],
        *,
        withheld: Sequence[Sequence[Span]] | None = None,
        deadline: float | None = None,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        search: Search | None = None,
    ) -> list[Run]:
        """Run episodes from their present state to their end, together, under their own limits; otherwise as `run`."""
        runs = [Run(episode) for episode in episodes]
        kept_away = withheld if withheld is not None else [()] * len(runs)
        while waiting := [
            (run, spans)
            for run, spans in zip(runs, kept_away, strict=True)
            if run.episode.state != "done" and not run.note
        ]:
            searching = [(run, spans) for run, spans in waiting if run.episode.state == "search"]
            if searching:
                reader = self.reader if temperature == 0 else None
                wanted = 0 if reader is None else reader.config.passages
                found = (search or self.search)(
                    [run.episode.query for run, _ in searching],
                    [spans for _, spans in searching],
                    max(wanted, self.episode_limits.passages_per_search),
                )
                for (run, _), passages in zip(searching, found, strict=True):
                    if reader is None or run.episode.segments or not reader.reads(run.episode.query):
                        run.episode.give(passages)
                    else:
                        _read(reader, run, passages[:wanted], deadline)
            if acting := [run for run, _ in waiting if run.episode.state == "act"]:
                self._act(acting, deadline, temperature, generator)
        for run in runs:
            if self.reader is not None and run.answer is not None and run.actions:
                run.answer = settle(run.answer, run.episode, self.reader.config)
        return runs

    def _act(
        self,
        runs: Sequence[Run],
        deadline: float | None,
        temperature: float,
        generator: torch.Generator | None,
    ) -> None:
        """Let the model take one action in each episode, if the deadline leaves time to read the prompts."""
        prompts = [run.episode.prompt for run in runs]
        prefix = runs[0].prefix if len(runs) == 1 else None
        n_cached = 0 if prefix is None else prefix.n_cached_characters(prompts[0])
        n_tokens = (sum(map(len, prompts)) - n_cached) / _CHARACTERS_PER_TOKEN
        if deadline is not None and time.monotonic() + n_tokens / self._tokens_per_s > deadline:
            for run in runs:
                run.note, run.prefix = DEADLINE_NOTE, PrefixCache()
            # No new speed was measured: without this, one slow moment would refuse every later question.
            hoped = min(_FIRST_GUESS_TOKENS_PER_S, 1.5 * self._tokens_per_s)
            self._tokens_per_s = max(self._tokens_per_s, hoped)
            return
        starts = [Start.of(run.episode) for run in runs]
        states = [start.state(self.decoder.grammar, self.action_limits) for start in starts]
        actions = self.decoder.decode(
            prompts,
            states,
            temperature=temperature,
            rng=generator,
            deadline=deadline,
            prefix=prefix,
            parts=[run.episode.first_prompt for run in runs],
        )
        if n_cached == 0:  # with a cached prefix writing takes most of the time
            seconds = max(1e-3, actions[0].seconds)
            self._tokens_per_s = 0.5 * self._tokens_per_s + 0.5 * n_tokens / seconds
        for run, start, action in zip(runs, starts, actions, strict=True):
            run.starts.append(start)
            run.actions.append(action)
            if action.complete:
                run.episode.act(action.text)
                if action.alternative:
                    run.episode.add_alternative(action.alternative)
            else:
                run.note = DEADLINE_NOTE
            if run.note or run.episode.state == "done":
                run.prefix = PrefixCache()


def _read(reader: ReaderPolicy, run: Run, passages: Sequence[Passage], deadline: float | None) -> None:
    """Let the reader read the first results, and end the episode where the model's words are not needed."""
    episode = run.episode
    answer = reader.answer(episode.query, passages, deadline=deadline)
    episode.give(passages_shown(answer, passages), is_chosen=True)
    # An episode may show fewer passages than are quoted.
    quotes = tuple(quote for quote in answer.quotes if any(map(quote.overlaps, episode.passages)))
    run.answer = answer = replace(answer, quotes=quotes)
    if not reader.wants_writer(answer):
        episode.conclude(answer.answer, answer.quotes)
