# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The options that modules share. Their documentation is in the documentation fragments _auth and _wait."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import AnsibleFallbackNotFound
from ansible_collections.org.djangogcp.plugins.module_utils._client import READ_TIMEOUT_SECONDS


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
        # The second tells whose token it is (project_info); gcloud asks for both when a person logs in.
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

WAIT_ARGS: dict[str, dict[str, t.Any]] = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
}

STATE_ARG: dict[str, t.Any] = {"type": "str", "choices": ["present", "absent"], "default": "present"}
