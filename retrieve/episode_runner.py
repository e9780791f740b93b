"""Run episodes: give them passages and actions until they are done or the deadline has come.

The one loop around the state machine. Serving runs it greedily; training samples with it, several episodes of the
same question at a time. An episode that is run by itself is read on from where its last action ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from prep.document import Span
from retrieve.decoding.decoder import Action, Decoder, Reading
from retrieve.decoding.reranking import Told
from retrieve.episode.episode import Episode, EpisodeLimits, Passage
from retrieve.episode.grammar import ActionLimits, Grammar, GrammarState

__all__ = ["DEADLINE_NOTE", "EpisodeRunner", "Run", "Search", "Start"]

DEADLINE_NOTE = "the deadline ran out before the model had read the sources"
_FIRST_GUESS_TOKENS_PER_S = 700.0
_CHARACTERS_PER_TOKEN = 3.5

# Called with queries, the spans kept from each, and how many passages are wanted; passages best first.
Search = Callable[[Sequence[str], Sequence[Sequence[Span]], int], list[list[Passage]]]


@dataclass(frozen=True, slots=True)
class Start:
    """What an action began with: sentences to point at, whether it might search, searches so far."""

    n_sentences: int
    may_search: bool
    n_searches: int = 1

    @classmethod
    def of(cls, episode: Episode) -> Start:
        """Return what the next action of an episode begins with."""
        return cls(len(episode.sentences), episode.may_search, len(episode.queries))

    def state(self, grammar: Grammar, limits: ActionLimits) -> GrammarState:
        """Return the place in the grammar."""
        return grammar.start(
            self.n_sentences,
            may_search=self.may_search,
            limits=limits,
            n_searches=self.n_searches,
        )


@dataclass(slots=True)
class Run:
    """One episode as it was run. `note` says why it ended early, if it did.

    reading: what the model has read, kept while the episode is run by itself.
    """

    episode: Episode
    actions: list[Action] = field(default_factory=list)
    note: str = ""
    starts: list[Start] = field(default_factory=list)  # one for each action
    reading: Reading = field(default_factory=Reading, repr=False)

    @property
    def n_prompt_tokens(self) -> int:
        """Tokens read. A second search reads only what was added: the rest is the same prompt."""
        return max((action.n_prompt_tokens for action in self.actions), default=0)

    @property
    def n_completion_tokens(self) -> int:
        """Tokens written, in all actions, and what was written and read to compare reports."""
        return sum(len(action.token_ids) + action.n_compared for action in self.actions)


class EpisodeRunner:
    """A decoder and a search, with the limits that episodes run under."""

    def __init__(
        self, decoder: Decoder, search: Search, episode: EpisodeLimits, action: ActionLimits | None = None
    ) -> None:
        self.decoder = decoder
        self.search = search
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
    ) -> list[Run]:
        """Run one episode per question, together. deadline: `time.monotonic()` value for all of them."""
        limits = self.episode_limits
        if max_searches is not None:
            limits = replace(limits, max_searches=min(max_searches, limits.max_searches))
        return self.go_on(
            [Episode(question, limits) for question in questions],
            withheld=withheld,
            deadline=deadline,
            temperature=temperature,
            generator=generator,
        )

    def go_on(
        self,
        episodes: Sequence[Episode],
        *,
        withheld: Sequence[Sequence[Span]] | None = None,
        deadline: float | None = None,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> list[Run]:
        """Run episodes from where they are to their end, together. They keep their own limits; otherwise as `run`."""
        runs = [Run(episode) for episode in episodes]
        kept_away = withheld if withheld is not None else [()] * len(runs)
        while waiting := [
            (run, spans)
            for run, spans in zip(runs, kept_away, strict=True)
            if run.episode.state != "done" and not run.note
        ]:
            searching = [(run, spans) for run, spans in waiting if run.episode.state == "search"]
            if searching:
                found = self.search(
                    [run.episode.query for run, _ in searching],
                    [spans for _, spans in searching],
                    self.episode_limits.passages_per_search,
                )
                for (run, _), passages in zip(searching, found, strict=True):
                    run.episode.give(passages)
            self._act([run for run, _ in waiting], deadline, temperature, generator)
        return runs

    def _act(
        self,
        runs: Sequence[Run],
        deadline: float | None,
        temperature: float,
        generator: torch.Generator | None,
    ) -> None:
        """Let the model take one action in each episode, as far as the deadline allows."""
        prompts = [run.episode.prompt for run in runs]
        reading = runs[0].reading if len(runs) == 1 else None
        n_read = 0 if reading is None else reading.n_characters_of(prompts[0])
        n_tokens = (sum(map(len, prompts)) - n_read) / _CHARACTERS_PER_TOKEN
        begun = time.monotonic()
        if deadline is not None and begun + n_tokens / self._tokens_per_s > deadline:
            for run in runs:
                run.note, run.reading = DEADLINE_NOTE, Reading()
            # Nothing was measured: without this, one slow moment would refuse every later question.
            hoped = min(_FIRST_GUESS_TOKENS_PER_S, 1.5 * self._tokens_per_s)
            self._tokens_per_s = max(self._tokens_per_s, hoped)
            return
        starts = [Start.of(run.episode) for run in runs]
        states = [start.state(self.decoder.grammar, self.action_limits) for start in starts]
        actions = self.decoder.decode(
            prompts,
            states,
            temperature=temperature,
            generator=generator,
            deadline=deadline,
            reading=reading,
            told=[_told(run.episode) for run in runs],
        )
        if n_read == 0:  # else it was writing that took the time
            took = max(1e-3, self.decoder.answered_s)
            self._tokens_per_s = 0.5 * self._tokens_per_s + 0.5 * n_tokens / took
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
                run.reading = Reading()


def _told(episode: Episode) -> Told | None:
    """Return an episode's two parts before its first action; None after another search."""
    if len(episode.segments) != 2:
        return None
    return Told(episode.segments[0][0], episode.segments[1][0])
