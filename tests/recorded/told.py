"""What recorded conversations with Google Cloud ask of the kinds of resources that the collection has tables of, and tell of them.

``RECORDED_CONVERSATIONS`` names a folder with ``SERVICE/NAME.json`` (`gcp_emulator.recording.form`). Placeholders have something in their
place here, and enums that are told by their numbers have their names: the collection asks for names.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ansible_collections.org.djangogcp.plugins.module_utils._fields import Change, Field, Kind, camel_case
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import ResourceSpec
from ansible_collections.org.djangogcp.plugins.module_utils._services.resources import SPECS
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import get_path
from gcp_emulator.engine import discovery
from gcp_emulator.engine.enums import numbers
from gcp_emulator.recording.form import PLACEHOLDER, Conversation, Exchange, load

Json = dict[str, Any]

FOLDER = os.environ.get("RECORDED_CONVERSATIONS")
MISSING = "RECORDED_CONVERSATIONS names no folder with recordings"
#: What stands in place of placeholders; of the others it is made of their names.
_VALUES = {"projectId": "recorded-project", "projectNumber": "123456789012"}
#: Service accounts are created in a wrapper with their id.
_WRAPPER = "serviceAccount"


@dataclass(frozen=True)
class Told:
    """A resource as Google Cloud told it."""

    kind: str
    conversation: str
    ids: Json
    wire: Json

    @property
    def spec(self) -> ResourceSpec:
        """The table of its kind."""
        return SPECS[self.kind]


@dataclass(frozen=True)
class Asked:
    """A create or an update that Google Cloud took. ``told`` is the resource afterwards, None when nobody looked at it."""

    kind: str
    conversation: str
    method: str
    wire: Json
    told: Told | None

    @property
    def spec(self) -> ResourceSpec:
        """The table of its kind."""
        return SPECS[self.kind]

    @property
    def options(self) -> Json:
        """What is asked, as options of the module."""
        return options(self.wire, self.spec.fields)


@dataclass(frozen=True)
class _Resource:
    """What the path of a request is about: one resource, or (``name`` is "") all of a kind in one place."""

    kind: str
    place: tuple[tuple[str, str], ...]
    name: str


@functools.cache
def conversations() -> tuple[Conversation, ...]:
    """All recorded conversations."""
    return tuple(
        replace(one, exchanges=[_readable(exchange) for exchange in one.exchanges])
        for one in load(Path(FOLDER or ""))
    )


@functools.cache
def told() -> tuple[Told, ...]:
    """All resources that were told, each time that they were looked at."""
    return tuple(
        found for one in conversations() for exchange in one.exchanges for found in _told_in(one, exchange)
    )


@functools.cache
def asked() -> tuple[Asked, ...]:
    """All creates and updates."""
    return tuple(_asked())


def options(wire: Json, fields: tuple[Field, ...]) -> Json:
    """The options that ask for what a request has: the table, read backwards. What the request leaves out is not asked."""
    result: Json = {}
    for row in fields:
        raw = get_path(wire, row.path)
        if raw is None or not row.is_option or row.kind is Kind.SECRET:
            continue
        if not row.fields:
            result[row.name] = row.codec.decode(raw)
            if row.kind is Kind.MAP:
                # In a patch null removes a key.
                result[row.name] = {key: one for key, one in result[row.name].items() if one is not None}
        elif row.kind is Kind.VALUE:
            result[row.name] = options(raw, row.fields)
        else:
            result[row.name] = [options(item, row.fields) for item in raw]
    return result


def shown_options(shape: Json, fields: tuple[Field, ...]) -> Json:
    """What a module returns of a resource, as options that ask for it again."""
    result: Json = {}
    for row in fields:
        value = shape.get(row.name)
        if not row.is_option or row.change is Change.CREATE_ONLY or value in (None, "", [], {}):
            continue
        if not row.fields:
            result[row.name] = value
        elif row.kind is Kind.VALUE:
            result[row.name] = shown_options(value, row.fields)
        else:
            result[row.name] = [shown_options(item, row.fields) for item in value]
    return result


def leaves(wire: Any, path: str = "") -> Iterator[str]:
    """The paths of all that a request says, those of the items of a list without their positions."""
    if isinstance(wire, dict) and wire:
        for key, value in wire.items():
            yield from leaves(value, f"{path}.{key}".lstrip("."))
    elif isinstance(wire, list) and any(isinstance(item, dict) for item in wire):
        for item in wire:
            yield from leaves(item, path)
    elif wire not in (None, {}):
        yield path


def has_row(path: str, fields: tuple[Field, ...]) -> bool:
    """Whether a table knows what is at a path of Google's JSON."""
    for row in fields:
        if path == row.path or (path.startswith(f"{row.path}.") and not row.fields):
            return True
        if path.startswith(f"{row.path}.") and has_row(path.removeprefix(f"{row.path}."), row.fields):
            return True
    return False


def _asked() -> Iterator[Asked]:
    for conversation in conversations():
        for position, exchange in enumerate(conversation.exchanges):
            resource = _resource(exchange)
            body = exchange.request
            if resource is None or exchange.method not in ("POST", "PATCH", "PUT") or exchange.status >= 400:
                continue
            if not isinstance(body, dict):
                continue
            resource = replace(resource, name=resource.name or _new_name(SPECS[resource.kind], exchange))
            seen = _seen_after(conversation, position, resource)
            yield Asked(resource.kind, conversation.name, exchange.method, body.get(_WRAPPER, body), seen)


def _new_name(spec: ResourceSpec, exchange: Exchange) -> str:
    """The name of what is created, or of a user that is changed."""
    # The names of parameters are taken in both forms.
    query = {camel_case(key): value[0] for key, value in parse_qs(urlsplit(exchange.url).query).items()}
    body = exchange.request
    return str(query.get(spec.id_param or "name") or body.get("name") or body.get("accountId"))


def _seen_after(conversation: Conversation, position: int, resource: _Resource) -> Told | None:
    """The resource as it was told after a change of it, before the next one."""
    for exchange in conversation.exchanges[position + 1 :]:
        about = _resource(exchange)
        if about is None or about.kind != resource.kind:
            continue
        if exchange.is_change and resource.name in (
            about.name or _new_name(SPECS[about.kind], exchange)
        ).split("@"):
            return None
        for one in _told_in(conversation, exchange):
            if one.ids["name"] == resource.name and resource.place == _place(one.ids):
                return one
    return None


def _told_in(conversation: Conversation, exchange: Exchange) -> Iterator[Told]:
    resource = _resource(exchange)
    if resource is None or exchange.method != "GET" or exchange.status != 200:
        return
    spec, place = SPECS[resource.kind], dict(resource.place)
    if resource.name:
        yield Told(resource.kind, conversation.name, {**place, "name": resource.name}, exchange.response)
        return
    for item in exchange.response.get(spec.items) or []:
        yield Told(resource.kind, conversation.name, {**place, "name": spec.name_of(place, item)}, item)


def _place(ids: Json) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in ids.items() if key != "name"))


def _resource(exchange: Exchange) -> _Resource | None:
    parts = urlsplit(exchange.url)
    for kind, (host, pattern) in _patterns().items():
        found = pattern.search(unquote(parts.path)) if parts.netloc == host else None
        if found:
            ids = {key: value for key, value in found.groupdict().items() if value is not None}
            # Buckets are not below their project.
            ids.setdefault("project", _VALUES["projectId"])
            return _Resource(kind, _place(ids), ids.get("name", ""))
    return None


@functools.cache
def _patterns() -> dict[str, tuple[str, re.Pattern[str]]]:
    """Of each kind its host, and the paths of one resource and of all of a place."""
    patterns = {}
    for kind, spec in SPECS.items():
        place, last = (spec.collection or spec.path.rpartition("/")[0]), spec.path.rpartition("/")[2]
        rest = last.replace("{name}", r"(?P<name>[^/:@]+)").replace("{project}", "[^/]+")
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", place) + f"(/{rest})?$"
        patterns[kind] = (urlsplit(spec.api).netloc, re.compile(f"/{pattern}"))
    return patterns


def _readable(exchange: Exchange) -> Exchange:
    exchange = Exchange(**{key: _filled(value) for key, value in vars(exchange).items()})
    method = _method(exchange)
    if method is None:
        return exchange
    api, known = method
    return replace(
        exchange,
        request=_named(api, {"$ref": known.request}, exchange.request),
        response=_named(api, {"$ref": known.response}, exchange.response),
    )


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {_filled(key): _filled(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one) for one in value]
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda found: _VALUES.get(found[1], f"x-{found[1].lower()}"), value)
    return value


def _method(exchange: Exchange) -> tuple[discovery.Api, discovery.Method] | None:
    parts = urlsplit(exchange.url)
    # Cloud SQL's older version has the same shapes.
    path = parts.path.replace("/sql/v1beta4/", "/v1/")
    for api in _documents():
        match = api.route(exchange.method, path) if api.host == parts.netloc else None
        if match:
            return api, match[0]
    return None


@functools.cache
def _documents() -> tuple[discovery.Api, ...]:
    return tuple(discovery.load(name, version) for name, version in discovery.vendored())


def _named(api: discovery.Api, spec: Json, value: Any) -> Any:
    """A value with the names of enums in place of their numbers."""
    if isinstance(value, list):
        return [_named(api, spec.get("items", {}), item) for item in value]
    if isinstance(value, dict):
        known = api.schemas.get(spec.get("$ref") or "", {}).get("properties", {})
        free = spec.get("additionalProperties", {})
        return {key: _named(api, known.get(key, free), one) for key, one in value.items()}
    if "enum" in spec and isinstance(value, int):
        return {number: name for name, number in numbers(spec["enum"]).items()}.get(value, value)
    return value
