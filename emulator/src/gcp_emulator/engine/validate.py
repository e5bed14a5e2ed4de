"""Request bodies and query parameters checked against the discovery document, in Google's words.

The texts are those of the JSON transcoder in front of Google's APIs, for example
``Invalid JSON payload received. Unknown name "foo" at 'template': Cannot find field.``
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gcp_emulator.engine.discovery import Method
from gcp_emulator.engine.enums import numbers
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument

#: Query parameters that every Google API accepts (https://cloud.google.com/apis/docs/system-parameters).
SYSTEM_PARAMETERS = frozenset(
    [
        "alt",
        "callback",
        "fields",
        "key",
        "oauth_token",
        "access_token",
        "prettyPrint",
        "quotaUser",
        "userIp",
        "userProject",
        "uploadType",
        "upload_protocol",
        "upload_id",
        "$.xgafv",
        "$alt",
        "$callback",
        "$fields",
        "$prettyPrint",
        "$httpMethod",
    ]
)
#: How deep a message may be nested (https://protobuf.dev/programming-guides/proto-limits/).
_MAX_DEPTH = 100
_TYPE_NAMES = {"int32": "TYPE_INT32", "uint32": "TYPE_UINT32", "int64": "TYPE_INT64", "uint64": "TYPE_UINT64"}
_INT_BOUNDS = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


def parse_json(data: bytes | str, *, reason: str | None = None) -> Any:
    """The value of a JSON text, {} for an empty one; ApiError INVALID_ARGUMENT for anything that Google's parser refuses.

    That is also what Python's accepts beyond RFC 8259: NaN, halves of surrogate pairs, nesting without end.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        value = json.loads(text, parse_constant=_refuse_constant) if text.strip() else {}
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        raise invalid_argument(f"Invalid JSON payload received. {error}", reason=reason) from None
    except RecursionError:
        raise _too_deep() from None
    if _is_deeper(value, _MAX_DEPTH):
        raise _too_deep()
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"Unexpected token. {text}")


def _too_deep() -> ApiError:
    return invalid_argument("Invalid JSON payload received. Message too deep. Max recursion depth reached.")


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(item, depth - 1) for item in items)


def _payload_error(text: str, path: str) -> ApiError:
    return invalid_argument(f"Invalid JSON payload received. {text}", field=path)


def _bad_value(path: str, kind: str, value: Any) -> ApiError:
    shown = (
        f'"{value}"'
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
    return invalid_argument(f"Invalid value at '{path}' ({kind}), {shown}", field=path)


def is_number(text: str) -> bool:
    """Whether a string is an integer that is not negative and that an int64 can hold; ``str.isdigit`` knows more digits."""
    return re.fullmatch(r"[0-9]{1,18}", text) is not None


def camel(name: str) -> str:
    """``public_key`` -> ``publicKey``: the transcoder accepts both spellings."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


class BodyValidator:
    """Normalises a body by its schema: camelCase, typed, unknown names refused, output-only fields dropped.

    ``output_only`` maps schema names to the field names that discovery does not mark as read-only.
    ``tolerated`` unknown names are left out instead of refused; ``lenient`` does so with all (Cloud Storage does).
    ``empty_enums`` takes "" for an enum that is not said (Compute Engine does).
    """

    def __init__(
        self,
        schemas: Mapping[str, Json],
        output_only: Mapping[str, list[str]],
        *,
        tolerated: frozenset[str] = frozenset(),
        lenient: bool = False,
        empty_enums: bool = False,
    ) -> None:
        self._schemas = schemas
        self._output_only = output_only
        self._tolerated = tolerated
        self._lenient = lenient
        self._empty_enums = empty_enums

    def validate(self, schema_name: str, body: Any) -> Json:
        """The normalised body, or ApiError INVALID_ARGUMENT naming the field."""
        if not isinstance(body, dict):
            raise _payload_error("Root element must be a message.", "")
        return self._message(schema_name, body, "")

    def _message(self, schema_name: str, value: Json, path: str) -> Json:
        schema = self._schemas[schema_name]
        properties: Mapping[str, Json] = schema.get("properties", {})
        if "additionalProperties" in schema:
            return self._map(schema["additionalProperties"], value, path)
        hidden = self._output_only.get(schema_name, ())
        result: Json = {}
        for key, item in value.items():
            name = key if key in properties else camel(key)
            if name not in properties:
                if self._lenient or key == "@type" or key in self._tolerated:
                    continue
                where = f" at '{path}'" if path else ""
                raise _payload_error(f'Unknown name "{key}"{where}: Cannot find field.', path)
            if properties[name].get("readOnly") or name in hidden or item is None:
                continue
            result[name] = self._value(properties[name], item, f"{path}.{name}" if path else name)
        return result

    def _map(self, spec: Json, value: Json, path: str) -> Json:
        # A null asks for a key's removal, as one in a message does; services that patch find it in the raw body.
        return {
            key: self._value(spec, item, f"{path}[{key}]") for key, item in value.items() if item is not None
        }

    def _value(self, spec: Json, value: Any, path: str) -> Any:
        if "$ref" in spec:
            if not isinstance(value, dict):
                raise _bad_value(path, "message", value)
            return self._message(spec["$ref"], value, path)
        kind = spec.get("type")
        if kind == "array":
            if not isinstance(value, list):
                raise _payload_error(
                    f'Unknown name "{path.rpartition(".")[2]}": Proto field is repeated, expected a list.',
                    path,
                )
            return [self._value(spec["items"], item, f"{path}[{index}]") for index, item in enumerate(value)]
        if kind == "object":
            if not isinstance(value, dict):
                raise _bad_value(path, "map", value)
            if "additionalProperties" in spec:
                return self._map(spec["additionalProperties"], value, path)
            return value
        return self._scalar(spec, value, path)

    def _scalar(self, spec: Json, value: Any, path: str) -> Any:
        kind, form = spec.get("type"), spec.get("format")
        if kind == "any":
            return value
        if kind == "boolean":
            if isinstance(value, bool):
                return value
            if value in ("true", "false"):
                return value == "true"
            raise _bad_value(path, "TYPE_BOOL", value)
        if kind == "number":
            try:
                return float(value) if not isinstance(value, (bool, int)) else value
            except (TypeError, ValueError):
                raise _bad_value(path, "TYPE_DOUBLE", value) from None
        if kind == "integer" or form in ("int64", "uint64"):
            return _integer(value, form or "int32", path, as_text=kind == "string")
        if "enum" in spec:
            return "" if value == "" and self._empty_enums else _enum_name(spec["enum"], value, path)
        if not isinstance(value, str):
            raise _bad_value(path, "TYPE_STRING", value)
        if form == "byte":
            return _base64(value, path)
        if form == "google-duration" and not re.fullmatch(r"-?\d+(\.\d{1,9})?s", value):
            raise invalid_argument(
                f"Invalid value at '{path}' (type.googleapis.com/google.protobuf.Duration), Field '{path}', Illegal duration format; duration must end with 's'",
                field=path,
            )
        return value


def _integer(value: Any, form: str, path: str, *, as_text: bool) -> int | str:
    if isinstance(value, bool):
        raise _bad_value(path, _TYPE_NAMES[form], value)
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise _bad_value(path, _TYPE_NAMES[form], value) from None
    low, high = _INT_BOUNDS[form]
    if not low <= number <= high or (isinstance(value, float) and value != number):
        raise _bad_value(path, _TYPE_NAMES[form], value)
    return str(number) if as_text else number


def _enum_name(names: Sequence[str], value: Any, path: str) -> str:
    """The name itself, or the one behind a number (``engine/enums.yaml``)."""
    if value in names:
        return str(value)
    for name, number in numbers(names).items():
        if value == number and not isinstance(value, bool):
            return name
    raise _bad_value(path, "TYPE_ENUM", value)


def _base64(value: str, path: str) -> str:
    """Bytes in the one spelling that responses use. gcloud sends an etag back in the URL-safe alphabet."""
    try:
        data = base64.b64decode(
            value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4), validate=True
        )
    except ValueError:  # also of letters that are not ASCII
        raise invalid_argument(
            f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed for \"{value[:20]}\"", field=path
        ) from None
    return base64.b64encode(data).decode()


def query_parameters(method: Method, pairs: list[tuple[str, str]], tolerated: frozenset[str]) -> Json:
    """The typed query parameters of ``method``; unknown ones are refused unless ``tolerated``."""
    result: Json = {}
    for key, text in pairs:
        if key in SYSTEM_PARAMETERS and key not in method.parameters:
            continue
        name = key if key in method.parameters else camel(key)
        parameter = method.parameters.get(name)
        if parameter is None or parameter.location != "query":
            if key in tolerated:
                continue
            raise invalid_argument(
                f'Invalid JSON payload received. Unknown name "{key}": Cannot bind query parameter. '
                f"Field '{key}' could not be found in request message."
            )
        value: Any = text
        if parameter.type == "boolean":
            if text.lower() not in ("true", "false"):
                raise _bad_value(name, "TYPE_BOOL", text)
            value = text.lower() == "true"
        elif parameter.type == "integer":
            value = _integer(text, parameter.format or "int32", name, as_text=False)
        elif parameter.enum:
            value = _enum_name(parameter.enum, int(text) if is_number(text) else text, name)
        if parameter.repeated:
            result.setdefault(name, []).append(value)
        else:
            result[name] = value
    for parameter in method.parameters.values():
        if parameter.required and parameter.location == "query" and parameter.name not in result:
            raise ApiError("INVALID_ARGUMENT", f"Required parameter: {parameter.name}", reason="required")
    return result
