"""Enum values by name and by number, as JSON has them (https://protobuf.dev/programming-guides/json/).

Google's generated clients ask for numbers with ``$alt=json;enum-encoding=int``. The numbers are in ``enums.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.facts import read_yaml


@cache
def _enums() -> dict[tuple[str, ...], Mapping[str, int]]:
    return {tuple(enum): enum for enum in read_yaml("engine/enums.yaml")["enums"]}


def numbers(names: Sequence[str]) -> Mapping[str, int]:
    """The numbers of an enum that has these names, in the order of its document; none when they are not known."""
    return _enums().get(tuple(names), {})


def wants_numbers(query: Iterable[tuple[str, str]]) -> bool:
    """Whether a request asks for numbers in its answer."""
    return any(key in ("alt", "$alt") and "enum-encoding=int" in value.split(";") for key, value in query)


class Numbering:
    """Answers of one API with numbers for names."""

    def __init__(self, schemas: Mapping[str, Json]) -> None:
        self._schemas = schemas

    def message(self, schema: str | None, message: Json) -> Json:
        """A message of this schema; what names its own type (``@type``), as in an operation, is taken for that."""
        if own := self._named(message.get("@type")):
            schema = own
        fields = self._schemas.get(schema or "", {}).get("properties", {})
        return {name: self._value(fields.get(name, {}), value) for name, value in message.items()}

    def _named(self, kind: Any) -> str | None:
        """``type.googleapis.com/google.cloud.run.v2.Job`` is called ``Job`` or ``GoogleCloudRunV2Job`` in documents."""
        parts = kind.rpartition("/")[2].split(".") if isinstance(kind, str) else []
        names = ("".join(part[:1].upper() + part[1:] for part in parts), parts[-1] if parts else "")
        return next((name for name in names if name in self._schemas), None)

    def _value(self, spec: Json, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(spec.get("items", {}), item) for item in value]
        if isinstance(value, dict):
            if inner := spec.get("additionalProperties"):
                named = "@type" in value
                return (
                    self.message(None, value)
                    if named
                    else {key: self._value(inner, one) for key, one in value.items()}
                )
            return self.message(spec.get("$ref"), value)
        return numbers(spec["enum"]).get(value, value) if "enum" in spec else value
