"""What came of SQL text that a server was sent, in the server's own text form."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ServerMessage:
    """An error or a notice of the server."""

    severity: str
    code: str
    message: str
    detail: str = ""
    hint: str = ""

    def text(self) -> str:
        """As psql prints it, with the SQLSTATE."""
        parts = [f"{self.severity}: {self.message} (SQLSTATE {self.code})"]
        parts += [f"DETAIL: {self.detail}"] if self.detail else []
        parts += [f"HINT: {self.hint}"] if self.hint else []
        return "\n".join(parts)


class SqlError(Exception):
    """The server refused the login or a statement."""

    def __init__(self, message: ServerMessage) -> None:
        super().__init__(message.message)
        self.server = message


class SqlTimeoutError(Exception):
    """The statements took too long and were cancelled."""


@dataclass
class Result:
    """What one statement returned. ``columns`` are (name, type name); ``tag`` is the server's, such as ``INSERT 0 1``."""

    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    tag: str = ""
    truncated: bool = False


@dataclass
class Execution:
    """All results up to the first error, the notices in order, and that error."""

    results: list[Result] = field(default_factory=list)
    notices: list[ServerMessage] = field(default_factory=list)
    error: ServerMessage | None = None
