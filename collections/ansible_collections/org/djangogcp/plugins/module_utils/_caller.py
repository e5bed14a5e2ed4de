# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Who the credentials belong to."""

from __future__ import annotations

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import AuthError

# oauth2:v2, userinfo.get; needs the scope userinfo.email.
_USER_INFO = "https://www.googleapis.com/oauth2/v2/userinfo"


def caller_of(email: str) -> Json:
    """How IAM and Cloud SQL call an account.

    Source: Cloud SQL documentation, "IAM authentication": the database user of a service account is its address
    without ``.gserviceaccount.com``.
    """
    if email.endswith(".gserviceaccount.com"):
        return {
            "email": email,
            "member": f"serviceAccount:{email}",
            "database_user": email.removesuffix(".gserviceaccount.com"),
            "database_user_type": "CLOUD_IAM_SERVICE_ACCOUNT",
        }
    return {
        "email": email,
        "member": f"user:{email}",
        "database_user": email.lower(),
        "database_user_type": "CLOUD_IAM_USER",
    }


def find_caller(client: Client) -> Json:
    """Ask Google whose token it is."""
    answer = client.get(_USER_INFO, Call("ask who is calling"))
    email = str(answer.get("email", ""))
    if not email:
        raise AuthError(
            "Failed to ask who is calling: the credentials do not tell an e-mail address. Log in with "
            "gcloud auth application-default login --scopes=openid,email,https://www.googleapis.com/auth/cloud-platform, "
            "or impersonate a service account."
        )
    return caller_of(email)
