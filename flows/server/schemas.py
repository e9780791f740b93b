"""The bodies of requests, checked by pydantic. Unknown fields are an error, but for those of OpenAI's clients."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = [
    "AskRequest",
    "ChatRequest",
    "FeedbackRequest",
    "Message",
    "SearchRequest",
    "TextDocument",
    "TextDocuments",
]

MAX_QUESTION = 8_000
Question: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION)
]
Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Where: TypeAlias = Annotated[dict[str, Any] | None, Field(description="Only documents with this metadata.")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AskRequest(_Request):
    """A question. deadline_s: seconds until what is known by then is told; the server has a maximum."""

    question: Question
    max_searches: int = Field(default=3, ge=1, le=10)
    deadline_s: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    where: Where = None
    user: Name | None = Field(default=None, description="Who asks, for the experience log alone.")


class SearchRequest(_Request):
    """A search without an answer."""

    question: Question
    k: int = Field(default=10, ge=1, le=100)
    where: Where = None


class FeedbackRequest(_Request):
    """What a person says of a report: whether it helped, the right answer, or whether a quote (from 1) is right."""

    report_id: Name
    helpful: bool | None = None
    answer: Question | None = None
    quote: int | None = Field(default=None, ge=1)
    quote_right: bool | None = None


class TextDocument(_Request):
    """A document as text, Markdown for one. One of the same id is replaced."""

    id: Name
    text: Annotated[str, StringConstraints(min_length=1)]
    title: Annotated[str, StringConstraints(max_length=1_000)] = ""
    metadata: dict[str, Any] = Field(default_factory=dict)


class TextDocuments(_Request):
    """Documents to add."""

    documents: list[TextDocument] = Field(min_length=1, max_length=1_000)


class _MessagePart(BaseModel):
    """A part of a message; only text counts."""

    type: str
    text: str = ""


class Message(BaseModel):
    """A turn of a conversation, as OpenAI's clients send it."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_MessagePart] | None = None

    @property
    def text(self) -> str:
        """Its text on one line."""
        parts = self.content if isinstance(self.content, list) else []
        text = self.content if isinstance(self.content, str) else " ".join(part.text for part in parts)
        return " ".join(text.split())


class ChatRequest(BaseModel):
    """OpenAI's chat completion. What sets how a model samples is not heeded: answers are quotes."""

    model: str = "diptych"
    messages: list[Message] = Field(min_length=1, max_length=1_000)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    user: Name | None = None
    where: Where = None
