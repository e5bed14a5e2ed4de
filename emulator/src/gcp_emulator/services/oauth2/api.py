"""Google's OAuth 2.0 endpoints: tokens for users and service accounts, what a token says, revocation, certificates.

Sources: https://developers.google.com/identity/protocols/oauth2/web-server (refresh, revoke),
https://developers.google.com/identity/protocols/oauth2/service-account (JWT grant and its errors),
https://developers.google.com/identity/openid-connect/openid-connect (ID tokens, tokeninfo, userinfo).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, unquote

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.engine.identity import CLOUD_PLATFORM, Identity, identity_of
from gcp_emulator.engine.jwt import Jwt, PublicKey, decode_jwt, encode_jwt
from gcp_emulator.engine.routes import Route
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.engine.validate import parse_json
from gcp_emulator.front.messages import Request, Response, json_response, text_response
from gcp_emulator.services.iam.ports import GOOGLE, Accounts
from gcp_emulator.services.oauth2.ports import IdTokens, Logins

ISSUER = "https://accounts.google.com"
_AUDIENCES = frozenset(
    {
        "https://oauth2.googleapis.com/token",
        "https://accounts.google.com/o/oauth2/token",
        "https://www.googleapis.com/oauth2/v4/token",
    }
)
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_USER_SCOPES = f"openid https://www.googleapis.com/auth/userinfo.email {CLOUD_PLATFORM}"
#: Google refuses assertions that live longer, and allows clocks to differ.
_ASSERTION_SECONDS = 3600
_SKEW_SECONDS = 300
_ID_TOKEN_SECONDS = 3600
_X509_PREFIXES = ("/robot/v1/metadata/x509/", "/service_accounts/v1/metadata/x509/")
_JWK_PREFIXES = ("/robot/v1/metadata/jwk/", "/service_accounts/v1/metadata/jwk/")


class OAuthError(Exception):
    """An error in the form of https://www.rfc-editor.org/rfc/rfc6749#section-5.2."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


class OAuth(Service):
    """The token endpoint and what belongs to it."""

    api = "oauth2"
    versions = ("v2",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._accounts = context.ports.find(Accounts)
        context.ports.offer(IdTokens, self)
        context.ports.offer(Logins, self)
        self._refresh_tokens = context.store.collection("oauth.refreshTokens")
        self._routes = {
            ("POST", "oauth2.googleapis.com", "/token"): self._token,
            ("POST", "accounts.google.com", "/o/oauth2/token"): self._token,
            ("POST", "www.googleapis.com", "/oauth2/v4/token"): self._token,
            ("POST", "oauth2.googleapis.com", "/revoke"): self._revoke,
            ("POST", "accounts.google.com", "/o/oauth2/revoke"): self._revoke,
            ("GET", "oauth2.googleapis.com", "/tokeninfo"): self._token_info,
            ("POST", "oauth2.googleapis.com", "/tokeninfo"): self._token_info,
            ("GET", "www.googleapis.com", "/oauth2/v3/tokeninfo"): self._token_info,
            ("POST", "www.googleapis.com", "/oauth2/v3/tokeninfo"): self._token_info,
            ("GET", "www.googleapis.com", "/oauth2/v1/tokeninfo"): self._old_token_info,
            ("POST", "www.googleapis.com", "/oauth2/v1/tokeninfo"): self._old_token_info,
            ("POST", "www.googleapis.com", "/oauth2/v2/tokeninfo"): self._old_token_info,
            ("GET", "www.googleapis.com", "/oauth2/v1/userinfo"): self._old_user_info,
            ("GET", "www.googleapis.com", "/oauth2/v3/userinfo"): self._user_info,
            ("GET", "openidconnect.googleapis.com", "/v1/userinfo"): self._user_info,
            ("GET", "www.googleapis.com", "/oauth2/v1/certs"): self._certificates,
            ("GET", "www.googleapis.com", "/oauth2/v3/certs"): self._jwks,
        }

    def refresh_token(self, email: str) -> str:
        """A new refresh token of ``email``, as `gcloud auth application-default login` gets one."""
        token = "1//" + secrets.token_urlsafe(32)
        self._refresh_tokens.put(token, {"email": email})
        return token

    async def id_token(self, identity: Identity, audience: str, *, email: bool = True) -> str:
        """An ID token of ``identity`` for ``audience``, signed by Google's key of this emulator."""
        now = int(time.time())
        subject = self._accounts.unique_id(identity)
        claims: Json = {
            "iss": ISSUER,
            "aud": audience,
            "azp": subject,
            "sub": subject,
            "iat": now,
            "exp": now + _ID_TOKEN_SECONDS,
        }
        if email:
            claims |= {"email": identity.email, "email_verified": True}
        return encode_jwt(claims, await self._accounts.signing_key(GOOGLE))

    def verify_id_token(self, token: str, audience: str | None = None) -> Json | None:
        """The claims of an ID token that Google signed, not expired and (when given) for ``audience``; else None."""
        try:
            jwt = decode_jwt(token)
        except ValueError:
            return None
        signed = any(jwt.is_signed_by(public.key) for public in self._accounts.public_keys(GOOGLE))
        if not signed or jwt.claims.get("exp", 0) <= time.time():
            return None
        return jwt.claims if audience is None or jwt.claims.get("aud") == audience else None

    def routes(self) -> Iterable[Route]:
        """Their methods have names of our own, ``oauth2.token``, ``oauth2.certs`` ...: no discovery document has these."""
        for host, path in sorted({(host, path) for _, host, path in self._routes}):
            yield Route(host, path, self._serve, "oauth2." + path.rpartition("/")[2])
        for prefix in _X509_PREFIXES + _JWK_PREFIXES:
            yield Route("www.googleapis.com", f"{prefix}*", self._serve_account_keys, "oauth2.certs")

    async def _serve(self, request: Request) -> Response:
        try:
            route = self._routes.get((request.method, request.host, request.path))
            if route is None:
                raise OAuthError("invalid_request", f"Method {request.method} is not allowed.", status=405)
            return await route(request)
        except OAuthError as error:
            body = {"error": error.error, "error_description": error.description}
            return json_response(body, status=error.status)

    @handles("oauth2.userinfo.get", "oauth2.userinfo.v2.me.get")
    async def user_info_v2(self, call: Call) -> Json:
        return self._profile(call.caller)

    async def _token(self, request: Request) -> Response:
        form = await _form(request)
        grant = _required(form, "grant_type")
        if grant == "refresh_token":
            return await self._refresh(form)
        if grant == _JWT_GRANT:
            return await self._jwt_grant(_required(form, "assertion"))
        raise OAuthError("unsupported_grant_type", f"Invalid grant_type: {grant}")

    async def _refresh(self, form: dict[str, str]) -> Response:
        record = self._refresh_tokens.get(_required(form, "refresh_token"))
        _required(form, "client_id")
        if record is None:
            raise OAuthError("invalid_grant", "Token has been expired or revoked.")
        identity = identity_of(record["email"])
        scope = form.get("scope") or _USER_SCOPES
        token, seconds = self.context.tokens.issue(identity, scope=scope)
        id_token = await self.id_token(identity, form["client_id"])
        return json_response(
            {
                "access_token": token,
                "expires_in": seconds - 1,
                "scope": scope,
                "token_type": "Bearer",
                "id_token": id_token,
            }
        )

    async def _jwt_grant(self, assertion: str) -> Response:
        try:
            jwt = decode_jwt(assertion)
        except ValueError:
            raise OAuthError("invalid_grant", "Invalid JWT: malformed assertion.") from None
        email = str(jwt.claims.get("iss", ""))
        account = self._accounts.find(email)
        if account is None:
            raise OAuthError("invalid_grant", "Invalid grant: account not found")
        self._check_assertion(jwt, account)
        if account.get("disabled"):
            raise OAuthError("invalid_grant", "Invalid grant: account disabled")
        identity = identity_of(account["email"])
        if audience := jwt.claims.get("target_audience"):
            return json_response({"id_token": await self.id_token(identity, audience)})
        scope = jwt.claims.get("scope")
        if not scope:
            raise OAuthError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        if jwt.claims.get("sub", email) not in (email, account["uniqueId"]):
            raise OAuthError(
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method, or client not authorized "
                "for any of the scopes requested.",
                status=401,
            )
        token, seconds = self.context.tokens.issue(identity, scope=scope)
        return json_response({"access_token": token, "expires_in": seconds - 1, "token_type": "Bearer"})

    def _check_assertion(self, jwt: Jwt, account: Json) -> None:
        keys = self._accounts.public_keys(account["name"])
        if not any(jwt.is_signed_by(public.key) for public in keys):
            raise OAuthError("invalid_grant", "Invalid JWT Signature.")
        if jwt.claims.get("aud") not in _AUDIENCES:
            raise OAuthError(
                "invalid_grant",
                "Invalid JWT: Failed audience check. The right audience is https://oauth2.googleapis.com/token",
            )
        now, issued, expires = time.time(), jwt.claims.get("iat"), jwt.claims.get("exp")
        if (
            not isinstance(issued, (int, float))
            or not isinstance(expires, (int, float))
            or issued > now + _SKEW_SECONDS
            or expires <= now - _SKEW_SECONDS
            or expires - issued > _ASSERTION_SECONDS
        ):
            raise OAuthError(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
                "Check your iat and exp values in the JWT claim.",
            )

    async def _revoke(self, request: Request) -> Response:
        token = _required(await _form(request), "token")
        if not (self.context.tokens.revoke(token) or self._refresh_tokens.delete(token)):
            raise OAuthError("invalid_token", "Token expired or revoked")
        return json_response({})

    async def _token_info(self, request: Request) -> Response:
        form = await _form(request)
        if id_token := form.get("id_token"):
            claims = self.verify_id_token(id_token)
            if claims is None:
                raise OAuthError("invalid_token", "Invalid Value")
            header = decode_jwt(id_token).header
            return json_response({key: _text(value) for key, value in (claims | header).items()})
        identity, seconds, scope = self._resolve(form)
        subject = self._accounts.unique_id(identity)
        return json_response(
            {
                "azp": subject,
                "aud": subject,
                "sub": subject,
                "scope": scope,
                "exp": str(int(time.time()) + seconds),
                "expires_in": str(seconds),
                "email": identity.email,
                "email_verified": "true",
                "access_type": "online",
            }
        )

    async def _old_token_info(self, request: Request) -> Response:
        identity, seconds, scope = self._resolve(await _form(request))
        subject = self._accounts.unique_id(identity)
        return json_response(
            {
                "issued_to": subject,
                "audience": subject,
                "user_id": subject,
                "scope": scope,
                "expires_in": seconds,
                "email": identity.email,
                "verified_email": True,
                "access_type": "online",
            }
        )

    def _resolve(self, form: dict[str, str]) -> tuple[Identity, int, str]:
        token = form.get("access_token", "")
        found = self.context.tokens.resolve(token)
        if found is None:
            raise OAuthError("invalid_token", "Invalid Value")
        return *found, self.context.tokens.scope(token)

    def _caller(self, request: Request) -> Identity:
        try:
            return self.context.tokens.authenticate(request.headers.get("authorization"))
        except ApiError:
            raise OAuthError("invalid_request", "Invalid Credentials", status=401) from None

    async def _user_info(self, request: Request) -> Response:
        identity = self._caller(request)
        return json_response(
            {"sub": self._accounts.unique_id(identity), "email": identity.email, "email_verified": True}
        )

    async def _old_user_info(self, request: Request) -> Response:
        return json_response(self._profile(self._caller(request)))

    def _profile(self, identity: Identity) -> Json:
        return {
            "id": self._accounts.unique_id(identity),
            "email": identity.email,
            "verified_email": True,
        }

    async def _certificates(self, request: Request) -> Response:
        await self._accounts.signing_key(GOOGLE)
        return json_response({key.id: key.certificate for key in self._google_keys()})

    async def _jwks(self, request: Request) -> Response:
        await self._accounts.signing_key(GOOGLE)
        return json_response({"keys": [key.jwk for key in self._google_keys()]})

    def _google_keys(self) -> Sequence[PublicKey]:
        return self._accounts.public_keys(GOOGLE)

    async def _serve_account_keys(self, request: Request) -> Response:
        account = self._accounts.find(unquote(request.path.rpartition("/")[2]))
        if account is None:
            return text_response("Not Found\n", status=404)
        keys = self._accounts.public_keys(account["name"])
        if request.path.startswith(_JWK_PREFIXES):
            return json_response({"keys": [key.jwk for key in keys]})
        return json_response({key.id: key.certificate for key in keys})


async def _form(request: Request) -> dict[str, str]:
    """Query and body (form or JSON: clients send either) as one mapping."""
    form = dict(request.query_pairs)
    text = (await request.read()).decode("utf-8", errors="replace")
    if (request.headers.get("content-type") or "").startswith("application/json"):
        try:
            given = parse_json(text)
        except ApiError:
            given = None
        if not isinstance(given, dict):
            raise OAuthError("invalid_request", "Could not parse the JSON body.")
        return form | {str(key): str(value) for key, value in given.items()}
    return form | dict(parse_qsl(text, keep_blank_values=True))


def _required(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise OAuthError("invalid_request", f"Missing required parameter: {name}")
    return form[name]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
