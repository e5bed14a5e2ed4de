"""What happens: operations and builds as a timeline, requests, log entries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict

from gcp_emulator.engine import clock
from gcp_emulator.engine.describe import seconds_between, state, tone
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.operations import Span

#: Width of the timeline in the units of its bars.
WIDTH = 1000
#: Silence between operations after which the timeline begins a new stretch, in seconds.
_PAUSE = 30.0
#: A shorter value is a word that logs may hold for other reasons.
_SHORTEST_SECRET = 6
HIDDEN = "[secret]"
_RANDOM_ID = re.compile(r"\b([0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: What every name of a resource in a region begins with.
_PARENT = re.compile(r"^projects/[^/]+/locations/(?=.)")


def operations(spans: Iterable[Span], *, limit: int) -> list[Json]:
    """The newest of what took time, in stretches between pauses; each with its bar as ``x`` and ``width`` of WIDTH."""
    now = clock.timestamp()
    newest = sorted(spans, key=lambda span: span.begun, reverse=True)[:limit]
    stretches: list[list[Json]] = []
    # From the oldest on: a pause is silence after the last end so far.
    latest = ""
    for span in reversed(newest):
        gap = seconds_between(latest, span.begun)
        if gap is None or gap > _PAUSE:
            stretches.append([])
        stretches[-1].append({**asdict(span), "state": state(span.state.upper())})
        latest = max(latest, span.ended or now)
    return [_stretch(stretch, now) for stretch in reversed(stretches)]


def _stretch(spans: list[Json], now: str) -> Json:
    """Spans on one scale."""
    begun = min(span["begun"] for span in spans)
    ended = max(span["ended"] or now for span in spans)
    total = seconds_between(begun, ended) or 1e-6
    for span in spans:
        offset = seconds_between(begun, span["begun"]) or 0.0
        length = seconds_between(span["begun"], span["ended"] or now) or 0.0
        span["x"] = round(WIDTH * offset / total, 1)
        span["width"] = max(3.0, round(WIDTH * length / total, 1))
        span["seconds"] = length
    return {"begun": begun, "seconds": total, "spans": spans}


def requests(entries: Iterable[Json]) -> list[Json]:
    """The request log as rows, the newest first."""
    rows = [
        {
            "number": entry["number"],
            "time": entry["time"],
            "http": entry["http"],
            "method": entry["method"] or f"{entry['host']}{entry['path']}",
            "target": ", ".join(_shortened(str(value)) for value in entry["params"].values()),
            "caller": entry["caller"].partition(":")[2].removesuffix(".iam.gserviceaccount.com") or "nobody",
            "member": entry["caller"],
            "status": entry["status"],
            "tone": _status_tone(entry["status"]),
            "milliseconds": entry["milliseconds"],
        }
        for entry in entries
    ]
    return rows[::-1]


def _shortened(value: str) -> str:
    """A parameter without the region's parent, and random ids cut to their beginning."""
    return _RANDOM_ID.sub(r"\1…", _PARENT.sub("", value))


def _status_tone(status: int) -> str:
    """0 is no answer (yet)."""
    if status == 0:
        return "busy"
    return "good" if status < 400 else "warn" if status < 500 else "bad"


def faults(plan: Iterable[Json]) -> list[Json]:
    """The faults that are planned; one that strikes no more is spent."""
    return [
        {
            "id": one["id"],
            "kind": one["kind"].replace("_", " "),
            "method": one["method"],
            "caller": "" if one["caller"] == "*" else one["caller"],
            "target": "" if one["target"] == "*" else one["target"],
            "probability": one["probability"],
            "struck": one["struck"],
            "count": one["count"],
            "spent": bool(one["count"]) and one["struck"] >= one["count"],
        }
        for one in plan
    ]


def log_entries(hidden: Iterable[bytes], entries: Iterable[tuple[int, Json]]) -> list[Json]:
    """Log entries (oldest first) as rows, the newest first. A secret (``hidden``) that a program printed is not shown."""
    values = hidden_texts(hidden)
    rows = []
    for number, entry in entries:
        labels = entry["resource"].get("labels", {})
        text, rest = _text(entry)
        source = next(
            (labels[key] for key in ("service_name", "job_name", "build_id", "database_id") if key in labels),
            "",
        )
        rows.append(
            {
                "number": number,
                "time": entry["timestamp"],
                "severity": entry["severity"].lower(),
                "tone": tone(entry["severity"]),
                "kind": entry["resource"]["type"].replace("_", " "),
                "source": source,
                "text": _hide(text, values),
                "rest": _hide(rest, values),
            }
        )
    return rows[::-1]


def _text(entry: Json) -> tuple[str, str]:
    """What an entry says, and the other fields of a structured one."""
    request = entry.get("httpRequest")
    if request:
        words = ("requestMethod", "requestUrl", "status", "latency")
        return " ".join(str(request[word]) for word in words if request.get(word)), ""
    if entry.get("textPayload"):
        return str(entry["textPayload"]), ""
    payload = dict(entry.get("jsonPayload", {}))
    message = str(payload.pop("message", ""))
    return message, json.dumps(payload, ensure_ascii=False) if payload else ""


def hidden_texts(values: Iterable[bytes]) -> list[str]:
    """The texts of values that are to be hidden; the longest first, since a value may hold another."""
    found = set()
    for value in values:
        try:
            text = value.decode().strip()
        except UnicodeDecodeError:
            continue
        if len(text) >= _SHORTEST_SECRET:
            found |= {text, json.dumps(text)[1:-1]}
    return sorted(found, key=len, reverse=True)


def _hide(text: str, values: list[str]) -> str:
    for value in values:
        text = text.replace(value, HIDDEN)
    return text
