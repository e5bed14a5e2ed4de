# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The errors that the collection's modules end with, and what a reader of them should do next.

Every error reads ``Failed to <verb> <what> <name>: <Google's message> (HTTP 403 PERMISSION_DENIED). <what to do>``.
No error ever holds a request body: bodies may hold secrets.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._permissions import role_that_has

# "Permission 'run.services.get' denied", "does not have storage.buckets.get access", "... denied on resource ..."
_PERMISSION = re.compile(r"\b([a-z]+(?:\.[a-zA-Z]+){2,3})\b(?='? (?:denied|access)|'? permission|'$)")


# What 412 says when somebody else was first: Cloud Storage, Cloud SQL (settingsVersion), Compute Engine. Cloud Storage answers 412 with
# the same reason, conditionNotMet, to what an organization policy forbids, which stays forbidden. Source:
# https://github.com/googleapis/google-cloud-go/issues/1062; the texts of policies: see _CONSTRAINTS.
_PRECONDITION = re.compile(
    r"\bpre-?conditions?\b|condition does not match|\bfingerprint\b|\betag\b", re.IGNORECASE
)
_CONSTRAINT = re.compile(r"\bconstraints/((?:\w+\.)+\w+)")
#: The constraints that a site meets: what an answer says that does not name them, and what to do. Sources:
#: https://github.com/terraform-google-modules/terraform-example-foundation/issues/1454 and
#: https://github.com/googleapis/java-storage/pull/2444 (domains), https://github.com/ONLYOFFICE/ControlPanel/issues/8 (public access),
#: https://github.com/serverless/serverless-google-cloudfunctions/issues/226 and https://github.com/firebase/firebase-tools/issues/6454
#: (locations), https://github.com/kushin77/self-hosted-runner/issues/2234 (addresses), https://github.com/pulumi/docs/issues/12973 (uniform
#: access), https://github.com/google/create-service-account/issues/21 (keys).
_CONSTRAINTS: dict[str, tuple[re.Pattern[str] | None, str]] = {
    "iam.allowedPolicyMemberDomains": (
        re.compile(r"do not belong to a permitted customer"),
        "The organization lets only its own members into policies: leave out allUsers, allAuthenticatedUsers and members of "
        "other organizations. A site needs no public bucket with djangogcp_static: image.",
    ),
    "storage.publicAccessPrevention": (
        re.compile(r"public access prevention", re.IGNORECASE),
        "Leave out allUsers and allAuthenticatedUsers; a site needs no public bucket with djangogcp_static: image. If the bucket is "
        "meant to be public, set its public_access_prevention to inherited, and have "
        "constraints/storage.publicAccessPrevention lifted for the project if the organization enforces it.",
    ),
    "gcp.resourceLocations": (
        None,
        "Ask for a location that the organization allows: djangogcp_region for everything of a site, and djangogcp_secret_locations "
        "(the option locations of a secret) for secrets, which are in [global] otherwise.",
    ),
    "run.managed.requireInvokerIam": (
        None,
        "Set invoker_iam_disabled to false (djangogcp_public: false, or djangogcp_public_by: all_users where everybody may be granted "
        "roles/run.invoker).",
    ),
    "sql.restrictPublicIp": (
        None,
        "Give the instance a private address instead: djangogcp_network (the options private_network, and ipv4_enabled: false).",
    ),
    "storage.uniformBucketLevelAccess": (None, "Set uniform_bucket_level_access to true."),
    "iam.disableServiceAccountKeyCreation": (
        re.compile(r"^Key creation is not allowed"),
        "Impersonate the service account, or use workload identity federation, instead of a key.",
    ),
}
_OTHER_CONSTRAINT = "Ask for what the organization policy allows, or have it changed for the project."
_LINK_BILLING = "Link an open billing account to the project."
_WAIT_FOR_QUOTA = "Wait, or ask for a higher quota."
#: What to do about refusals by their reason: those that no role cures, and that come with 403 or 400 like the others. Sources:
#: https://github.com/analogdotnow/Analog/issues/296 (scopes), https://github.com/google-gemini/gemini-cli/issues/4065 (consumer),
#: https://github.com/cloudquery/cloudquery/issues/1062 (perimeter), https://github.com/kyegomez/zeta/issues/71 (billing),
#: https://cloud.google.com/storage/docs/json_api/v1/status-codes (the reasons of the older APIs).
_REASONS = {
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": (
        "Give the credentials the scope https://www.googleapis.com/auth/cloud-platform (option scopes; a machine's account has those that the "
        "machine was made with)."
    ),
    "CONSUMER_INVALID": "Check the project: it is not there, is being deleted, or may not be seen by the caller.",
    "SECURITY_POLICY_VIOLATED": (
        "A perimeter of VPC Service Controls keeps the request out, whatever the roles of the caller. Run from inside of it, or have an ingress "
        "rule or access level made; its administrators find the request by the identifier."
    ),
    "BILLING_DISABLED": _LINK_BILLING,
    "UREQ_PROJECT_BILLING_NOT_FOUND": _LINK_BILLING,
    "accountDisabled": _LINK_BILLING,
    "RATE_LIMIT_EXCEEDED": _WAIT_FOR_QUOTA,
    "rateLimitExceeded": _WAIT_FOR_QUOTA,
    "userRateLimitExceeded": _WAIT_FOR_QUOTA,
    "quotaExceeded": _WAIT_FOR_QUOTA,
}
#: The same where the reason is no more than "forbidden". Sources: https://github.com/GoogleCloudPlatform/cloud-run-mcp/issues/151,
#: https://github.com/GoogleCloudPlatform/java-docs-samples/issues/276, https://github.com/OpenRouterLabs/spawn/issues/3091.
_NO_BILLING = re.compile(
    r"billing account for (?:the owning )?project|\bbilling (?:is )?disabled|\bbilling to be enabled",
    re.IGNORECASE,
)
_DATABASE_EXISTS = re.compile(r'database "[^"]+" already exists')


class DjangoGcpError(Exception):
    """Base of everything that a module reports as a failure.

    Args:
        message: what failed, on what, why, and what to do; shown as it is.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def as_fail_json(self) -> dict[str, t.Any]:
        """The arguments for ``AnsibleModule.fail_json``."""
        return {"msg": self.message}


class AuthError(DjangoGcpError):
    """No usable credentials, or Google refused them."""


class ImmutableError(DjangoGcpError):
    """A field differs that Google Cloud cannot change on an existing resource."""


class WaitTimeoutError(DjangoGcpError):
    """Something that was started has not finished within ``wait_timeout``."""

    def as_fail_json(self) -> dict[str, t.Any]:
        return {"msg": self.message, "timed_out": True}


class OperationError(DjangoGcpError):
    """An operation finished with an error."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class ConnectionLostError(DjangoGcpError):
    """The connection broke, or the server failed, after a request was sent that is not safe to repeat.

    Whether the request was carried out is unknown; who catches this has to read again.

    Args:
        cause: what was being done, and what happened, in one sentence.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(f"{cause} It is unknown whether it was done; run again.")
        self.cause = cause


class ApiError(DjangoGcpError):
    """An answer with an error status.

    Attributes:
        status: the HTTP status, as a number.
        code: Google's canonical name of the error, for instance ``PERMISSION_DENIED``; for the APIs that have none
            (storage, sqladmin) the first ``reason``.
        reason: the reason of the first ``google.rpc.ErrorInfo`` detail or of the first item of ``errors``; may be "".
        explanation: Google's message alone.
        constraint: the constraint of an organization policy that forbids it, such as ``gcp.resourceLocations``; "" if none does.
        retry_delay: the seconds after which Google says to try again (``google.rpc.RetryInfo``); 0 if it does not say.

    Args:
        doing: what was being done, for instance "create secret polls-secret-key".
        permission: the permission that the call needs, for answers that do not name it.
    """

    def __init__(
        self,
        *,
        doing: str,
        status: int,
        code: str,
        reason: str,
        explanation: str,
        metadata: t.Mapping[str, str] | None = None,
        permission: str = "",
        hint: str = "",
        retry_delay: float = 0.0,
    ) -> None:
        self.doing = doing
        self.status = status
        self.code = code
        self.reason = reason
        self.explanation = explanation.strip()
        self.metadata = dict(metadata or {})
        self.retry_delay = retry_delay
        self.constraint = _constraint(status, self.explanation, self.metadata)
        self.permission = self._missing_permission(permission)
        super().__init__(self._text(hint or self._hint()))

    def with_hint(self, hint: str) -> ApiError:
        """The same error that tells something better to do than the status alone can."""
        return ApiError(
            doing=self.doing,
            status=self.status,
            code=self.code,
            reason=self.reason,
            explanation=self.explanation,
            metadata=self.metadata,
            permission=self.permission,
            hint=hint,
            retry_delay=self.retry_delay,
        )

    def as_fail_json(self) -> dict[str, t.Any]:
        return {
            "msg": self.message,
            "http_status": self.status,
            "error_code": self.code,
            "error_reason": self.reason,
        }

    @property
    def is_stale(self) -> bool:
        """Whether the resource changed between our read and our write, so that reading again and retrying is right.

        409 ABORTED is what IAM and Cloud Run answer to an old etag, 400 FAILED_PRECONDITION what Secret Manager does, 412 what
        Cloud Storage and Cloud SQL (settingsVersion) answer to an unmet precondition; Cloud Storage also to what stays forbidden.
        """
        if self.constraint:
            return False
        if self.status == 412:
            return _PRECONDITION.search(self.explanation) is not None
        if self.status == 400 and self.code == "FAILED_PRECONDITION":
            return "etag" in self.explanation.lower()
        return self.status == 409 and self.code == "ABORTED"

    @property
    def is_busy(self) -> bool:
        """Whether other operations on the same resource have to finish first (sqladmin: operationInProgress, too many at once)."""
        return self.is_crowded or bool(
            {self.code, self.reason} & {"operationInProgress", "instanceAlreadyUpdating"}
        )

    @property
    def is_crowded(self) -> bool:
        """Whether a Cloud SQL instance has more to do than it takes: nothing was done, and reads are refused so, too.

        Source: https://github.com/GoogleCloudPlatform/k8s-config-connector/issues/403 and
        https://github.com/hashicorp/terraform-provider-google/issues/8291.
        """
        return self.status == 400 and "Too many operations are being executed" in self.explanation

    @property
    def is_rate_limited(self) -> bool:
        """Whether a quota of requests is used up that is there again soon: nothing was done.

        Most APIs answer 429, Compute Engine 403. One that is zero stays so, and one of a day is waited for by nobody.
        Source: https://github.com/GoogleCloudPlatform/cloud-sql-jdbc-socket-factory/issues/979 (the answer),
        https://cloud.google.com/compute/api-quota (403).
        """
        reasons = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
        limited = self.status == 429 or (self.status == 403 and bool({self.code, self.reason} & reasons))
        never = self.metadata.get("quota_limit_value") == "0"
        return limited and not never and not self.metadata.get("quota_unit", "").startswith("1/d/")

    @property
    def is_in_use(self) -> bool:
        """Whether a database is not deleted since somebody is connected to it: Cloud SQL tells so in PostgreSQL's words, with 400.

        Source: https://github.com/hashicorp/terraform-provider-google/issues/12968 and
        https://github.com/MobilityData/mobility-feed-api/issues/1174.
        """
        return self.status == 400 and "is being accessed by other users" in self.explanation

    @property
    def already_exists(self) -> bool:
        """Whether a create found the name taken (409 with ALREADY_EXISTS, or storage's and sqladmin's 409).

        Cloud SQL tells of a database in PostgreSQL's words, with 400.
        """
        if self.status == 400:
            return _DATABASE_EXISTS.search(self.explanation) is not None
        return self.status == 409 and not self.is_stale and not self.is_busy

    @property
    def is_unready(self) -> bool:
        """Whether a Cloud SQL instance is being changed, or does not run: not now.

        A create is answered so, too, with the name of an instance that was deleted: see `already_exists`.
        Source: https://github.com/hashicorp/terraform/issues/20972.
        """
        return self.status == 409 and self.reason == "invalidState"

    @property
    def lacks_role(self) -> bool:
        """Whether a role would cure it: the other refusals with 403 tell what would."""
        return self.status == 403 and not self._told_cure()

    @property
    def is_disabled(self) -> bool:
        """Whether the API is not enabled in the project (SERVICE_DISABLED; accessNotConfigured in the older APIs)."""
        return bool({self.code, self.reason} & {"SERVICE_DISABLED", "accessNotConfigured"})

    @property
    def is_absent(self) -> bool:
        """Whether what was asked about is not there, or cannot be since its API is not enabled.

        For check mode only: a task before this one may have been going to make it. Otherwise both are errors.
        """
        return self.status == 404 or self.is_disabled

    def _missing_permission(self, expected: str) -> str:
        if self.status != 403:
            return ""
        named = self.metadata.get("permission")
        found = _PERMISSION.search(self.explanation)
        return named or (found.group(1) if found else "") or expected

    def _text(self, hint: str) -> str:
        explanation = self.explanation.rstrip(".") or "no explanation"
        text = f"Failed to {self.doing}: {explanation} (HTTP {self.status} {self.code})."
        return f"{text} {hint}" if hint else text

    def _told_cure(self) -> str:
        """What to do where the answer itself tells what is in the way, "" where only its status does."""
        if self.constraint:
            # The constraints of compute and others are nothing that this collection could say more of.
            return _CONSTRAINTS.get(self.constraint, (None, _OTHER_CONSTRAINT))[1]
        if self.is_disabled:
            service = self.metadata.get("service", "")
            what = f"the API {service}" if service else "the API"
            enable = f" (gcloud services enable {service})" if service else ""
            return f"Enable {what} in the project{enable}, and wait a minute before the next run."
        if self.status in (400, 403) and _NO_BILLING.search(self.explanation):
            return _LINK_BILLING
        if self.is_busy:
            return "Wait until what is being done there has finished, and run again."
        return _REASONS.get(self.reason, "")

    def _hint(self) -> str:
        told = self._told_cure()
        if told:
            return told
        if self.status == 403 and self.permission:
            role = role_that_has(self.permission)
            example = f", for example with the role {role}" if role else ""
            return f"Grant the caller the permission {self.permission}{example}."
        if self.status == 403:
            return "Check the roles of the caller."
        if self.status == 401:
            return "Log in again (gcloud auth application-default login), or give fresh credentials."
        if self.status == 429:
            return _WAIT_FOR_QUOTA
        if self.status == 404:
            return "Check its name; when it was made a moment ago, run again."
        if self.is_unready:
            return "It is being changed, or does not run: wait until it does, and run again."
        if self.status == 409 or self.is_stale:
            return "Somebody else changed it at the same time; run again."
        if self.status >= 500:
            return "Google Cloud failed to answer; run again later."
        return ""


def api_error(*, doing: str, status: int, reason_phrase: str, text: str, permission: str = "") -> ApiError:
    """Make the error of an answer, in either of Google's two formats, or of an answer that is no JSON at all.

    Args:
        doing: what was being done, for instance "create secret polls-secret-key".
        status: the HTTP status.
        reason_phrase: the words after the status, for answers that say nothing else.
        text: the body of the answer.
        permission: the permission that the call needs, for answers that do not name it.

    Source: https://cloud.google.com/apis/design/errors (google.rpc.Status) and, for storage and sqladmin,
    https://cloud.google.com/storage/docs/json_api/v1/status-codes (``errors[]`` with a reason).
    """
    error = _error_object(text)
    details = [item for item in error.get("details") or [] if isinstance(item, dict)]
    info, again = (_detail(details, f"google.rpc.{name}") for name in ("ErrorInfo", "RetryInfo"))
    errors = [item for item in error.get("errors") or [] if isinstance(item, dict)]
    legacy_reason = str(errors[0].get("reason", "")) if errors else ""
    reason = str(info.get("reason") or legacy_reason)
    metadata = info.get("metadata")
    return ApiError(
        doing=doing,
        status=status,
        code=str(error.get("status") or legacy_reason or reason_phrase or "UNKNOWN"),
        reason=reason,
        explanation=_explanation(error, details, reason_phrase),
        metadata=metadata if isinstance(metadata, dict) else None,
        permission=permission,
        retry_delay=_seconds(again.get("retryDelay")),
    )


def _detail(details: list[dict[str, t.Any]], kind: str) -> dict[str, t.Any]:
    return next((item for item in details if str(item.get("@type", "")).endswith(f"/{kind}")), {})


def _seconds(duration: t.Any) -> float:
    """A ``google.protobuf.Duration`` in seconds, for instance "12.5s"; 0 for what is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(duration))
    return float(found.group(1)) if found else 0.0


def _constraint(status: int, explanation: str, metadata: t.Mapping[str, str]) -> str:
    """The constraint that an answer is about. Policies refuse with 400 FAILED_PRECONDITION, and Cloud Storage and Compute Engine with 412."""
    if status not in (400, 412):
        return ""
    named = _CONSTRAINT.search(f"{explanation} {metadata.get('customConstraints', '')}")
    if named:
        return named.group(1)
    told = (name for name, (text, dummy) in _CONSTRAINTS.items() if text and text.search(explanation))
    return next(told, "")


def _error_object(text: str) -> dict[str, t.Any]:
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    # Some services answer a list that holds one error.
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, str):  # OAuth endpoints: {"error": "invalid_grant", "error_description": "..."}
        return {"message": body.get("error_description") or error, "status": error}
    return error if isinstance(error, dict) else {}


def _explanation(error: t.Mapping[str, t.Any], details: list[dict[str, t.Any]], reason_phrase: str) -> str:
    message = str(error.get("message") or reason_phrase)
    violations = [
        f"{violation.get('field')}: {violation.get('description')}"
        for item in details
        for violation in item.get("fieldViolations") or []
        if violation.get("description") and str(violation.get("description")) not in message
    ]
    return "; ".join([message, *violations])
