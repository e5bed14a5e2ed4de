"""What is inside an instance: databases, users, backups, and SQL over HTTP.

Sources: https://cloud.google.com/sql/docs/postgres/create-manage-users and .../create-manage-databases (what the API
does in PostgreSQL), https://cloud.google.com/sql/docs/postgres/executesql-instance (permissions, 30 s, 10 MB).
"Too many operations" is quoted from https://github.com/GoogleCloudPlatform/k8s-config-connector/issues/403 and
https://github.com/hashicorp/terraform-provider-google/issues/8291: reads of users and databases were refused so, too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Coroutine
from typing import Any

from gcp_emulator.databases.mysql import query
from gcp_emulator.databases.postgres import wire
from gcp_emulator.databases.results import Execution, Result, ServerMessage, SqlError, SqlTimeoutError
from gcp_emulator.databases.server import iam_password
from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import RPC_CODES, ApiError, Json, not_found
from gcp_emulator.engine.faults import striking
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.services.secretmanager.ports import Secrets
from gcp_emulator.services.sqladmin import rules
from gcp_emulator.services.sqladmin.contents import Content, find_user
from gcp_emulator.services.sqladmin.engines import engine_of
from gcp_emulator.services.sqladmin.instances import Instances
from gcp_emulator.services.sqladmin.servers import active

_SQL_SECONDS = 30.0
_SQL_BYTES = 10 * 2**20
_MAX_ROLE_NAME = 63
#: https://www.postgresql.org/docs/current/errcodes-appendix.html, class 53.
_DISK_FULL = ServerMessage(
    "ERROR", "53100", 'could not extend file "base/16384/2619": No space left on device'
)
#: Insufficient privilege: of PostgreSQL the SQLSTATE, of MySQL the numbers
#: (https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html).
_DENIED = frozenset({"42501", "1044", "1142", "1143", "1227", "1370"})
_SECRET_VERSION = re.compile(r"projects/[^/]+/locations/([^/]+)/secrets/[^/]+/versions/[^/]+")


class Data:
    """The part of the service that needs a running server."""

    def __init__(self, context: Context, instances: Instances, secrets: Secrets) -> None:
        self._instances = instances
        self._servers = instances.servers
        self._secrets = secrets
        self._backups = context.store.collection("sqladmin.backupRuns")

    async def _change(
        self,
        call: Call,
        kind: str,
        work: Callable[[Content], Coroutine[Any, Any, None]],
        *,
        database: str = "",
        at_once: bool = True,
    ) -> Json:
        """Does ``work`` in the instance, then answers with an operation about it, or about a ``database`` of it.

        With ``at_once`` the operation is done when it is answered (recorded: sqldatabasebasic, sqluser-full).
        """
        _require_calm()
        key, record = self._instances.running(call)
        self._instances.reserve(key)
        try:
            await work(self._instances.content(key, record))
        except BaseException:
            self._instances.release(key)
            raise
        about = {"targetPath": f"databases/{database}"} if database else {}
        operation = self._instances.begin(call, key, kind, extra=about)
        return await self._instances.ended(call, operation) if at_once else operation

    def _content(self, call: Call) -> Content:
        """What is in the call's instance, which must run; another operation on it is no obstacle to looking."""
        _require_calm()
        key, record = self._instances.instance(call)
        if record["state"] != "RUNNABLE":
            raise rules.invalid(f"Invalid request since instance is not running (state {record['state']}).")
        if not active(record["settings"]):
            raise rules.invalid("Invalid request since instance is not running.")
        return self._instances.content(key, record)

    # Databases ---------------------------------------------------------------------------------------------------

    def _database_view(self, call: Call, database: Json) -> Json:
        project, instance = call.params["project"], call.params["instance"]
        path = f"projects/{project}/instances/{instance}/databases/{database['name']}"
        view = {"kind": "sql#database", "instance": instance, "project": project, **database}
        return view | {"etag": rules.etag(database), "selfLink": rules.link(call, path)}

    async def _database(self, call: Call) -> Json:
        for database in await self._content(call).databases():
            if database["name"] == call.params["database"]:
                return database
        raise rules.FullError("NOT_FOUND", "Not Found")

    @handles("sql.databases.insert")
    async def insert_database(self, call: Call) -> Json:
        body = call.body
        name = _named(body.get("name"), "database name")
        charset, collation = body.get("charset"), body.get("collation")
        return await self._change(
            call,
            "CREATE_DATABASE",
            lambda content: content.create_database(name, charset, collation),
            database=name,
        )

    @handles("sql.databases.get")
    async def get_database(self, call: Call) -> Json:
        return self._database_view(call, await self._database(call))

    @handles("sql.databases.list")
    async def list_databases(self, call: Call) -> Json:
        found = await self._content(call).databases()
        items = [self._database_view(call, one) for one in found]
        return {"kind": "sql#databasesList"} | ({"items": items} if items else {})

    @handles("sql.databases.patch", "sql.databases.update")
    async def change_database(self, call: Call) -> Json:
        database = await self._database(call)
        return await self._change(
            call,
            "UPDATE_DATABASE",
            lambda content: content.change_database(database, call.body),
            database=database["name"],
            at_once=False,
        )

    @handles("sql.databases.delete")
    async def delete_database(self, call: Call) -> Json:
        name = (await self._database(call))["name"]
        return await self._change(
            call, "DELETE_DATABASE", lambda content: content.drop_database(name), database=name, at_once=False
        )

    # Users -------------------------------------------------------------------------------------------------------

    def _user_view(self, call: Call, user: Json) -> Json:
        return {
            "kind": "sql#user",
            "iamStatus": "IAM_STATUS_UNSPECIFIED",
            "passwordPolicy": {"status": {}},
            "instance": call.params["instance"],
            "project": call.params["project"],
            **user,
            "etag": rules.etag(user),
        }

    async def _user(self, call: Call, name: str) -> Json:
        found = await self._content(call).users()
        changes = call.method.id == "sql.users.update"
        user = find_user(found, name, call.params.get("host"), any_host=changes)
        if user is None:
            raise not_found(f"The user {name} does not exist.", reason="userDoesNotExist")
        return user

    @handles("sql.users.insert")
    async def insert_user(self, call: Call) -> Json:
        body = call.body
        kind = body.get("type", "BUILT_IN")
        name = _named(body.get("name"), "user name")
        if name.startswith("cloudsql"):
            raise rules.invalid(f"failed to create user {name}: the name is reserved for Cloud SQL.")
        if kind != "BUILT_IN":
            _check_iam_user(name, body)
        return await self._change(call, "CREATE_USER", lambda content: content.put_user(body))

    @handles("sql.users.get")
    async def get_user(self, call: Call) -> Json:
        return self._user_view(call, await self._user(call, call.params["name"]))

    @handles("sql.users.list")
    async def list_users(self, call: Call) -> Json:
        found = await self._content(call).users()
        items = [self._user_view(call, user) for user in found]
        return {"kind": "sql#usersList"} | ({"items": items} if items else {})

    @handles("sql.users.update")
    async def update_user(self, call: Call) -> Json:
        name = _named(call.params.get("name") or call.body.get("name"), "user name")
        user = await self._user(call, name)
        if call.body.get("password") is not None and "type" in user:
            raise rules.invalid("For IAM users, password or hostname should not be specified.")
        granted, revoke = call.params.get("databaseRoles", []), bool(call.params.get("revokeExistingRoles"))
        return await self._change(
            call, "UPDATE_USER", lambda content: content.change_user(user, call.body, granted, revoke=revoke)
        )

    @handles("sql.users.delete")
    async def delete_user(self, call: Call) -> Json:
        name = _named(call.params.get("name"), "user name")
        user = await self._user(call, name)
        return await self._change(call, "DELETE_USER", lambda content: content.drop_user(user))

    # Backups -----------------------------------------------------------------------------------------------------

    @handles("sql.backupRuns.insert")
    async def insert_backup(self, call: Call) -> Json:
        key, record = self._instances.running(call)
        identifier = str(int(clock.now().timestamp() * 1000))
        name = f"{key}/{identifier}"
        backup: Json = {
            "kind": "sql#backupRun",
            "id": identifier,
            "instance": record["name"],
            "type": "ON_DEMAND",
            "backupKind": "PHYSICAL",
            "status": "ENQUEUED",
            "databaseVersion": record["databaseVersion"],
            "location": call.body.get("location") or record["region"].partition("-")[0],
            "enqueuedTime": clock.timestamp(),
            "windowStartTime": clock.timestamp(),
        }
        if "description" in call.body:
            backup["description"] = call.body["description"]
        self._backups.put(name, backup)

        async def work() -> None:
            backup.update(status="RUNNING", startTime=clock.timestamp())
            self._backups.put(name, backup)
            if record["served"]:
                size = await self._servers.backup(key, identifier)
                backup["maxChargeableBytes"] = str(size)

        def end(error: ApiError | None) -> None:
            backup.update(status="FAILED" if error else "SUCCESSFUL", endTime=clock.timestamp())
            if error:
                backup["error"] = {
                    "kind": "sql#operationError",
                    "code": "INTERNAL_ERROR",
                    "message": error.message,
                }
            self._backups.put(name, backup)

        context = {"backupContext": {"kind": "sql#backupContext", "backupId": identifier}}
        return self._instances.begin(call, key, "BACKUP_VOLUME", work(), end, extra=context)

    def _backup(self, call: Call) -> tuple[str, Json]:
        key, _ = self._instances.instance(call)
        name = f"{key}/{call.params['id']}"
        backup = self._backups.get(name)
        if backup is None:
            raise not_found("The backup run does not exist.", reason="backupRunDoesNotExist")
        return name, backup

    def _backup_view(self, call: Call, backup: Json) -> Json:
        path = f"projects/{call.params['project']}/instances/{backup['instance']}/backupRuns/{backup['id']}"
        return backup | {"selfLink": rules.link(call, path)}

    @handles("sql.backupRuns.get")
    async def get_backup(self, call: Call) -> Json:
        return self._backup_view(call, self._backup(call)[1])

    @handles("sql.backupRuns.list")
    async def list_backups(self, call: Call) -> Json:
        key, _ = self._instances.instance(call)
        found = [self._backup_view(call, one) for _, one in self._backups.items(key + "/")]
        found.sort(key=lambda one: one["enqueuedTime"], reverse=True)
        return {"kind": "sql#backupRunsList"} | call.page(found, "items", size_parameter="maxResults")

    @handles("sql.backupRuns.delete")
    async def delete_backup(self, call: Call) -> Json:
        name, backup = self._backup(call)
        key, record = self._instances.running(call)

        async def work() -> None:
            if backup["status"] == "SUCCESSFUL" and record["served"]:
                await self._servers.drop_backup(key, backup["id"])
            self._backups.delete(name)

        return self._instances.begin(call, key, "DELETE_BACKUP", work())

    def end_interrupted_backups(self) -> None:
        """After a start: a backup that a stop interrupted has failed."""
        for name, backup in self._backups.items():
            if backup["status"] in ("ENQUEUED", "RUNNING"):
                self._backups.put(name, backup | {"status": "FAILED", "endTime": clock.timestamp()})

    # SQL ---------------------------------------------------------------------------------------------------------

    @handles("sql.instances.executeSql")
    async def execute_sql(self, call: Call) -> Json:
        self._content(call)
        key, record = self._instances.instance(call)
        settings, body = record["settings"], call.body
        if settings.get("dataApiAccess") != "ALLOW_DATA_API":
            raise rules.invalid("The instance doesn't allow using executeSql to access this instance.")
        for field in ("sqlStatement", "database"):
            if not body.get(field):
                raise rules.invalid(f"Missing parameter: {field}.")
        self._servers.require_served(key, record)
        user, password = self._login(call, key, record)
        began = time.monotonic()
        if striking("disk_full"):
            return _sql_answer(Execution(error=_DISK_FULL), 0.0)
        try:
            execute = wire.execute if engine_of(record["databaseVersion"]).is_postgres else query.execute
            execution = await execute(
                self._servers[key].port, body["database"], user, password, body["sqlStatement"],
                seconds=_SQL_SECONDS, row_limit=int(body["rowLimit"]) if "rowLimit" in body else None, byte_limit=_SQL_BYTES,
            )  # fmt: skip
        except SqlError as error:
            raise rules.invalid(f"failed to connect to the database: {error.server.message}.") from None
        except SqlTimeoutError as error:
            raise ApiError("DEADLINE_EXCEEDED", str(error)) from None
        except OSError as error:
            raise ApiError("UNAVAILABLE", f"The instance does not take connections: {error}") from None
        partial = body.get("partialResultMode") == "ALLOW_PARTIAL_RESULT"
        if any(result.truncated for result in execution.results) and not partial:
            raise rules.invalid("The result of the SQL statements exceeds 10 MB.")
        return _sql_answer(execution, time.monotonic() - began)

    def _login(self, call: Call, key: str, record: Json) -> tuple[str, str]:
        """Role and password that the caller's choice of authentication means."""
        body, is_postgres = call.body, engine_of(record["databaseVersion"]).is_postgres
        if body.get("autoIamAuthn"):
            flag = "cloudsql.iam_authentication" if is_postgres else "cloudsql_iam_authentication"
            if not rules.flag_enabled(record["settings"], flag):
                raise rules.invalid("IAM authentication is not enabled for the instance.")
            call.require("cloudsql.instances.login", f"projects/{call.params['project']}")
            caller = call.caller
            user = rules.database_user(caller) if is_postgres else caller.email.partition("@")[0]
            return user, iam_password(self._servers[key], user)
        if not body.get("user") or not body.get("passwordSecretVersion"):
            raise rules.invalid("Either autoIamAuthn, or user and passwordSecretVersion must be specified.")
        name = body["passwordSecretVersion"]
        region = record["region"]
        found = _SECRET_VERSION.fullmatch(name)
        if found is None or found[1] != region:
            raise rules.invalid(
                f"passwordSecretVersion ({name}) must be projects/PROJECT/locations/{region}/secrets/SECRET/versions/VERSION, "
                "a regional secret in the region of the instance."
            )
        call.require("secretmanager.versions.access", name)
        return body["user"], self._secrets.payload(name).decode()


def _require_calm() -> None:
    if striking("too_many_operations"):
        raise rules.invalid(
            "Too many operations are being executed on the instance. Please try again later.."
        )


def _named(name: str | None, what: str) -> str:
    if not name:
        raise rules.invalid(f"Missing parameter: {what}.")
    if len(name.encode()) > _MAX_ROLE_NAME:
        raise rules.invalid(f"The {what} ({name}) is longer than {_MAX_ROLE_NAME} characters.")
    return name


def _check_iam_user(name: str, body: Json) -> None:
    if body.get("password") or body.get("host"):
        raise rules.invalid("For IAM users, password or hostname should not be specified.")
    if "@" not in name or name != name.lower():
        raise rules.invalid(f"Invalid IAM user name ({name}): a lower case e-mail address is expected.")


def _sql_answer(execution: Execution, seconds: float) -> Json:
    answer: Json = {"metadata": {"sqlStatementExecutionTime": f"{seconds:.6f}s"}}
    if execution.notices:
        answer["messages"] = [{"message": one.text(), "severity": one.severity} for one in execution.notices]
    if execution.error is not None:
        # Statements sent to PostgreSQL together are one transaction: nothing of them remains, so none is reported as done.
        denied = execution.error.code in _DENIED
        status = "PERMISSION_DENIED" if denied else "INVALID_ARGUMENT"
        return answer | {"status": {"code": RPC_CODES[status], "message": execution.error.text()}}
    return answer | {"results": [_result_view(result) for result in execution.results]}


def _result_view(result: Result) -> Json:
    view: Json = {"message": result.tag}
    if result.columns:
        view["columns"] = [{"name": name, "type": kind} for name, kind in result.columns]
    if result.rows:
        view["rows"] = [
            {"values": [{"nullValue": True} if value is None else {"value": value} for value in row]}
            for row in result.rows
        ]
    if result.truncated:
        view["partialResult"] = True
    return view
