"""The ways into an instance: what connectors ask of the API, and the TLS port where they knock."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import re
import shutil
import socket
import ssl
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from gcp_emulator.databases.postgres import roles as postgres_roles
from gcp_emulator.databases.postgres.binaries import find_binaries
from gcp_emulator.databases.postgres.cluster import Cluster
from gcp_emulator.databases.tls import Client, ServerAuthority, read_client, to_pem
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.front.tasks import Connections
from gcp_emulator.services.sqladmin.api import SqlAdmin

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.running import until as until_true

if not find_binaries():
    pytest.skip("no PostgreSQL server programs are installed", allow_module_level=True)

BASE = f"https://sqladmin.googleapis.com/v1/projects/{PROJECT}"
KEY = rsa.generate_private_key(65537, 2048)
PUBLIC_KEY = (
    KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
CLIENT = f"client@{PROJECT}.iam.gserviceaccount.com"
IAM_USER = CLIENT.removesuffix(".gserviceaccount.com")
REFUSED = f'Cloud SQL IAM service account authentication failed for user "{IAM_USER}"'


class Connect:
    """Short calls as an account, ``client`` unless told, and knocks at the TLS port of ``main``."""

    def __init__(self, running: RunningEmulator) -> None:
        self.running = running
        self.owner = running.session()
        self.post(
            f"https://iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "client"}
        )
        for role in ("roles/cloudsql.client", "roles/cloudsql.instanceUser"):
            running.grant(f"projects/{PROJECT}", role, f"serviceAccount:{CLIENT}")
        self.client = running.session(f"serviceAccount:{CLIENT}")
        self.create("main", databaseFlags=[{"name": "cloudsql.iam_authentication", "value": "on"}])
        self.do("POST", "instances/main/users", {"name": IAM_USER, "type": "CLOUD_IAM_SERVICE_ACCOUNT"})
        self.do("POST", "instances/main/users", {"name": "app", "password": "s3cret"})

    def post(self, url: str, body: Any) -> Any:
        answer = self.owner.post(url, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def do(self, verb: str, path: str, body: Any = None) -> None:
        """As the owner, and waits for the operation."""
        operation = self.owner.request(verb, f"{BASE}/{path}", json=body).json()
        until(lambda: self.get(f"operations/{operation['name']}")["status"] == "DONE")
        assert "error" not in self.get(f"operations/{operation['name']}")

    def get(self, path: str) -> Any:
        answer = self.owner.get(f"{BASE}/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create(self, name: str, **settings: Any) -> None:
        settings = {"tier": "db-f1-micro", "edition": "ENTERPRISE"} | settings
        body = {
            "name": name, "region": "europe-west1", "databaseVersion": "POSTGRES_17", "settings": settings,
        }  # fmt: skip
        self.do("POST", "instances", body)

    def address(self, name: str = "main") -> str:
        return str(self.get(f"instances/{name}")["ipAddresses"][0]["ipAddress"])

    def ephemeral(self, **body: Any) -> Any:
        """The answer of generateEphemeralCert to the client."""
        body = {"public_key": PUBLIC_KEY} | body
        return self.client.post(f"{BASE}/instances/main:generateEphemeralCert", json=body)

    def certificate(self, token: str | None = None) -> str:
        """An ephemeral certificate of the client, with an access token if one is given."""
        body = {"access_token": token} if token else {}
        return str(self.ephemeral(**body).json()["ephemeralCert"]["cert"])

    def token(self, account: str = CLIENT, seconds: int = 3600) -> str:
        issue = self.running.context.tokens.issue
        return self.running.call(issue, identity_of(account), seconds=seconds)[0]

    def knock(
        self, certificate: str | None, user: str = "app", *, password: str | None = None, name: str = "main"
    ) -> str:
        """What a client of the TLS port sees after its start-up message.

        ``in``: logged in; ``scram`` or ``cleartext``: the password is asked for; ``closed``; else the text of the error.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=self.get(f"instances/{name}")["serverCaCert"]["cert"])
        if certificate is not None:
            _load(context, certificate)
        body = b"user\0" + user.encode() + b"\0database\0postgres\0\0"
        try:
            with (
                socket.create_connection((self.address(name), 3307), 20) as plain,
                context.wrap_socket(plain) as stream,
            ):
                stream.sendall(struct.pack("!ii", len(body) + 8, 196608) + body)
                answer = _answer(stream)
                if answer == "cleartext" and password is not None:
                    text = password.encode() + b"\0"
                    stream.sendall(b"p" + struct.pack("!i", len(text) + 4) + text)
                    answer = _answer(stream)
                return answer
        except (ssl.SSLError, ConnectionError):
            return "closed"


def _load(context: ssl.SSLContext, certificate: str) -> None:
    key = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(certificate + "\n" + key)
        file.flush()
        context.load_cert_chain(file.name)


def _answer(stream: ssl.SSLSocket) -> str:
    head = stream.recv(5)
    if not head:
        return "closed"
    payload = stream.recv(struct.unpack("!ci", head)[1] - 4)
    if head[:1] == b"E":
        return next(field[1:] for field in payload.split(b"\0") if field[:1] == b"M").decode()
    assert head[:1] == b"R"
    return {0: "in", 3: "cleartext", 10: "scram"}[struct.unpack_from("!i", payload)[0]]


until = partial(until_true, seconds=60)


@pytest.fixture(scope="module")
def connect() -> Iterator[Connect]:
    state = Path(tempfile.mkdtemp(prefix="connect-test-"))
    running = RunningEmulator(state)
    yield Connect(running)
    running.stop()
    shutil.rmtree(state)


# The API ---------------------------------------------------------------------------------------------------------


def test_connect_settings_tell_a_connector_where_to_go_and_whom_to_trust(connect: Connect) -> None:
    instance = connect.get("instances/main")
    for version in ("v1", "sql/v1beta4"):
        url = f"https://sqladmin.googleapis.com/{version}/projects/{PROJECT}/instances/main/connectSettings"
        assert connect.client.get(url).json() == {
            "kind": "sql#connectSettings",
            "backendType": "SECOND_GEN",
            "connectionName": f"{PROJECT}:europe-west1:main",
            "databaseVersion": "POSTGRES_17",
            "ipAddresses": instance["ipAddresses"],
            "pscEnabled": False,
            "region": "europe-west1",
            "serverCaCert": instance["serverCaCert"],
            "serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
        }
    assert ipaddress.IPv4Address(connect.address()) in ipaddress.IPv4Network("127.64.0.0/10")


def test_a_virtual_machine_is_led_to_the_port_of_a_public_address(connect: Connect) -> None:
    """And to no other port, or address of this machine."""
    ways, address = connect.running.context.ways, connect.address()
    assert connect.running.call(ways.find, address, 3306) is None
    assert connect.running.call(ways.find, "127.0.0.1", 3307) is None

    async def reached() -> tuple[str, int]:
        way = ways.find(address, 3307)
        assert way is not None
        _, writer = await way
        writer.close()
        peer: tuple[str, int] = writer.get_extra_info("peername")
        return peer

    assert connect.running.run(reached()) == (address, 3307)


def test_an_instance_may_lead_to_a_server_that_others_run(connect: Connect) -> None:
    admin, key = connect.running.emulator.service(SqlAdmin), f"{PROJECT}/elsewhere"
    body = {
        "name": "elsewhere",
        "region": "europe-west1",
        "databaseVersion": "POSTGRES_17",
        "settings": {"tier": "db-f1-micro", "edition": "ENTERPRISE"},
    }
    connect.running.call(admin.instances.attach, PROJECT, body, *admin.servers.address(f"{PROJECT}/main"))
    connect.running.run(admin.connect.open_port(key))
    certificate = admin.connect.authority(key).sign_client(
        PUBLIC_KEY, Client(CLIENT, None), datetime.timedelta(hours=1)
    )
    assert connect.knock(to_pem(certificate), name="elsewhere") == "scram"
    refused = connect.owner.post(f"{BASE}/instances/elsewhere/databases", json={"name": "more"})
    assert refused.status_code == 400
    assert (
        "does not run the server of test-project/elsewhere, which is at 127.0.0.1:"
        in refused.json()["error"]["message"]
    )


def test_an_ephemeral_certificate_is_the_callers_for_an_hour(connect: Connect) -> None:
    view = connect.ephemeral().json()["ephemeralCert"]
    certificate = x509.load_pem_x509_certificate(view["cert"].encode())
    authority = connect.get("instances/main")["serverCaCert"]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority["cert"].encode()))
    assert certificate.public_key() == KEY.public_key()
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime == datetime.timedelta(hours=1)
    assert read_client(certificate.public_bytes(serialization.Encoding.DER)) == Client(CLIENT, None)
    assert (view["kind"], view["instance"]) == ("sql#sslCert", "main")
    assert re.fullmatch("[0-9a-f]{40}", view["sha1Fingerprint"])
    assert certificate.serial_number == int(view["certSerialNumber"])


def test_the_older_method_answers_the_certificate_itself(connect: Connect) -> None:
    body = {"public_key": PUBLIC_KEY, "access_token": "ya29.x"}
    answer = connect.client.post(f"{BASE}/instances/main/createEphemeral", json=body).json()
    certificate = x509.load_pem_x509_certificate(answer["cert"].encode())
    assert read_client(certificate.public_bytes(serialization.Encoding.DER)) == Client(CLIENT, "ya29.x")


def test_the_words_of_a_public_keys_armour_do_not_matter(connect: Connect) -> None:
    go = PUBLIC_KEY.replace("PUBLIC KEY", "RSA PUBLIC KEY")
    pkcs1 = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    for text in (go, pkcs1.decode()):
        assert connect.ephemeral(public_key=text).status_code == 200


ED25519 = (
    ed25519.Ed25519PrivateKey.generate()
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"public_key": ""}, "Missing parameter: public_key."),
        ({"public_key": "nonsense"}, "Invalid public_key: it is not PEM-encoded."),
        (
            {"public_key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"},
            "Invalid public_key: it cannot be read.",
        ),
        (
            {"public_key": "-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----"},
            "Invalid public_key: it cannot be read.",
        ),
        ({"public_key": ED25519}, "Invalid public_key: it is neither an RSA nor an elliptic curve key."),
        (
            {"public_key": PUBLIC_KEY, "access_token": "tök en"},
            "Invalid access_token: it is not printable ASCII.",
        ),
        ({"validDuration": "7200s"}, "validDuration must be more than 0s and at most 3600s."),
        ({"validDuration": "0s"}, "validDuration must be more than 0s and at most 3600s."),
    ],
)
def test_a_bad_request_for_a_certificate_is_refused(
    connect: Connect, body: dict[str, str], message: str
) -> None:
    answer = connect.ephemeral(**body)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, f"Invalid request: {message}")


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/connectSettings"),
        ("POST", ":generateEphemeralCert"),
        ("POST", "/createEphemeral"),
    ],
)
def test_connecting_needs_its_permission_and_an_instance(connect: Connect, verb: str, path: str) -> None:
    body = {"public_key": PUBLIC_KEY} if verb == "POST" else None
    nobody = connect.running.session("user:nobody@example.com")
    answer = nobody.request(verb, f"{BASE}/instances/main{path}", json=body)
    assert answer.status_code == 403
    assert "cloudsql.instances.connect" in answer.json()["error"]["message"]
    answer = connect.client.request(verb, f"{BASE}/instances/absent{path}", json=body)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        404,
        "The Cloud SQL instance does not exist.",
    )


# The TLS port ----------------------------------------------------------------------------------------------------


def test_a_certificate_of_the_instance_opens_its_port(connect: Connect) -> None:
    assert connect.knock(connect.certificate()) == "scram"


def test_no_certificate_and_another_authoritys_open_nothing(connect: Connect) -> None:
    other = ServerAuthority.create(f"{PROJECT}:main")
    foreign = other.sign_client(PUBLIC_KEY, Client(CLIENT, None), datetime.timedelta(hours=1))
    assert connect.knock(None) == "closed"
    assert connect.knock(to_pem(foreign)) == "closed"


def test_the_servers_own_certificate_opens_nothing(connect: Connect) -> None:
    # Signed by the right authority, but not for clients.
    authority = connect.running.emulator.service(SqlAdmin).connect.authority(f"{PROJECT}/main")
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
    certificate = authority._sign(
        authority.certificate.subject, KEY.public_key(), datetime.timedelta(hours=1), usage
    )
    assert connect.knock(to_pem(certificate)) == "closed"


def test_an_expired_certificate_opens_nothing(connect: Connect) -> None:
    certificate = connect.ephemeral(validDuration="2s").json()["ephemeralCert"]["cert"]
    until(lambda: connect.knock(certificate) == "closed")


def test_the_permission_is_looked_at_again_for_every_connection(connect: Connect) -> None:
    member = f"serviceAccount:visitor@{PROJECT}.iam.gserviceaccount.com"
    connect.post(
        f"https://iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "visitor"}
    )
    authority = connect.running.emulator.service(SqlAdmin).connect.authority(f"{PROJECT}/main")
    client = Client(member.removeprefix("serviceAccount:"), None)
    certificate = to_pem(authority.sign_client(PUBLIC_KEY, client, datetime.timedelta(hours=1)))
    assert connect.knock(certificate) == "closed"
    connect.running.grant(f"projects/{PROJECT}", "roles/cloudsql.client", member)
    assert connect.knock(certificate) == "scram"


def test_a_stopped_instance_takes_nobody(connect: Connect) -> None:
    certificate = connect.certificate()
    for policy, answer in (("NEVER", "closed"), ("ALWAYS", "scram")):
        connect.do("PATCH", "instances/main", {"settings": {"activationPolicy": policy}})
        assert connect.knock(certificate) == answer


@pytest.mark.parametrize(
    "nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\x7f\xff\xff\xff\0\3\0\0", b"\0\0\0\4\0\3\0\0"]
)
def test_what_is_not_postgresqls_protocol_is_hung_up_on(connect: Connect, nonsense: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=connect.get("instances/main")["serverCaCert"]["cert"])
    _load(context, connect.certificate())
    with (
        socket.create_connection((connect.address(), 3307), 20) as plain,
        context.wrap_socket(plain) as stream,
    ):
        stream.sendall(nonsense)
        assert stream.recv(100) == b""


# IAM database authentication -------------------------------------------------------------------------------------


def test_the_token_in_the_certificate_logs_its_account_in(connect: Connect) -> None:
    certificate = connect.certificate(connect.token())
    assert connect.knock(certificate, IAM_USER) == "in"
    assert connect.knock(certificate, "app") == "scram"


def test_an_iam_user_without_a_token_is_asked_for_one(connect: Connect) -> None:
    certificate = connect.certificate()
    assert connect.knock(certificate, IAM_USER) == "cleartext"
    assert connect.knock(certificate, IAM_USER, password=connect.token()) == "in"
    assert connect.knock(certificate, IAM_USER, password="wrong") == REFUSED


def test_a_token_that_has_ended_or_is_anothers_does_not_log_in(connect: Connect) -> None:
    other = f"other@{PROJECT}.iam.gserviceaccount.com"
    for token in (connect.token(seconds=0), connect.token(other), "ya29.unknown"):
        assert connect.knock(connect.certificate(token), IAM_USER) == REFUSED


def test_logging_in_needs_its_own_permission(connect: Connect) -> None:
    iam, resource = connect.running.context.iam, f"projects/{PROJECT}"
    certificate = connect.certificate(connect.token())
    bindings = connect.running.call(iam.get_policy, resource)["bindings"]
    fewer = [one for one in bindings if one["role"] != "roles/cloudsql.instanceUser"]
    connect.running.call(iam.set_policy, resource, {"bindings": fewer})
    assert connect.knock(certificate, IAM_USER) == REFUSED
    connect.running.call(iam.set_policy, resource, {"bindings": bindings})
    assert connect.knock(certificate, IAM_USER) == "in"


def test_without_the_flag_a_token_is_worth_nothing(connect: Connect) -> None:
    certificate = connect.certificate(connect.token())
    for flag, answer in (("off", "scram"), ("on", "in")):
        flags = [{"name": "cloudsql.iam_authentication", "value": flag}]
        connect.do("PATCH", "instances/main", {"settings": {"databaseFlags": flags}})
        assert connect.knock(certificate, IAM_USER) == answer


def test_an_unknown_user_is_postgresqls_business(connect: Connect) -> None:
    certificate = connect.certificate(connect.token())
    assert connect.knock(certificate, "nobody@example.com") == "scram"


def test_a_server_that_takes_no_questions_answers_the_client_itself(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Cluster) -> None:
        raise psycopg2.OperationalError("the database system is starting up")

    certificate = connect.certificate(connect.token())
    monkeypatch.setattr(postgres_roles, "list_users", refuse)
    assert connect.knock(certificate, IAM_USER) == "scram"


def test_the_socket_of_cloud_run_takes_a_token_as_password_too(connect: Connect) -> None:
    connect.do("POST", "instances/main/users", {"name": "owner@example.com", "type": "CLOUD_IAM_USER"})
    service = connect.running.emulator.service(SqlAdmin)
    folder = Path(tempfile.mkdtemp(prefix="s-"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await service.connect.connect_instance(
            f"{PROJECT}:europe-west1:main", identity_of(CLIENT), None, reader, writer
        )

    def log_in(user: str, token: str) -> Any:
        options = {"host": str(folder), "dbname": "postgres", "passfile": "/dev/null"}
        with closing(psycopg2.connect(user=user, password=token, **options)) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT session_user")
            return cursor.fetchone()[0]

    connections = Connections(serve)
    listening = asyncio.start_unix_server(connections.accept, folder / ".s.PGSQL.5432")
    server = connect.running.run(listening)
    try:
        assert log_in(IAM_USER, connect.token()) == IAM_USER
        assert log_in("owner@example.com", connect.token("owner@example.com")) == "owner@example.com"
        refusal = 'FATAL:  Cloud SQL IAM user authentication failed for user "owner@example.com"'
        with pytest.raises(psycopg2.OperationalError, match=refusal):
            log_in("owner@example.com", connect.token())
    finally:
        connect.running.call(server.close)
        connect.running.run(connections.stop())
        shutil.rmtree(folder)
