"""The metadata server: what a running instance is told about itself, and its tokens.

Sources: https://cloud.google.com/run/docs/container-contract#metadata-server,
https://cloud.google.com/compute/docs/metadata/querying-metadata (headers, folders, ``recursive``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.identity import CLOUD_PLATFORM, Identity, Tokens, identity_of
from gcp_emulator.engine.routes import Route
from gcp_emulator.engine.service import Service
from gcp_emulator.front.http import Answer
from gcp_emulator.front.messages import Headers, Request, Response
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.metadata.ports import MetadataServers
from gcp_emulator.services.oauth2.ports import IdTokens

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

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._accounts = context.ports.find(Accounts)
        self._id_tokens = context.ports.find(IdTokens)
        context.ports.offer(MetadataServers, self)
        self._answer: Answer | None = None

    def serve_as(self, email: str, project: str, region: str) -> None:
        """Answers from now on as the metadata server of an instance that runs as the service account ``email``."""
        self._answer = self.server(identity_of(email), project, region, instance_id=clock.new_id())

    def server(
        self, identity: Identity, project: str, region: str, *, instance_id: str, zone: str | None = None
    ) -> Answer:
        """See `MetadataServers`."""
        number = self.context.projects.number(project)
        account = {"aliases": ["default"], "email": identity.email, "scopes": [CLOUD_PLATFORM]}
        tree = {
            "instance": {
                "id": instance_id,
                "region": f"projects/{number}/regions/{region}",
                "service-accounts": {"default": account, identity.email: account},
                "zone": f"projects/{number}/zones/{zone or f'{region}-1'}",
            },
            "project": {"numeric-project-id": int(number), "project-id": project},
        }
        return _InstanceMetadata(self.context.tokens, self._accounts, self._id_tokens, identity, tree)

    def routes(self) -> Iterable[Route]:
        return [Route(host, serve=self.serve) for host in HOSTS]

    async def serve(self, request: Request) -> Response:
        """Answers at the emulator's port as the instance that the seed names."""
        if self._answer is not None:
            return await self._answer(request)
        return Response(404, Headers([("Content-Type", "text/plain")]), b"no metadata server on this side\n")


class _InstanceMetadata:
    def __init__(
        self,
        tokens: Tokens,
        accounts: Accounts,
        id_tokens: IdTokens,
        identity: Identity,
        tree: dict[str, Any],
    ) -> None:
        self._tokens = tokens
        self._accounts = accounts
        self._id_tokens = id_tokens
        self._identity = identity
        self._tree = tree
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
        found = self._tokens.resolve(token)
        if found is None or found[1] < _RENEW_SECONDS:
            token, left = self._tokens.issue(self._identity, scope=scope)
            self._token[scope] = token
        else:
            left = found[1]
        return _json({"access_token": token, "expires_in": left, "token_type": "Bearer"})

    async def _id_token(self, audience: str | None) -> Response:
        if not audience:
            return _text("non-empty audience parameter required\n", 400)
        if refusal := self._refusal():
            return refusal
        return _text(await self._id_tokens.id_token(self._identity, audience))

    def _refusal(self) -> Response | None:
        """A deleted or disabled account gets no tokens."""
        try:
            self._accounts.active(self._identity.email)
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
