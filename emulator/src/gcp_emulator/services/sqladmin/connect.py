"""The way into an instance: what connectors ask of the API, the TLS port they knock at, and the socket of Cloud Run.

Sources: the discovery documents sqladmin:v1 and v1beta4 (connect, sslCerts.createEphemeral);
https://cloud.google.com/sql/docs/postgres/sql-proxy (port 3307, certificates of one hour);
https://cloud.google.com/sql/docs/postgres/iam-authentication and .../iam-logins (automatic: the certificate carries an
access token and the client sends no password; manual: the token is the password). The FATAL texts are quoted from
GoogleCloudPlatform/cloud-sql-proxy issues 849 and 1406; that a connection needs ``cloudsql.instances.connect`` at its
beginning, and not only its certificate, is assumed.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
from collections.abc import Awaitable
from functools import partial

import psycopg2
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gcp_emulator.databases.mysql import login as mysql_login
from gcp_emulator.databases.pipe import pipe
from gcp_emulator.databases.postgres import login, roles
from gcp_emulator.databases.postgres.cluster import Cluster
from gcp_emulator.databases.server import iam_password
from gcp_emulator.databases.tls import Client, ServerAuthority, to_pem
from gcp_emulator.databases.tls_listener import PORT, TlsListener
from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, failed_precondition, not_found
from gcp_emulator.engine.identity import Identity, identity_of
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.engine.store import Collection
from gcp_emulator.front.ways import Connection
from gcp_emulator.services.sqladmin import rules
from gcp_emulator.services.sqladmin.engines import engine_of
from gcp_emulator.services.sqladmin.ports import PrivateServer
from gcp_emulator.services.sqladmin.private import PrivateAddresses, address_of
from gcp_emulator.services.sqladmin.servers import Servers, active

log = logging.getLogger(__name__)

_CERTIFICATE_SECONDS = 3600
#: Public addresses of instances are from this loopback network, which has 2**22.
_PUBLIC = ipaddress.IPv4Address("127.64.0.0")
#: No instance calls anybody from here: this is what stands in recorded conversations in place of an address.
_OUTGOING = "10.10.10.11"
_FAILED = "Cloud SQL connection failed. Please see https://cloud.google.com/sql/docs/postgres/connect-run for additional details:"
_IAM_KINDS = {"CLOUD_IAM_USER": "user", "CLOUD_IAM_SERVICE_ACCOUNT": "service account"}


class Connect:
    """The part of the service that lets clients in."""

    def __init__(
        self, context: Context, servers: Servers, records: Collection, private: PrivateAddresses
    ) -> None:
        self._context = context
        self._servers = servers
        self._records = records
        self._private = private
        self._authorities = context.store.collection("sqladmin.authorities")
        self._loaded: dict[str, ServerAuthority] = {}
        self._listeners: dict[str, TlsListener] = {}

    # Authority and addresses of an instance ----------------------------------------------------------------------

    def authority(self, key: str) -> ServerAuthority:
        """The instance's own certificate authority, made at its first use."""
        if key not in self._loaded:
            name = key.replace("/", ":")
            stored = self._authorities.get(key)
            self._loaded[key] = found = (
                ServerAuthority.load(name, stored["pem"]) if stored else ServerAuthority.create(name)
            )
            if stored is None:
                self._authorities.put(key, {"pem": found.dump()})
        return self._loaded[key]

    def addresses(self, key: str, region: str, settings: Json, version: str) -> list[Json]:
        """Addresses of the instance's own, stable while it lives.

        The public one is of loopback and follows from its authority's key, so that emulators on one machine do not meet. An emulator that
        others reach over a network has one address, its own, and so can let clients into one instance only. The private one is of the ranges
        that its network has for it, where nobody listens on this machine: only what is in that network gets there.
        """
        own = self._context.address
        if not ipaddress.ip_address(own).is_loopback:
            return [{"type": "PRIMARY", "ipAddress": own}]
        network = settings["ipConfiguration"]
        digest = self.authority(key).certificate.fingerprint(hashes.SHA256())
        offset = int.from_bytes(digest) % (2**22 - 2) + 1
        found = [{"type": "PRIMARY", "ipAddress": str(_PUBLIC + offset)}] if network["ipv4Enabled"] else []
        # Recorded so: PostgreSQL tells the address that it calls others from, MySQL and SQL Server do not.
        if found and engine_of(version).is_postgres:
            found.append({"type": "OUTGOING", "ipAddress": _OUTGOING})
        if address := self._private.allocate(key, region, settings):
            found.append({"type": "PRIVATE", "ipAddress": address})
        return found

    def server_ca(self, key: str) -> Json:
        """The ``serverCaCert`` of an instance."""
        return _certificate_view(key, self.authority(key).certificate)

    # The TLS port ------------------------------------------------------------------------------------------------

    async def open_port(self, key: str) -> None:
        """Listens on the instance's public address, and no longer on one that it had."""
        record = self._records.get(key)
        if record is None:
            return
        if key not in self._listeners:
            self._listeners[key] = TlsListener(self.authority(key), partial(self._serve_tls, key))
        try:
            await self._listeners[key].listen(
                one["ipAddress"] for one in record["ipAddresses"] if one["type"] == "PRIMARY"
            )
        except OSError as error:
            # All else of the instance works; connectors are told by a refused connection, people here.
            log.error("connectors cannot reach %s on port %d: %s", key, PORT, error)

    async def close_port(self, key: str) -> None:
        """Closes the instance's port and its connections."""
        if listener := self._listeners.pop(key, None):
            await listener.close()

    async def close_ports(self) -> None:
        await asyncio.gather(*(self.close_port(key) for key in list(self._listeners)))

    def way(self, host: str, port: int) -> Awaitable[Connection] | None:
        """A virtual machine's way to the public address of an instance (see `gcp_emulator.front.ways.Way`): loopback is its own there."""
        if port != PORT or not any(
            address == {"type": "PRIMARY", "ipAddress": host}
            for _, record in self._records.items("")
            for address in record["ipAddresses"]
        ):
            return None
        return asyncio.open_connection(host, port)

    def forget_authority(self, key: str) -> None:
        """A deleted instance takes its authority with it: no certificate of it opens another of the same name."""
        self._authorities.delete(key)
        self._loaded.pop(key, None)

    async def _serve_tls(
        self, key: str, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        record = self._records.get(key)
        name = record["connectionName"] if record else key
        try:
            server = self._reachable(name, identity_of(client.email))
            await self._let_in(key, client.token, server, reader, writer, is_connector=True)
        except (ApiError, OSError) as error:
            log.warning("%s may not connect to %s: %s", client.email, name, _text(error))

    # What connectors ask -----------------------------------------------------------------------------------------

    @handles("sql.connect.get")
    async def connect_settings(self, call: Call) -> Json:
        key, record = rules.instance(self._records, call)
        shown = ("ipAddresses", "region", "databaseVersion", "backendType", "connectionName")
        return {name: record[name] for name in shown} | {
            "kind": "sql#connectSettings",
            "serverCaCert": self.server_ca(key),
            "serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
            "pscEnabled": False,
            # Assumed of which instances: the field is the discovery document's, and what a connector sends then is in databases/mysql/login.py.
            **(
                {"mdxProtocolSupport": ["CLIENT_PROTOCOL_TYPE"]}
                if engine_of(record["databaseVersion"]).is_mysql
                else {}
            ),
        }

    @handles("sql.instances.listServerCas")
    async def list_server_cas(self, call: Call) -> Json:
        key, _ = rules.instance(self._records, call)
        certificate = self.server_ca(key)
        return {
            "kind": "sql#instancesListServerCas",
            "certs": [certificate],
            "activeVersion": certificate["sha1Fingerprint"],
        }

    @handles("sql.connect.generateEphemeral")
    async def generate_ephemeral(self, call: Call) -> Json:
        duration = clock.seconds(call.body.get("validDuration", f"{_CERTIFICATE_SECONDS}s"))
        if not 0 < duration <= _CERTIFICATE_SECONDS:
            raise rules.invalid(f"validDuration must be more than 0s and at most {_CERTIFICATE_SECONDS}s.")
        return {"ephemeralCert": self._ephemeral(call, duration)}

    @handles("sql.sslCerts.createEphemeral")
    async def create_ephemeral(self, call: Call) -> Json:
        return self._ephemeral(call, _CERTIFICATE_SECONDS)

    def _ephemeral(self, call: Call, seconds: float) -> Json:
        key, _ = rules.instance(self._records, call)
        public_key = call.body.get("public_key")
        if not public_key:
            raise rules.invalid("Missing parameter: public_key.")
        token = call.body.get("access_token") or None
        # A certificate holds names in ASCII only, and every token that Google issues is.
        if token is not None and not (token.isascii() and token.isprintable()):
            raise rules.invalid("Invalid access_token: it is not printable ASCII.")
        client = Client(call.caller.email, token)
        try:
            certificate = self.authority(key).sign_client(
                public_key, client, datetime.timedelta(seconds=seconds)
            )
        except ValueError as error:
            raise rules.invalid(f"Invalid public_key: {error}.") from None
        return _certificate_view(key, certificate)

    # The socket of Cloud Run -------------------------------------------------------------------------------------

    async def connect_instance(
        self,
        connection_name: str,
        identity: Identity,
        network: str | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> str | None:
        """Serves one client of ``/cloudsql/CONNECTION_NAME``: checks ``cloudsql.instances.connect``, then logs it in.

        An instance without a public address is reached by its private one, from the network that it is in: that is where ``network``, the
        path of that of the client, has to lead. Sources: https://github.com/GoogleCloudPlatform/cloud-sql-proxy/issues/848 (its maintainer, of
        Cloud Run), and https://github.com/gbrayut/cloud-examples/tree/main/cloudrun-sql-auth-proxy, which tried it in May 2025.

        Returns when both sides are done; ``writer`` is closed. What Cloud Run would write to the log of the client is
        returned when no connection was made, else None: the client sees its connection closed. The password is
        PostgreSQL's own business, or an access token for an IAM user.
        """
        try:
            server = self._reachable(connection_name, identity)
            key = _key(connection_name)
            if problem := await self._undialled(key, network):
                writer.close()
                return f"{_FAILED} {problem}"
            await self._let_in(key, None, server, reader, writer)
        except (ApiError, OSError) as error:
            writer.close()
            return (
                f'{_FAILED} ensure that the account has access to "{connection_name}" (and make sure there\'s '
                f"no typo in that name). Error during generateEphemeral for {connection_name}: {_text(error)}"
            )
        return None

    def private_servers(self, network: str) -> list[PrivateServer]:
        """The servers that have an address in a network, given by its path, and that it leads to.

        Who gets there needs no permission but a login: https://cloud.google.com/sql/docs/mysql/connect-run#private-ip. MySQL speaks TLS to who
        wants it, PostgreSQL does not here. Instances that get an address later are reached by what starts then.
        """
        found = []
        for key, record in self._records.items():
            engine, address = engine_of(record["databaseVersion"]), address_of(record)
            if (
                address is None
                or not record["served"]
                or not self._private.leads_to(network, record["settings"])
            ):
                continue
            found.append(PrivateServer(str(address), engine.port, partial(self._serve_private, key)))
        return found

    async def _serve_private(
        self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            record = self._records.get(key)
            if record is None or record["state"] != "RUNNABLE" or not active(record["settings"]):
                raise failed_precondition(f"The instance {key} is not running.")
            server = self._servers.address(key)
            if engine_of(record["databaseVersion"]).is_mysql:
                await pipe(reader, writer, *await asyncio.open_connection(*server))
            else:
                await self._let_in(key, None, server, reader, writer)
        except (ApiError, OSError) as error:
            log.warning("a client of the private address of %s was not served: %s", key, _text(error))
            writer.close()

    def socket_path(self, connection_name: str) -> str:
        """The socket of an instance below ``/cloudsql``: of MySQL a file of its name, of PostgreSQL one in a folder of its name.

        Source: https://cloud.google.com/sql/docs/mysql/connect-run, and the README of GoogleCloudPlatform/cloud-sql-proxy.
        """
        record = self._records.get(_key(connection_name))
        is_file = record is not None and not engine_of(record["databaseVersion"]).is_postgres
        return connection_name if is_file else f"{connection_name}/.s.PGSQL.5432"

    async def _let_in(
        self,
        key: str,
        token: str | None,
        server: tuple[str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_connector: bool = False,
    ) -> None:
        """Serves one client of an instance's server in its protocol; ``token`` is what its certificate carries."""
        record = self._records.get(key)
        if record is not None and engine_of(record["databaseVersion"]).is_mysql:
            client = f"cloudsqlproxy~{server[0]}"
            await mysql_login.serve(reader, writer, server, client, is_connector=is_connector)
        else:
            await login.serve(reader, writer, server, partial(self._authenticate, key, token))

    async def _undialled(self, key: str, network: str | None) -> str | None:
        """Why no packet from a network reaches the instance, once that was tried for long enough; None if one does.

        The words are those of Cloud Run's log: https://github.com/na0fu3y/ochakai (docs/deploy), and others who quote them.
        """
        record = self._records.get(key)
        if (
            record is None
            or record["settings"]["ipConfiguration"]["ipv4Enabled"]
            or self._private.leads_to(network, record["settings"])
        ):
            return None
        await asyncio.sleep(self._context.operations.profile.seconds("cloudsql.dial"))
        return (
            f'dial error: failed to dial (connection name = "{record["connectionName"]}"): connection to Cloud SQL instance at '
            f"{address_of(record)}:{PORT} failed: timed out after 10s"
        )

    def _reachable(self, connection_name: str, identity: Identity) -> tuple[str, int]:
        """Host and port of the instance's server; ApiError says why there is none for this caller."""
        key = _key(connection_name)
        project = key.partition("/")[0]
        if self._context.projects.find(project) is not None:
            self._context.projects.require_enabled(project, "sqladmin.googleapis.com", "Cloud SQL Admin API")
        self._context.iam.require(identity, "cloudsql.instances.connect", f"projects/{project}")
        record = self._records.get(key)
        if record is None or record["connectionName"] != connection_name:
            raise not_found("The Cloud SQL instance does not exist.", reason="instanceDoesNotExist")
        if record["state"] != "RUNNABLE" or not active(record["settings"]):
            raise failed_precondition(
                f"The instance {connection_name} is not running (state {record['state']})."
            )
        self._servers.require_served(key, record)
        return self._servers.address(key)

    # IAM database authentication ---------------------------------------------------------------------------------

    async def _authenticate(self, key: str, token: str | None, user: str, ask: login.Ask) -> str | None:
        """The server's password for an IAM user whose token (the certificate's, else the one asked for) is right.

        None for everybody else: PostgreSQL asks for the password. LoginRefusedError in Cloud SQL's words.
        """
        record = self._records.get(key)
        # IAM users are named by e-mail addresses; nobody else costs a question to the server.
        if "@" not in user or record is None:
            return None
        if not rules.flag_enabled(record["settings"], "cloudsql.iam_authentication"):
            return None
        try:
            # Not in the instance's turn: a login does not wait for a backup.
            users = await asyncio.to_thread(roles.list_users, self._servers.get(key, Cluster))
        except psycopg2.Error:
            # The server is about to start or to stop, and tells the client so itself.
            return None
        kind = next((_IAM_KINDS.get(one.type) for one in users if one.name == user), None)
        if kind is None:
            return None
        if problem := self._login_problem(key, user, token or await ask()):
            log.warning("IAM database authentication of %s in %s failed: %s", user, key, problem)
            raise login.LoginRefusedError(f'Cloud SQL IAM {kind} authentication failed for user "{user}"')
        return iam_password(self._servers.get(key, Cluster), user)

    def _login_problem(self, key: str, user: str, token: str) -> str | None:
        """Why this token does not log this user in; Cloud SQL writes it to its log only."""
        found = self._context.tokens.resolve(token)
        if found is None:
            return "the access token is unknown or has expired."
        if rules.database_user(found[0]) != user:
            return f"the access token is {found[0].email}'s."
        project = key.partition("/")[0]
        if not self._context.iam.allows(found[0], "cloudsql.instances.login", f"projects/{project}"):
            return f"the account has no permission cloudsql.instances.login on projects/{project}."
        return None


def _key(connection_name: str) -> str:
    """``PROJECT:REGION:INSTANCE`` (a project may have a colon of its own) -> ``PROJECT/INSTANCE``."""
    rest, _, name = connection_name.rpartition(":")
    return f"{rest.rpartition(':')[0]}/{name}"


def _text(error: ApiError | OSError) -> str:
    return error.message if isinstance(error, ApiError) else str(error)


def _certificate_view(key: str, certificate: x509.Certificate) -> Json:
    """An ``SslCert``."""
    pem = to_pem(certificate)
    return {
        "kind": "sql#sslCert",
        "certSerialNumber": str(certificate.serial_number),
        "cert": pem.strip(),
        "commonName": certificate.subject.rfc4514_string(),
        "sha1Fingerprint": certificate.fingerprint(hashes.SHA1()).hex(),  # noqa: S303 - the field's name says it
        "instance": key.partition("/")[2],
        "createTime": clock.timestamp(certificate.not_valid_before_utc),
        "expirationTime": clock.timestamp(certificate.not_valid_after_utc),
    }
