"""The Model Context Protocol over a workspace: the tools `ask`, `search`, `read_document` and `feedback`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from flows.server.library import Library
from flows.server.question_queue import QuestionQueue, researcher_of
from prep.errors import DiptychError
from retrieve.experience.log import ExperienceLog

if TYPE_CHECKING:
    from retrieve.researcher import Researcher

__all__ = ["create_mcp_server", "serve_stdio"]

_DEADLINE_S = 30.0
_MAX_CHARACTERS = 20_000
_INSTRUCTIONS = (
    "Answers from the user's own documents, with exact quotes. `ask` answers a question or says that the documents do "
    "not answer; `search` gives passages; `read_document` gives the text around one. Tell people the quotes' documents."
)


def create_mcp_server(
    workspace: str | Path, *, open_researcher: Callable[[], Researcher] | None = None
) -> MCPServer[Any]:
    """Return the server of a workspace; it loads its models when it runs. open_researcher: instead of its own."""
    log = ExperienceLog.of(workspace)
    queue = QuestionQueue(open_researcher or (lambda: researcher_of(workspace, log)))
    library = Library(workspace)

    @asynccontextmanager
    async def lifespan(server: MCPServer[Any]) -> AsyncIterator[None]:
        queue.start()
        try:
            yield
        finally:
            queue.stop()
            library.close()

    server: MCPServer[Any] = MCPServer(
        "diptych", instructions=_INSTRUCTIONS, lifespan=lifespan, log_level="WARNING"
    )

    @server.tool()
    def ask(
        question: Annotated[str, Field(min_length=1, max_length=8_000)],
        max_searches: Annotated[int, Field(ge=1, le=10)] = 3,
    ) -> dict[str, Any]:
        """Answer a question from the documents, with quotes. status: answered, abstained or unfinished (out of time).

        Where nothing is answered, `passages` holds the nearest. `report_id` is for feedback.
        """
        report = _told(
            lambda: queue.ask(question, deadline_s=_DEADLINE_S, max_searches=max_searches).result()
        )
        return {
            "report_id": report.id,
            "status": report.status,
            "answer": report.answer,
            "confidence": report.confidence,
            "findings": [asdict(finding) for finding in report.findings],
            "passages": [asdict(source) for source in report.nearest],
        }

    @server.tool()
    def search(
        question: Annotated[str, Field(min_length=1, max_length=8_000)],
        k: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> dict[str, Any]:
        """Return the passages of the documents that rank best for a question, best first, without an answer."""
        return {"passages": [asdict(one) for one in _told(lambda: queue.search(question, k).result())]}

    @server.tool()
    def read_document(
        document_id: str,
        start: Annotated[int, Field(ge=0)] = 0,
        end: Annotated[int | None, Field(ge=1)] = None,
    ) -> dict[str, Any]:
        """Return the text of a document from one place to another, in code points, at most 20,000 of them."""
        document, _ = _told(lambda: library.document(document_id))
        stop = min(len(document.text) if end is None else end, start + _MAX_CHARACTERS)
        text = document.text[start:stop]
        return {
            "document_id": document.id,
            "title": document.title,
            "source": document.source,
            "n_characters": len(document.text),
            "start": start,
            "end": start + len(text),
            "text": text,
        }

    @server.tool()
    def feedback(report_id: str, helpful: bool | None = None, answer: str | None = None) -> dict[str, Any]:
        """Keep what the user says of an answer: whether it helped, or what the right answer is."""
        _told(lambda: log.feedback(report_id, helpful, answer))
        return {"report_id": report_id, "kept": True}

    return server


def serve_stdio(workspace: str | Path) -> None:
    """Serve on standard input and output until the input ends."""
    create_mcp_server(workspace).run("stdio")


def _told(run: Callable[[], Any]) -> Any:
    """Run, and tell the client of an error of ours."""
    try:
        return run()
    except DiptychError as error:
        raise ToolError(" ".join(str(error).split())) from error
