"""What a Django project does with Google Cloud, with the same calls and nothing to install: psycopg's, google-cloud-storage's, google-auth's."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import socket
import struct
import urllib.parse
import urllib.request

_METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/"
_STORAGE = "https://storage.googleapis.com"


def _ask(url: str, data: bytes | None = None, **headers: str) -> bytes:
    request = urllib.request.Request(url, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        body: bytes = response.read()
    return body


def _authorization() -> str:
    token = json.loads(_ask(_METADATA + "token", **{"Metadata-Flavor": "Google"}))
    return f"Bearer {token['access_token']}"


def upload(bucket: str, name: str, data: bytes) -> None:
    """Writes an object, as collectstatic does."""
    query = urllib.parse.urlencode({"uploadType": "media", "name": name})
    _ask(f"{_STORAGE}/upload/storage/v1/b/{bucket}/o?{query}", data, Authorization=_authorization())


def download(bucket: str, name: str) -> bytes:
    """Reads an object, as the manifest of the static files is."""
    quoted = urllib.parse.quote(name, safe="")
    return _ask(f"{_STORAGE}/storage/v1/b/{bucket}/o/{quoted}?alt=media", Authorization=_authorization())


def sign(text: bytes) -> str:
    """Signs as the account, as the addresses of private uploads are."""
    email = _ask(_METADATA + "email", **{"Metadata-Flavor": "Google"}).decode()
    url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:signBlob"
    body = json.dumps({"payload": base64.b64encode(text).decode()}).encode()
    headers = {"Authorization": _authorization(), "Content-Type": "application/json"}
    return str(json.loads(_ask(url, body, **headers))["signedBlob"])


def query(statement: str) -> None:
    """Logs in to the database of DATABASE_URL and runs a statement.

    https://www.postgresql.org/docs/current/protocol-flow.html, and RFC 5802 for the password.
    """
    url = urllib.parse.urlsplit(os.environ["DATABASE_URL"])
    folder = urllib.parse.parse_qs(url.query)["host"][0]
    user, password = urllib.parse.unquote(url.username or ""), urllib.parse.unquote(url.password or "")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{folder}/.s.PGSQL.5432")
        parameters = f"user\0{user}\0database\0{url.path[1:]}\0\0".encode()
        connection.sendall(struct.pack("!ii", 8 + len(parameters), 196608) + parameters)
        stream = connection.makefile("rb")
        _log_in(connection, stream, password)
        _send(connection, b"Q", statement.encode() + b"\0")
        while (kind := _receive(stream)[0]) != b"Z":
            assert kind


def _log_in(connection: socket.socket, stream, password: str) -> None:
    nonce = secrets.token_urlsafe(18)
    bare = f"n=,r={nonce}"
    _expect(stream, 10)
    first = b"SCRAM-SHA-256\0" + struct.pack("!i", len(bare) + 3) + f"n,,{bare}".encode()
    _send(connection, b"p", first)
    challenge = _expect(stream, 11).decode()
    asked = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(asked["s"]), int(asked["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    without_proof = f"c=biws,r={asked['r']}"
    message = f"{bare},{challenge},{without_proof}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
    _send(connection, b"p", f"{without_proof},p={proof}".encode())
    _expect(stream, 12)
    _expect(stream, 0)
    while _receive(stream)[0] != b"Z":
        pass


def _send(connection: socket.socket, kind: bytes, body: bytes) -> None:
    connection.sendall(kind + struct.pack("!i", 4 + len(body)) + body)


def _receive(stream) -> tuple[bytes, bytes]:
    head = stream.read(5)
    if len(head) < 5:
        raise ConnectionError("server closed the connection unexpectedly")
    body = stream.read(struct.unpack("!i", head[1:])[0] - 4)
    if head[:1] == b"E":
        raise ConnectionError(body.decode(errors="replace"))
    return head[:1], body


def _expect(stream, kind: int) -> bytes:
    """The rest of a message of authentication of this kind."""
    letter, body = _receive(stream)
    assert (letter, struct.unpack("!i", body[:4])[0]) == (b"R", kind), (letter, body)
    return body[4:]
