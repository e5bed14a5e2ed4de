"""V4 signed URLs, really verified.

Source: https://cloud.google.com/storage/docs/authentication/signatures and .../canonical-requests; the error bodies are those that users quote
(googleapis/google-cloud-go#1062, alexandrubagu/gcs_signed_url#7). Clocks may differ by fifteen minutes.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from gcp_emulator.engine import clock
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.validate import is_number
from gcp_emulator.front.messages import Request
from gcp_emulator.services.storage.errors import NotEmulatedError, XmlError

ALGORITHM = "GOOG4-RSA-SHA256"
_MAX_SECONDS = 7 * 24 * 3600
_SKEW = datetime.timedelta(minutes=15)
_CREDENTIAL = re.compile(r"(?P<email>[^/]+)/(?P<scope>(?P<day>\d{8})/[a-z0-9-]+/storage/goog4_request)")

#: The public keys of a service account, by its e-mail address.
PublicKeys = Callable[[str], Iterable[RSAPublicKey]]


def is_signed(request: Request) -> bool:
    """Whether the URL carries a signature of any kind."""
    names = {name.lower() for name, _ in request.query_pairs}
    return bool(names & {"x-goog-signature", "x-amz-signature", "signature"})


def signer(request: Request, keys: PublicKeys) -> Identity:
    """The service account that signed the URL of ``request``; XmlError when the signature does not hold (any more)."""
    given = {name.lower(): value for name, value in request.query_pairs}
    if given.get("x-goog-algorithm") != ALGORITHM:
        raise NotEmulatedError(f"verifies {ALGORITHM} (V4) signatures only.")
    credential = _CREDENTIAL.fullmatch(given.get("x-goog-credential", ""))
    if credential is None:
        raise _malformed(
            "X-Goog-Credential", "The credential must be EMAIL/DATE/LOCATION/storage/goog4_request."
        )
    _check_time(given, credential["day"])
    canonical = _canonical_request(request, given)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join([ALGORITHM, given["x-goog-date"], credential["scope"], digest])
    if not _verifies(given["x-goog-signature"], to_sign, keys(credential["email"])):
        raise XmlError(
            403,
            "SignatureDoesNotMatch",
            "Access denied.",
            Details="The request signature we calculated does not match the signature you provided. "
            "Check your Google secret key and signing method.",
            StringToSign=to_sign,
            CanonicalRequest=canonical,
        )
    return Identity("serviceAccount:" + credential["email"])


def _malformed(name: str, details: str) -> XmlError:
    return XmlError(
        400,
        "MalformedSecurityHeader",
        "Your request has a malformed header.",
        ParameterName=name,
        Details=details,
    )


def _check_time(given: dict[str, str], day: str) -> None:
    text, seconds = given.get("x-goog-date", ""), given.get("x-goog-expires", "")
    if not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", text) or not text.startswith(day):
        raise _malformed(
            "X-Goog-Date", "The date must be an ISO 8601 basic time on the day of the credential scope."
        )
    if not is_number(seconds) or not 0 < int(seconds) <= _MAX_SECONDS:
        raise _malformed("X-Goog-Expires", f"Expiration must be between 1 and {_MAX_SECONDS} seconds.")
    try:
        signed = datetime.datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        raise _malformed("X-Goog-Date", f"There is no such time: {text}.") from None
    if signed > clock.now() + _SKEW:
        raise XmlError(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the server's time is too large.",
        )
    ended = signed + datetime.timedelta(seconds=int(seconds))
    if ended < clock.now():
        raise XmlError(
            400,
            "ExpiredToken",
            "The provided token has expired.",
            Details=f"Request signature expired at: {ended.isoformat()}",
        )


def _canonical_request(request: Request, given: dict[str, str]) -> str:
    """What the client had to sign, from what it sent; MalformedSecurityHeader when a signed header is missing."""
    pairs = [pair.partition("=")[::2] for pair in request.query.split("&") if pair]
    encoded = sorted((_encode(name), _encode(value)) for name, value in pairs)
    query = "&".join(f"{name}={value}" for name, value in encoded if name.lower() != "x-goog-signature")
    signed = given.get("x-goog-signedheaders", "").split(";")
    if "host" not in signed:
        raise _malformed("X-Goog-SignedHeaders", "The host header must be signed.")
    lines = []
    for name in signed:
        values = [value for key, value in request.headers.items if key.lower() == name]
        if name == "host":
            values = [request.host]
        if not values:
            raise _malformed(name, "Header was included in signedheaders, but not in the request.")
        lines.append(f"{name}:{' '.join(','.join(values).split())}\n")
    payload = request.headers.get("x-goog-content-sha256") if "x-goog-content-sha256" in signed else None
    return "\n".join(
        [
            request.method,
            request.path,
            query,
            "".join(lines),
            ";".join(signed),
            payload or "UNSIGNED-PAYLOAD",
        ]
    )


def _encode(text: str) -> str:
    return quote(unquote(text), safe="~")


def _verifies(signature: str, signed: str, keys: Iterable[RSAPublicKey]) -> bool:
    try:
        raw = bytes.fromhex(signature)
    except ValueError:
        return False
    for key in keys:
        try:
            key.verify(raw, signed.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            continue
        return True
    return False
