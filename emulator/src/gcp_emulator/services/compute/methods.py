"""The standard methods of Compute Engine's kinds, and the operations that changes are.

Source: https://cloud.google.com/compute/docs/reference/rest/v1, and the recordings that facts.yaml names. That an id that is given twice with
``requestId`` answers the first operation again is what the document says of the parameter; how long it is remembered is not known (here: always).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from gcp_emulator.engine.errors import (
    Json,
    invalid_argument,
    precondition_failed,
)
from gcp_emulator.engine.labels import is_key, is_value
from gcp_emulator.engine.scopes import Scope, ScopedOperations
from gcp_emulator.engine.service import Call, Handler
from gcp_emulator.engine.store import Collection
from gcp_emulator.services.compute import places
from gcp_emulator.services.compute.kinds import GOOGLES, NAME, Kind, Work, document, scope_of
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
_REQUEST = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Methods:
    """The standard methods of a kind."""

    kind: Kind
    #: All kinds there are: what is named by another is kept.
    kinds: tuple[Kind, ...]
    operations: ScopedOperations
    #: Called with the project before anything is looked at.
    prepare: Callable[[str], None]
    #: The operations that a ``requestId`` was given for.
    requests: Collection

    def handlers(self) -> dict[str, Handler]:
        """Method id -> what answers it, for the verbs that the document has."""
        verbs = dict.fromkeys((*_VERBS, *self.kind.setters, *self.kind.actions))
        return {
            f"compute.{methods}.{verb}": partial(self.answer, verb)
            for methods in self.kind.methods
            for verb in verbs
            if f"compute.{methods}.{verb}" in document().methods and verb not in self.kind.leaves_out
        }

    async def answer(self, verb: str, call: Call) -> Json:
        places.check(call.params)
        self.prepare(call.params["project"])
        if not (request := call.params.get("requestId")):
            return self._answer(verb, call)
        if not _REQUEST.fullmatch(request) or not request.strip("0-"):
            raise invalid_argument(
                f"Invalid value for field 'requestId': '{request}'. Must be a UUID that is not zero.",
                reason="invalid",
            )
        key = f"{Scope.of(call.params).path}/{call.method.id}/{request.lower()}"
        if known := self.requests.get(key):
            return self.operations.get(Scope.of(call.params), known["operation"])
        operation = self._answer(verb, call)
        self.requests.put(key, {"operation": operation["name"]})
        return operation

    def _answer(self, verb: str, call: Call) -> Json:
        if action := self.kind.actions.get(verb):
            return action(self, call)
        if verb == "delete":
            return self.delete(call)
        work: Callable[[Call], Json] = self._set if verb in self.kind.setters else getattr(self, f"_{verb}")
        return work(call)

    def begin(self, call: Call, path: str, resource: Json, work: Work) -> Json:
        """The operation of a method that does ``work`` with the resource."""
        kind, scope, user = (
            self.kind.operation_type(call.method.id, resource),
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
            if (going := work()) is not None:
                await going
            return {}

        return self.operations.start(
            scope, kind, path, run(), key=call.method.id, user=user, target_id=resource["id"]
        )

    def found(self, call: Call) -> tuple[str, Json]:
        """Path of the resource that a call is about, and the resource; ApiError NOT_FOUND."""
        path = self.kind.path(call)
        return path, self.kind.require(call.context, path)

    def _insert(self, call: Call) -> Json:
        kind, context = self.kind, call.context
        resource = {name: value for name, value in call.body.items() if name not in GOOGLES}
        for name in kind.required:
            if resource.get(name) in (None, "", [], {}):
                raise invalid_argument(f"Required field 'resource.{name}' not specified", reason="required")
        name = str(resource["name"])
        if not re.fullmatch(NAME, name):
            raise invalid_argument(
                f"Invalid value for field 'resource.name': '{name}'. Must be a match of regex '{NAME}'",
                reason="invalid",
            )
        check_labels(resource.get("labels", {}))
        path = f"{Scope.of(call.params).path}/{kind.collection}/{name}"

        kind.refuse_second(context, path)
        made = kind.complete(call, path, kind.new(path, resource), None)

        def store() -> Awaitable[None] | None:
            kind.refuse_second(context, path)
            kind.put(context, path, made)
            return kind.made(context, path, made)

        return self.begin(call, path, made, store)

    def _get(self, call: Call) -> Json:
        path = self.kind.path(call)
        return self.kind.view(call.context, path, self.kind.require(call.context, path))

    def _list(self, call: Call) -> Json:
        scope = Scope.of(call.params)
        path = f"{scope.path}/{self.kind.collection}"
        return self.listed(call, self.kind.of(call.context, f"{path}/"), path)

    def listed(self, call: Call, found: Iterable[tuple[str, Json]], path: str) -> Json:
        """The answer of a method that lists these resources, by path."""
        shown = [self.kind.view(call.context, one, resource) for one, resource in found]
        return self.page(call, selected(call, shown), path)

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
            scope = scope_of(path).path.partition(f"projects/{project}/")[2]
            found.setdefault(scope, []).append(one)
        answer = self.page(call, [], f"projects/{project}/aggregated/{self.kind.collection}")
        return answer | {"items": {scope: {self.kind.collection: items} for scope, items in found.items()}}

    def page(self, call: Call, found: list[Json], path: str) -> Json:
        """The answer of a method that lists."""
        page = call.page(found, "items", size_parameter="maxResults", default=500)
        response = str(call.method.response)
        return {"kind": Kind.kind_of(response), "id": path, "selfLink": places.link_to(path), **page}

    def _patch(self, call: Call) -> Json:
        path, before = self.found(call)
        return self._change(call, path, before, merged(before, call.body, call.raw_body))

    def _update(self, call: Call) -> Json:
        path, before = self.found(call)
        kept = {
            name: value
            for name, value in before.items()
            if name in GOOGLES | self.kind.immutable or name == "labels"
        }
        return self._change(
            call, path, before, {**copy.deepcopy(dict(self.kind.defaults)), **kept, **call.body}
        )

    def _change(self, call: Call, path: str, before: Json, after: Json) -> Json:
        kind = self.kind
        check_labels(call.body.get("labels", {}))
        given = call.body.get("fingerprint")
        if given and not same(given, before.get("fingerprint", "")):
            raise precondition_failed("Invalid fingerprint.")
        for name in sorted(kind.immutable):
            if name in call.body and name in before and after.get(name) != before[name]:
                raise invalid_argument(
                    f"Invalid value for field 'resource.{name}': it cannot be changed.", reason="invalid"
                )
        after |= {name: before[name] for name in GOOGLES & set(before)}
        after = kind.complete(call, path, after, before)

        def write() -> Awaitable[None] | None:
            kind.put(call.context, path, after)
            return kind.changed(call.context, path, after)

        return self.begin(call, path, before, write)

    def _setLabels(self, call: Call) -> Json:  # noqa: N802 - it answers the method of this name
        path, resource = self.found(call)
        if not same(call.body.get("labelFingerprint", ""), resource["labelFingerprint"]):
            raise precondition_failed("Labels fingerprint either invalid or resource labels have changed")
        check_labels(call.body.get("labels", {}))
        resource["labels"] = call.body.get("labels", {})
        return self.begin(call, path, resource, partial(self.kind.put, call.context, path, resource))

    def _set(self, call: Call) -> Json:
        path, before = self.found(call)
        return self._change(call, path, before, {**before, **call.body})

    def change(self, call: Call, path: str, fields: Json) -> Json:
        """The operation that writes these fields, whatever else has changed by then."""

        def write() -> None:
            self.kind.put(call.context, path, {**self.kind.require(call.context, path), **fields})

        return self.begin(call, path, self.kind.require(call.context, path), write)

    def delete(self, call: Call) -> Json:
        """The operation that removes the resource; ApiError NOT_FOUND, INVALID_ARGUMENT where another one uses it."""
        path, resource = self.found(call)
        if user := next(self._users(call, path, resource), None):
            raise invalid_argument(
                f"The {self.kind.noun} resource '{path}' is already being used by '{user}'",
                reason="resourceInUseByAnotherResource",
            )

        def remove() -> Awaitable[None] | None:
            call.context.store.collection(self.kind.store).delete(path)
            call.context.iam.forget(path)
            return self.kind.gone(call.context, path, resource)

        return self.begin(call, path, resource, remove)

    def _users(self, call: Call, path: str, resource: Json) -> Iterator[str]:
        """The paths of what names a resource, and keeps it."""
        project, projects = call.params["project"], call.context.projects
        for kind in self.kinds:
            for user, one in kind.of(call.context, f"projects/{project}/"):
                named = {places.path_of(link, project, projects) for link in kind.references(one)}
                if path in named and self.kind.kept_by(resource, path, user):
                    yield user
        yield from self.kind.used_by(call.context, path, resource)


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


def same(given: str, current: str) -> bool:
    """Whether two fingerprints are the same, in either alphabet of base64."""
    alphabet = str.maketrans("-_", "+/")
    return given.translate(alphabet) == current.translate(alphabet)


def check_labels(labels: Mapping[str, str]) -> None:
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
