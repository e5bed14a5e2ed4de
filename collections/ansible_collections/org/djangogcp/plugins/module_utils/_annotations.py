# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What is noted in the annotations of a secret: who has claimed what, and which version of a password a user was given."""

from __future__ import annotations

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._client import Client
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import reconcile
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import SECRET
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import Json, decode


def annotations_of(secret: Json | None) -> Json:
    """The annotations of a secret as read; {} of one that is not there."""
    return dict(decode(secret or {}, SECRET.fields)["annotations"])


def note(client: Client, project: str, secret: str, notes: t.Mapping[str, str | None]) -> None:
    """Write annotations beside those that are there; None removes one.

    Raises:
        DjangoGcpError: the secret does not exist.
    """

    def wanted(current: Json | None) -> Json:
        if current is None:
            raise DjangoGcpError(
                f"Failed to note {', '.join(filter(None, notes.values())) or 'what is gone'}: the secret {secret} in project {project} does "
                "not exist. Make it first, for instance with the module org.djangogcp.secretmanager_secrets, or correct its name."
            )
        merged = {**annotations_of(current), **notes}
        return {"annotations": {key: value for key, value in merged.items() if value is not None}}

    reconcile(client, SECRET, {"project": project, "name": secret}, wanted)
