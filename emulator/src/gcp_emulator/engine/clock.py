"""Time in Google's formats."""

from __future__ import annotations

import datetime
import re
import uuid


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def timestamp(moment: datetime.datetime | None = None) -> str:
    """RFC 3339 in UTC with microseconds, as Google's JSON has it: ``2026-01-31T12:00:00.123456Z``."""
    return (moment or now()).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(seconds: float) -> datetime.datetime:
    """The moment so many seconds after the epoch."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def parse_timestamp(text: str) -> datetime.datetime:
    """The moment of an RFC 3339 text (nanoseconds are cut to microseconds)."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", text)
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def seconds(duration: str) -> float:
    """``"300s"`` -> 300.0 (google.protobuf.Duration in JSON)."""
    return float(duration.removesuffix("s"))


def new_id() -> str:
    return str(uuid.uuid4())


def new_etag() -> str:
    """An opaque etag; never repeated."""
    return f'"{uuid.uuid4().hex[:16]}"'
