"""Requests and field tables held against Google's discovery documents."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from gcp_emulator.engine import discovery
from gcp_emulator.engine.validate import SYSTEM_PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collections" / "ansible_collections" / "org" / "djangogcp"
Json = dict[str, Any]


@functools.cache
def documents() -> list[discovery.Api]:
    """Every vendored document."""
    return [discovery.load(name, version) for name, version in discovery.vendored()]


@dataclass(frozen=True)
class Request:
    """One HTTP request."""

    method: str
    url: str
    params: Json = field(default_factory=dict)
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(frozen=True)
class Found:
    """A method of a document."""

    api: discovery.Api
    method: discovery.Method

    def schema(self, name: str | None) -> Json:
        """One of the document's schemas."""
        assert name is not None, f"{self.method.id} has none"
        return self.api.schemas[name]

    @property
    def answers_operation(self) -> bool:
        """Whether the answer is an operation that has to be waited for."""
        return (self.method.response or "").endswith("Operation")


def find(method: str, url: str) -> Found:
    """The documented method that a request calls."""
    parts = urlsplit(url)
    for api in documents():
        if api.host == parts.netloc and (match := api.route(method, parts.path)):
            return Found(api, match[0])
    raise AssertionError(f"no document has {method} {url}")


def check(request: Request) -> Found:
    """Assert that a request is one that Google documents: address, query and body."""
    found = find(request.method, request.url)
    for name in [*request.params, *(name for name, _ in parse_qsl(urlsplit(request.url).query))]:
        known = found.method.parameters.get(name)
        assert name in SYSTEM_PARAMETERS or (known is not None and known.location == "query"), (
            f"{found.method.id} has no query parameter {name}"
        )
    if request.body is None:
        return found
    if found.method.request is None:
        assert request.body == {}, f"{found.method.id} takes no body"
        return found
    problems = list(_problems(found.api.schemas, {"$ref": found.method.request}, request.body, ""))
    assert problems == [], f"{found.method.id}: {problems}"
    return found


def _problems(schemas: Json, schema: Json, value: Any, path: str) -> Iterator[str]:
    """What in a body is not in the document, or is read-only. A null asks for removal."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    if value is None:
        return
    expected = _TYPES.get(schema.get("type", ""), object)
    if not isinstance(value, expected):
        yield f"{path} is no {schema['type']}"
    elif isinstance(value, list):
        for item in value:
            yield from _problems(schemas, schema["items"], item, f"{path}[]")
    elif isinstance(value, dict):
        yield from _member_problems(schemas, schema, value, path)
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path} cannot be {value}"


def _member_problems(schemas: Json, schema: Json, value: Json, path: str) -> Iterator[str]:
    for name, item in value.items():
        below = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        where = f"{path}.{name}".lstrip(".")
        if below is None:
            yield f"{where} is not documented"
        elif below.get("readOnly"):
            yield f"{where} is read-only"
        else:
            yield from _problems(schemas, below, item, where)


_TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


def property_at(api: discovery.Api, schema: Json, path: str) -> Json:
    """The property at a dotted path of a schema; lists are looked into."""
    for part in path.split("."):
        schema = inside(api, schema)
        properties = schema.get("properties", {})
        assert part in properties or "additionalProperties" in schema, f"{path} is not documented"
        schema = properties.get(part) or schema["additionalProperties"]
    return schema


def inside(api: discovery.Api, schema: Json) -> Json:
    """The object that a property is, or is a list of."""
    while "$ref" in schema or schema.get("type") == "array":
        schema = api.schemas[schema["$ref"]] if "$ref" in schema else schema["items"]
    return schema


def sample(api: discovery.Api, schema: Json) -> Any:
    """A value of a scalar property, or of a list of them, as an option would have it."""
    if schema.get("type") == "array":
        return [sample(api, schema["items"])]
    if "$ref" in schema:
        return {}
    if "enum" in schema:
        return schema["enum"][-1]
    if schema.get("format") in ("int64", "int32") or schema.get("type") == "integer":
        return 7
    return {"boolean": True, "number": 0.5}.get(schema.get("type", ""), "text")


class Recorder:
    """Stands in for the collection's client: remembers requests, and answers what it was given, in order of the address.

    ``answers`` maps the end of an address to an answer; the longest end wins, and {} answers the rest.
    """

    def __init__(self, answers: Json | None = None) -> None:
        from ansible_collections.org.djangogcp.plugins.module_utils._granted import Granted
        from ansible_collections.org.djangogcp.plugins.module_utils._retry import Clock

        self.clock = Clock()
        self.granted = Granted(None)
        self.requests: list[Request] = []
        self._answers = answers or {}

    def _answer(self, request: Request) -> Any:
        self.requests.append(request)
        ends = sorted((end for end in self._answers if request.url.endswith(end)), key=len)
        return json.loads(json.dumps(self._answers[ends[-1]])) if ends else {}

    def get(self, url: str, call: Any, *, params: Json | None = None, ahead: bool = False) -> Any:
        return self._answer(Request("GET", url, dict(params or {})))

    find = get

    def list(
        self, url: str, call: Any, *, items: str, params: Json | None = None, ahead: bool = False
    ) -> Any:
        answer = self._answer(Request("GET", url, {**(params or {}), "pageToken": "next"}))
        found = find("GET", url)
        assert items in found.schema(found.method.response)["properties"]
        return iter(answer.get(items, []))

    def request(
        self,
        method: str,
        url: str,
        call: Any,
        *,
        params: Json | None = None,
        body: Any = None,
        repeatable: bool | None = None,
        ahead: bool = False,
    ) -> Any:
        return self._answer(Request(method, url, dict(params or {}), body))

    def upload(self, url: str, call: Any, *, params: Json, data: Any, content_type: str) -> Any:
        return self._answer(Request("POST", url, params))
