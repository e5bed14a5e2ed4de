"""Words that several views share."""

from __future__ import annotations

from collections.abc import Iterable

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json

#: How the stylesheet colours a state; each is also a word, so that no meaning hangs on a colour.
Tone = str
_TONES = {
    "good": ("SUCCEEDED", "SUCCESS", "RUNNABLE", "ENABLED", "DONE", "READY"),
    "bad": ("FAILED", "FAILURE", "INTERNAL_ERROR", "TIMEOUT", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"),
    "busy": ("RECONCILING", "PENDING", "RUNNING", "WORKING", "QUEUED", "PENDING_CREATE", "MAINTENANCE"),
    "warn": ("WARNING", "CANCELLED", "DISABLED", "DESTROYED", "STOPPED", "SUSPENDED"),
}


def tone(state: str) -> Tone:
    """``good``, ``bad``, ``busy``, ``warn`` or "" for a state of any of the APIs."""
    return next((name for name, states in _TONES.items() if state in states), "")


def badge(state: str) -> Json:
    """A state as a word and a tone: ``CONDITION_SUCCEEDED`` reads ``succeeded``."""
    bare = state.removeprefix("CONDITION_").removeprefix("EXECUTION_")
    return {"text": bare.replace("_", " ").lower(), "tone": tone(bare)}


def seconds_between(begin: str | None, end: str | None) -> float | None:
    """The seconds between two timestamps; None while one of them is missing."""
    if not begin or not end:
        return None
    return (clock.parse_timestamp(end) - clock.parse_timestamp(begin)).total_seconds()


def short_digest(image: str) -> str:
    """``HOST/PROJECT/REPOSITORY/NAME@sha256:0123...`` -> ``NAME@sha256:0123456789ab``."""
    name, at, digest = image.rpartition("/")[2].partition("@")
    return f"{name}{at}{digest[: len('sha256:') + 12]}"


def newest(items: Iterable[Json], key: str) -> list[Json]:
    """Sorted by a timestamp, the newest first."""
    return sorted(items, key=lambda item: str(item.get(key) or ""), reverse=True)
