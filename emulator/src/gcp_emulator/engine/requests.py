"""The newest requests to Google's APIs: who called which method, how it ended, how long it took. Never bodies or queries."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from itertools import count

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json
from gcp_emulator.front.messages import Request

#: How many requests are remembered (about 1 kB each).
KEPT = 10_000


@dataclass(slots=True)
class Entry:
    """One request; ``status`` is 0 until it is answered, or when the client got no answer."""

    number: int
    http: str
    host: str
    path: str
    #: The discovery method id; ``oauth2.token`` and its kin for what has none; "" for what nothing answers.
    method: str = ""
    #: The IAM member; "" when the request carried no valid token.
    caller: str = ""
    #: The decoded parameters of the path.
    params: Json = field(default_factory=dict)
    status: int = 0
    #: Seconds until the head of the answer was ready.
    seconds: float = 0.0
    began: float = field(default_factory=time.time)
    _clock: float = field(default_factory=time.perf_counter)

    def end(self, status: int) -> None:
        """Notes how it was answered."""
        self.status = status
        self.seconds = time.perf_counter() - self._clock

    def view(self) -> Json:
        """The entry as ``/_emulator/requests`` shows it."""
        return {
            "number": self.number,
            "time": clock.timestamp(clock.moment(self.began)),
            "method": self.method,
            "http": self.http,
            "host": self.host,
            "path": self.path,
            "caller": self.caller,
            "params": self.params,
            "status": self.status,
            "milliseconds": round(self.seconds * 1000, 3),
        }


class RequestLog:
    """The newest entries in the order in which the requests came. Nothing is written to disk."""

    def __init__(self, kept: int = KEPT) -> None:
        self._entries: deque[Entry] = deque(maxlen=kept)
        self._numbers = count(1)

    def open(self, request: Request) -> Entry:
        """Remembers a request; the entry is completed as it is answered."""
        entry = Entry(next(self._numbers), request.method, request.host, request.path)
        self._entries.append(entry)
        return entry

    def after(self, number: int = 0) -> list[Entry]:
        """The remembered entries with higher numbers, oldest first."""
        return [entry for entry in self._entries if entry.number > number]
