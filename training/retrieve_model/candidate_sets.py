"""Candidate sets: questions with the reports of a wide beam search, each judged, to tune and measure reranking on.

    python -m training.retrieve_model.candidate_sets --packed FOLDER --version V --out FILE [--questions 1000]
    python -m training.retrieve_model.candidate_sets --data DATA/new_wiki --store STORE --version V \
        --out FILE [--held-out]

FOLDER is one of `python -m training.traces.packed_example_set`: several questions on the same passages. With --data
each question is asked over a store of the documents as in serving, with one search, and the evidence of some is
withheld: they stand for questions that the documents nearly answer. Each question is answered once with many
candidates, and all of them are judged. Resumable: questions in FILE are not asked again, so it must be of the same
version and questions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from prep.errors import DataError
from prep.model.prep_model import PrepModel
from retrieve.decoding.noisy_channel import channel_format
from retrieve.decoding.reranking import CandidateReport, RerankingConfig, alternative, best_candidate
from retrieve.episode.episode import Episode, PromptParts
from retrieve.episode.grammar import Grammar
from retrieve.episode_runner import Run
from retrieve.model import RetrieveModel
from retrieve.report.build import report_of
from training.data.dataset import LabelledSet, Question, load_set
from training.evaluation.answers_suite import judge_report
from training.evaluation.packed_environment import PackedEnvironment
from training.evaluation.store_environment import StoreEnvironment
from training.metrics.results import AnswerRow
from training.traces.mixture import part_of
from training.traces.packed_example_set import PackedExampleSet

__all__ = [
    "CandidateSet",
    "build_candidate_sets",
    "packed_candidate_sets",
    "read_candidate_sets",
    "store_candidate_sets",
    "with_wide_search",
]

_MOST = RerankingConfig(n_candidates=8, max_logprob_gap=8.0)  # a wide search


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """A question's candidate reports, the greedy one first, each with its judged row.

    prompt: before the report. n_question_tokens: of the question with its closing tag.
    """

    prompt: PromptParts
    candidates: tuple[CandidateReport, ...]
    rows: tuple[AnswerRow, ...]
    n_question_tokens: int

    def reranked(self, config: RerankingConfig) -> tuple[AnswerRow, int]:
        """Return the row of the report that reranking gives, and about how many more tokens reranking takes."""
        first = self.candidates[0]
        if len(self.candidates) == 1 or not config.reranks(first.logprob, first.n_tokens):
            return self.rows[0], 0
        others = [at for at in range(1, len(self.candidates)) if self._near(at, config)]
        most_likely = sorted([0, *others], key=lambda at: -self.candidates[at].logprob)[: config.n_candidates]
        kept = [0, *(at for at in most_likely if at != 0)]
        n_written = sum(self.candidates[at].n_tokens for at in kept)
        if len(kept) == 1:
            return self.rows[0], n_written
        n_read = sum(self.candidates[at].n_tokens + 2 + self.n_question_tokens for at in kept)
        candidates = [self.candidates[at] for at in kept]
        best = best_candidate(candidates, config)
        other = alternative(candidates, best, config)
        row = self.rows[kept[best]]
        return row if other is None else _beside(row, self.rows[kept[other]]), n_written + n_read

    def _near(self, at: int, config: RerankingConfig) -> bool:
        return self.candidates[at].logprob >= self.candidates[0].logprob - config.max_logprob_gap

    def as_json(self) -> dict[str, Any]:
        """Return plain values, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> CandidateSet:
        """Read what `as_json` gave."""
        candidates = tuple(CandidateReport(**one) for one in content["candidates"])
        rows = tuple(AnswerRow.from_json(one) for one in content["rows"])
        return cls(PromptParts(**content["prompt"]), candidates, rows, content["n_question_tokens"])


def _beside(row: AnswerRow, other: AnswerRow) -> AnswerRow:
    """Return the row of a report with an alternative: the alternative's quotes count, its statement does not.

    citation_recall is a lower bound where a question needs several pieces of evidence.
    """
    n_quotes = row.n_quotes + other.n_quotes
    supported = row.citation_precision * row.n_quotes + other.citation_precision * other.n_quotes
    return replace(
        row,
        citation_precision=supported / max(n_quotes, 1),
        citation_recall=max(row.citation_recall, other.citation_recall),
        n_quotes=n_quotes,
        n_inexact_quotes=row.n_inexact_quotes + other.n_inexact_quotes,
        quoted_characters=row.quoted_characters + other.quoted_characters,
    )


def with_wide_search(version: str | Path | None) -> RetrieveModel:
    """Return a version that searches for many candidates."""
    model = RetrieveModel.load(version)
    model.serving = replace(model.serving, reranking=_MOST)
    return model


def build_candidate_sets(
    asked: Iterable[tuple[Question, Run, AnswerRow]], dataset: LabelledSet, grammar: Grammar
) -> Iterator[CandidateSet]:
    """Yield the candidate set of each question, from the episode that answered it and its judged row.

    Episodes must be greedy with one search, of a model that reranks.
    """
    for question, run, row in asked:
        (action,) = run.actions
        prompt = run.episode.first_prompt
        assert prompt is not None
        _, measured = channel_format(prompt.question, action.text)
        alone = CandidateReport(action.text, action.logprob, n_tokens=len(action.token_ids))
        candidates = action.candidates or (alone,)
        rows = []
        for candidate in candidates:
            if candidate.text == action.text:
                rows.append(row)
                continue
            episode = Episode(question.question, run.episode.limits)
            episode.give(run.episode.passages)
            episode.act(candidate.text)
            judged_row = judge_report(
                question, report_of(question.question, Run(episode), models={}), dataset
            )
            rows.append(
                replace(judged_row, prompt_tokens=row.prompt_tokens, completion_tokens=candidate.n_tokens)
            )
        yield CandidateSet(prompt, candidates, tuple(rows), len(grammar.encode(measured)))


def packed_candidate_sets(
    environment: PackedEnvironment, first: int, last: int
) -> Iterator[list[CandidateSet]]:
    """Yield the candidate sets of each packed example."""
    n_questions = environment.packed.n_questions
    for number in range(first, last):
        runs = environment.episodes(
            [number], n_questions, searches=1, temperature=0.0, generator=torch.Generator()
        )
        asked = [
            (question, *one)
            for question, one in zip(environment.packed.examples[number].questions, runs, strict=True)
        ]
        yield list(build_candidate_sets(asked, environment.packed.dataset, environment.decoder.grammar))


def store_candidate_sets(
    environment: StoreEnvironment, first: int, last: int
) -> Iterator[list[CandidateSet]]:
    """Yield the candidate set of each question, on its search results."""
    for question in environment.questions[first:last]:
        runs = environment.run([question], max_searches=1)
        asked = [(question, *one) for one in runs]
        yield list(build_candidate_sets(asked, environment.dataset, environment.decoder.grammar))


def read_candidate_sets(path: Path) -> list[CandidateSet]:
    """Read the file that this command writes. Raises DataError for a line that is no candidate set."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line:
            continue
        try:
            found.append(CandidateSet.from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number}: no candidate set ({error!r})") from error
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Answer questions with many candidates, from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--packed", type=Path, help="a folder of training.traces.packed_example_set")
    asked.add_argument("--data", type=Path, help="a labelled set, asked over a store of its documents")
    parser.add_argument("--held-out", action="store_true", help="with --data: of the set's held-out part")
    parser.add_argument(
        "--withheld-every", type=int, default=3, help="with --data: of so many questions one's evidence (3)"
    )
    parser.add_argument("--store", type=Path, help="with --data: a folder for the store, kept")
    parser.add_argument(
        "--prep", default=None, help="with --data: a prep version; the shipped one by default"
    )
    parser.add_argument("--version", default=None, help="a retrieve version; the shipped one by default")
    parser.add_argument(
        "--questions", type=int, default=1000, help="of packed examples rounded up to whole ones (1000)"
    )
    parser.add_argument(
        "--begin-at",
        type=int,
        default=0,
        help="so many questions are left out first: parts of the same work side by side",
    )
    parser.add_argument("--end-at", type=int, help="the question to end before, likewise")
    parser.add_argument("--out", required=True, type=Path, help="JSON lines, one a question")
    arguments = parser.parse_args(argv)
    if arguments.data is not None and arguments.store is None:
        parser.error("--data needs --store, a folder for its documents as they are searched")
    model = with_wide_search(arguments.version)
    begin, end = arguments.begin_at, arguments.end_at or arguments.questions
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    if arguments.packed is not None:
        environment = PackedEnvironment(PackedExampleSet.load(arguments.packed), model)
        each = environment.packed.n_questions
        first = begin // each + _whole(arguments.out, each)
        last = min(-(-end // each), len(environment))
        _write(arguments.out, packed_candidate_sets(environment, first, last), last - first)
        return
    part = part_of(load_set(arguments.data), held_out=arguments.held_out)
    with StoreEnvironment.open(
        part,
        arguments.store,
        model,
        PrepModel.load(arguments.prep),
        withheld_every=arguments.withheld_every,
        limit=arguments.questions,
    ) as over_store:
        first = begin + _whole(arguments.out, 1)
        last = min(end, len(over_store))
        _write(arguments.out, store_candidate_sets(over_store, first, last), last - first)


def _write(path: Path, found: Iterable[list[CandidateSet]], n: int) -> None:
    with path.open("a", encoding="utf-8") as file:
        for some in tqdm(found, total=n, desc="candidates", disable=None):
            file.write("".join(json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in some))
            file.flush()


def _whole(path: Path, n_questions: int) -> int:
    """Cut a file back to whole sheets of so many questions; returns how many it holds."""
    if not path.exists():
        return 0
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # what stands behind the last line end was cut
    whole = len(lines) // n_questions
    path.write_text("".join(f"{line}\n" for line in lines[: whole * n_questions]), encoding="utf-8")
    return whole


if __name__ == "__main__":
    main()
