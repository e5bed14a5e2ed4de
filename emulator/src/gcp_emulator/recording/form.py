"""The form of a recorded conversation, in a file of its own: ``SERVICE/NAME.json`` or ``NAME.json``.

``{"source": "...", "exchanges": [{"method": "GET", "url": "https://...", "request": ..., "status": 200, "response": ...}]}``. In all texts
``${name}`` stands for what differs from run to run, and so do the constants below. ``request`` and ``response`` are left out where there is
none; what is no JSON is ``{"__text__": "..."}``. A recording may lack fields of an answer; what it has is what Google said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
TIME = "2024-04-01T12:34:56.123456Z"
ETAG = "abcdef0123A="
NUMBER = "1" * 21
PERSON = "user@example.com"
ADDRESS = "10.1.2.3"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
#: What stands in place of a value that nobody may see.
HIDDEN = "hidden"
#: The same where Google takes bytes, in base64.
HIDDEN_BYTES = "aGlkZGVu"
#: Any of the constants that recorders have put in place of times, etags, addresses, ids and certificates.
CONSTANT = re.compile(
    r"(?:2024-04-01T12:34:56(?:\.\d+)?Z|1970-01-01T00:00:00Z|2025-01-01T00:00:00Z|2025-06-19T01:02:03Z"
    r"|(?<=-)abcdef(?=@gcp-sa-)|abcdef0123A=?|MDEyMzQ1Njc4OWFiY2RlZg==|0123456789abcdef"
    r"|(\d)\1{20}|0{12}|(?<!\d)1{12}(?!\d)|12345678901234|12345678"
    r"|10\.10\.10\.10|10\.1\.2\.3|(?<![\d.])8\.8\.8\.8(?![\d.])|(?<![\d.])10\.0\.0\.1(?![\d.])|test@google\.com|user@example\.com|common-name|hidden|aGlkZGVu"
    r"|-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n)"
)


class ConversationError(Exception):
    """A file that is no recorded conversation. The text is one sentence for a person."""


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    method: str
    url: str
    status: int
    request: Any = None
    response: Any = None

    @property
    def api(self) -> str:
        """The first part of the host's name: ``run`` for ``run.googleapis.com``."""
        return self.url.partition("://")[2].partition(".")[0]

    @property
    def is_change(self) -> bool:
        """Whether it is more than a look."""
        return self.method not in ("GET", "HEAD")


@dataclass(frozen=True)
class Conversation:
    """The exchanges of one file, in order. ``name`` is SERVICE/NAME, or NAME for a file of no folder."""

    name: str
    source: str
    exchanges: list[Exchange]

    def text(self) -> str:
        """The file."""
        entries = [
            {key: value for key, value in vars(exchange).items() if value is not None}
            for exchange in self.exchanges
        ]
        return json.dumps({"source": self.source, "exchanges": entries}, indent=2) + "\n"


def decoded(content: bytes) -> Any:
    """A body as this form has it."""
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return {"__text__": content.decode("utf-8", "replace")}


def load(path: Path) -> Iterator[Conversation]:
    """The conversation of a file, or those of a folder and its folders, in order. ConversationError when one is none."""
    if path.is_dir():
        for file in sorted(path.glob("**/*.json")):
            yield _load_file(file, str(file.relative_to(path).with_suffix("")))
    else:
        yield _load_file(path, path.stem)


def _load_file(path: Path, name: str) -> Conversation:
    try:
        body = json.loads(path.read_text("utf-8"))
        exchanges = [Exchange(**entry) for entry in body["exchanges"]]
        return Conversation(name, str(body.get("source", "")), exchanges)
    except OSError as error:
        raise ConversationError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConversationError(f"{path} is no recorded conversation: {error}") from None
