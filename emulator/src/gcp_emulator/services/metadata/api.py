"""The metadata server: what a running instance is told about itself, and its tokens.

Sources: https://cloud.google.com/run/docs/container-contract#metadata-server,
https://cloud.google.com/compute/docs/metadata/querying-metadata (headers, folders, ``recursive``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.identity import CLOUD_PLATFORM, Identity, identity_of
from gcp_emulator.engine.service import Service
from gcp_emulator.front.http import Answer
from gcp_emulator.front.messages import Headers, Request, Response
from gcp_emulator.services.iam.api import IamApi
from gcp_emulator.services.oauth2.api import OAuth

if TYPE_CHECKING:
    from gcp_emulator.app import Emulator

HOSTS = ("metadata.google.internal", "169.254.169.254", "metadata")
_ROOT = "/computeMetadata/v1"
#: A cached token is handed out until it has this many seconds left.
_RENEW_SECONDS = 300


class Metadata(Service):
    """On the operator's side of the port there is no metadata server: a laptop has none.

    Unless the seed names a service account for whoever asks, as in a network of containers that stand for one instance.
    Clients find it by ``GCE_METADATA_HOST`` and ``GCE_METADATA_IP``.
    """

    api = "metadata"
    versions = ()

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self._answer: Answer | None = None

    def serve_as(self, email: str, project: str, region: str) -> None:
        """Answers from now on as the metadata server of an instance that runs as the service account ``email``."""
        identity = identity_of(email)
        self._answer = metadata_answer(self.emulator, identity, project, region, instance_id=clock.new_id())

    def owns(self, host: str, path: str) -> bool:
        return host in HOSTS

    async def serve(self, request: Request) -> Response:
        if self._answer is not None:
            return await self._answer(request)
        return Response(404, Headers([("Content-Type", "text/plain")]), b"no metadata server on this side\n")


def metadata_answer(
    emulator: Emulator,
    identity: Identity,
    project: str,
    region: str,
    *,
    instance_id: str,
    zone: str | None = None,
) -> Answer:
    """Answers the requests of one instance (see ``front.server.http_handler``).

    ``identity`` is the service account that the instance runs as, ``project`` a project id, ``region`` as in
    ``us-central1``; ``zone`` defaults to ``REGION-1``, which Cloud Run reports.
    """
    return _InstanceMetadata(emulator, identity, project, region, instance_id, zone or f"{region}-1")


class _InstanceMetadata:
    def __init__(
        self, emulator: Emulator, identity: Identity, project: str, region: str, instance_id: str, zone: str
    ) -> None:
        self._emulator = emulator
        self._identity = identity
        number = emulator.projects.number(project)
        account = {"aliases": ["default"], "email": identity.email, "scopes": [CLOUD_PLATFORM]}
        self._tree: dict[str, Any] = {
            "instance": {
                "id": instance_id,
                "region": f"projects/{number}/regions/{region}",
                "service-accounts": {"default": account, identity.email: account},
                "zone": f"projects/{number}/zones/{zone}",
            },
            "project": {"numeric-project-id": int(number), "project-id": project},
        }
        self._token: dict[str, str] = {}

    async def __call__(self, request: Request) -> Response:
        """One request; the header proves that it was not smuggled in through a proxy or a link."""
        if (request.headers.get("metadata-flavor") or "").lower() != "google":
            return _text("Missing Metadata-Flavor:Google header.\n", 403)
        if "x-forwarded-for" in request.headers:
            return _text("Metadata is not served to forwarded requests.\n", 403)
        if request.method != "GET":
            return _text("Only GET is answered here.\n", 405)
        query = dict(request.query_pairs)
        if request.path in ("", "/"):
            return _text("computeMetadata/\n")
        if not (request.path + "/").startswith(_ROOT + "/"):
            return _not_found(request.path)
        parts = [part for part in request.path.removeprefix(_ROOT).split("/") if part]
        if len(parts) == 4 and parts[:2] == ["instance", "service-accounts"]:
            if parts[2] not in self._tree["instance"]["service-accounts"]:
                return _not_found(request.path)
            if parts[3] == "token":
                return self._access_token(query.get("scopes"))
            if parts[3] == "identity":
                return await self._id_token(query.get("audience"))
        return self._node(parts, request.path, recursive=query.get("recursive", "").lower() == "true")

    def _node(self, parts: list[str], path: str, *, recursive: bool) -> Response:
        node: Any = self._tree
        for part in parts:
            if not isinstance(node, dict) or part not in node:
                return _not_found(path)
            node = node[part]
        if isinstance(node, dict) and not path.endswith("/"):
            location = f"http://metadata.google.internal{path}/" + ("?recursive=true" if recursive else "")
            response = _text(f"{path}/\n", 301)
            response.headers.set("Location", location)
            return response
        if recursive:
            return _json(node)
        if isinstance(node, dict):
            extra = "identity\ntoken\n" if "scopes" in node else ""
            names = (name + ("/" if isinstance(child, dict) else "") for name, child in node.items())
            return _text("".join(f"{name}\n" for name in names) + extra)
        if isinstance(node, list):
            return _text("".join(f"{item}\n" for item in node))
        return _text(str(node))

    def _access_token(self, scopes: str | None) -> Response:
        if refusal := self._refusal():
            return refusal
        scope = " ".join(scopes.split(",")) if scopes else CLOUD_PLATFORM
        token = self._token.get(scope, "")
        found = self._emulator.tokens.resolve(token)
        if found is None or found[1] < _RENEW_SECONDS:
            token, left = self._emulator.tokens.issue(self._identity, scope=scope)
            self._token[scope] = token
        else:
            left = found[1]
        return _json({"access_token": token, "expires_in": left, "token_type": "Bearer"})

    async def _id_token(self, audience: str | None) -> Response:
        if not audience:
            return _text("non-empty audience parameter required\n", 400)
        if refusal := self._refusal():
            return refusal
        return _text(await self._emulator.service(OAuth).id_token(self._identity, audience))

    def _refusal(self) -> Response | None:
        """A deleted or disabled account gets no tokens."""
        accounts = self._emulator.service(IamApi).accounts
        try:
            accounts.active(self._identity.email)
        except ApiError as error:
            return _text(f"{error.message}\n", error.code)
        return None


def _text(text: str, status: int = 200) -> Response:
    return Response(status, _headers("application/text"), text.encode())


def _json(value: Any) -> Response:
    return Response(200, _headers("application/json"), json.dumps(value, separators=(",", ":")).encode())


def _headers(content_type: str) -> Headers:
    return Headers(
        [
            ("Content-Type", content_type),
            ("Metadata-Flavor", "Google"),
            ("Server", "Metadata Server for Serverless"),
        ]
    )


def _not_found(path: str) -> Response:
    return _text(f"The requested URL {path} was not found on this server.\n", 404)
