"""Calls made from the discovery documents: right, nearly right, and absurd; in address, query, body and caller."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, unquote, urlencode

from gcp_emulator.engine.discovery import Api, Json, Method, Parameter
from gcp_emulator.engine.validate import SYSTEM_PARAMETERS

from emulator.tests.running import PROJECT

OTHER = "other-project"
REGION = "us-central1"
#: Who calls; the owner of the project most of the time. ``None`` sends no token, ``garbage`` one that nobody issued.
CALLERS = (*["owner"] * 17, "nobody", "garbage", None)

#: What breaks programs: paths, quotes, templates, other alphabets, half a surrogate pair, numbers that are none, much of it.
NASTY = (
    "",
    " ",
    ".",
    "..",
    "../../etc/passwd",
    "/",
    "//",
    "%",
    "%00",
    "\x00",
    "a\nb",
    "a\r\nX-Injected: yes",
    "-",
    "_",
    "*",
    "0",
    "-1",
    "1e999",
    "²",
    "٣",
    "9" * 30,
    "9" * 5000,
    "x" * 10_000,
    "{0}",
    "{name}",
    "{{ 7 * 7 }}",
    "$(touch /tmp/owned)",
    "'; DROP TABLE documents; --",
    '"><script>alert(1)</script>',
    "näme-ünï",
    "💩",
    "\ud800",
    "\u202e\ufeff",
    "a(" * 3000,
    "a/" * 3000,
    "(" * 3000,
    "((a=1)" * 500,
    "NaN",
    "null",
    "true",
    "2024-02-30T25:61:00Z",
    "2024-01-01T00:00:00Z",
    "300s",
    "-0.1s",
    "1" * 400 + "s",
    "projects/-",
    f"projects/{OTHER}",
    f"projects/{PROJECT}",
    "allUsers",
    "user:a@example.com",
)

#: Names by the word before them in an address, or by the parameter that holds them: what is there and what is not.
NAMES: dict[str, tuple[str, ...]] = {
    "projects": (*[PROJECT] * 20, OTHER, OTHER, "no-such-project", "-", "_"),
    "namespaces": (*[PROJECT] * 5, OTHER),
    "locations": (*[REGION] * 6, "global", "-", "atlantis1"),
    "instances": ("thing", "other", "absent"),
    "serviceAccounts": (
        f"thing@{PROJECT}.iam.gserviceaccount.com",
        f"other@{OTHER}.iam.gserviceaccount.com",
        "thing",
        "0",
    ),
    "roles": ("viewer", "run.admin", "no.such"),
    "services": ("thing", "other", "run.googleapis.com", "no.such.api"),
    "versions": ("1", "latest", "99", "v"),
    "logs": ("run.googleapis.com%2Fstdout", "thing"),
    "permissions": ("storage.buckets.get",),
}
_PLURAL = {
    "project": "projects",
    "projectId": "projects",
    "projectsId": "projects",
    "instance": "instances",
    "location": "locations",
    "parent": "projects",
    "name": "projects",
    "resource": "projects",
}
_BUCKETS = (f"{PROJECT}-thing", f"{OTHER}-thing", "no-such-bucket")
_ANY_NAME = (*["thing"] * 6, "other", "absent", "a/b")


#: What has a meaning in some place.
_GOOD_TEXTS = (
    "thing",
    f"{PROJECT}-new",
    f"projects/{PROJECT}",
    f"projects/{OTHER}",
    f"projects/{OTHER}/secrets/other",
    f"thing@{PROJECT}.iam.gserviceaccount.com",
    f"other@{OTHER}.iam.gserviceaccount.com",
    f"{REGION}-docker.pkg.dev/{PROJECT}/thing/app",
    f"{REGION}-docker.pkg.dev/{OTHER}/other/app",
    "roles/viewer",
    REGION,
    "US",
    "DOCKER",
    "dGhpbmc=",
    "300s",
    "2024-01-01T00:00:00Z",
    "labels",
    "*",
    "severity>=ERROR",
    'resource.type="cloud_run_revision" AND textPayload:"x"',
    "SELECT 1",
)


_CONTENT_TYPES = (
    "text/plain",
    "multipart/related; boundary=x",
    "multipart/related",
    "application/json; charset=no-such",
    "application/x-www-form-urlencoded",
    "",
    ";",
    "é",
)
_HEADERS = (
    "Accept-Encoding",
    "Content-Encoding",
    "Content-Range",
    "Content-MD5",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "Origin",
    "Range",
    "X-Goog-Copy-Source",
    "X-Goog-Content-SHA256",
    "X-Goog-Date",
    "X-Goog-Hash",
    "X-Goog-If-Generation-Match",
    "X-Goog-User-Project",
    "X-HTTP-Method-Override",
    "X-Upload-Content-Length",
    "X-Upload-Content-Type",
)
_ALPHABET = [*range(0x20), *range(0x20, 0x7F), *range(0xA0, 0x180), 0x2028, 0xD800, 0xFFFE, 0x1F600]
_ODD_JSON: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, 0.5, 1e308, math.inf, -math.inf, math.nan,
    [], {}, [[]], [None], [{}], ["", 1], {"": ""}, {"a": {"b": {"c": []}}}, {"a": None},
]  # fmt: skip
# The list itself stands for a string.
_ODD_JSON += [_ODD_JSON] * 8
_NO_JSON = (b"", b"\xff\xfe", b"null", b"[]", b"[" * 100_000, b'{"a":' * 5000, b"{}{}", b'"' + b"x" * 100_000)


@dataclass(frozen=True)
class Request:
    """One HTTP request to a host of Google's. ``target`` is the path with its query, as it goes over the wire."""

    caller: str | None
    method: str
    host: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    id: str = ""


class Maker:
    """Makes calls by chance. A source of chance that begins alike makes the same ones."""

    def __init__(self, random: Random) -> None:
        self._random = random
        #: How likely any part of the call is odd: some calls are right throughout, some are hopeless.
        self._oddness = random.choice((0.0, 0.02, 0.02, 0.1, 0.3))

    def call(self, api: Api, methods: Sequence[Method]) -> Request:
        """A call of one of an API's methods."""
        method = self._random.choice(methods)
        body = b""
        if method.request is not None:
            body = self._bytes(self._message(api.schemas, method.request, 0))
        elif self._rarely():
            body = self._bytes(self._any_json())
        # The one document with a servicePath.
        target = self._path(method, "/storage/v1/" if api.name == "storage" else "/")
        query = self._query(method, sorted(api.schemas.get(method.request or "", {}).get("properties", {})))
        if query:
            target += "?" + urlencode(query, errors="surrogatepass")
        return Request(self.caller(), method.http, api.host, target, self.headers(), body, method.id)

    def caller(self) -> str | None:
        return self._random.choice(CALLERS)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The content type, and sometimes a header that a service looks at."""
        found = [("Content-Type", "application/json")]
        if self._rarely():
            found = [("Content-Type", self._random.choice(_CONTENT_TYPES))]
        if self._rarely():
            found.append((self._random.choice(_HEADERS), self.header_text()))
        return tuple(found)

    def header_text(self) -> str:
        """A string that a header may hold: one line, of Latin letters."""
        return re.sub(r"[^\x20-\x7e\xa0-\xff]", "", self.text())[:8000]

    def text(self) -> str:
        """Any text, most often one that has broken something before."""
        if self._random.random() < 0.7:
            return self._random.choice(NASTY)
        return "".join(chr(self._random.choice(_ALPHABET)) for _ in range(self._random.randint(1, 12)))

    def name(self, kind: str) -> str:
        """One name in an address, percent-encoded; ``kind`` is the word before it, or the parameter's name."""
        if self._rarely():
            return quote(self.text(), safe="", errors="surrogatepass")
        is_bucket = kind in ("b", "bucket", "buckets", "destinationBucket", "sourceBucket")
        names = _BUCKETS if is_bucket else NAMES.get(_PLURAL.get(kind, kind), _ANY_NAME)
        return quote(self._random.choice(names), safe="@%")

    def _rarely(self) -> bool:
        return self._random.random() < self._oddness

    def _path(self, method: Method, prefix: str) -> str:
        def value(found: re.Match[str]) -> str:
            name = found[1].removeprefix("+")
            parameter = method.parameters.get(name)
            pattern = (parameter.pattern if parameter else None) or "^[^/]+$"
            free = re.sub(r"\[\^/\]\+|\.[*+]", "\0", pattern.strip("^$"))
            words = free.split("/")
            kinds = [name, *words]
            return "/".join(
                word.replace("\0", self.name(kinds[index])) if "\0" in word else word
                for index, word in enumerate(words)
            )

        return prefix + re.sub(r"\{([^}]+)\}", value, method.path)

    def _query(self, method: Method, fields: list[str]) -> list[tuple[str, str]]:
        """The required parameters mostly, some others, and now and then an unknown one."""
        known = [parameter for parameter in method.parameters.values() if parameter.location == "query"]
        chosen = [parameter for parameter in known if parameter.required and not self._rarely()]
        chosen += self._random.sample(known, min(len(known), self._random.randint(0, 3)))
        pairs = [(parameter.name, self._query_value(parameter, fields)) for parameter in chosen]
        if self._rarely():
            pairs.append((self._random.choice(sorted(SYSTEM_PARAMETERS)), self.text()))
        if self._rarely():
            pairs.append((self.text(), self.text()))
        if self._rarely():
            pairs.append(("fields", self._random.choice(["*", "items(name", "a/b,c(d/*)", self.text()])))
        return pairs

    def _query_value(self, parameter: Parameter, fields: list[str]) -> str:
        if self._rarely():
            return self.text()
        if parameter.name in (*_PLURAL, "bucket"):
            return unquote(self.name(parameter.name))
        if "mask" in parameter.name.lower() and fields:
            return ",".join(self._random.sample(fields, min(len(fields), self._random.randint(1, 2))))
        if parameter.enum:
            return self._random.choice(parameter.enum)
        if parameter.type == "boolean":
            return self._random.choice(["true", "false"])
        if parameter.type == "integer" or (parameter.format or "").startswith(("int", "uint")):
            return self._random.choice(["0", "1", "2", "1000", "-1"])
        return self._random.choice(_GOOD_TEXTS)

    def _message(self, schemas: Mapping[str, Json], name: str, depth: int) -> Any:
        """A message with some of its fields, and now and then one that it does not have."""
        properties: Json = schemas[name].get("properties", {})
        most = len(properties) if self._rarely() else 6 if depth == 0 else 4
        chosen = self._random.sample(sorted(properties), min(len(properties), self._random.randint(0, most)))
        found = {key: self._value(schemas, properties[key], depth) for key in chosen}
        if self._rarely() or not properties:
            found[self.text()] = self._any_json()
        return found

    def _value(self, schemas: Mapping[str, Json], spec: Json, depth: int) -> Any:
        """A value of a property: nine times out of ten of its type."""
        if depth > 5 or self._rarely():
            return self._any_json()
        if "$ref" in spec:
            return self._message(schemas, spec["$ref"], depth + 1)
        kind = spec.get("type")
        if kind == "array":
            return [self._value(schemas, spec["items"], depth + 1) for _ in range(self._random.randint(0, 2))]
        if kind == "object":
            below = spec.get("additionalProperties", {"type": "string"})
            keys = [
                self.text() if self._rarely() else self._random.choice("ab")
                for _ in range(self._random.randint(0, 2))
            ]
            return {key: self._value(schemas, below, depth + 1) for key in keys}
        return self._scalar(spec)

    def _scalar(self, spec: Json) -> Any:
        kind = spec.get("type")
        if "enum" in spec:
            return self._random.choice(spec["enum"])
        if kind == "boolean":
            return self._random.choice([True, False])
        if kind in ("integer", "number") or spec.get("format") in ("int64", "uint64"):
            return self._random.choice([0, 1, 2, 10, 100, -1, 2**31 - 1, 2**62, "5", 1.5])
        if spec.get("format") == "google-duration":
            return self.text() if self._rarely() else self._random.choice(["0s", "1s", "1.5s", "300s"])
        return self.text() if self._rarely() else self._random.choice(_GOOD_TEXTS)

    def _any_json(self) -> Any:
        found = self._random.choice(_ODD_JSON)
        return self.text() if found is _ODD_JSON else found

    def _bytes(self, value: Any) -> bytes:
        """A body; sometimes no JSON any more."""
        data = json.dumps(value).encode()
        if not self._rarely():
            return data
        how = self._random.randrange(8)
        if how == 0:
            return data[: len(data) // 2]
        if how == 1:
            return self._random.choice(_NO_JSON)
        if how == 2:
            return json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        if how == 3:
            return self._random.randbytes(self._random.randint(1, 60))
        return data
