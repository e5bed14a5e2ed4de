"""``gcp-emulator facts check``: recorded conversations held against an emulator that is made for them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gcp_emulator.app import Emulator, Settings
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.front.http import forward
from gcp_emulator.front.messages import Headers, Request, in_one_piece
from gcp_emulator.recording.form import Conversation, decoded
from gcp_emulator.recording.replay import Outcome, Replay

PROJECT = "recorded-project"
OWNER = "owner@example.com"
_MOST_TEXT = 400


async def replay(conversations: Iterable[Conversation], state: Path) -> list[Outcome]:
    """Sends the conversations, one after the other, to a fresh emulator whose state is in the empty folder ``state``: to one project where
    every API is enabled, as its owner, with operations that take no time."""
    emulator = Emulator(Settings(state, socket.create_server(("127.0.0.1", 0)), machines="records"))
    emulator.open_project(PROJECT, f"user:{OWNER}")
    await emulator.start()
    try:
        client = _Client(emulator.front.port, emulator.context.tokens.issue(identity_of(OWNER))[0])
        values = {"projectId": PROJECT, "projectNumber": emulator.context.projects.number(PROJECT)}
        replayed = Replay(client.send, values, f"user:{OWNER}")
        outcomes = []
        for number, conversation in enumerate(conversations):
            outcomes += await replayed.run(conversation, f"recorded{number:04}")
        return outcomes
    finally:
        await emulator.stop()


class _Client:
    """Sends requests to the emulator's address for those who use no proxy."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token

    async def send(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(url)
        headers = Headers([("Host", f"127.0.0.1:{self._port}"), ("Authorization", f"Bearer {self._token}")])
        content = b"" if body is None else _encoded(body)
        if body is not None:
            headers.set("Content-Type", "application/json")
            headers.set("Content-Length", str(len(content)))

        path = f"/_/{parts.netloc}{parts.path}"
        request = Request(method, "http", "127.0.0.1", path, parts.query, headers, in_one_piece(content))
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        response = await forward(request, reader, writer)
        received = response.body
        if not isinstance(received, bytes):
            received = b"".join([part async for part in received])
        return response.status, decoded(received)


def _encoded(body: Any) -> bytes:
    if isinstance(body, dict) and set(body) == {"__text__"}:
        return str(body["__text__"]).encode()
    return json.dumps(body).encode()


def agreement(outcomes: Iterable[Outcome]) -> dict[str, tuple[int, int]]:
    """By folder of the conversations ("" for files of none) how many exchanges agree, and how many there are."""
    total, agree = Counter[str](), Counter[str]()
    for outcome in outcomes:
        folder = outcome.conversation.rpartition("/")[0]
        total[folder] += 1
        agree[folder] += not outcome.differences
    return {folder: (agree[folder], total[folder]) for folder in sorted(total)}


def report(outcomes: list[Outcome]) -> str:
    """What agrees, and what differs, the most frequent first."""
    lines = [
        f"{folder or 'conversation'}: {agree} of {total} exchanges agree ({100 * agree / total:.1f} %)"
        for folder, (agree, total) in agreement(outcomes).items()
    ]
    where: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        for difference in outcome.differences:
            where[f"{outcome.exchange.api}: {_shortened(difference)}"].append(outcome)
    for difference, found in sorted(where.items(), key=lambda item: -len(item[1])):
        first = found[0]
        lines.append(f"{len(found)} x {difference}")
        lines.append(f"    as in {first.conversation}: {first.exchange.method} {first.exchange.url}")
    return "\n".join(lines) + "\n"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
