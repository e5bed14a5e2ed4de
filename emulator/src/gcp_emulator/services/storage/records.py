"""What buckets and objects have in common: times, etags, JSON merge patches, preconditions."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping
from typing import Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument
from gcp_emulator.services.storage.errors import condition_not_met


class NotModifiedError(ApiError):
    """304: a read whose ``if...NotMatch`` condition does not hold."""

    def __init__(self) -> None:
        super().__init__("FAILED_PRECONDITION", "Not modified.", code=304)


def stamp(moment: datetime.datetime | None = None) -> str:
    """RFC 3339 with milliseconds: what Cloud Storage writes, where most Google APIs write microseconds."""
    return (moment or clock.now()).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def etag(*numbers: int) -> str:
    """An opaque etag of generation and metageneration (no quotes, as in the JSON API)."""
    return base64.b64encode("/".join(map(str, numbers)).encode()).decode()


def with_nulls(body: Json, raw: Any) -> Json:
    """The validated ``body`` with the nulls that the client sent, which a patch needs to know what to clear."""
    result = dict(body)
    for key, value in (raw if isinstance(raw, dict) else {}).items():
        if value is None:
            result[key] = None
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = with_nulls(result[key], value)
    return result


def merge(current: Json, changes: Json) -> Json:
    """A JSON merge patch (RFC 7396), which is what PATCH means in this API."""
    result = dict(current)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            below = result.get(key)
            result[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = value
    return result


def wants_lists(params: Mapping[str, Any], *, default: bool = False) -> bool:
    """Whether a call wants owner and access control lists, too (``projection``)."""
    return bool(params.get("projection", "full" if default else "noAcl") == "full")


def number(text: str) -> int:
    """A generation or metageneration of a query parameter; 400 when it is no number."""
    try:
        return int(text)
    except ValueError:
        raise invalid_argument(f"Invalid Value: {text}") from None


def check_conditions(
    params: Mapping[str, Any], generation: int, metageneration: int, *, prefix: str = "if", read: bool = False
) -> None:
    """The request preconditions against what is there (0 and 0: nothing); 412, or 304 for a read's ``NotMatch``.

    ``params`` holds ``ifGenerationMatch`` and its three siblings, or with ``prefix`` ``ifSource`` those of a copy's
    source. Source: https://cloud.google.com/storage/docs/request-preconditions.
    """
    for kind, actual in (("Generation", generation), ("Metageneration", metageneration)):
        wanted, unwanted = params.get(f"{prefix}{kind}Match"), params.get(f"{prefix}{kind}NotMatch")
        if wanted is not None and number(wanted) != actual:
            raise condition_not_met()
        if unwanted is not None and number(unwanted) == actual:
            raise NotModifiedError if read else condition_not_met()
