# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Rights that were granted a moment ago and are not in force everywhere yet. They are waited out, and only they."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline, delays

# Source: https://cloud.google.com/iam/docs/access-change-propagation (policies: about two minutes)
_GRANT_SECONDS = 120.0
_SECRETS = "https://secretmanager.googleapis.com/v1"
# How Cloud Run refuses a revision, or a task, whose account may not read a secret.
_SECRET_REFUSED = re.compile(
    r"Permission denied on secret: (projects/[^/\s]+/secrets/[^/\s]+)/\S+ for Revision service account (\S+@\S+?)\.?(?:\s|$)"
)


class Refusal(t.NamedTuple):
    """What an account was refused.

    Attributes:
        account: the e-mail address of the service account.
        resource: what it may not read, in words.
        policy: the address of the resource's IAM policy.
        permission: what reading the policy needs.
    """

    account: str
    resource: str
    policy: str
    permission: str


Made = t.TypeVar("Made")


def once_granted(
    client: Client, attempt: t.Callable[[], Made], refusal: t.Callable[[DjangoGcpError], Refusal | None]
) -> Made:
    """What ``attempt`` returns, attempted again for two minutes while a right is refused that the policy has.

    Args:
        client: reads the policy.
        attempt: does the work; whatever it leaves when it fails must not be in its way the next time.
        refusal: what an error refused to whom; None for any other error.

    Raises:
        DjangoGcpError: of the attempt.
    """
    deadline = Deadline(_GRANT_SECONDS, client.clock)
    for delay in delays(first=0.5, factor=2, longest=10):
        try:
            return attempt()
        except DjangoGcpError as error:
            refused = refusal(error)
            if refused is None or not _is_granted(client, refused) or not deadline.sleep(delay):
                raise
    raise AssertionError("delays() never ends")


def refused_secret(error: DjangoGcpError) -> Refusal | None:
    """What an error says of a secret that an account of Cloud Run may not read."""
    return secret_refused_in(error.message)


def secret_refused_in(text: str) -> Refusal | None:
    """What Cloud Run's words say of a secret that an account may not read. Not for what an application printed."""
    found = _SECRET_REFUSED.search(text)
    if found is None:
        return None
    name, account = found.groups()
    policy = f"{_SECRETS}/{name}:getIamPolicy"
    return Refusal(account, f"secret {name}", policy, "secretmanager.secrets.getIamPolicy")


def _is_granted(client: Client, refused: Refusal) -> bool:
    """Whether the resource's policy names the account. Not when nobody can tell: the refusal is what has to be told then."""
    call = Call(f"read the IAM policy of {refused.resource}", refused.permission)
    try:
        bindings = client.get(refused.policy, call).get("bindings", [])
    except DjangoGcpError:
        return False
    return any(f"serviceAccount:{refused.account}" in binding.get("members", []) for binding in bindings)
