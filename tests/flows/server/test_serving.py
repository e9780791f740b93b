"""The server in a process of its own: OpenAI's client talks to it, MCP's client too, and SIGTERM ends it cleanly."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fixture_prep import LinePrep, subprocess_environment
from tiny_models import make_gemma

from flows.server.keys import KeyFile
from prep.document import Document
from prep.ingest import ingest
from retrieve.experience.log import ExperienceLog

SERVER = Path(__file__).resolve().parents[2] / "fixture_server.py"
TEXT = "# Food\nBees make honey from nectar. It keeps for years.\nThey dance.\n"
pytestmark = [pytest.mark.loopback, pytest.mark.slow]


@dataclass(frozen=True)
class Served:
    process: subprocess.Popen[str]
    address: str
    place: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    ingest(folder / "w", [Document("bees.md", "Bees", TEXT, "bees.md")], LinePrep(), progress=False)
    make_gemma(folder / "base")
    return folder / "w"


def command(place: Path, kind: str) -> list[str]:
    return [str(SERVER), str(place), str(place.parent / "base"), kind]


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    with subprocess.Popen(
        [sys.executable, *command(place, "http")],
        env=subprocess_environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        address = next(line for line in process.stderr if "serving at " in line).split()[-1]
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        try:
            yield Served(process, address, place)
        finally:
            process.kill()
            drain.join(10)


def test_openais_client_gets_an_answer_with_citations(served: Served) -> None:
    from openai import OpenAI

    with OpenAI(base_url=f"{served.address}/v1", api_key="none", max_retries=2, timeout=120) as client:
        assert [model.id for model in client.models.list()] == ["diptych"]
        turns: Any = [
            {"role": "user", "content": "What do Bees make honey from?"},
            {"role": "assistant", "content": "Nectar."},
            {"role": "user", "content": "How long does it keep?"},
        ]
        done = client.chat.completions.create(model="diptych", messages=turns, temperature=0)
        assert done.object == "chat.completion"
        assert done.choices[0].message.content
        assert done.choices[0].finish_reason == "stop"
        assert done.usage is not None
        assert done.usage.total_tokens > 0
        extra: Any = done.model_extra
        for one in extra["citations"]:
            assert sorted(one) == ["document", "end", "page", "path", "start", "text", "title"]
            assert (one["document"], one["title"]) == ("bees.md", "Bees")
            assert TEXT[one["start"] : one["end"]] == one["text"]
        assert extra["citations"]
        (row,) = ExperienceLog.of(served.place).rows()
        assert row.report.question == (
            "User: What do Bees make honey from?\nAssistant: Nectar.\nUser: How long does it keep?"
        )


def test_openais_client_gets_a_stream(served: Served) -> None:
    from openai import OpenAI

    with OpenAI(base_url=f"{served.address}/v1", api_key="none", timeout=120) as client:
        stream = client.chat.completions.create(
            model="diptych",
            messages=[{"role": "user", "content": "What do Bees make?"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    words = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert words
    assert chunks[-1].usage is not None
    ends = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason == "stop"]
    extra: Any = ends[0].model_extra
    assert extra["citations"][0]["document"] == "bees.md"


def test_openais_client_understands_a_refusal(served: Served) -> None:
    from openai import OpenAI, UnprocessableEntityError

    with (
        OpenAI(base_url=f"{served.address}/v1", api_key="none", timeout=120) as client,
        pytest.raises(UnprocessableEntityError, match="last message"),
    ):
        client.chat.completions.create(model="diptych", messages=[{"role": "system", "content": "x"}])


def test_mcps_client_calls_every_tool(place: Path) -> None:
    from mcp import Client, StdioServerParameters

    async def talk() -> None:
        server = StdioServerParameters(
            command=sys.executable, args=command(place, "mcp"), env=subprocess_environment()
        )
        async with Client(server, read_timeout_seconds=120) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert tools == {"ask", "search", "read_document", "feedback"}
            report = await call(client, "ask", {"question": "What do Bees make?"})
            assert report["status"] == "answered"
            quote = report["findings"][0]["quotes"][0]
            span = {"document_id": quote["document_id"], "start": quote["start"], "end": quote["end"]}
            assert (await call(client, "read_document", span))["text"] == quote["text"]
            found = await call(client, "search", {"question": "dance", "k": 1})
            assert found["passages"][0]["document_id"] == "bees.md"
            said = {"report_id": report["report_id"], "helpful": True}
            assert (await call(client, "feedback", said))["kept"]
            missing = await client.call_tool("read_document", {"document_id": "bee.md"})
            assert missing.is_error
            assert "did you mean 'bees.md'" in missing.content[0].text  # type: ignore[union-attr]

    asyncio.run(talk())
    assert any(row.helpful for row in ExperienceLog.of(place).rows())


def test_the_command_asks_for_a_key_and_says_why_nothing_can_be_asked(tmp_path: Path) -> None:
    secret = KeyFile(tmp_path / "keys.json").add("ada")
    words = [
        "serve",
        "--port",
        "0",
        "--keys",
        str(tmp_path / "keys.json"),
        "--workspace",
        str(tmp_path / "w"),
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words],
        env=subprocess_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            address = line.split()[-1]
            assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ serving at http://127\.0\.0\.1:\d+\n", line)
            assert httpx.get(f"{address}/documents", timeout=30).status_code == 401
            headers = {"Authorization": f"Bearer {secret}"}
            answer = httpx.get(f"{address}/documents", headers=headers, timeout=30)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "empty")
            asked = httpx.post(f"{address}/search", json={"question": "x"}, headers=headers, timeout=120)
            assert (asked.status_code, asked.json()["error"]["code"]) == (503, "empty")
            ready = httpx.get(f"{address}/readyz", timeout=30)
            assert ready.status_code == 503
            assert "diptych ingest" in ready.json()["error"]["message"]
            process.send_signal(signal.SIGTERM)
            output, log = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert output == ""
    assert [line.split()[2:5] for line in log.splitlines()] == [
        ["GET", "other", "401"],
        ["GET", "/documents", "503"],
        ["POST", "/search", "503"],
        ["GET", "/readyz", "503"],
    ]


async def call(client: Any, tool: str, arguments: dict[str, Any]) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content or json.loads(result.content[0].text)


def test_sigterm_lets_a_request_end_and_the_process_with_status_0(served: Served) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        body = {"question": "What do Bees slowly make?", "deadline_s": 30}
        answers.append(httpx.post(f"{served.address}/ask", json=body, timeout=60))

    asker = threading.Thread(target=ask)
    asker.start()
    time.sleep(0.5)
    served.process.send_signal(signal.SIGTERM)
    asker.join(60)
    assert [answer.status_code for answer in answers] == [200]
    assert served.process.wait(60) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{served.address}/healthz", timeout=5)
