"""What Cloud Build makes of a request before it queues the build: substitutions, defaults, refusals.

Sources: https://cloud.google.com/build/docs/build-config-file-schema, .../configuring-builds/substitute-variable-values,
.../securing-builds/configure-user-specified-service-accounts; the texts are those that users quote in public issues.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json, invalid_argument

#: Seconds; https://cloud.google.com/build/docs/build-config-file-schema#timeout_2 and #queuettl
DEFAULT_TIMEOUT = 3600
MAX_TIMEOUT = 86400
QUEUE_TTL = 3600
_VARIABLE = re.compile(r"\$\$|\$\{([A-Z_][A-Z0-9_]*)\}|\$([A-Z_][A-Z0-9_]*)")
_USER_VARIABLE = re.compile(r"_[A-Z0-9_]+")
_TRIGGER_VARIABLES = (
    "BRANCH_NAME", "COMMIT_SHA", "REF_NAME", "REPO_FULL_NAME", "REPO_NAME", "REVISION_ID", "SHORT_SHA", "TAG_NAME",
    "TRIGGER_BUILD_CONFIG_PATH", "TRIGGER_NAME",
)  # fmt: skip
_MAX_STEPS = 300
#: The fields in which variables are replaced.
_TEMPLATES = ("steps", "images", "tags", "logsBucket")
_LOGGING_RULE = (
    "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket', (b) use the "
    "REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, or (c) use either CLOUD_LOGGING_ONLY / NONE "
    "logging options"
)
_ACCOUNT = re.compile(r"projects/(?P<project>[^/]+)/serviceAccounts/(?P<account>[^/]+)")
#: Fields of a build that the emulator would have to ignore, which it does not: they change what a build does.
_NOT_EMULATED = ("availableSecrets", "secrets", "gitConfig", "dependencies")
_STEP_NOT_EMULATED = ("script", "secretEnv", "volumes", "results")


def check(build: Json) -> None:
    """INVALID_ARGUMENT for a build that cannot be queued."""
    if len(build["steps"]) > _MAX_STEPS:
        raise invalid_argument(f"invalid build: too many steps: {len(build['steps'])} > {_MAX_STEPS}")
    for index, step in enumerate(build["steps"]):
        if not step.get("name"):
            raise invalid_argument(
                f"invalid build: build step {index} must specify name", field=f"steps[{index}].name"
            )
        _refuse(step, _STEP_NOT_EMULATED, f"steps[{index}].")
    _refuse(build, _NOT_EMULATED, "")
    artifacts = {key: value for key, value in build.get("artifacts", {}).items() if key != "images"}
    _refuse(artifacts, tuple(artifacts), "artifacts.")
    if unknown := [kind for kind in build.get("source", {}) if kind != "storageSource"]:
        raise invalid_argument(
            f"The emulator builds from storageSource only, not from {unknown[0]}.", field="source"
        )
    options = build.get("options", {})
    if options.get("defaultLogsBucketBehavior") == "REGIONAL_USER_OWNED_BUCKET":
        raise invalid_argument(
            "The emulator does not make a regional logs bucket; give logsBucket, or options.logging: CLOUD_LOGGING_ONLY.",
            field="options.default_logs_bucket_behavior",
        )
    if (
        build.get("serviceAccount")
        and not build.get("logsBucket")
        and options.get("logging") not in ("CLOUD_LOGGING_ONLY", "NONE")
    ):
        raise invalid_argument(_LOGGING_RULE)
    seconds = timeout_of(build)
    if not 0 < seconds <= MAX_TIMEOUT:
        raise invalid_argument(
            f"invalid build: timeout {seconds:g}s must be positive and at most {MAX_TIMEOUT}s"
        )


def _refuse(fields: Json, names: tuple[str, ...], path: str) -> None:
    for name in names:
        if fields.get(name):
            raise invalid_argument(
                f"The emulator does not do what '{path}{name}' asks for, and refuses it rather than ignore it.",
                field=path + name,
            )


def timeout_of(resource: Json, default: float = DEFAULT_TIMEOUT) -> float:
    """The timeout of a build or step in seconds."""
    return clock.seconds(resource["timeout"]) if resource.get("timeout") else default


def service_account(build: Json, project: str, number: str) -> tuple[str, str]:
    """(project, e-mail or unique id) of the account that the build runs as.

    Default: the Compute Engine default account, as in projects made since 2024
    (https://cloud.google.com/build/docs/cloud-build-service-account-updates).
    """
    given = build.get("serviceAccount")
    if not given:
        return project, f"{number}-compute@developer.gserviceaccount.com"
    found = _ACCOUNT.fullmatch(given)
    if found is None:
        raise invalid_argument(
            f"invalid value for 'build.service_account': '{given}': expected projects/PROJECT/serviceAccounts/ACCOUNT",
            field="build.service_account",
        )
    return (project if found["project"] == "-" else found["project"]), found["account"]


def substitute(build: Json, values: Mapping[str, str]) -> Json:
    """The build with its variables replaced. ``values`` are the built-in ones that have a value.

    INVALID_ARGUMENT for a variable that nobody defines, and, unless ``substitutionOption`` is ALLOW_LOOSE, for a
    value that nothing uses.
    """
    own: Mapping[str, str] = build.get("substitutions", {})
    for name in own:
        if not _USER_VARIABLE.fullmatch(name) and name not in (*_TRIGGER_VARIABLES, *values):
            raise _substitution_error(f'key "{name}" is not a valid user-defined or built-in substitution')
    loose = build.get("options", {}).get("substitutionOption") == "ALLOW_LOOSE"
    template = _Template({**dict.fromkeys(_TRIGGER_VARIABLES, ""), **own, **values}, own, loose=loose)
    result = {key: template.fill(value) if key in _TEMPLATES else value for key, value in build.items()}
    unused = sorted(set(own) - template.used)
    if unused and not loose:
        raise _substitution_error(
            f'key "{unused[0]}" in the substitution data is not matched in the template'
        )
    return result


class _Template:
    """Fills variables in, and remembers which were used."""

    def __init__(self, known: Mapping[str, str], own: Mapping[str, str], *, loose: bool) -> None:
        self.used: set[str] = set()
        self._known, self._own, self._loose = known, own, loose

    def fill(self, value: Any) -> Any:
        """A JSON value with the variables in its texts replaced."""
        if isinstance(value, str):
            return _VARIABLE.sub(self._value, value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        return value

    def _value(self, found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name is None:
            return "$"
        self.used.add(name)
        if name in self._known or self._loose:
            return self._known.get(name, "")
        if name.startswith("_"):
            raise _substitution_error(
                f'key "{name}" in the template is not matched in the substitution data; substitutions = {dict(self._own)}'
            )
        raise _substitution_error(f'key in the template "{name}" is not a valid built-in substitution')


def _substitution_error(text: str) -> Exception:
    return invalid_argument(f"invalid value for 'build.substitutions': {text}", field="build.substitutions")
