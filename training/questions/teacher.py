"""Questions on passages written by an outside model, behind the same round trip as those of our own.

Any server with OpenAI's chat protocol will do (vLLM, llama.cpp, `transformers serve`, a hosted one). Nothing is sent
anywhere unless a URL is configured: passages of the corpus go to that server.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from prep.errors import ConfigError, TeacherError
from retrieve.episode.episode import one_line
from retrieve.episode.question_writing import Asked
from training.questions.question_generator import Place

__all__ = ["Teacher", "TeacherConfig"]

_TASK = (
    "You write questions for a search engine's users, in the language of the passage. Read the passage and write one "
    "question that the marked sentence answers. Somebody who has not seen the passage must understand it: name what it "
    "is about. The answer is a few words, copied exactly from the marked sentence. Reply with JSON alone: "
    '{"question": "...", "answer": "..."}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig:
    """url: up to and with the version, such as http://localhost:8000/v1. model: the server's name for it.

    key_variable: the environment variable that holds the key, where one is needed. parallel: requests at a time.
    retries: of a request that the server could not take, waiting twice as long each time.
    """

    url: str
    model: str
    key_variable: str = "DIPTYCH_TEACHER_KEY"
    temperature: float = 0.7
    max_tokens: int = 120
    timeout_s: float = 60.0
    retries: int = 3
    parallel: int = 4

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"the teacher's url={self.url!r} must begin with http:// or https://")
        try:
            known = urllib.parse.urlsplit(self.url)
            is_address = bool(known.hostname) and known.port != 0
        except ValueError:
            is_address = False
        if not is_address:
            raise ConfigError(f"the teacher's url={self.url!r} is no address of a server")
        if not self.model:
            raise ConfigError("the teacher needs a model: the name its server knows it by")
        if min(self.max_tokens, self.parallel) < 1 or self.retries < 0 or self.timeout_s <= 0:
            raise ConfigError(
                "max_tokens and parallel must be at least 1, retries not negative, timeout_s above 0"
            )


class Teacher:
    """A chat model behind a URL as a writer of questions. Raises ConfigError for a key that cannot be sent."""

    def __init__(self, config: TeacherConfig) -> None:
        self.config = config
        self._given_up = threading.Event()
        self._key = os.environ.get(config.key_variable, "").strip()
        if not self._key.isascii() or not self._key.isprintable():
            raise ConfigError(f"the key in {config.key_variable} holds characters that no key has")

    @property
    def name(self) -> str:
        """The model and how it is sampled."""
        return f"{self.config.model} at {self.config.temperature:g}"

    def write(self, places: Sequence[Place], seed: int) -> list[Asked | None]:
        """Return a question for each place, None where the reply was none. Raises TeacherError.

        seed: sent along; whether the same seed gives the same reply is the server's affair.
        """
        self._given_up.clear()
        threads = ThreadPoolExecutor(self.config.parallel)
        try:
            return list(threads.map(lambda place: self._asked(place, seed), places))
        except BaseException:
            self._given_up.set()  # no request is tried again
            raise
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def _asked(self, place: Place, seed: int) -> Asked | None:
        passage = one_line(place.passage.text)
        sentence = place.prompt.sentence(place.number).strip()
        heading = " › ".join(part for part in (place.passage.title, *place.passage.headings) if part)
        told = f"Title: {heading}\n\nPassage: {passage}\n\nMarked sentence: {sentence}"
        question, answer = _parsed(self._reply(told, seed))
        evidence = place.prompt.locate(place.number, answer)
        if not question or evidence is None:
            return None
        return Asked(question, one_line(answer), evidence)

    def _reply(self, told: str, seed: int) -> str:
        config = self.config
        body = {
            "model": config.model,
            "messages": [
                {"role": "user", "content": f"{_TASK}\n\n{told}"}
            ],  # not all templates have a system's role
            "temperature": config.temperature,
            "max_tokens": config.max_tokens,
            "seed": seed,
            "stream": False,
        }
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        url = f"{config.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        for attempt in range(config.retries + 1):
            try:
                with urllib.request.urlopen(request, timeout=config.timeout_s) as response:
                    content: Any = json.load(response)
                return str(content["choices"][0]["message"]["content"] or "")
            except urllib.error.HTTPError as error:
                said = error.read(500).decode("utf-8", "replace")
                if error.code not in (408, 409, 425, 429) and error.code < 500:
                    raise TeacherError(f"the teacher at {url} refused: {error.code} {said}") from error
                problem: object = f"{error.code} {said}"
            except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
                problem = repr(error)
            if attempt < config.retries and self._given_up.wait(2.0**attempt):
                break
        raise TeacherError(f"the teacher at {url} did not answer {config.retries + 1} times; last: {problem}")


def _parsed(reply: str) -> tuple[str, str]:
    """Return the question and the answer of a reply; empty ones where it holds none."""
    start, end = reply.find("{"), reply.rfind("}")
    try:
        content = json.loads(reply[start : end + 1])
        question, answer = content["question"], content["answer"]
    except (ValueError, LookupError, TypeError):
        return "", ""
    if not isinstance(question, str) or not isinstance(answer, str):
        return "", ""
    return one_line(question), answer
