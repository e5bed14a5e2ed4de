"""What becomes of a message on its way to the client: proto3's JSON (https://protobuf.dev/programming-guides/json/)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gcp_emulator.engine.enums import numbers
from gcp_emulator.engine.errors import Json


def wants_numbers(query: Iterable[tuple[str, str]]) -> bool:
    """Whether a request asks for the numbers of enums, as Google's generated clients do (``$alt=json;enum-encoding=int``)."""
    return any(key in ("alt", "$alt") and "enum-encoding=int" in value.split(";") for key, value in query)


class Answers:
    """The answers of one API: fields that are zero left out, and numbers for the names of enums.

    ``told`` maps schema names to fields that are there even when they are zero (members of a oneof, optional ones); it is None for an API whose
    services say themselves what is there.
    """

    def __init__(self, schemas: Mapping[str, Json], told: Mapping[str, Iterable[str]] | None) -> None:
        self._schemas = schemas
        self._told = told

    def message(self, schema: str | None, message: Json, *, numbered: bool) -> Json:
        """A message of this schema; what names its own type (``@type``), as in an operation, is taken for that."""
        if self._told is None and not numbered:
            return message
        schema = self._named(message.get("@type")) or schema or ""
        fields = self._schemas.get(schema, {}).get("properties", {})
        told = None if self._told is None else self._told.get(schema, ())
        return {
            name: self._value(fields.get(name, {}), value, numbered)
            for name, value in message.items()
            if told is None or name in told or not _is_zero(fields.get(name, {}), value)
        }

    def _named(self, kind: Any) -> str | None:
        """``type.googleapis.com/google.cloud.run.v2.Job`` is called ``Job`` or ``GoogleCloudRunV2Job`` in documents."""
        parts = kind.rpartition("/")[2].split(".") if isinstance(kind, str) else [""]
        names = ("".join(part[:1].upper() + part[1:] for part in parts), parts[-1])
        return next((name for name in names if name in self._schemas), None)

    def _value(self, spec: Json, value: Any, numbered: bool) -> Any:
        if isinstance(value, list):
            return [self._value(spec.get("items", {}), item, numbered) for item in value]
        if isinstance(value, dict):
            if "additionalProperties" in spec and "@type" not in value:
                inner = spec["additionalProperties"]
                return {key: self._value(inner, one, numbered) for key, one in value.items()}
            return self.message(spec.get("$ref"), value, numbered=numbered)
        return numbers(spec["enum"]).get(value, value) if numbered and "enum" in spec else value


def _is_zero(spec: Json, value: object) -> bool:
    """Whether a field has the value that it has when nobody sets it. Messages have none, also those that JSON writes as a text (durations)."""
    if "enum" in spec:
        return numbers(spec["enum"]).get(str(value)) == 0 or str(value).endswith("_UNSPECIFIED")
    if spec.get("type") == "object":
        return not value and spec.get("additionalProperties", {}).get("type") != "any"
    kind, form = spec.get("type"), str(spec.get("format"))
    if kind not in ("boolean", "integer", "number", "array", "string") or form.startswith("google-"):
        return False
    return value in (False, 0, "", []) or (value == "0" and form in ("int64", "uint64"))
