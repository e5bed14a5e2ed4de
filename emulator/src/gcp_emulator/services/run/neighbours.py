"""What Cloud Run needs of other services, in one place: images, secrets, service accounts, databases, metadata, tokens."""

from __future__ import annotations

import asyncio
import re
from ipaddress import IPv4Network

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.engine.identity import Identity, identity_of
from gcp_emulator.front.server import http_handler
from gcp_emulator.front.tasks import ConnectionHandler
from gcp_emulator.services.artifactregistry.ports import Images
from gcp_emulator.services.compute.ports import Networks
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.metadata.ports import MetadataServers
from gcp_emulator.services.oauth2.ports import IdTokens
from gcp_emulator.services.orgpolicy.ports import Constraints
from gcp_emulator.services.run.names import Name
from gcp_emulator.services.run.samples import Samples
from gcp_emulator.services.secretmanager.ports import Secrets
from gcp_emulator.services.sqladmin.ports import SqlSockets
from gcp_emulator.workloads.build.builder import BuildFailed
from gcp_emulator.workloads.images import Image
from gcp_emulator.workloads.sandbox.process import LogHandler, TcpListener

_SUBNETWORK = re.compile(r"projects/(?P<project>[^/]+)/regions/(?P<region>[^/]+)/subnetworks/[a-z0-9-]+")
#: So many addresses of a subnetwork Cloud Run takes at a time.
_BLOCK = 16
_REFERENCE = re.compile(
    r"(?P<region>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/]+)/(?P<repository>[^/]+)/.+"
)


class Refusal(Exception):  # noqa: N818 - a finding, turned into a condition of the revision or job
    """Why a revision or job cannot run: Google's text and its ``Condition.reason``."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Neighbours:
    """The other services as Cloud Run sees them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._images = context.ports.find(Images)
        self._samples = Samples(context, self._images)
        self._accounts = context.ports.find(Accounts)
        self._id_tokens = context.ports.find(IdTokens)
        self._secrets = context.ports.find(Secrets)
        self._metadata = context.ports.find(MetadataServers)
        self._networks = context.ports.find(Networks)
        self._sql = context.ports.find(SqlSockets)
        self.constraints = context.ports.find(Constraints)

    # ---------------------------------------------------------------- images

    def require_image_access(self, caller: Identity, reference: str) -> None:
        """The deployer must be allowed to read the image (since 2025-01-15, Google's announcement). PERMISSION_DENIED."""
        if self._samples.named(reference):
            return  # everybody may
        if found := _REFERENCE.fullmatch(reference):
            self._context.iam.require(
                caller, "artifactregistry.repositories.downloadArtifacts", _repository(found)
            )

    async def image(self, reference: str, project: str) -> Image:
        """The image behind a reference, pulled by the project's service agent. Raises `Refusal`."""
        if sample := self._samples.named(reference):
            try:
                return await self._samples.image(sample)
            except BuildFailed as error:
                raise Refusal(f"Image '{reference}' not found. ({error})", "CONTAINER_MISSING") from None
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            raise Refusal(f"Image '{reference}' not found.", "CONTAINER_MISSING")
        if found["project"] != project:
            number = self._context.projects.number(project)
            agent = f"service-{number}@serverless-robot-prod.iam.gserviceaccount.com"
            permission = "artifactregistry.repositories.downloadArtifacts"
            if not self._context.iam.allows(identity_of(agent), permission, _repository(found)):
                raise Refusal(
                    f"Google Cloud Run Service Agent {agent} must have permission to read the image, {reference}. Ensure that "
                    "the provided container image URL is correct and that the above account has permission to access the "
                    "image. If you just enabled the Cloud Run API, the permissions might take a few minutes to propagate.",
                    "CONTAINER_PERMISSION_DENIED",
                )
        image = self._images.image(reference)
        if image is None:
            raise Refusal(f"Image '{reference}' not found.", "CONTAINER_MISSING")
        return image

    def held_image(self, digest: str) -> Image:
        """The copy that a revision keeps, also when it is gone from the registry. Raises `Refusal`."""
        image = self._images.kept(digest)
        if image is None:
            raise Refusal(f"Image '{digest}' not found.", "CONTAINER_MISSING")
        return image

    def hold_image(self, digest: str, revision: str) -> None:
        """Keep an image for a revision (Google: Cloud Run imports the image when a revision is made)."""
        self._images.hold(digest, revision)

    def release_image(self, digest: str, revision: str) -> None:
        """Undo `hold_image`, when the revision is deleted."""
        self._images.release(digest, revision)

    # ---------------------------------------------------------------- service accounts

    def default_account(self, project: str) -> str:
        return f"{self._context.projects.number(project)}-compute@developer.gserviceaccount.com"

    def require_act_as(self, caller: Identity, email: str, project: str) -> None:
        """The deployer must be allowed to act as an existing service account; in Google's words else."""
        home = email.partition("@")[2].removesuffix(".iam.gserviceaccount.com")
        owner = self._context.projects.find(home)
        known = owner is None or self._accounts.knows(email, "run")
        resource = f"projects/{owner['projectId'] if owner else project}/serviceAccounts/{email}"
        allowed = self._context.iam.allows(caller, "iam.serviceAccounts.actAs", resource, service="run")
        if not known or not allowed:
            raise ApiError(
                "PERMISSION_DENIED",
                f"Permission 'iam.serviceaccounts.actAs' denied on service account {email} (or it may not exist).",
            )

    def caller(self, credential: str | None, audiences: list[str]) -> Identity | None:
        """Who calls a service: the bearer of an ID token for one of its URLs (Google: "Authenticate service-to-service").
        None without one; an access token is none."""
        scheme, _, token = (credential or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        claims = self._id_tokens.verify_id_token(token.strip())
        if claims is None or claims.get("aud") not in audiences or "email" not in claims:
            return None
        return identity_of(claims["email"])

    async def id_token(self, identity: Identity, audience: str) -> str:
        """An ID token with which ``identity`` calls a service."""
        return await self._id_tokens.id_token(identity, audience)

    # ---------------------------------------------------------------- secrets

    def secret(self, secret: str, version: str, project: str, account: str, field: str) -> bytes:
        """A secret's payload, read as the service account. Raises `Refusal` that names ``field``."""
        name = secret if secret.startswith("projects/") else f"projects/{project}/secrets/{secret}"
        owner = self._context.projects.find(name.split("/")[1])
        if owner is not None:
            name = f"projects/{owner['projectId']}/secrets/{name.split('/')[3]}"
        public = f"projects/{owner['projectNumber'] if owner else name.split('/')[1]}/secrets/{name.split('/')[3]}/versions/{version}"
        if not self._context.iam.allows(identity_of(account), "secretmanager.versions.access", name):
            raise Refusal(
                f"{field}: Permission denied on secret: {public} for Revision service account {account}. The service account "
                "used must be granted the 'Secret Manager Secret Accessor' role (roles/secretmanager.secretAccessor) at the "
                "secret, project or higher level.",
                "SECRETS_ACCESS_CHECK_FAILED",
            )
        try:
            return self._secrets.payload(f"{name}/versions/{version}")
        except ApiError as error:
            why = "was not found" if error.status == "NOT_FOUND" else "is not enabled"
            raise Refusal(f"{field}: Secret {public} {why}.", "SECRETS_ACCESS_CHECK_FAILED") from None

    # ---------------------------------------------------------------- networks

    def network(self, name: Name, template: Json) -> str | None:
        """The network that Direct VPC egress of a template leads into. Raises `Refusal` when it, or the subnetwork, cannot be used.

        Sources: https://cloud.google.com/run/docs/configuring/vpc-direct-vpc (a subnetwork is called like its network unless it is named;
        blocks of 16 addresses are taken from it), https://cloud.google.com/run/docs/configuring/shared-vpc-direct-vpc (the service agent
        needs ``compute.subnetworks.use``), and of the words https://github.com/GoogleCloudPlatform/enterprise-knowledge-solution/pull/172; the others are assumed.
        """
        interface = next(iter(template.get("vpcAccess", {}).get("networkInterfaces", ())), None)
        if interface is None:
            return None
        try:
            self._context.projects.require_enabled(
                name.project, "compute.googleapis.com", "Compute Engine API"
            )
        except ApiError as error:
            raise Refusal(error.message, "VPC_NETWORK_NOT_FOUND") from None
        asked = interface.get("network", "")
        subnetwork = self._path(
            name,
            f"regions/{name.region}/subnetworks",
            interface.get("subnetwork") or asked.rpartition("/")[2],
            asked,
        )
        found = self._usable(name, subnetwork)
        network = self._context.projects.canonical(found["network"].partition("/compute/v1/")[2])
        if asked and network != self._path(name, "global/networks", asked):
            raise Refusal(
                f"Subnetwork '{subnetwork}' does not belong to the network '{asked}'.",
                "VPC_NETWORK_NOT_FOUND",
            )
        if IPv4Network(found["ipCidrRange"]).num_addresses <= _BLOCK:
            raise Refusal(
                f"Instance failed to start because of insufficient free IP addresses in the subnetwork {found['selfLink']} when attempting to "
                "create an address in the subnetwork. Please consider moving to a subnetwork with more available IP addresses.",
                "INTERNAL",
            )
        return network

    def _path(self, name: Name, collection: str, given: str, beside: str = "") -> str:
        """The full path of a network's or subnetwork's name, which is of the project of what is named beside it, or of the own one."""
        path, of = (one.rpartition("/compute/v1/")[2] for one in (given, beside))
        if not path.startswith("projects/"):
            project = of.split("/")[1] if of.startswith("projects/") else name.project
            path = f"projects/{project}/{collection}/{path}"
        return self._context.projects.canonical(path)

    def _usable(self, name: Name, subnetwork: str) -> Json:
        """A subnetwork of the region that Cloud Run's service agent may use."""
        path = _SUBNETWORK.fullmatch(subnetwork)
        project = path["project"] if path else ""
        found = self._networks.find(subnetwork) if self._context.projects.find(project) else None
        if found is None or path is None or path["region"] != name.region:
            raise Refusal(f"VPC subnetwork '{subnetwork}' was not found.", "VPC_NETWORK_NOT_FOUND")
        if project != name.project:
            number = self._context.projects.number(name.project)
            agent = f"service-{number}@serverless-robot-prod.iam.gserviceaccount.com"
            if not self._context.iam.allows(
                identity_of(agent), "compute.subnetworks.use", f"projects/{project}"
            ):
                raise Refusal(
                    f"Permission 'compute.subnetworks.use' denied on '{subnetwork}' for the Cloud Run service agent {agent}. Grant it "
                    "the role 'roles/compute.networkUser'.",
                    "VPC_NETWORK_NOT_FOUND",
                )
        return found

    # ---------------------------------------------------------------- what an instance talks to

    def metadata(self, account: str, project: str, region: str, instance_id: str) -> ConnectionHandler:
        """The metadata server of an instance."""
        identity = identity_of(account)
        return http_handler(self._metadata.server(identity, project, region, instance_id=instance_id))

    def proxy(self) -> ConnectionHandler:
        """Where every other outgoing connection goes: the emulator's own port."""
        return self._context.proxy

    def database(
        self, connection: str, account: str, network: str | None, on_log: LogHandler
    ) -> ConnectionHandler:
        """The Cloud SQL socket of an instance, opened as the service account from a network; a refusal goes to the instance's log."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            identity = identity_of(account)
            if refusal := await self._sql.connect_instance(connection, identity, network, reader, writer):
                on_log("system", refusal)

        return handle

    def private_servers(self, network: str) -> tuple[TcpListener, ...]:
        """The way to each database server that has an address in a network."""
        return tuple(
            TcpListener(one.address, one.port, one.serve) for one in self._sql.private_servers(network)
        )

    def database_socket(self, connection: str) -> str:
        """The path of the Cloud SQL socket of an instance below its folder."""
        return self._sql.socket_path(connection)


def _repository(found: re.Match[str]) -> str:
    return f"projects/{found['project']}/locations/{found['region']}/repositories/{found['repository']}"
