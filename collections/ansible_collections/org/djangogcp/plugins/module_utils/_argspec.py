# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The options that modules share, and what is said of wrong ones.

The documentation of the shared options is in the documentation fragments _auth, _mark and _wait.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible.module_utils.basic import AnsibleFallbackNotFound
from ansible.module_utils.common.parameters import DEFAULT_TYPE_VALIDATORS
from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import READ_TIMEOUT_SECONDS
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Field, Kind
from ansible_collections.org.djangogcp.plugins.module_utils._rules import Rule, nearest, problem, unknown
from ansible_collections.org.djangogcp.plugins.module_utils._table_problems import value_problems

Options = t.Mapping[str, t.Any]


def first_set_env(*names: str) -> str:
    """An option's fallback: the first of some environment variables that is not empty.

    Ansible's own env_fallback takes the first that exists; AWX sets GCP_PROJECT to "" when a credential has no project.
    """
    for name in names:
        if os.environ.get(name):
            return os.environ[name]
    raise AnsibleFallbackNotFound


def _env(*names: str) -> tuple[t.Callable[..., str], list[str]]:
    return (first_set_env, list(names))


AUTH_ARGS: dict[str, dict[str, t.Any]] = {
    "project": {
        "type": "str",
        "required": True,
        "fallback": _env("GCP_PROJECT", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT", "GCE_PROJECT"),
    },
    "auth_kind": {
        "type": "str",
        "choices": ["application", "serviceaccount", "machineaccount", "accesstoken"],
        "default": "application",
        "fallback": _env("GCP_AUTH_KIND"),
    },
    # Not GOOGLE_APPLICATION_CREDENTIALS: it may hold other kinds of credentials, and belongs to auth_kind application.
    "service_account_file": {
        "type": "path",
        "fallback": _env("GCP_SERVICE_ACCOUNT_FILE", "GCE_CREDENTIALS_FILE_PATH"),
    },
    "service_account_contents": {
        "type": "jsonarg",
        "no_log": True,
        "fallback": _env("GCP_SERVICE_ACCOUNT_CONTENTS"),
    },
    "service_account_email": {"type": "str", "fallback": _env("GCP_SERVICE_ACCOUNT_EMAIL")},
    "access_token": {"type": "str", "no_log": True, "fallback": _env("GCP_ACCESS_TOKEN")},
    "impersonate_service_account": {
        "type": "str",
        "fallback": _env("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"),
    },
    "scopes": {
        "type": "list",
        "elements": "str",
        # The second tells whose token it is (resourcemanager_project_info); gcloud asks for both when a person logs in.
        "default": [
            "https://www.googleapis.com/auth/cloud-platform",
            "https://www.googleapis.com/auth/userinfo.email",
        ],
        "fallback": _env("GCP_SCOPES"),
    },
    "request_timeout": {
        "type": "int",
        "default": READ_TIMEOUT_SECONDS,
        "fallback": _env("GCP_REQUEST_TIMEOUT"),
    },
}


def auth_of_environment() -> dict[str, t.Any]:
    """The options of authentication as a module has them that is given none."""
    found: dict[str, t.Any] = {}
    for name, option in AUTH_ARGS.items():
        found[name] = option.get("default")
        look, names = option["fallback"]
        with contextlib.suppress(AnsibleFallbackNotFound):
            found[name] = look(*names)
    if isinstance(found["scopes"], str):
        found["scopes"] = found["scopes"].split(",")
    return found


WAIT_ARGS: dict[str, dict[str, t.Any]] = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
}

#: For whom a module works: see `_marks.Ownership`.
MARK_ARGS: dict[str, dict[str, t.Any]] = {
    "mark": {
        "type": "dict",
        "options": {
            "site": {"type": "str"},
            "region": {"type": "str"},
            "former_sites": {"type": "list", "elements": "str", "default": []},
            "sharing_sites": {"type": "list", "elements": "str"},
        },
    },
    "adopt": {"type": "list", "elements": "str", "default": []},
    "explicit": {"type": "list", "elements": "str"},
}

STATE_ARG: dict[str, t.Any] = {"type": "str", "choices": ["present", "absent"], "default": "present"}


def table_options(fields: t.Iterable[Field]) -> dict[str, dict[str, t.Any]]:
    """The argument specification that the rows of a table make. A secret row is none: its module fills it from other options."""
    return {
        field.name: _row_option(field)
        for field in fields
        if field.is_option and field.kind is not Kind.SECRET
    }


def _row_option(field: Field) -> dict[str, t.Any]:
    kind = "dict" if field.fields or field.kind is Kind.MAP else field.type
    # Ansible would guess from the name, for instance of a reference to a secret.
    option: dict[str, t.Any] = {"type": kind, "no_log": False}
    if field.is_list:
        option |= {"type": "list", "elements": kind}
    if field.choices:
        option["choices"] = list(field.choices)
    if field.required:
        option["required"] = True
    if field.option_default is not None:
        option["default"] = field.option_default
    if field.fields:
        option["options"] = table_options(field.fields)
    return option


#: What Google accepts as the value of options that many modules have.
SHARED_RULES: t.Mapping[str, Rule] = {
    "project": rules.PROJECT,
    "location": rules.LOCATION,
    "access_token": rules.ACCESS_TOKEN,
    "impersonate_service_account": rules.SERVICE_ACCOUNTS,
    "scopes": rules.SCOPE,
    "service_account_email": rules.METADATA_ACCOUNT,
    "request_timeout": rules.WAIT_SECONDS,
    "wait_timeout": rules.WAIT_SECONDS,
    "mark.site": rules.SITE,
    "mark.region": rules.LOCATION,
    "mark.former_sites": rules.SITE,
    "mark.sharing_sites": rules.SITE,
    "adopt": rules.ADOPTED,
    "explicit": rules.OPTION_NAME,
    "claim_secret": rules.SECRET_ID,
}

_TYPES = {
    "str": "a string",
    "path": "a path",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a dictionary",
    "jsonarg": "JSON",
}


def type_problems(argument_spec: Options, given: Options, prefix: str = "") -> list[str]:
    """What is wrong with options as they were given, before Ansible makes what it can of them: names, types, choices.

    Args:
        argument_spec: the options that there are.
        given: the options that were given.
        prefix: how messages name the option that holds these, with a dot, "" for the options of a module.
    """
    expected = f"one of {', '.join(sorted(argument_spec))}"
    found = []
    for name, value in given.items():
        option = argument_spec.get(name)
        if option is None:
            found.append(unknown(str(name), expected, argument_spec, prefix))
        elif value is not None:
            found += _option_problems(option, value, f"{prefix}{name}")
    return found


def _option_problems(option: Options, value: t.Any, name: str) -> list[str]:
    is_secret = _holds_secrets(option)
    wrong = _type_problem(option["type"], value, name, is_secret=is_secret)
    # Ansible makes a list of words of a string, which are never dictionaries.
    if option.get("elements") == "dict" and not isinstance(value, list):
        wrong = problem(name, value, _TYPES["list"], is_secret=is_secret)
    if wrong:
        return [wrong]
    choices = option.get("choices")
    if choices and value not in choices:
        texts = [str(choice) for choice in choices]
        return [problem(name, value, f"one of {', '.join(texts)}", nearest(str(value), texts))]
    if option["type"] == "dict" and "options" in option and isinstance(value, dict):
        return type_problems(option["options"], value, f"{name}.")
    if "elements" in option and isinstance(value, list):
        item = {key: part for key, part in option.items() if key not in ("elements", "default")}
        return [
            one
            for number, element in enumerate(value)
            for one in _option_problems({**item, "type": option["elements"]}, element, f"{name}[{number}]")
        ]
    return []


def _type_problem(kind: str, value: t.Any, name: str, *, is_secret: bool) -> str | None:
    try:
        # Ansible takes a list for the text that Python writes of it, and digits of any alphabet.
        if kind in ("str", "path") and isinstance(value, dict | list):
            raise TypeError
        if kind in ("int", "float") and not str(value).isascii():
            raise TypeError
        DEFAULT_TYPE_VALIDATORS[kind](value)
    except (TypeError, ValueError):
        return problem(name, value, _TYPES[kind], is_secret=is_secret)
    return None


def _holds_secrets(option: Options) -> bool:
    return bool(option.get("no_log")) or any(
        _holds_secrets(inner) for inner in option.get("options", {}).values()
    )


def mark_problems(argument_spec: Options, params: Options) -> list[str]:
    """What is dropped in silence without a mark, or lacks beside one."""
    if "mark" not in argument_spec:
        return []
    if params["mark"] is None:
        return [
            f"{name} is set: expected mark as well."
            for name in ("adopt", "explicit", "claim_secret")
            if params.get(name)
        ]
    lacks_claim = "claim_secret" in argument_spec and not params["claim_secret"]
    return ["mark is set: expected claim_secret as well."] if lacks_claim else []


def rule_problems(
    params: Options, option_rules: t.Mapping[str, Rule], tables: t.Mapping[str, t.Iterable[Field]]
) -> list[str]:
    """What Google would refuse of options whose names and types are right.

    Args:
        params: the options of a module as Ansible made them.
        option_rules: rules by option, ``users.name`` for an option of each item of a list.
        tables: the rows of the options in which the Ansible shape of a resource stands: "" for a module's own,
            ``jobs`` for each item of that list.
    """
    found = []
    for path, rule in {**SHARED_RULES, **option_rules}.items():
        for name, value in _values(params, path):
            if value is not None and not rule.test(value):
                found.append(problem(name, value, rule.expected, is_secret=rule.is_secret))
    for path, fields in tables.items():
        for prefix, shape in _values(params, path) if path else [("", params)]:
            for field in fields:
                if field.is_option:
                    name = f"{prefix}.{field.name}" if prefix else field.name
                    found += value_problems(field, (shape or {}).get(field.name), name)
    return found


def repeated_problems(items: t.Iterable[Options], name: str) -> list[str]:
    """A message for each name that several items of a list have: they would be one thing that is asked in two ways.

    Args:
        items: the items of an option, each with a name.
        name: the option.
    """
    names = [item["name"] for item in items]
    return [
        problem(f"{name}[{number}].name", one, "a name that no other item of the list has")
        for number, one in enumerate(names)
        if one in names[:number]
    ]


def keep_given(params: Options, given: Options, tables: t.Mapping[str, t.Iterable[Field]]) -> None:
    """Remove from options with suboptions, in place, the None that Ansible puts for each that was left out.

    {} removes what is there, and a dictionary of nothing but None asks for nothing: it must be as it was given.

    Args:
        params: the options of a module as Ansible made them.
        given: the options as they were given.
        tables: as for `rule_problems`.
    """
    for path, fields in tables.items():
        shapes = _values(params, path) if path else [("", t.cast(t.Any, params))]
        originals = dict(_values(given, path)) if path else {"": given}
        for name, shape in shapes:
            original = originals.get(name)
            for field in fields:
                if field.fields and shape and shape.get(field.name) is not None:
                    inner = original.get(field.name) if isinstance(original, dict) else None
                    shape[field.name] = _given_part(shape[field.name], inner)


def _given_part(value: t.Any, given: t.Any) -> t.Any:
    if isinstance(value, dict):
        known = given if isinstance(given, dict) else {}
        return {
            key: _given_part(part, known.get(key))
            for key, part in value.items()
            if part is not None or key in known
        }
    if isinstance(value, list):
        items = given if isinstance(given, list) else [None] * len(value)
        return [_given_part(part, item) for part, item in zip(value, items, strict=True)]
    return value


#: The one auth_kind for which each of these options is of use.
_KINDS = {
    "access_token": "accesstoken",
    "service_account_contents": "serviceaccount",
    "service_account_email": "machineaccount",
    "service_account_file": "serviceaccount",
}


def auth_problems(given: Options, auth_kind: str) -> list[str]:
    """A message for each given option that the kind of authentication would not look at.

    Args:
        given: the options as they were given, without what environment variables say: these may be for other kinds.
        auth_kind: the kind that holds.
    """
    return [
        f"{name} is set: expected auth_kind to be {kind} as well, because it is not looked at when auth_kind is {auth_kind}."
        for name, kind in _KINDS.items()
        if given.get(name) and kind != auth_kind
    ]


def _values(params: t.Any, path: str) -> list[tuple[str, t.Any]]:
    """The values at a path, each with its name; lists on the way are gone through."""
    found: list[tuple[str, t.Any]] = [("", params)]
    for part in path.split("."):
        below = [(f"{name}.{part}".lstrip("."), (value or {}).get(part)) for name, value in found]
        found = [
            item
            for name, value in below
            for item in (
                [(f"{name}[{number}]", one) for number, one in enumerate(value)]
                if isinstance(value, list)
                else [(name, value)]
            )
        ]
    return found
