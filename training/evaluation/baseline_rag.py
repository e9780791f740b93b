"""Baseline RAG, measured beside our models: splitter, frozen vectors, top k in a prompt, a base LM.

A recursive splitter cuts the documents, a frozen encoder embeds chunks and questions, the k nearest chunks go
numbered into a prompt with worked examples, and the language model answers greedily on one line, citing "[2]"
or saying "unanswerable". Base models and reports are the same as ours. Where its output can be read in two ways, the
baseline gets the better one:

- a cited chunk becomes the sentence of it that holds the answer's words, where there is one, else the whole
  chunk;
- an answer that cites nothing, or no chunk that contains it, is credited with the best ranked shown chunk
  that does, where there is one (so small a model often copies from one passage and names another).

The default settings are the best of those tried on training articles (LOG.md).
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from tqdm import tqdm

from prep.checks import check_counts
from prep.document import Chunk, Document, Floats, Span
from prep.errors import ConfigError, DataError, DependencyError
from prep.text import split_sentences, strip_span
from retrieve.report.data import Finding, Quote, Source, Usage
from retrieve.report.report import Report
from training.evaluation.baseline_prompts import PROMPTS, UNANSWERABLE
from training.evaluation.splitters import Chunker, FrozenEncoderSystem, make_splitter
from training.metrics.answer_metrics import normalise_answer

if TYPE_CHECKING:
    from prep.model.encoder import Encoder

__all__ = [
    "BaselineConfig",
    "BaselineRAG",
    "Completer",
    "Completion",
    "GreedyCompleter",
    "PromptFormat",
    "default_splitter",
    "parse_answer",
]

_CITATION = re.compile(r"\[\s*(\d+(?:\s*[,;]\s*\d+)*)\s*\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineConfig:
    """Settings of the baseline.

    prompt: a key of PROMPTS, for a base LM. best_last: the nearest chunk stands last, next to the question. min_score:
    abstain without asking the model where the nearest chunk is less similar than this; a base LM of this size
    never says "unanswerable" by itself, and at 0.4 refusals are twice as often right as by chance while one
    answerable question in eight is refused (600 `new_wiki` questions, every fifth withheld).
    """

    k: int = 5
    chunk_tokens: int = 200
    prompt: str = "passages"
    best_last: bool = True
    show_titles: bool = True
    title_in_vector: bool = False
    min_score: float = 0.4
    batch_size: int = 4

    def __post_init__(self) -> None:
        check_counts(self, "k", "chunk_tokens", "batch_size")
        if self.prompt not in PROMPTS:
            raise ConfigError(f"prompt={self.prompt!r} must be one of {', '.join(PROMPTS)}")


@dataclass(frozen=True, slots=True)
class Completion:
    """A language model's text after a prompt, with its cost in the model's own tokens, padding not counted."""

    text: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """How a question with its numbered (title, text) passages is put to a language model, and how its reply is read.

    name: of the prompt. read: from the reply and the number of passages to the answer (None: refused) and the numbers
    cited. language_model: for tables, where it is another than ours.
    """

    name: str
    write: Callable[[str, Sequence[tuple[str, str]]], str]
    read: Callable[[str, int], tuple[str | None, list[int]]]
    language_model: str = ""


class Completer(Protocol):
    """Anything that continues prompts; `GreedyCompleter` is one."""

    def complete(self, prompts: Sequence[str]) -> list[Completion]: ...


class GreedyCompleter:
    """A transformers causal LM, decoding greedily up to the end of the line."""

    def __init__(self, model: Any, tokenizer: Any, *, max_tokens: int = 48) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    def complete(self, prompts: Sequence[str]) -> list[Completion]:
        """Continue each prompt; all prompts make one batch, of at least one."""
        import torch
        from transformers import GenerationConfig, StoppingCriteriaList

        tokenizer = self.tokenizer
        encoded = [tokenizer(prompt)["input_ids"] for prompt in prompts]
        width = max(len(ids) for ids in encoded)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in encoded])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in encoded])

        def line_has_ended(input_ids: Any, scores: Any, **_: Any) -> Any:
            # A blank first line is skipped: the line ends only after something was written.
            texts = tokenizer.batch_decode(input_ids[:, width:], skip_special_tokens=True)
            return torch.tensor(["\n" in text.lstrip() for text in texts], device=input_ids.device)

        config: Any = GenerationConfig  # its constructor is not typed
        config = config(
            max_new_tokens=self.max_tokens,
            do_sample=False,
            pad_token_id=pad,
            eos_token_id=tokenizer.eos_token_id,
        )
        device = self.model.device
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=config,
                stopping_criteria=StoppingCriteriaList([line_has_ended]),
            )
        completions = []
        for row, prompt_ids in zip(output[:, width:].tolist(), encoded, strict=True):
            end = next((i for i, token in enumerate(row) if token in (pad, tokenizer.eos_token_id)), len(row))
            text = tokenizer.decode(row[:end], skip_special_tokens=True).lstrip()
            completions.append(Completion(text.split("\n", 1)[0].strip(), len(prompt_ids), end))
        return completions


class BaselineRAG:
    """Documents split and embedded once, then questions answered from the k nearest chunks."""

    def __init__(
        self,
        documents: Iterable[Document],
        completer: Completer,
        encoder: Encoder,
        *,
        chunker: Chunker | None = None,
        settings: BaselineConfig | None = None,
        prompt_format: PromptFormat | None = None,
        progress: bool = False,
    ) -> None:
        """chunker: by default langchain's recursive splitter, or the plain one where langchain is missing.

        prompt_format: by default the settings' prompt for a base LM, and `parse_answer`.

        Raises DataError where no document has any text.
        """
        self.settings = settings or BaselineConfig()
        self.format = prompt_format or PromptFormat(
            self.settings.prompt, PROMPTS[self.settings.prompt], parse_answer
        )
        self.completer = completer
        self.encoder = encoder
        if chunker is None:
            self.chunker_name, chunker = default_splitter(encoder, self.settings.chunk_tokens)
        else:
            self.chunker_name = getattr(chunker, "__name__", type(chunker).__name__)
        self.documents = {document.id: document for document in documents}
        splitter = FrozenEncoderSystem(
            chunker, encoder, name=self.chunker_name, title_in_vector=self.settings.title_in_vector
        )
        self.chunks: list[Chunk] = []
        with tqdm(total=len(self.documents), desc="split", unit="doc", disable=not progress) as bar:
            for _, chunks in splitter.prepare_many(self.documents.values()):
                self.chunks.extend(chunks)
                bar.update()
        if not self.chunks:
            raise DataError("no document has any text to answer from")
        self._vectors = np.stack([chunk.vector for chunk in self.chunks])
        self._spans = [Span(chunk.document_id, chunk.start, chunk.end) for chunk in self.chunks]

    @property
    def name(self) -> str:
        """The parts of the baseline, for tables."""
        language_model = f" with {self.format.language_model}" if self.format.language_model else ""
        return (
            f"baseline RAG{language_model} "
            f"({self.chunker_name} {self.settings.chunk_tokens}, {self.encoder.name})"
        )

    def ask(self, question: str, **options: Any) -> Report:
        """Answer one question; options as in `ask_many`."""
        return self.ask_many([question], **options)[0]

    def ask_many(
        self,
        questions: Sequence[str],
        *,
        withheld: Sequence[Sequence[Span]] | None = None,
        progress: bool = False,
        **_: Any,
    ) -> list[Report]:
        """Answer each question with one search. withheld[i]: spans no chunk shown for question i overlaps.

        Other options of ours (max_searches, deadline_s) have no meaning here and are ignored. `usage.seconds`
        is a question's share of its batch; with batch_size=1 it is the time to the answer.
        """
        kept_back = withheld if withheld is not None else [()] * len(questions)
        if len(kept_back) != len(questions):
            raise DataError(f"withheld has {len(kept_back)} rows for {len(questions)} questions")
        started = time.perf_counter()
        asked = [
            self._search(q, k, v)
            for q, k, v in zip(questions, kept_back, self._encode(questions), strict=True)
        ]
        search_s = (time.perf_counter() - started) / max(1, len(questions))
        refused = [i for i, a in enumerate(asked) if not a.prompt]
        reports = {i: self._report(asked[i], None, search_s) for i in refused}
        # Like lengths together: little padding. The order of the reports is that of the questions.
        order = sorted(set(range(len(asked))) - set(refused), key=lambda i: len(asked[i].prompt))
        size = self.settings.batch_size
        with tqdm(total=len(order), desc="ask", unit="question", disable=not progress) as bar:
            for batch in (order[at : at + size] for at in range(0, len(order), size)):
                started = time.perf_counter()
                completions = self.completer.complete([asked[i].prompt for i in batch])
                seconds = search_s + (time.perf_counter() - started) / len(batch)
                for i, completion in zip(batch, completions, strict=True):
                    reports[i] = self._report(asked[i], completion, seconds)
                bar.update(len(batch))
        return [reports[i] for i in range(len(questions))]

    def _encode(self, questions: Sequence[str]) -> Floats:
        return self.encoder.encode_queries(questions)

    def _search(self, question: str, withheld: Sequence[Span], vector: Floats) -> _Prompted:
        scores = self._vectors @ vector
        rows: list[int] = []
        for row in np.argsort(-scores, kind="stable"):
            if len(rows) == self.settings.k:
                break
            if not any(self._spans[row].overlaps(span) for span in withheld):
                rows.append(int(row))
        passages = [(self._title(row), self.chunks[row].text) for row in rows]
        asks = bool(rows) and float(scores[rows[0]]) >= self.settings.min_score
        order = range(len(passages))[::-1] if self.settings.best_last else range(len(passages))
        prompt = self.format.write(question, [passages[i] for i in order]) if asks else ""
        # Numbers in the prompt count what is shown: rows are kept in that order.
        return _Prompted(question, [rows[i] for i in order], [float(scores[rows[i]]) for i in order], prompt)

    def _title(self, row: int) -> str:
        return self.documents[self.chunks[row].document_id].title if self.settings.show_titles else ""

    def _report(self, prompted: _Prompted, completion: Completion | None, seconds: float) -> Report:
        """completion: None where the model was not asked, which is an abstention."""
        answer, cited = self.format.read(completion.text, len(prompted.rows)) if completion else (None, [])
        quotes: list[Quote] = []
        used: set[int] = set()
        if answer is not None:
            for number in self._credited(answer, cited, prompted):
                chunk = self.chunks[prompted.rows[number - 1]]
                quotes.append(_quote(chunk, answer))
                used.add(number)
        sources = [
            Source(
                document_id=self.chunks[row].document_id,
                title=self.documents[self.chunks[row].document_id].title,
                headings=(),
                start=self.chunks[row].start,
                end=self.chunks[row].end,
                score=score,
                used=number in used,
            )
            for number, (row, score) in enumerate(zip(prompted.rows, prompted.scores, strict=True), start=1)
        ]
        sources.sort(key=lambda source: -source.score)
        tokens = (completion.prompt_tokens, completion.completion_tokens) if completion else (0, 0)
        return Report(
            id=f"baseline-{uuid.uuid4().hex[:12]}",
            question=prompted.question,
            answer=answer,
            abstained=answer is None,
            findings=[Finding(answer, quotes)] if answer is not None else [],
            searches=[prompted.question],
            sources=sources,
            usage=Usage(*tokens, 1, seconds),
            models={"baseline": self.name},
        )

    def _credited(self, answer: str, cited: list[int], prompted: _Prompted) -> list[int]:
        """Return the cited numbers that contain the answer, else the best that does, else those cited."""
        numbers = range(1, len(prompted.rows) + 1)
        containing = [n for n in numbers if _find(self.chunks[prompted.rows[n - 1]].text, answer) is not None]
        rightly = [n for n in cited if n in containing]
        best = sorted(containing, key=lambda n: -prompted.scores[n - 1])[:1]
        return rightly or best or cited


def default_splitter(encoder: Encoder, chunk_tokens: int) -> tuple[str, Chunker]:
    """Return the name of the recursive splitter at hand, and the splitter."""
    name = "langchain-recursive-sentences"
    try:
        return name, make_splitter(name, encoder, chunk_tokens)
    except DependencyError:
        return "plain-recursive", make_splitter("plain-recursive", encoder, chunk_tokens)


def parse_answer(line: str, n_passages: int) -> tuple[str | None, list[int]]:
    """Return the answer (None: unanswerable) and the cited passage numbers, each once, that exist.

    >>> parse_answer("holes of trees [1, 3] [9].", 5)
    ('holes of trees', [1, 3])
    """
    numbers = [int(n) for group in _CITATION.findall(line) for n in re.findall(r"\d+", group)]
    cited = [n for n in dict.fromkeys(numbers) if 1 <= n <= n_passages]
    answer = " ".join(_CITATION.sub(" ", line).split()).strip(" .,;:")
    if not answer or normalise_answer(answer).startswith(UNANSWERABLE):
        return None, []
    return answer, cited


@dataclass(frozen=True, slots=True)
class _Prompted:
    """A question, the chunks shown for it in the order of their numbers, and the prompt ('': abstain)."""

    question: str
    rows: list[int]
    scores: list[float]
    prompt: str


def _quote(chunk: Chunk, answer: str) -> Quote:
    """Return the sentence of the chunk that holds the answer's words, else the whole chunk."""
    at = _find(chunk.text, answer)
    start, end = 0, len(chunk.text)
    if at is not None:
        inside = (span for span in split_sentences(chunk.text) if span[0] <= at < span[1])
        start, end = next(inside, (start, end))
    start, end = strip_span(chunk.text, start, end)
    return Quote(chunk.document_id, chunk.start + start, chunk.start + end, chunk.text[start:end])


def _find(text: str, answer: str) -> int | None:
    """Return where the answer's words stand in the text, in any case and with any blanks between them."""
    words = answer.split()
    pattern = r"\s+".join(re.escape(word) for word in words)
    found = re.search(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE) or re.search(
        pattern, text, re.IGNORECASE
    )
    return found.start() if found and words else None
