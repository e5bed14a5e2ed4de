# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Rights that were granted a moment ago and have not taken effect everywhere yet. They are waited out, and only they.

Two things have to come together: Google Cloud itself refuses, in an API's error or in the state of a resource, and what it refuses was
granted here within the last seven minutes (`_granted`). What an application printed is no refusal, whatever it says.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils._client import Client
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    ApiError,
    DjangoGcpError,
    OperationError,
)
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Change
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline, delays

# How Cloud Run refuses a revision, or a task, whose account may not read a secret.
_SECRET_REFUSED = re.compile(
    r"Permission denied on secret: projects/[^/\s]+/secrets/([^/\s]+)/\S+ for Revision service account (\S+@\S+?)\.?(?:\s|$)"
)
# How Cloud Run refuses somebody who may not act as an account, or an account that it does not find.
# Source: https://github.com/google/keyword_factory/issues/22
_ACT_AS_REFUSED = re.compile(
    r"Permission 'iam\.serviceaccounts\.actAs' denied on service account (\S+@\S+) \(or it may not exist\)",
    re.IGNORECASE,
)


# By type of resource, what the roles for it begin with.
_ROLES_OF = {
    "secret": "secretmanager",
    "bucket": "storage",
    "artifact_repository": "artifactregistry",
    "service_account": "iam",
}
_BASIC_ROLES = ("roles/owner", "roles/editor")


class Refusal(t.NamedTuple):
    """What was refused.

    Attributes:
        resource_type: a key of `_ROLES_OF`.
        resource: its name; of a service account the e-mail address.
        account: the e-mail address of the service account that was refused; "" for whoever called.
    """

    resource_type: str
    resource: str
    account: str = ""

    def may_pass(self, change: Change) -> bool:
        """Whether the refusal may end when a change takes effect."""
        if self.account and change.member != f"serviceAccount:{self.account}":
            return False
        if change.resource_type == "project":
            # A role on the project holds for what is in it. What a custom role is for, its name does not tell.
            service = _ROLES_OF[self.resource_type]
            return change.role.startswith((f"roles/{service}.", "projects/", "organizations/", *_BASIC_ROLES))
        return (change.resource_type, change.resource) == (self.resource_type, self.resource)


Made = t.TypeVar("Made")


def once_granted(
    client: Client,
    attempt: t.Callable[[], Made],
    refusal: t.Callable[[DjangoGcpError], Refusal | None],
    *,
    doing: str,
) -> Made:
    """What ``attempt`` returns, attempted again while Google Cloud refuses what was granted less than seven minutes ago.

    Whoever watches is told every 30 seconds.

    Args:
        client: knows what was granted.
        attempt: does the work; whatever it leaves when it fails must not be in its way the next time.
        refusal: what an error refused; None for any other error.
        doing: a verb phrase, for whoever watches.

    Raises:
        DjangoGcpError: of the attempt.
    """
    waiting = Waiting(client, doing)
    while True:
        try:
            return attempt()
        except DjangoGcpError as error:
            refused = refusal(error)
            if refused is None or not waiting.goes_on(refused.may_pass):
                raise


class Waiting:
    """Waits for changes to take effect, from one look to the next.

    Args:
        client: knows what was granted, and has the clock.
        doing: what it is done for: a verb phrase, for whoever watches.
    """

    def __init__(self, client: Client, doing: str) -> None:
        self._client = client
        self._doing = doing
        self._delays = delays(first=0.5, factor=2, longest=10)
        self._waited = Deadline(0, client.clock)

    def goes_on(self, concerns: t.Callable[[Change], bool]) -> bool:
        """Sleep until the next look; False at once when no change that may not have taken effect concerns what is waited for."""
        changes = {
            change: left for change, left in self._client.granted.changes().items() if concerns(change)
        }
        if not changes:
            return False
        waited = self._waited.waited
        if self._client.granted.tells(waited, _progress.EVERY_SECONDS):
            change = max(changes, key=lambda one: changes[one])
            state = f"{change.member.partition(':')[2]} is still refused, {change} a moment ago"
            _progress.tell(_progress.line(self._doing, state, waited, "2 min, at most 7"))
        self._client.clock.sleep(min(next(self._delays), max(changes.values())))
        return True


def refused_by_cloud_run(error: DjangoGcpError) -> Refusal | None:
    """What Cloud Run says, in an API's error or in the state of a resource, that an account or the caller may not do."""
    if isinstance(error, ApiError | OperationError):
        return refused_in(error.message)
    return None


def refused_in(text: str) -> Refusal | None:
    """What Cloud Run's own words refuse. Not for what an application printed."""
    if found := _SECRET_REFUSED.search(text):
        return Refusal("secret", found[1], found[2])
    if found := _ACT_AS_REFUSED.search(text):
        return Refusal("service_account", found[1])
    return None
