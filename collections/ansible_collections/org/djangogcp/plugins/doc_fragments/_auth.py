# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this fragment may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  project:
    description:
      - The id of the Google Cloud project.
      - If not set, the first of the environment variables E(GCP_PROJECT), E(GOOGLE_CLOUD_PROJECT),
        E(CLOUDSDK_CORE_PROJECT) and E(GCE_PROJECT) that is not empty is used.
    type: str
    required: true
  auth_kind:
    description:
      - Where the credentials come from.
      - V(application) are Application Default Credentials, which cover workload identity federation, the metadata server
        and C(gcloud auth application-default login).
      - V(serviceaccount) is a service account key, V(machineaccount) the metadata server of the machine and V(accesstoken)
        a token that was made elsewhere.
      - If not set, the environment variable E(GCP_AUTH_KIND) is used.
    type: str
    choices:
      - application
      - serviceaccount
      - machineaccount
      - accesstoken
    default: application
  service_account_file:
    description:
      - The path of a service account key file, for O(auth_kind=serviceaccount).
      - If not set, the environment variables E(GCP_SERVICE_ACCOUNT_FILE) and E(GCE_CREDENTIALS_FILE_PATH) are used.
    type: path
  service_account_contents:
    description:
      - The content of a service account key file, as JSON text or a dictionary, for O(auth_kind=serviceaccount).
      - If not set, the environment variable E(GCP_SERVICE_ACCOUNT_CONTENTS) is used.
    type: jsonarg
  service_account_email:
    description:
      - Which service account of the machine is used, for O(auth_kind=machineaccount). The machine's default one if not set.
      - If not set, the environment variable E(GCP_SERVICE_ACCOUNT_EMAIL) is used.
    type: str
  access_token:
    description:
      - An OAuth 2.0 access token, for O(auth_kind=accesstoken).
      - If not set, the environment variable E(GCP_ACCESS_TOKEN) is used.
    type: str
  impersonate_service_account:
    description:
      - The e-mail address of a service account that the credentials act as. They need
        C(roles/iam.serviceAccountTokenCreator) on it.
      - Of several with commas between them, as gcloud takes them, the last one acts; each needs that role on the next.
      - If not set, the environment variable E(CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT) is used, as gcloud does.
    type: str
  scopes:
    description:
      - The OAuth 2.0 scopes of the access token.
    type: list
    elements: str
    default:
      - https://www.googleapis.com/auth/cloud-platform
      - https://www.googleapis.com/auth/userinfo.email
  request_timeout:
    description:
      - After so many seconds without an answer a request counts as lost. It is sent again where that does no harm, for at most
        three minutes in all.
      - If not set, the environment variable E(GCP_REQUEST_TIMEOUT) is used.
    type: int
    default: 75
requirements:
  - requests
  - google-auth
notes:
  - Requests honour E(HTTPS_PROXY), E(NO_PROXY), E(REQUESTS_CA_BUNDLE) and E(CURL_CA_BUNDLE).
  - An access token is kept for its life of at most one hour in a directory that only the user can read,
    below E(XDG_RUNTIME_DIR) or else the directory for temporary files, so that the tasks of a run share it.
"""
