"""The emulator's memory: JSON documents by collection and name, written through to one SQLite file.

Values are kept as JSON text, so that what a caller reads is its own copy; what every request needs is read shared (``peek``).
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.faults import require_space


class Collection:
    """Documents of one kind, by full resource name."""

    def __init__(self, database: sqlite3.Connection, kind: str) -> None:
        self._database = database
        self._kind = kind
        rows = database.execute("SELECT name, body FROM documents WHERE kind = ?", (kind,))
        self._texts: dict[str, str] = dict(rows.fetchall())
        self._names = sorted(self._texts)
        self._shared: dict[str, Mapping[str, Any]] = {}
        #: How often anything was written or removed, for whoever keeps an index.
        self.changes = 0

    def __contains__(self, name: str) -> bool:
        return name in self._texts

    def __len__(self) -> int:
        return len(self._texts)

    def get(self, name: str) -> Json | None:
        """A copy of the document, or None."""
        text = self._texts.get(name)
        return None if text is None else json.loads(text)

    def peek(self, name: str) -> Mapping[str, Any] | None:
        """The document, parsed once and shared, so callers change nothing in it; None when there is none."""
        found = self._shared.get(name)
        if found is None and name in self._texts:
            found = self._shared[name] = json.loads(self._texts[name])
        return found

    def put(self, name: str, body: Json) -> None:
        """Creates or replaces the document."""
        text = json.dumps(body, separators=(",", ":"))
        require_space()
        self._shared.pop(name, None)
        self._database.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (self._kind, name, text))
        if name not in self._texts:
            insort(self._names, name)
        self._texts[name] = text
        self.changes += 1

    def delete(self, name: str) -> bool:
        """Removes the document; False when there was none."""
        if name not in self._texts:
            return False
        self._shared.pop(name, None)
        self._database.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (self._kind, name))
        del self._texts[name]
        del self._names[bisect_left(self._names, name)]
        self.changes += 1
        return True

    def names(self, prefix: str = "") -> list[str]:
        """The names that start with ``prefix``, sorted."""
        found = []
        for index in range(bisect_left(self._names, prefix), len(self._names)):
            if not self._names[index].startswith(prefix):
                break
            found.append(self._names[index])
        return found

    def items(self, prefix: str = "") -> Iterator[tuple[str, Json]]:
        """Name and copy of each document whose name starts with ``prefix``, in name order."""
        for name in self.names(prefix):
            yield name, json.loads(self._texts[name])


class Store:
    """All collections. One writer: the event loop's thread."""

    def __init__(self, path: Path | None) -> None:
        """``path`` is the SQLite file; None keeps everything in memory (unit tests)."""
        self._database = sqlite3.connect(
            str(path) if path else ":memory:", isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA journal_mode = WAL")
        # A crash of the machine may lose the last writes of a rehearsal; a crash of the process does not.
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS documents (kind TEXT, name TEXT, body TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID"
        )
        self._collections: dict[str, Collection] = {}

    @property
    def database(self) -> sqlite3.Connection:
        """The connection, for parts that keep a table of their own (logs)."""
        return self._database

    def collection(self, kind: str) -> Collection:
        """The collection named ``kind``, for example ``secretmanager.secrets``."""
        if kind not in self._collections:
            self._collections[kind] = Collection(self._database, kind)
        return self._collections[kind]

    def close(self) -> None:
        self._database.close()
