"""Google's error model: one exception type, rendered in the wire format of the API.

Sources: https://cloud.google.com/apis/design/errors (``rpc``); the ``errors[]`` form of the older APIs
(storage, sqladmin) is documented at https://cloud.google.com/storage/docs/json_api/v1/status-codes (``legacy``).
Some APIs, such as IAM, answer with both (recorded: iamserviceaccount-disabled).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Json = dict[str, Any]
ErrorStyle = Literal["rpc", "legacy", "both"]

_HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

#: google.rpc.Code numbers, used where an error is stored inside an operation.
RPC_CODES = {
    "OK": 0,
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}

_LEGACY_REASONS = {
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "conflict",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
    500: "backendError",
    503: "backendError",
}


class ApiError(Exception):
    """An error as a Google API returns it.

    ``status`` is the google.rpc.Code name; ``code`` the HTTP status (derived from it unless given); ``reason`` the
    legacy ``errors[].reason``; ``details`` the typed details of the rpc form.
    """

    def __init__(
        self,
        status: str,
        message: str,
        *,
        code: int | None = None,
        reason: str | None = None,
        details: list[Json] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code if code is not None else _HTTP[status]
        self.reason = reason or _LEGACY_REASONS.get(self.code, "invalid")
        self.details = details or []
        self.headers = dict(headers or {})

    def body(self, style: ErrorStyle) -> Json:
        """The JSON body of the HTTP response."""
        error: Json = {"code": self.code, "message": self.message}
        if style != "rpc":
            legacy = {"message": self.message, "domain": "global", "reason": self.reason}
            if (
                self.code == 401 and self.reason == "required"
            ):  # gkatzioura/CloudStorageMaven#53, reactmore/morelab#17
                legacy |= {"locationType": "header", "location": "Authorization"}
            error["errors"] = [legacy]
        if style != "legacy":
            error["status"] = self.status
        if self.details:
            error["details"] = self.details
        return {"error": error}

    def rpc_status(self) -> Json:
        """The google.rpc.Status stored in a failed operation."""
        status: Json = {"code": RPC_CODES[self.status], "message": self.message}
        if self.details:
            status["details"] = self.details
        return status


def error_info(reason: str, domain: str, **metadata: str) -> Json:
    """A google.rpc.ErrorInfo detail."""
    info: Json = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain}
    if metadata:
        info["metadata"] = metadata
    return info


def invalid_argument(message: str, *, field: str | None = None, reason: str | None = None) -> ApiError:
    """400 INVALID_ARGUMENT; ``field`` adds a BadRequest violation naming it."""
    details: list[Json] = []
    if field is not None:
        violation = {"field": field, "description": message}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    return ApiError("INVALID_ARGUMENT", message, details=details, reason=reason)


def failed_precondition(message: str, *, reason: str | None = None) -> ApiError:
    """400 FAILED_PRECONDITION: the request is right, the state is not."""
    return ApiError("FAILED_PRECONDITION", message, reason=reason)


def constraint_violated(constraint: str, message: str, *, subject: str, description: str = "") -> ApiError:
    """400 FAILED_PRECONDITION with the violation that names the constraint of an organisation policy."""
    violation = {
        "type": f"constraints/{constraint}",
        "subject": subject,
        "description": description or message,
    }
    details = {"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [violation]}
    return ApiError("FAILED_PRECONDITION", message, details=[details])


def precondition_failed(message: str, *, reason: str = "conditionNotMet") -> ApiError:
    """412: a stale etag, generation or settingsVersion."""
    return ApiError("FAILED_PRECONDITION", message, code=412, reason=reason)


def not_found(message: str, *, reason: str | None = None) -> ApiError:
    return ApiError("NOT_FOUND", message, reason=reason)


def already_exists(message: str, *, reason: str | None = None) -> ApiError:
    return ApiError("ALREADY_EXISTS", message, reason=reason)


def aborted(message: str, *, reason: str | None = None) -> ApiError:
    """409 ABORTED: a concurrent change; the caller should read again."""
    return ApiError("ABORTED", message, reason=reason)


def unauthenticated(message: str) -> ApiError:
    return ApiError(
        "UNAUTHENTICATED",
        message,
        headers={"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'},
    )


def credentials_missing() -> ApiError:
    """401 for a call without credentials."""
    return unauthenticated(
        "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or "
        "other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
    )


def permission_denied(permission: str, resource: str) -> ApiError:
    """403 in the words and with the ErrorInfo that IAM uses."""
    return ApiError(
        "PERMISSION_DENIED",
        f"Permission '{permission}' denied on resource '{resource}' (or it may not exist).",
        details=[
            error_info(
                "IAM_PERMISSION_DENIED", "iam.googleapis.com", permission=permission, resource=resource
            )
        ],
    )
