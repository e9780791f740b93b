"""Ask questions of a workspace: search, let the model act, and turn its report into verified quotes.

`Researcher` opens the generation and the models that `CURRENT.json` names, gives `retrieve.episode_runner` a search
over that generation, and writes reports to the experience log. It reads `CURRENT.json` once per call, so that no answer
mixes two versions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from prep.document import Span
from prep.errors import ConfigError, EmptyStore
from prep.store.metadata_filter import MetadataFilter, Where
from prep.store.origins import Origin
from prep.store.workspace import Workspace
from retrieve.episode.episode import Passage
from retrieve.episode_runner import EpisodeRunner, Run
from retrieve.experience.log import ExperienceLog
from retrieve.model import RetrieveModel
from retrieve.report.build import report_of
from retrieve.report.report import Report

if TYPE_CHECKING:
    from prep.model.prep_model import PrepModel
    from prep.store.generation import Generation

__all__ = ["Researcher", "SearchResult"]

_BATCH = 8


@dataclass(frozen=True, slots=True)
class SearchResult(Passage):
    """A passage that was found. page, path and distinct_path: as for a report's `Source`."""

    page: str | None = None
    path: str = ""
    distinct_path: str = ""

    @classmethod
    def located(cls, passage: Passage, origin: Origin) -> SearchResult:
        """Return a passage with the page and the path that it is from."""
        values = {item.name: getattr(passage, item.name) for item in fields(Passage)}
        page = origin.page(passage.start)
        return cls(**values, page=page, path=origin.path, distinct_path=origin.distinct_path)


class Researcher:
    """The two models over a workspace's current generation. Not thread-safe: open one for each thread."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        prep: PrepModel | None = None,
        model: RetrieveModel | None = None,
        generation: str | None = None,
        log: ExperienceLog | None = None,
        n_threads: int | None = None,
    ) -> None:
        """Prefer `open`. prep, model, generation: fixed, instead of those that `CURRENT.json` names."""
        self.workspace = workspace
        self.log = log
        self._fixed_generation = generation
        self._fixed_prep, self._fixed_model = prep, model
        self._prep: tuple[str | None, PrepModel] | None = None
        self._model: tuple[str | None, RetrieveModel, EpisodeRunner] | None = None
        self._generation: Generation | None = None
        self._n_threads = n_threads

    @classmethod
    def open(
        cls,
        workspace: str | Path = "workspace",
        *,
        prep: PrepModel | None = None,
        model: RetrieveModel | None = None,
        generation: str | None = None,
        log: bool = True,
        n_threads: int | None = None,
    ) -> Researcher:
        """Open a workspace with its promoted models, or the shipped ones.

        generation: the id of a fixed one; by default the current one, also after a swap. log: keep every question and
        report in the workspace's experience log. n_threads: of the search. Raises EmptyStore, StoreError, WeightsError,
        VersionMismatch.
        """
        opened = Workspace(workspace)
        experience = ExperienceLog.of(opened.path, enabled=log)
        researcher = cls(
            opened, prep=prep, model=model, generation=generation, log=experience, n_threads=n_threads
        )
        researcher._refresh()
        return researcher

    def ask(
        self,
        question: str,
        *,
        max_searches: int = 3,
        deadline_s: float = 5.0,
        where: Where | None = None,
        user: str | None = None,
    ) -> Report:
        """Answer one question. Raises ConfigError for an empty question, or limits out of range, and FilterError.

        deadline_s: seconds after which the report holds what is known by then, at least the sources. where: which
        documents may be searched, by their metadata (`prep.store.metadata_filter`), as in {"folder": "policies"}; of
        the others nothing is read. user: who asks; only the experience log sees it.
        """
        return self.ask_many(
            [question], max_searches=max_searches, deadline_s=deadline_s, where=where, user=user
        )[0]

    def ask_many(
        self,
        questions: Sequence[str],
        *,
        max_searches: int = 3,
        deadline_s: float = 5.0,
        where: Where | None = None,
        withheld: Sequence[Sequence[Span]] | None = None,
        batch_size: int = _BATCH,
        progress: bool = False,
        user: str | None = None,
    ) -> list[Report]:
        """Answer several questions, in order, `batch_size` at a time. deadline_s: per question, on average.

        withheld[i]: spans of documents; no chunk that overlaps one is shown for question i. where, user: as for `ask`.
        """
        if max_searches < 1 or deadline_s <= 0 or batch_size < 1:
            raise ConfigError(
                f"max_searches={max_searches!r}, deadline_s={deadline_s!r} and batch_size={batch_size!r} "
                "must be positive"
            )
        if withheld is not None and len(withheld) != len(questions):
            raise ConfigError(f"withheld has {len(withheld)} rows for {len(questions)} questions")
        for question in questions:
            if not question.strip():
                raise ConfigError("the question is empty")
        chosen = MetadataFilter.of(where)
        self._refresh()
        reports: list[Report] = []
        with tqdm(total=len(questions), desc="answer", unit="question", disable=not progress) as bar:
            for at in range(0, len(questions), batch_size):
                batch = list(questions[at : at + batch_size])
                spans = withheld[at : at + batch_size] if withheld is not None else [()] * len(batch)
                reports += self._answer(
                    batch, spans, max_searches, deadline_s, chosen, user=user, is_single=len(questions) == 1
                )
                bar.update(len(batch))
        return reports

    def search(self, question: str, k: int = 10, *, where: Where | None = None) -> list[SearchResult]:
        """Return the k passages that rank best for a question, best first, without reading them.

        where: as for `ask`. Raises ConfigError for an empty question or a k below 1, FilterError.
        """
        if not question.strip() or k < 1:
            raise ConfigError(f"a search needs a question and k of 1 or more: {question!r}, k={k!r}")
        chosen = MetadataFilter.of(where)
        self._refresh(answering=False)
        found = self._search([question], [()], k, where=chosen)[0][:k]
        assert self._generation is not None
        return [SearchResult.located(one, self._generation.origin(one.document_id)) for one in found]

    @property
    def runner(self) -> EpisodeRunner:
        """The runner of this researcher's episodes, for training and tuning."""
        self._refresh()
        assert self._model is not None
        return self._model[2]

    def report(
        self, question: str, run: Run, *, seconds: float = 0.0, where: MetadataFilter | None = None
    ) -> Report:
        """Return the report of an episode that `runner` ran. where: the filter that its searches had."""
        assert self._generation is not None
        assert self._model is not None
        assert self._prep is not None
        return report_of(
            question,
            run,
            models={"prep": self._prep[1].version, "retrieve": self._model[1].version},
            generation=self._generation.id,
            seconds=seconds,
            where=where,
            origin=self._generation.origin,
        )

    def feedback(
        self,
        report_id: str,
        helpful: bool | None = None,
        answer: str | None = None,
        *,
        quote: int | None = None,
        quote_right: bool | None = None,
    ) -> None:
        """Keep feedback: whether a report helped, the right answer, or whether a quote (counted from 1) is right.

        Raises StoreError for an unknown report, DataError for empty feedback or a quote that the report does not have.
        """
        if self.log is None:
            raise ConfigError("this researcher keeps no experience log: open it with log=True")
        self.log.feedback(report_id, helpful, answer, quote=quote, quote_right=quote_right)

    def close(self) -> None:
        """Close the generation."""
        if self._generation is not None:
            self._generation.close()
            self._generation = None

    def __enter__(self) -> Researcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refresh(self, *, answering: bool = True) -> None:
        """Load the models and open the generation that `CURRENT.json` names, where it has changed.

        answering: the retrieve model is needed, too.
        """
        current = self.workspace.current()
        wanted = self._fixed_generation or current.generation
        if wanted is None:
            raise EmptyStore(
                f"{self.workspace.path} has nothing to search: "
                f"run `diptych ingest PATH --workspace {self.workspace.path}`"
            )
        if self._prep is None or (self._fixed_prep is None and self._prep[0] != current.prep):
            self._prep = (current.prep, self._fixed_prep or self._load_prep(current.prep))
        if answering and (
            self._model is None or (self._fixed_model is None and self._model[0] != current.retrieve)
        ):
            model = self._fixed_model or self._load_model(current.retrieve)
            decoder = model.decoder()
            serving = model.serving
            runner = EpisodeRunner(
                decoder, self._search, serving.episode, serving.action, reader=model.reader_policy()
            )
            self._model = (current.retrieve, model, runner)
        opened = self._generation
        prep_version = self._prep[1].version
        if (
            opened is None
            or opened.id != wanted
            or opened.prep_version != prep_version  # opening it again raises, and names both versions
        ):
            self.close()
            self._generation = self.workspace.open_generation(
                wanted, prep_version=prep_version, n_threads=self._n_threads
            )

    def _load_prep(self, version: str | None) -> PrepModel:
        from prep.model.prep_model import PrepModel

        return PrepModel.load(None if version is None else self.workspace.model_path("prep", version))

    def _load_model(self, version: str | None) -> RetrieveModel:
        return RetrieveModel.load(None if version is None else self.workspace.model_path("retrieve", version))

    def _answer(
        self,
        questions: list[str],
        withheld: Sequence[Sequence[Span]],
        max_searches: int,
        deadline_s: float,
        where: MetadataFilter | None,
        *,
        user: str | None,
        is_single: bool,
    ) -> list[Report]:
        assert self._model is not None
        started = time.monotonic()
        runs = self._model[2].run(
            questions,
            withheld=withheld,
            max_searches=max_searches,
            deadline=started + deadline_s * len(questions),
            search=partial(self._search, where=where),
        )
        seconds = (time.monotonic() - started) / len(questions)
        reports = [
            self.report(question, run, seconds=seconds, where=where)
            for question, run in zip(questions, runs, strict=True)
        ]
        if self.log is not None:
            for report, run in zip(reports, runs, strict=True):
                trace = [list(segment) for segment in run.episode.segments]
                self.log.record(report, trace, user=user, is_single=is_single)
        return reports

    def _search(
        self,
        queries: Sequence[str],
        withheld: Sequence[Sequence[Span]],
        wanted: int,
        *,
        where: MetadataFilter | None = None,
    ) -> list[list[Passage]]:
        """Search the current generation, deep enough to leave out passages that were shown or are withheld."""
        assert self._prep is not None
        assert self._generation is not None
        allowed = None if where is None else self._generation.rows_where(where)
        vectors = self._prep[1].encode_queries(list(queries))
        scores, rows = self._generation.search_hybrid(queries, vectors, 4 * wanted + 8, allowed)
        results = []
        for of_scores, of_rows, spans in zip(scores, rows, withheld, strict=True):
            found = [
                (float(score), int(row)) for score, row in zip(of_scores, of_rows, strict=True) if row >= 0
            ]
            chunks = self._generation.chunks([row for _, row in found])
            results.append(
                [
                    Passage.of(chunk, self._generation.title(chunk.document_id), score)
                    for (score, _), chunk in zip(found, chunks, strict=True)
                    if not any(span.overlaps(chunk) for span in spans)
                ]
            )
        return results
