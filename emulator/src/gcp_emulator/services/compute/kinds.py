"""Kinds of Compute Engine's resources, each declared once: every standard method follows from it.

Compute Engine has rules of its own instead of Google's API improvement proposals: resources live in a zone, a region or in ``global``, changes are
operations of that place, what must not be overwritten unseen has a fingerprint, labels one of their own.
Source: https://cloud.google.com/compute/docs/reference/rest/v1, and the recordings that facts.yaml names.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from gcp_emulator.engine import clock, discovery
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.discovery import Api
from gcp_emulator.engine.errors import (
    Json,
    already_exists,
    invalid_argument,
    not_found,
    precondition_failed,
)
from gcp_emulator.engine.labels import is_key, is_value
from gcp_emulator.engine.scopes import Scope, ScopedOperations
from gcp_emulator.engine.service import Call, Handler
from gcp_emulator.services.compute import places
from gcp_emulator.services.compute.lists import selected

_VERBS = (
    "insert",
    "get",
    "list",
    "aggregatedList",
    "patch",
    "update",
    "setLabels",
    "delete",
)
_NAME = r"(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"
#: What only Google writes, of every kind, though the document does not always say readOnly.
_GOOGLES = frozenset(
    {"creationTimestamp", "fingerprint", "id", "kind", "labelFingerprint", "selfLink", "selfLinkWithId"}
)
#: The fingerprint of no labels at all, as seen in answers everywhere.
_NO_LABELS = "42WmSpB8rSM="

Complete = Callable[[Call, str, Json, Json | None], Json]
"""Given the call, the path, the resource about to be stored and the one that is stored: the resource as it is stored. Raises ApiError."""
Show = Callable[[Context, str, Json], Json]
Effect = Callable[[Context, str, Json], None]
Keeps = Callable[[Json, str, str], bool]
"""Given a resource that is to go, its path, and the path of one that names it: whether that keeps it."""


def _unchanged(call: Call, path: str, resource: Json, before: Json | None) -> Json:
    return resource


def _nothing(context: Context, path: str, resource: Json) -> None:
    return None


def _as_stored(context: Context, path: str, resource: Json) -> Json:
    return resource


def _keeps(resource: Json, path: str, user: str) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """One kind of resource. The document says the rest: names, fields, where there are such resources."""

    #: The message of the document.
    schema: str
    #: The last part of its path; the methods of several collections of the document may be about one kind (``addresses``, ``globalAddresses``).
    collection: str
    methods: tuple[str, ...]
    #: How it is called in texts.
    noun: str
    #: Fields that a new resource must have.
    required: tuple[str, ...] = ("name",)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    #: Fields that never change.
    immutable: frozenset[str] = frozenset({"name"})
    #: Fields, at any depth, that name other resources, and which of them are shown as they were written; the others are shown as links.
    refers: frozenset[str] = frozenset()
    as_written: frozenset[str] = frozenset()
    #: Checks and completes what is about to be stored.
    complete: Complete = _unchanged
    #: Which of the resources that name one keep it from being deleted.
    kept_by: Keeps = _keeps
    #: Completes what is shown.
    show: Show = _as_stored
    #: What follows when one has been made, and when one is gone.
    made: Effect = _nothing
    gone: Effect = _nothing
    #: Verbs that write the fields of their body (``setTarget``).
    setters: frozenset[str] = frozenset()
    #: Verbs whose operations are done when they are answered, also of one collection alone (``urlMaps.insert``).
    at_once: frozenset[str] = frozenset({"setLabels"})
    #: What these say of their progress.
    progress: int = 0
    #: What operations are called that have not the name of their verb.
    operation_types: Mapping[str, str] = field(default_factory=dict)

    @property
    def store(self) -> str:
        """The collection in the store; resources are in it by path."""
        return f"compute.{self.collection}"

    @cached_property
    def fields(self) -> Mapping[str, Json]:
        """The fields of the message."""
        found: Mapping[str, Json] = document().schemas[self.schema]["properties"]
        return found

    # ---------------------------------------------------------------- for the service and the other kinds

    def find(self, context: Context, path: str) -> Json | None:
        """The resource as it is stored, or None."""
        return context.store.collection(self.store).get(path)

    def require(self, context: Context, path: str) -> Json:
        """The resource as it is stored; ApiError NOT_FOUND."""
        found = self.find(context, path)
        if found is None:
            raise not_found(f"The resource '{path}' was not found", reason="notFound")
        return found

    def of(self, context: Context, prefix: str) -> Iterator[tuple[str, Json]]:
        """Path and resource of all whose paths begin so."""
        return iter(context.store.collection(self.store).items(prefix))

    def put(self, context: Context, path: str, resource: Json) -> None:
        """Stores a resource; what follows from its content is written anew."""
        if "fingerprint" in self.fields:
            resource["fingerprint"] = fingerprint(
                {name: resource[name] for name in resource if name not in _GOOGLES}
            )
        if "labelFingerprint" in self.fields:
            resource["labelFingerprint"] = (
                fingerprint(resource["labels"]) if resource.get("labels") else _NO_LABELS
            )
        context.store.collection(self.store).put(path, resource)

    def add(self, context: Context, path: str, resource: Json) -> Json:
        """Makes a resource that nobody was there to ask for, and returns it."""
        made = self.new(path, resource)
        self.put(context, path, made)
        self.made(context, path, made)
        return made

    def view(self, context: Context, path: str, resource: Json) -> Json:
        """The resource as the API shows it."""
        shown = {**resource, "kind": self._kind(self.schema), "selfLink": places.link_to(path)}
        if "selfLinkWithId" in self.fields:
            shown["selfLinkWithId"] = places.link_to(f"{path.rpartition('/')[0]}/{resource['id']}")
        scope = _scope(path)
        if scope.place and (where := scope.kind.removesuffix("s")) in self.fields:
            shown[where] = places.link_to(scope.path)
        names = self.refers - self.as_written
        linked = self._linked(
            shown, names, lambda link: places.path_of(link, scope.project, context.projects)
        )
        return self.show(context, path, linked)

    def _linked(
        self, value: Any, names: frozenset[str], path_of: Callable[[str], str], *, named: bool = False
    ) -> Any:
        if isinstance(value, dict):
            return {key: self._linked(one, names, path_of, named=key in names) for key, one in value.items()}
        if isinstance(value, list):
            return [self._linked(one, names, path_of, named=named) for one in value]
        is_link = named and isinstance(value, str) and places.is_path(value)
        return places.link_to(path_of(value)) if is_link else value

    def references(self, resource: Any, *, named: bool = False) -> Iterator[str]:
        """What a resource names others by."""
        if isinstance(resource, dict):
            for key, one in resource.items():
                yield from self.references(one, named=key in self.refers)
        elif isinstance(resource, list):
            for one in resource:
                yield from self.references(one, named=named)
        elif named and isinstance(resource, str) and places.is_path(resource):
            yield resource

    def referred(self, call: Call, name: str, link: str) -> tuple[str, Json]:
        """Path and resource that a field refers to; ApiError INVALID_ARGUMENT."""
        path = places.path_of(link, call.params["project"], call.context.projects)
        found = self.find(call.context, path)
        if found is None:
            raise invalid_argument(
                f"Invalid value for field 'resource.{name}': '{link}'. The referenced {self.noun} resource cannot be found.",
                reason="invalid",
            )
        return path, found

    def path(self, call: Call) -> str:
        """The path of the resource that a call is about."""
        last = re.findall(r"\{(\w+)\}", call.method.path)[-1]
        return f"{Scope.of(call.params).path}/{self.collection}/{call.params[last]}"

    def operation_type(self, method_id: str) -> str:
        """What the operation of a method is called."""
        collection, _, verb = method_id.removeprefix("compute.").partition(".")
        return self.operation_types.get(f"{collection}.{verb}") or self.operation_types.get(verb) or verb

    def is_at_once(self, method_id: str) -> bool:
        """Whether the operation of a method is done when it is answered."""
        return not self.at_once.isdisjoint({method_id.removeprefix("compute."), method_id.rpartition(".")[2]})

    def new(self, path: str, resource: Json) -> Json:
        return {
            **copy.deepcopy(dict(self.defaults)),
            **resource,
            "name": path.rpartition("/")[2],
            "id": str(10**18 + secrets.randbelow(8 * 10**18)),
            "creationTimestamp": clock.timestamp(),
        }

    @staticmethod
    def _kind(schema: str) -> str:
        default: str = document().schemas[schema]["properties"]["kind"]["default"]
        return default


def document() -> Api:
    """The discovery document."""
    return discovery.load("compute", "v1")


def fingerprint(content: Json) -> str:
    """A digest in the form of Google's fingerprints."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest[:8]).decode()


def _same(given: str, current: str) -> bool:
    """Whether two fingerprints are the same, in either alphabet of base64."""
    alphabet = str.maketrans("-_", "+/")
    return given.translate(alphabet) == current.translate(alphabet)


def _check_labels(labels: Mapping[str, str]) -> None:
    """Texts: https://github.com/googleapis/gax-nodejs/issues/1288 (a key) and 1375 (a value)."""
    for key, value in labels.items():
        if not is_key(key):
            problem = f"Label key '{key}' violates format constraints. The key must start with a lowercase character, can"
            name = "key"
        elif not is_value(value):
            problem = f"Label value '{value}' violates format constraints. The value can"
            name = "value"
        else:
            continue
        raise invalid_argument(
            f"Invalid value for field 'resource.labels': ''. {problem} only contain lowercase letters, numeric characters, underscores and "
            f"dashes. The {name} can be at most 63 characters long. International characters are allowed.",
            reason="invalid",
        )


def _scope(path: str) -> Scope:
    """Where a path is."""
    parts = path.split("/")
    return (
        Scope(parts[1])
        if parts[2] == "global"
        else Scope.of({"project": parts[1], parts[2].removesuffix("s"): parts[3]})
    )


@dataclass(frozen=True)
class Methods:
    """The standard methods of a kind."""

    kind: Kind
    #: All kinds there are: what is named by another is kept.
    kinds: tuple[Kind, ...]
    operations: ScopedOperations
    #: Called with the project before anything is looked at.
    prepare: Callable[[str], None]

    def handlers(self) -> dict[str, Handler]:
        """Method id -> what answers it, for the standard methods that the document has."""
        return {
            f"compute.{methods}.{verb}": partial(self.answer, verb)
            for methods in self.kind.methods
            for verb in (*_VERBS, *self.kind.setters)
            if f"compute.{methods}.{verb}" in document().methods
        }

    async def answer(self, verb: str, call: Call) -> Json:
        places.check(call.params)
        self.prepare(call.params["project"])
        work: Callable[[Call], Json] = self._set if verb in self.kind.setters else getattr(self, f"_{verb}")
        return work(call)

    def begin(self, call: Call, path: str, resource: Json, work: Callable[[], None]) -> Json:
        """The operation of a method that does ``work`` with the resource."""

        kind, scope, user = (
            self.kind.operation_type(call.method.id),
            Scope.of(call.params),
            call.caller.email,
        )
        if self.kind.is_at_once(call.method.id):
            work()
            return self.operations.done(
                scope,
                kind,
                path,
                user=user,
                target_id=resource["id"],
                progress=self.kind.progress,
            )

        async def run() -> Json:
            work()
            return {}

        return self.operations.start(
            scope, kind, path, run(), key=call.method.id, user=user, target_id=resource["id"]
        )

    def _insert(self, call: Call) -> Json:
        kind, context = self.kind, call.context
        resource = {name: value for name, value in call.body.items() if name not in _GOOGLES}
        for name in kind.required:
            if resource.get(name) in (None, "", [], {}):
                raise invalid_argument(f"Required field 'resource.{name}' not specified", reason="required")
        name = str(resource["name"])
        if not re.fullmatch(_NAME, name):
            raise invalid_argument(
                f"Invalid value for field 'resource.name': '{name}'. Must be a match of regex '{_NAME}'",
                reason="invalid",
            )
        _check_labels(resource.get("labels", {}))
        path = f"{Scope.of(call.params).path}/{kind.collection}/{name}"

        def refuse_second() -> None:
            if kind.find(context, path) is not None:
                raise already_exists(f"The resource '{path}' already exists", reason="alreadyExists")

        refuse_second()
        made = kind.complete(call, path, kind.new(path, resource), None)

        def store() -> None:
            refuse_second()
            kind.put(context, path, made)
            kind.made(context, path, made)

        return self.begin(call, path, made, store)

    def _get(self, call: Call) -> Json:
        path = self.kind.path(call)
        return self.kind.view(call.context, path, self.kind.require(call.context, path))

    def _list(self, call: Call) -> Json:
        scope = Scope.of(call.params)
        found = [
            self.kind.view(call.context, path, one)
            for path, one in self.kind.of(call.context, f"{scope.path}/{self.kind.collection}/")
        ]
        return self._page(call, selected(call, found), f"{scope.path}/{self.kind.collection}")

    def _aggregatedList(self, call: Call) -> Json:  # noqa: N802 - it answers the method of this name
        project = call.params["project"]
        shown = [
            self.kind.view(call.context, path, one)
            for path, one in self.kind.of(call.context, f"projects/{project}/")
            if f"/{self.kind.collection}/" in path
        ]
        found: dict[str, list[Json]] = {}
        for one in selected(call, shown):
            path = places.path_of(one["selfLink"], project, call.context.projects)
            scope = _scope(path).path.partition(f"projects/{project}/")[2]
            found.setdefault(scope, []).append(one)
        answer = self._page(call, [], f"projects/{project}/aggregated/{self.kind.collection}")
        return answer | {"items": {scope: {self.kind.collection: items} for scope, items in found.items()}}

    def _page(self, call: Call, found: list[Json], path: str) -> Json:
        page = call.page(found, "items", size_parameter="maxResults", default=500)
        response = str(call.method.response)
        return {"kind": Kind._kind(response), "id": path, "selfLink": places.link_to(path), **page}

    def _patch(self, call: Call) -> Json:
        path = self.kind.path(call)
        before = self.kind.require(call.context, path)
        return self._change(call, path, before, merged(before, call.body, call.raw_body))

    def _update(self, call: Call) -> Json:
        path = self.kind.path(call)
        before = self.kind.require(call.context, path)
        kept = {
            name: value
            for name, value in before.items()
            if name in _GOOGLES | self.kind.immutable or name == "labels"
        }
        return self._change(
            call, path, before, {**copy.deepcopy(dict(self.kind.defaults)), **kept, **call.body}
        )

    def _change(self, call: Call, path: str, before: Json, after: Json) -> Json:
        kind = self.kind
        _check_labels(call.body.get("labels", {}))
        given = call.body.get("fingerprint")
        if given and not _same(given, before.get("fingerprint", "")):
            raise precondition_failed("Invalid fingerprint.")
        for name in sorted(kind.immutable):
            if name in call.body and name in before and after.get(name) != before[name]:
                raise invalid_argument(
                    f"Invalid value for field 'resource.{name}': it cannot be changed.", reason="invalid"
                )
        after |= {name: before[name] for name in _GOOGLES & set(before)}
        after = kind.complete(call, path, after, before)
        return self.begin(call, path, before, partial(kind.put, call.context, path, after))

    def _setLabels(self, call: Call) -> Json:  # noqa: N802 - it answers the method of this name
        path = self.kind.path(call)
        resource = self.kind.require(call.context, path)
        if not _same(call.body.get("labelFingerprint", ""), resource["labelFingerprint"]):
            raise precondition_failed("Labels fingerprint either invalid or resource labels have changed")
        _check_labels(call.body.get("labels", {}))
        resource["labels"] = call.body.get("labels", {})
        return self.begin(call, path, resource, partial(self.kind.put, call.context, path, resource))

    def _set(self, call: Call) -> Json:
        path = self.kind.path(call)
        before = self.kind.require(call.context, path)
        return self._change(call, path, before, {**before, **call.body})

    def _delete(self, call: Call) -> Json:
        path = self.kind.path(call)
        resource = self.kind.require(call.context, path)
        if user := next(self._users(call, path, resource), None):
            raise invalid_argument(
                f"The {self.kind.noun} resource '{path}' is already being used by '{user}'",
                reason="resourceInUseByAnotherResource",
            )

        def remove() -> None:
            call.context.store.collection(self.kind.store).delete(path)
            call.context.iam.forget(path)
            self.kind.gone(call.context, path, resource)

        return self.begin(call, path, resource, remove)

    def _users(self, call: Call, path: str, resource: Json) -> Iterator[str]:
        """The paths of what names a resource, and keeps it."""
        project, projects = call.params["project"], call.context.projects
        for kind in self.kinds:
            for user, one in kind.of(call.context, f"projects/{project}/"):
                named = {places.path_of(link, project, projects) for link in kind.references(one)}
                if path in named and self.kind.kept_by(resource, path, user):
                    yield user


def merged(before: Json, changes: Json, raw: Json) -> Json:
    """What ``patch`` makes of a resource: messages are merged, lists replaced, and what is null goes (RFC 7396)."""
    after = copy.deepcopy(before)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(after.get(name), dict):
            inner = raw.get(name)
            after[name] = merged(after[name], value, inner if isinstance(inner, dict) else {})
        else:
            after[name] = copy.deepcopy(value)
    for name, value in raw.items():
        if value is None:
            after.pop(name, None)
    return after
