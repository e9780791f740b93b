"""The page at `/`: it names nothing elsewhere, and its policy lets a browser run what is in it alone."""

from __future__ import annotations

import base64
import hashlib
import re

from fastapi.testclient import TestClient


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(
        r"https?://|//[a-z]|@import|\burl\(", re.sub(r"^//.*$", "", page.text, flags=re.MULTILINE)
    )
    assert not re.search(r"\son\w+=|innerHTML|insertAdjacentHTML|document\.write|eval\(", page.text)


def test_its_policy_allows_its_own_script_and_style(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        (part,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_description_of_the_interface_is_served_from_here(client: TestClient) -> None:
    page = client.get("/docs").text
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert address.startswith("/")
        assert client.get(address).status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/ask", "/search", "/documents", "/v1/chat/completions", "/healthz"} <= paths.keys()
