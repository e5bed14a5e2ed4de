"""Google's discovery documents as routing tables.

Format: https://developers.google.com/discovery/v1/reference/apis. Two things the documents leave to the reader:
custom verbs (``{+name}:access``) must be tried before plain gets, because ``[^/]+`` matches ``1:access`` too; and
several methods may share path and verb, so that only the parameter ``pattern`` tells them apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from typing import Any
from urllib.parse import unquote

Json = dict[str, Any]
_SERVICES = resources.files("gcp_emulator").joinpath("services")
_VARIABLE = re.compile(r"\(\?P<\w+>|\[\^/\]\+|\.[+*]|\)")


@dataclass(frozen=True)
class Parameter:
    """One path or query parameter of a method."""

    name: str
    location: str
    type: str
    format: str | None
    required: bool
    repeated: bool
    enum: tuple[str, ...]
    pattern: str | None


@dataclass(frozen=True)
class Method:
    """One method of an API: how it is called and what it takes."""

    id: str
    http: str
    path: str
    parameters: Mapping[str, Parameter]
    request: str | None
    response: str | None
    #: Regular expressions for the path and for those of media uploads.
    pattern: str
    upload_patterns: tuple[str, ...] = ()

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        # Most methods are never called: compiling all of them would take half of the emulator's start.
        return re.compile(self.pattern)

    @cached_property
    def _upload_regexes(self) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(pattern) for pattern in self.upload_patterns)

    def match(self, path: str) -> dict[str, str] | None:
        """The decoded path parameters when ``path`` (raw, without query) is this method's."""
        found = self._regex.fullmatch(path)
        return None if found is None else _decode(self, found)

    def match_upload(self, path: str) -> dict[str, str] | None:
        """As :meth:`match`, for the media upload paths."""
        for regex in self._upload_regexes:
            if found := regex.fullmatch(path):
                return _decode(self, found)
        return None


@dataclass
class Api:
    """One version of one API."""

    name: str
    version: str
    title: str
    host: str
    methods: dict[str, Method]
    schemas: dict[str, Json]
    revision: str
    _routes: dict[str, list[Method]] = field(default_factory=dict)

    def route(self, http: str, path: str) -> tuple[Method, dict[str, str], bool] | None:
        """The method for verb and raw path: ``(method, path parameters, is upload)``, or None."""
        for method in self._routes.get(http, ()):
            if (found := method.match(path)) is not None:
                return method, found, False
            if (found := method.match_upload(path)) is not None:
                return method, found, True
        return None

    def has_path(self, path: str) -> bool:
        """Whether any verb answers this path (tells 404 from 405)."""
        return any(method.match(path) is not None for method in self.methods.values())


def _decode(method: Method, found: re.Match[str]) -> dict[str, str]:
    values = {key: unquote(value) for key, value in found.groupdict().items()}
    return {
        name: values[_group(name)]
        for name in (p.name for p in method.parameters.values())
        if _group(name) in values
    }


def _group(name: str) -> str:
    return "p_" + re.sub(r"\W", "_", name)


def _pattern(template: str, parameters: Mapping[str, Parameter]) -> str:
    parts: list[str] = []
    for literal, plus, name in re.findall(r"([^{]+)|\{(\+?)([^}]+)\}", template):
        if literal:
            parts.append(re.escape(literal))
            continue
        parameter = parameters.get(name)
        if plus and parameter and parameter.pattern:
            inner = parameter.pattern.removeprefix("^").removesuffix("$")
        else:
            inner = ".+" if plus else "[^/]+"
        parts.append(f"(?P<{_group(name)}>{inner})")
    return "".join(parts)


def _methods(node: Json) -> Iterator[Json]:
    yield from node.get("methods", {}).values()
    for child in node.get("resources", {}).values():
        yield from _methods(child)


def _method(raw: Json, service_path: str) -> Method:
    parameters = {
        name: Parameter(
            name=name,
            location=spec["location"],
            type=spec["type"],
            format=spec.get("format"),
            required=bool(spec.get("required")),
            repeated=bool(spec.get("repeated")),
            enum=tuple(spec.get("enum", ())),
            pattern=spec.get("pattern"),
        )
        for name, spec in raw.get("parameters", {}).items()
    }
    uploads = tuple(
        _pattern(protocol["path"], parameters)
        for protocol in raw.get("mediaUpload", {}).get("protocols", {}).values()
    )
    return Method(
        id=raw["id"],
        http=raw["httpMethod"],
        path=raw["path"],
        parameters=parameters,
        request=raw.get("request", {}).get("$ref"),
        response=raw.get("response", {}).get("$ref"),
        pattern=_pattern("/" + service_path + raw["path"], parameters),
        upload_patterns=uploads,
    )


def _specificity(method: Method) -> tuple[int, int]:
    """Custom verbs first, then the paths whose template and patterns hold the most literal text."""
    verb = 0 if re.search(r"\}:\w+$", method.path) else 1
    return verb, -len(_VARIABLE.sub("", method.pattern))


def vendored() -> list[tuple[str, str]]:
    """Name and version of every document that is here, sorted."""
    return sorted(
        (folder.name, document.name.removesuffix(".json"))
        for folder in _SERVICES.iterdir()
        if folder.joinpath("discovery").is_dir()
        for document in folder.joinpath("discovery").iterdir()
    )


@cache
def load(name: str, version: str) -> Api:
    """The vendored document ``services/NAME/discovery/VERSION.json``; FileNotFoundError when it is not vendored."""
    document = json.loads(_SERVICES.joinpath(f"{name}/discovery/{version}.json").read_text("utf-8"))
    methods = [_method(raw, document["servicePath"]) for raw in _methods(document)]
    routes: dict[str, list[Method]] = {}
    for method in sorted(methods, key=_specificity):
        routes.setdefault(method.http, []).append(method)
    return Api(
        name=name,
        version=version,
        title=document["title"],
        host=document["rootUrl"].removeprefix("https://").rstrip("/"),
        methods={method.id: method for method in methods},
        schemas=document["schemas"],
        revision=document["revision"],
        _routes=routes,
    )
