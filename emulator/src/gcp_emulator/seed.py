"""What is there before anybody calls: projects, their first grants, and the people who may sign in.

A seed is a YAML file::

    organizations:                              # without these, whatever organisation is named is there, for everybody
      - id: "123456789012"
        domain: example.com
        bindings: [{role: roles/resourcemanager.organizationAdmin, members: ["user:someone@example.com"]}]
        org_policies:                           # of folders and projects, too: enforced, the values that are allowed, or a `spec`
          storage.publicAccessPrevention: true
          gcp.resourceLocations: [in:europe-west1-locations]
        folders:                                # which may have bindings and folders of their own
          - {id: "345678901234", name: Sites}
    billing_accounts:
      - {id: 012345-6789AB-CDEF01, bindings: [{role: roles/billing.admin, members: ["user:someone@example.com"]}]}
    projects:
      - id: my-project
        parent: folders/345678901234
        apis: [sqladmin.googleapis.com]         # enabled, besides those that Google enables
        service_accounts: [my-site]             # my-site@my-project.iam.gserviceaccount.com
        bindings:                               # who may do what, on the project
          - {role: roles/owner, members: ["user:someone@example.com"]}
        restricted_builds: true                 # only where every project may build, as Google Cloud does to new ones
        quotas:                                 # of requests in a minute, where they are not the default: by the limit's id
          sqladmin.googleapis.com: {defaultPerMinutePerUser: 60}
        networks:                               # each with a subnetwork of its name, and private services access in a range
          - {name: sites, region: us-central1, range: 10.8.0.0/24, private_services_access: 10.16.0.0/20}
        instances:                              # of Cloud SQL, as in sql.instances.insert, of servers that others run
          - server: db:5432
            body: {name: main, region: us-central1, databaseVersion: POSTGRES_17, settings: {tier: db-f1-micro}}
    users: [someone@example.com]                # each gets Application Default Credentials below STATE/credentials/
    metadata:                                   # whoever asks for the metadata server is an instance of this account
      {project: my-project, region: us-central1, service_account: my-site@my-project.iam.gserviceaccount.com}
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

import yaml

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.facts import apis, load_facts
from gcp_emulator.services.cloudbuild.ports import BuildLocations
from gcp_emulator.services.cloudresourcemanager.ports import Hierarchy
from gcp_emulator.services.compute.ports import Networks
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.metadata.ports import MetadataServers
from gcp_emulator.services.oauth2.ports import Logins
from gcp_emulator.services.orgpolicy.ports import Constraints
from gcp_emulator.services.servicenetworking.ports import Connections
from gcp_emulator.services.sqladmin.ports import Attachments

#: The client that `gcloud auth application-default login` writes; any value is accepted.
_CLIENT_ID = "emulator.apps.googleusercontent.com"
_KEYS = frozenset({"organizations", "billing_accounts", "projects", "users", "metadata"})


class SeedError(Exception):
    """The seed file is not of the form that the module's docstring shows."""


def apply(context: Context, path: Path) -> None:
    """Adds what the seed names and the store does not have yet; never takes anything away."""
    try:
        seed: Any = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SeedError(f"{path}: {error}") from None
    if not isinstance(seed, dict) or set(seed) - _KEYS:
        raise SeedError(
            f"{path}: the top level must hold {', '.join(f'`{key}`' for key in sorted(_KEYS))} only"
        )
    for organization in seed.get("organizations", []):
        _declare(context, f"organizations/{organization['id']}", organization, organization.get("domain"))
    for account in seed.get("billing_accounts", []):
        _declare(context, f"billingAccounts/{account['id']}", account, account.get("name"))
    for project in seed.get("projects", []):
        if context.projects.find(project["id"]) is None:
            _make_project(context, project)
        _set_policies(context, f"projects/{project['id']}", project)
        if project.get("restricted_builds"):
            context.ports.find(BuildLocations).restrict(project["id"])
        _put_into(context, path, project)
    for email in seed.get("users", []):
        _write_credentials(context, email, credentials_path(context.state, email))
    if workload := seed.get("metadata"):
        context.ports.find(MetadataServers).serve_as(
            workload["service_account"], workload["project"], workload["region"]
        )


def _put_into(context: Context, path: Path, project: dict[str, Any]) -> None:
    """What is in a project that is there. SeedError for what the services refuse."""
    for host, limits in project.get("quotas", {}).items():
        _limit(context, path, project["id"], host, limits)
    for network in project.get("networks", []):
        _make_network(context, project["id"], network)
    for instance in project.get("instances", []):
        host, _, port = instance["server"].rpartition(":")
        try:
            context.ports.find(Attachments).attach(project["id"], instance["body"], host, int(port))
        except ApiError as error:
            raise SeedError(f"{path}: the instance of {instance['server']}: {error.message}") from None


def _limit(context: Context, path: Path, project: str, host: str, limits: dict[str, int]) -> None:
    """A project's own limits of the API ``host``."""
    api = host.removesuffix(".googleapis.com")
    known = {quota.limit_id for quota in load_facts(api).quotas} if api in apis() else set()
    for limit_id, value in limits.items():
        if limit_id not in known:
            raise SeedError(
                f"{path}: {host} has no limit {limit_id}: expected {' or '.join(sorted(known)) or 'none'}"
            )
        context.quotas.limit(context.projects.number(project), host, limit_id, value)


def _declare(
    context: Context, name: str, fields: dict[str, Any], display_name: str | None, parent: str | None = None
) -> None:
    hierarchy = context.ports.find(Hierarchy)
    if not hierarchy.is_declared(name):
        hierarchy.declare(name, display_name or "", parent)
        _bind(context, name, fields)
    _set_policies(context, name, fields)
    for folder in fields.get("folders", []):
        _declare(context, f"folders/{folder['id']}", folder, folder.get("name"), name)


def _bind(context: Context, name: str, fields: dict[str, Any]) -> None:
    for binding in fields.get("bindings", []):
        for member in binding["members"]:
            context.iam.add_binding(name, binding["role"], member)


def _set_policies(context: Context, name: str, fields: dict[str, Any]) -> None:
    for constraint, policy in fields.get("org_policies", {}).items():
        try:
            context.ports.find(Constraints).declare(name, constraint, _spec(policy))
        except ValueError as error:
            raise SeedError(f"org_policies of {name}: {error}") from None


def _make_project(context: Context, project: dict[str, Any]) -> None:
    context.projects.create(project["id"], display_name=project.get("name"), created=clock.timestamp())
    for api in project.get("apis", []):
        context.projects.set_enabled(project["id"], api, enabled=True)
    for account in project.get("service_accounts", []):
        context.ports.find(Accounts).create(project["id"], account)
    if parent := project.get("parent"):
        context.ports.find(Hierarchy).put_under(project["id"], parent)
    _bind(context, f"projects/{project['id']}", project)


def _make_network(context: Context, project: str, fields: dict[str, Any]) -> None:
    networks = context.ports.find(Networks)
    path = networks.declare(project, fields["name"], fields["region"], fields["range"])
    if services := fields.get("private_services_access"):
        reserved = f"google-managed-services-{fields['name']}"
        networks.reserve(path, reserved, services)
        if not context.ports.find(Connections).ranges(path):
            context.ports.find(Connections).connect(path, [reserved])


def _spec(policy: bool | list[str] | dict[str, Any]) -> dict[str, Any]:
    if isinstance(policy, bool):
        return {"rules": [{"enforce": policy}]}
    return {"rules": [{"values": {"allowedValues": policy}}]} if isinstance(policy, list) else policy


def credentials_path(state: Path, email: str) -> Path:
    """Where the Application Default Credentials of a seeded user are."""
    return state / "credentials" / f"{email}.json"


def _write_credentials(context: Context, email: str, path: Path) -> None:
    """Credentials of the kind that `gcloud auth application-default login` makes (authorized_user)."""
    if path.exists():
        return
    token = context.ports.find(Logins).refresh_token(email)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = {
        "type": "authorized_user",
        "client_id": _CLIENT_ID,
        "client_secret": secrets.token_urlsafe(16),
        "refresh_token": token,
        "account": email,
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
