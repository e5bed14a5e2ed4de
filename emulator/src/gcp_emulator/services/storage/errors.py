"""What Cloud Storage says when it refuses, once for both of its APIs.

An :class:`ApiError` is rendered as JSON by the engine, and by :func:`xml_error` for the XML API.
Sources: https://cloud.google.com/storage/docs/json_api/v1/status-codes, .../xml-api/reference-status, and responses that users quote in
public issues (fog/fog-google#536, GoogleCloudPlatform/gsutil#1620, googleapis/google-cloud-go#1062; of anonymous callers
gkatzioura/CloudStorageMaven#53, fsspec/gcsfs#546, FinucaneLab/pops#15 and, of the XML API, openai/glow#60; of organisation policies
those that services/orgpolicy/facts.yaml names).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from gcp_emulator.engine.errors import ApiError, invalid_argument, not_found, precondition_failed
from gcp_emulator.engine.identity import Identity
from gcp_emulator.front.messages import Headers, Request, Response

_UBLA = (
    "when uniform bucket-level access is enabled. Read more at "
    "https://cloud.google.com/storage/docs/uniform-bucket-level-access"
)

#: HTTP status -> Code and Message of an XML error that is not an XmlError.
_XML_CODES = {
    400: ("InvalidArgument", "Invalid argument."),
    401: ("AuthenticationRequired", "Authentication required."),
    403: ("AccessDenied", "Access denied."),
    404: ("NoSuchKey", "The specified key does not exist."),
    405: ("MethodNotAllowed", "The specified method is not allowed against this resource."),
    409: ("Conflict", "Conflict."),
    412: ("PreconditionFailed", "At least one of the pre-conditions you specified did not hold."),
    413: ("EntityTooLarge", "Your proposed upload is larger than the maximum object size."),
    416: ("InvalidRange", "The requested range cannot be satisfied."),
}


class XmlError(ApiError):
    """An error with a code of the XML API's own; ``elements`` are further child elements."""

    def __init__(self, code: int, name: str, message: str, **elements: str) -> None:
        super().__init__("FAILED_PRECONDITION", message, code=code)
        self.name = name
        self.elements = elements


class NotEmulatedError(XmlError):
    """What Google would do and the emulator does not. 400, because clients try a 501 again."""

    def __init__(self, what: str) -> None:
        super().__init__(400, "NotImplemented", f"gcp-emulator {what}")


def xml_error(error: ApiError) -> Response:
    """The XML response that says what ``error`` says."""
    if isinstance(error, XmlError):
        children = {"Code": error.name, "Message": error.message, **error.elements}
    else:
        name, message = _XML_CODES.get(error.code, ("InternalError", "We encountered an internal error."))
        if isinstance(error, NoBucketError):
            name, message = "NoSuchBucket", error.message
        children = {"Code": name, "Message": message}
        if error.message != message:
            children["Details"] = error.message
    text = "".join(f"<{tag}>{escape(value)}</{tag}>" for tag, value in children.items())
    headers = Headers([("Content-Type", "application/xml; charset=UTF-8"), *error.headers.items()])
    return Response(
        error.code, headers, f"<?xml version='1.0' encoding='UTF-8'?><Error>{text}</Error>".encode()
    )


class NoBucketError(ApiError):
    """404: the bucket is nobody's."""

    def __init__(self) -> None:
        super().__init__("NOT_FOUND", "The specified bucket does not exist.")


def no_object(bucket: str, name: str) -> ApiError:
    return not_found(f"No such object: {bucket}/{name}")


def denied(identity: Identity | None, permission: str, kind: str) -> ApiError:
    """403, or 401 for a caller without credentials. ``kind`` is ``bucket``, ``object`` or (without "Storage") project."""
    caller = "Anonymous caller" if identity is None else identity.email
    thing = "Google Cloud project" if kind == "project" else f"Google Cloud Storage {kind}"
    message = (
        f"{caller} does not have {permission} access to the {thing}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
    if identity is None:
        return ApiError("UNAUTHENTICATED", message, reason="required")
    return ApiError("PERMISSION_DENIED", message)


def condition_not_met() -> ApiError:
    return precondition_failed("At least one of the pre-conditions you specified did not hold.")


def public_access_prevented() -> ApiError:
    return precondition_failed(
        "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced."
    )


def constraint_violated(constraint: str, location: str = "") -> ApiError:
    """412, as an unmet precondition: an organisation policy forbids it."""
    what = f"'{location.lower()}'" if location else "Request"
    return precondition_failed(f"{what} violates constraint 'constraints/{constraint}'")


def outsiders_refused() -> ApiError:
    return precondition_failed("One or more users named in the policy do not belong to a permitted customer.")


def acl_refused(verb: str, kind: str = "an object") -> ApiError:
    """An ACL was used (``verb``: insert, get, update, delete) where uniform bucket-level access rules."""
    return invalid_argument(f"Cannot {verb} legacy ACL for {kind} {_UBLA}")


def not_emulated(what: str) -> ApiError:
    """400: the emulator refuses rather than ignore."""
    return invalid_argument(f"gcp-emulator does not emulate {what}; nothing was done.")


def refuse_encryption(request: Request, params: Mapping[str, Any]) -> None:
    """400 for a request that names an encryption key of its own."""
    keys = [name for name, _ in request.headers.items if "-encryption-" in name.lower()]
    keys += [name for name in params if name.lower().endswith("kmskeyname")]
    if keys:
        raise not_emulated(f"encryption keys of the customer ({', '.join(keys)})")
