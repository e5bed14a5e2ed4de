"""What happens: operations and builds as a timeline, requests, log entries."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator

from gcp_emulator.console.views.common import newest, seconds_between, tone
from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.store import Store
from gcp_emulator.services.run.names import short

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


def operations(store: Store, project: str, number: str, *, limit: int) -> list[Json]:
    """The newest operations and builds, in stretches between pauses; each with its bar as ``x`` and ``width`` of WIDTH."""
    now = clock.timestamp()
    spans = newest([*_operations(store, project, number), *_builds(store, project)], "begun")[:limit]
    stretches: list[list[Json]] = []
    # From the oldest on: a pause is silence after the last end so far.
    latest = ""
    for span in reversed(spans):
        gap = seconds_between(latest, span["begun"])
        if gap is None or gap > _PAUSE:
            stretches.append([])
        stretches[-1].append(span)
        latest = max(latest, span["ended"] or now)
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


def _operations(store: Store, project: str, number: str) -> Iterator[Json]:
    # The times are kept beside the operations, whose shapes are Google's and mostly tell none.
    times = store.collection("operations.times")
    for kind in ("operations", "sqladmin.operations"):
        for name, body in store.collection(kind).items():
            known = times.get(name)
            if known is None or not _concerns(name, project, number):
                continue
            error = body.get("error") or {}
            errors = error.get("errors") or [error]
            message = "; ".join(str(one.get("message", "")) for one in errors if one)
            done = bool(body.get("done")) or body.get("status") == "DONE"
            state = "failed" if message else "done" if done else "running"
            yield {
                "method": known["method"],
                "target": body.get("targetId") or short(str((body.get("metadata") or {}).get("name", ""))),
                "begun": known["begun"],
                "ended": known.get("ended") or (known["begun"] if done else None),
                "state": {"text": state, "tone": {"failed": "bad", "done": "good", "running": "busy"}[state]},
                "message": message,
            }


def _concerns(name: str, project: str, number: str) -> bool:
    """Service Usage names no project but its number."""
    return name.startswith(f"projects/{project}/") or f"-{number}-" in name


def _builds(store: Store, project: str) -> Iterator[Json]:
    for _, body in store.collection("cloudbuild.builds").items():
        if body["projectId"] != project:
            continue
        images = body.get("images") or []
        yield {
            "method": "cloudbuild.projects.locations.builds.create",
            "target": str(images[0]).rpartition("/")[2] if images else body["id"],
            "begun": body.get("startTime") or body["createTime"],
            "ended": body.get("finishTime"),
            "state": {"text": body["status"].replace("_", " ").lower(), "tone": tone(body["status"])},
            "message": body.get("failureInfo", {}).get("detail", ""),
        }


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


def log_entries(store: Store, entries: Iterable[tuple[int, Json]]) -> list[Json]:
    """Log entries (oldest first) as rows, the newest first. A secret that a program printed is hidden."""
    values = secret_values(store)
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


def secret_values(store: Store) -> list[str]:
    """What the versions hold, to be hidden; the longest first, since a value may hold another."""
    values = set()
    for _, body in store.collection("secretmanager.versions").items():
        try:
            text = base64.b64decode(body.get("data") or "").decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
        if len(text.strip()) >= _SHORTEST_SECRET:
            values |= {text.strip(), json.dumps(text.strip())[1:-1]}
    return sorted(values, key=len, reverse=True)


def _hide(text: str, values: list[str]) -> str:
    for value in values:
        text = text.replace(value, HIDDEN)
    return text
