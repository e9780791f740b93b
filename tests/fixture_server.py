"""`python fixture_server.py WORKSPACE BASE http|mcp`: a workspace served with tiny real models in its own process.

A question that holds "slowly" takes a second more.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch
from fixture_prep import LinePrep

from prep.store.workspace import Workspace
from retrieve.episode.grammar import ActionLimits
from retrieve.experience.log import ExperienceLog
from retrieve.lm.base import load_base
from retrieve.model import RetrieveModel, ServingConfig
from retrieve.researcher import Researcher


class SlowResearcher(Researcher):
    def ask_many(self, questions: Any, **options: Any) -> Any:
        time.sleep(1.0 if any("slowly" in question for question in questions) else 0.0)
        return super().ask_many(questions, **options)


def open_researcher(place: Path, base: Path) -> Researcher:
    model, tokenizer = load_base(base, dtype=torch.float32)
    serving = ServingConfig(
        abstention_bias=-1_000.0,
        action=ActionLimits(query_tokens=4, statement_tokens=6, max_findings=2, max_pointers=2),
    )
    retrieve = RetrieveModel("tiny-1", model, tokenizer, serving)
    prep: Any = LinePrep()
    return SlowResearcher(Workspace(place), prep=prep, model=retrieve, log=ExperienceLog.of(place))


def run(place: Path, base: Path, kind: str) -> None:
    if kind == "mcp":
        from flows.server.mcp_tools import create_mcp_server

        create_mcp_server(place, open_researcher=lambda: open_researcher(place, base)).run("stdio")
        return
    from flows.server.http_app import create_app, serve

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    app = create_app(place, open_researcher=lambda: open_researcher(place, base), prep=LinePrep())
    serve(app, "127.0.0.1", 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
