"""IAM Service Account Credentials v1: short-lived tokens and signatures of a service account.

Source: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts.
"""

from __future__ import annotations

import base64
import datetime
import time

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument
from gcp_emulator.engine.identity import TOKEN_SECONDS, Identity, identity_of
from gcp_emulator.engine.jwt import encode_jwt
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.engine.validate import parse_json
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.oauth2.ports import IdTokens

_MAX_JWT_SECONDS = 12 * 3600


class IamCredentials(Service):
    """Every method is permitted on the account itself; an account needs a grant on itself too."""

    api = "iamcredentials"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._accounts = context.ports.find(Accounts)
        self._id_tokens = context.ports.find(IdTokens)

    def canonical(self, path: dict[str, str]) -> dict[str, str]:
        return {name: self._accounts.canonical(value) for name, value in path.items()}

    @handles("iamcredentials.projects.serviceAccounts.generateAccessToken")
    async def generate_access_token(self, call: Call) -> Json:
        account = self._target(call, "iam.serviceAccounts.getAccessToken")
        seconds = clock.seconds(call.body.get("lifetime", f"{TOKEN_SECONDS}s"))
        if not 0 < seconds <= TOKEN_SECONDS:
            raise invalid_argument(
                f"The access token lifetime cannot exceed {TOKEN_SECONDS} seconds.", field="lifetime"
            )
        token, _ = self.context.tokens.issue(
            identity_of(account["email"]), seconds=int(seconds), scope=" ".join(call.body["scope"])
        )
        expires = clock.now().replace(microsecond=0) + datetime.timedelta(seconds=int(seconds))
        return {"accessToken": token, "expireTime": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}

    @handles("iamcredentials.projects.serviceAccounts.generateIdToken")
    async def generate_id_token(self, call: Call) -> Json:
        account = self._target(call, "iam.serviceAccounts.getOpenIdToken")
        token = await self._id_tokens.id_token(
            identity_of(account["email"]), call.body["audience"], email=bool(call.body.get("includeEmail"))
        )
        return {"token": token}

    @handles("iamcredentials.projects.serviceAccounts.signBlob")
    async def sign_blob(self, call: Call) -> Json:
        account = self._target(call, "iam.serviceAccounts.signBlob")
        payload = call.body["payload"].replace("-", "+").replace("_", "/")
        data = base64.b64decode(payload + "=" * (-len(payload) % 4))
        key = await self._accounts.signing_key(account["name"])
        return {"keyId": key.id, "signedBlob": base64.b64encode(key.sign(data)).decode()}

    @handles("iamcredentials.projects.serviceAccounts.signJwt")
    async def sign_jwt(self, call: Call) -> Json:
        account = self._target(call, "iam.serviceAccounts.signJwt")
        _check_claims(call.body["payload"])
        key = await self._accounts.signing_key(account["name"])
        return {"keyId": key.id, "signedJwt": encode_jwt(call.body["payload"], key)}

    @handles("iamcredentials.projects.serviceAccounts.getAllowedLocations")
    async def get_allowed_locations(self, call: Call) -> Json:
        """No boundary: the answer of an account that nobody has confined to regions."""
        self._accounts.get(call.params["name"])
        return {"locations": [], "encodedLocations": "0x0"}

    def _target(self, call: Call, permission: str) -> Json:
        """The account to act as. Along ``delegates`` every link must be granted, and the last one acts."""
        delegates = call.body.get("delegates", [])
        if delegates:
            self._check_chain(call.caller, delegates, permission, call.params["name"])
        else:
            call.require(permission, call.params["name"])
        return self._accounts.active(call.params["name"].rpartition("/")[2])

    def _check_chain(self, caller: Identity, delegates: list[str], permission: str, target: str) -> None:
        for delegate in delegates:
            if not delegate.startswith("projects/-/serviceAccounts/"):
                raise invalid_argument(
                    f"Invalid delegate {delegate}: it must be projects/-/serviceAccounts/ACCOUNT.",
                    field="delegates",
                )
            name = self._accounts.canonical(delegate)
            self.context.iam.require(caller, "iam.serviceAccounts.implicitDelegation", name)
            caller = identity_of(self._accounts.active(name.rpartition("/")[2])["email"])
        self.context.iam.require(caller, permission, target)


def _check_claims(payload: str) -> None:
    try:
        claims = parse_json(payload)
    except ApiError:
        claims = None
    if not isinstance(claims, dict):
        raise invalid_argument("The JWT payload must be a serialized JSON object.", field="payload")
    expires = claims.get("exp")
    if expires is None:
        return
    if not isinstance(expires, int) or not 0 < expires - time.time() <= _MAX_JWT_SECONDS:
        raise invalid_argument(
            "The `exp` claim must be an integer timestamp in the future and at most 12 hours away.",
            field="payload",
        )
