"""What the metadata server of any instance tells: a tree of values, and tokens of the instance's account.

Sources: https://cloud.google.com/run/docs/container-contract#metadata-server,
https://cloud.google.com/compute/docs/metadata/querying-metadata (headers, folders, ``recursive``).
"""

from __future__ import annotations

import json
from typing import Any

from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.identity import CLOUD_PLATFORM, Identity, Tokens
from gcp_emulator.front.messages import Headers, Request, Response
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.oauth2.ports import IdTokens

ROOT = "/computeMetadata/v1"
#: A cached token is handed out until it has this many seconds left.
_RENEW_SECONDS = 300


class AccountTokens:
    """The tokens of one account."""

    def __init__(self, tokens: Tokens, accounts: Accounts, id_tokens: IdTokens, identity: Identity) -> None:
        self._tokens = tokens
        self._accounts = accounts
        self._id_tokens = id_tokens
        self.identity = identity
        self._token: dict[str, str] = {}

    async def answer(self, kind: str, query: dict[str, str]) -> Response | None:
        """The answer to a request for a ``token`` or an ``identity``; None for anything else."""
        if kind == "token":
            return self._access_token(query.get("scopes"))
        if kind == "identity":
            return await self._id_token(query.get("audience"))
        return None

    def _access_token(self, scopes: str | None) -> Response:
        if refusal := self._refusal():
            return refusal
        scope = " ".join(scopes.split(",")) if scopes else CLOUD_PLATFORM
        token = self._token.get(scope, "")
        found = self._tokens.resolve(token)
        if found is None or found[1] < _RENEW_SECONDS:
            token, left = self._tokens.issue(self.identity, scope=scope)
            self._token[scope] = token
        else:
            left = found[1]
        return json_text({"access_token": token, "expires_in": left, "token_type": "Bearer"})

    async def _id_token(self, audience: str | None) -> Response:
        if not audience:
            return text("non-empty audience parameter required\n", 400)
        if refusal := self._refusal():
            return refusal
        return text(await self._id_tokens.id_token(self.identity, audience))

    def _refusal(self) -> Response | None:
        """A deleted or disabled account gets no tokens."""
        try:
            self._accounts.active(self.identity.email)
        except ApiError as error:
            return text(f"{error.message}\n", error.code)
        return None


class InstanceMetadata:
    """Answers from a tree: of dictionaries, which are folders, and values."""

    server = "Metadata Server for Serverless"

    def __init__(self, tokens: AccountTokens | None, tree: dict[str, Any]) -> None:
        """``tokens`` are those of the account ``default``; without an account there are none."""
        self._account = tokens
        self._tree = tree

    async def __call__(self, request: Request) -> Response:
        """One request; the header proves that it was not smuggled in through a proxy or a link."""
        response = await self._answer(request)
        response.headers.set("Metadata-Flavor", "Google")
        response.headers.set("Server", self.server)
        return response

    async def _answer(self, request: Request) -> Response:
        if (request.headers.get("metadata-flavor") or "").lower() != "google":
            return text("Missing Metadata-Flavor:Google header.\n", 403)
        if "x-forwarded-for" in request.headers:
            return text("Metadata is not served to forwarded requests.\n", 403)
        query = dict(request.query_pairs)
        if request.path in ("", "/") and request.method == "GET":
            return text("computeMetadata/\n")
        if not (request.path + "/").startswith(ROOT + "/"):
            return not_found(request.path)
        parts = [part for part in request.path.removeprefix(ROOT).split("/") if part]
        return await self.answer(request, parts, query)

    async def answer(self, request: Request, parts: list[str], query: dict[str, str]) -> Response:
        """The answer to a request for what the path ``parts`` leads to."""
        if request.method != "GET":
            return text("Only GET is answered here.\n", 405)
        if token := await self.token(parts, query, self._tree):
            return token
        return self.node(self._tree, parts, request.path, recursive=is_recursive(query))

    async def token(self, parts: list[str], query: dict[str, str], tree: dict[str, Any]) -> Response | None:
        """The answer to a request for a token of an account in the tree; None for a request for anything else."""
        if len(parts) != 4 or parts[:2] != ["instance", "service-accounts"] or self._account is None:
            return None
        return (
            await self._account.answer(parts[3], query)
            if parts[2] in tree["instance"]["service-accounts"]
            else None
        )

    def node(self, tree: Any, parts: list[str], path: str, *, recursive: bool) -> Response:
        """What the path leads to in the tree."""
        node = find(tree, parts)
        if node is None:
            return not_found(path)
        if isinstance(node, dict) and not path.endswith("/"):
            location = f"http://metadata.google.internal{path}/" + ("?recursive=true" if recursive else "")
            response = text(f"{path}/\n", 301)
            response.headers.set("Location", location)
            return response
        if recursive:
            return json_text(node)
        if isinstance(node, dict):
            extra = "identity\ntoken\n" if "scopes" in node else ""
            names = (name + ("/" if isinstance(child, dict) else "") for name, child in node.items())
            return text("".join(f"{name}\n" for name in names) + extra)
        if isinstance(node, list):
            return text("".join(f"{item}\n" for item in node))
        return text(str(node))


def find(tree: Any, parts: list[str]) -> Any:
    """What a path leads to; None where nothing is."""
    for part in parts:
        if not isinstance(tree, dict) or part not in tree:
            return None
        tree = tree[part]
    return tree


def is_recursive(query: dict[str, str]) -> bool:
    return query.get("recursive", "").lower() == "true"


def text(content: str, status: int = 200) -> Response:
    return Response(status, Headers([("Content-Type", "application/text")]), content.encode())


def json_text(value: Any) -> Response:
    return Response(
        200,
        Headers([("Content-Type", "application/json")]),
        json.dumps(value, separators=(",", ":")).encode(),
    )


def not_found(path: str) -> Response:
    return text(f"The requested URL {path} was not found on this server.\n", 404)
