# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Which predefined role has a permission.

Only one role per family of permissions is named: the narrowest that lets the collection's own roles do their work.
Source: https://cloud.google.com/iam/docs/roles-permissions.
"""

from __future__ import annotations

# The longest prefix that fits decides.
_ROLES = {
    "artifactregistry.": "roles/artifactregistry.admin",
    "cloudbuild.": "roles/cloudbuild.builds.editor",
    "cloudsql.": "roles/cloudsql.admin",
    "compute.": "roles/compute.networkAdmin",
    "compute.firewalls.": "roles/compute.securityAdmin",
    "compute.instances.": "roles/compute.instanceAdmin.v1",
    "compute.instances.osAdminLogin": "roles/compute.osAdminLogin",
    "compute.networks.get": "roles/compute.networkViewer",
    "compute.subnetworks.get": "roles/compute.networkViewer",
    "iap.tunnelInstances.": "roles/iap.tunnelResourceAccessor",
    "iam.serviceAccounts.": "roles/iam.serviceAccountAdmin",
    "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser",
    "iam.serviceAccounts.getAccessToken": "roles/iam.serviceAccountTokenCreator",
    "iam.serviceAccounts.getOpenIdToken": "roles/iam.serviceAccountOpenIdTokenCreator",
    "iam.serviceAccounts.signBlob": "roles/iam.serviceAccountTokenCreator",
    "logging.logEntries.": "roles/logging.viewer",
    "resourcemanager.projects.": "roles/browser",
    "resourcemanager.projects.setIamPolicy": "roles/resourcemanager.projectIamAdmin",
    "resourcemanager.projects.getIamPolicy": "roles/resourcemanager.projectIamAdmin",
    "run.": "roles/run.admin",
    "run.jobs.run": "roles/run.jobsExecutor",
    "run.jobs.runWithOverrides": "roles/run.jobsExecutorWithOverrides",
    "secretmanager.": "roles/secretmanager.admin",
    "secretmanager.versions.access": "roles/secretmanager.secretAccessor",
    "serviceusage.services.": "roles/serviceusage.serviceUsageAdmin",
    "serviceusage.services.use": "roles/serviceusage.serviceUsageConsumer",
    "storage.buckets.": "roles/storage.admin",
    "storage.objects.": "roles/storage.objectAdmin",
}


def role_that_has(permission: str) -> str:
    """The predefined role to propose for a permission, or "" when the collection knows none."""
    fitting = [
        prefix
        for prefix in _ROLES
        if permission == prefix or (prefix[-1] == "." and permission.startswith(prefix))
    ]
    return _ROLES[max(fitting, key=len)] if fitting else ""
