"""Recorded conversations with Google Cloud, held against what the emulator answers.

``RECORDED_CONVERSATIONS`` names a folder with ``SERVICE/NAME.json``: ``{"exchanges": [{"method", "url", "request", "status", "response"}]}``. In them
``${name}`` stands for what differs from run to run, and so do the constants below. A recording may lack fields, so what the emulator says
beyond it is no difference; nor is what it clearly says not to emulate. Only calls of ``SERVICES`` are made.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

SERVICES = ("iam", "logging", "orgpolicy", "pubsub")
_FOLDER = os.environ.get("RECORDED_CONVERSATIONS")
_FILES = sorted(path for name in SERVICES for path in Path(_FOLDER or os.devnull).glob(f"{name}/*.json"))
_HOSTS = tuple(f"https://{name}.googleapis.com/" for name in SERVICES)
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
#: Times, etags and numbers that the recorder put in place of the real ones.
_CONSTANT = re.compile(r"2024-04-01T12:34:56[.\d]*Z|abcdef0123A=|(\d)\1{20}")
_IGNORED = "gcp-emulator does not emulate"

pytestmark = pytest.mark.skipif(not _FILES, reason="RECORDED_CONVERSATIONS names no folder with recordings")


class Conversation:
    """One conversation, and what its placeholders have turned out to be."""

    def __init__(self, session: requests.Session, values: dict[str, str]) -> None:
        self._session = session
        self._values = values

    def differences(self, exchanges: list[dict[str, Any]]) -> tuple[int, list[str]]:
        """How many exchanges could be compared, and how the answers differ."""
        compared, found = 0, list[str]()
        asked = [exchange for exchange in exchanges if exchange["url"].startswith(_HOSTS)]
        for exchange, following in pairwise([*asked, {"url": ""}]):
            status, answer = self._send(exchange)
            # Google may not find at once what it has just made.
            lagged = exchange["status"] == 404 and status == 200 and exchange["url"] == following["url"]
            if _IGNORED in str(answer) or lagged:
                continue
            compared += 1
            if status != exchange["status"]:
                differences = [f"{status} instead of {exchange['status']}: {answer}"]
            else:
                differences = list(self._compare(exchange.get("response"), answer, ""))
            found += [f"{exchange['method']} {self._fill(exchange['url'])}: {one}" for one in differences]
        return compared, found

    def _send(self, exchange: dict[str, Any]) -> tuple[int, Any]:
        body = exchange.get("request")
        answer = self._session.request(
            exchange["method"], self._fill(exchange["url"]), json=None if body is None else self._fill(body)
        )
        return answer.status_code, answer.json() if answer.content else None

    def _fill(self, value: Any) -> Any:
        """A recorded value with the placeholders that are known; an etag is left out, which guards against nothing then."""
        if isinstance(value, dict):
            return {key: self._fill(one) for key, one in value.items() if key != "etag"}
        if isinstance(value, list):
            return [self._fill(one) for one in value]
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda found: self._values.get(found[1], "1"), value)
        return value

    def _compare(self, recorded: Any, answer: Any, path: str) -> Iterator[str]:
        if isinstance(recorded, dict) and isinstance(answer, dict):
            for key, value in recorded.items():
                if key in answer:
                    yield from self._compare(value, answer[key], f"{path}.{key}")
                else:
                    yield f"{path}.{key} is missing"
        elif isinstance(recorded, list) and isinstance(answer, list) and len(recorded) == len(answer):
            for number, (one, other) in enumerate(zip(recorded, answer, strict=True)):
                yield from self._compare(one, other, f"{path}[{number}]")
        elif not (self._is_text(recorded, answer) if isinstance(recorded, str) else recorded == answer):
            yield f"{path} is {answer!r} instead of {recorded!r}"

    def _is_text(self, recorded: str, answer: Any) -> bool:
        """Whether a text is the recorded one; a placeholder that is not known yet is whatever stands there."""
        if not isinstance(answer, str) or _CONSTANT.fullmatch(recorded):
            return isinstance(answer, str)
        pattern = "".join(
            re.escape(part) if number % 2 == 0 else self._placeholder(part)
            for number, part in enumerate(_PLACEHOLDER.split(recorded))
        )
        found = re.fullmatch(pattern, answer)
        self._values.update(found.groupdict() if found else {})
        return found is not None

    def _placeholder(self, name: str) -> str:
        return re.escape(self._values[name]) if name in self._values else f"(?P<{name}>[^/]+)"


@pytest.mark.parametrize("path", _FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_emulator_answers_as_google_did(emulator: RunningEmulator, path: Path) -> None:
    values = {"projectId": PROJECT, "projectNumber": emulator.number, "uniqueId": "recorded"}
    conversation = Conversation(emulator.session(), values)
    compared, differences = conversation.differences(json.loads(path.read_text("utf-8"))["exchanges"])
    emulator.context.unhandled.clear()
    assert differences == []
    if not compared:
        pytest.skip("nothing that it asks for is emulated")
