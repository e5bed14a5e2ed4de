"""Instances and operations. An instance of PostgreSQL that is no replica is a real server, and one of MySQL where a server was brought; the
others are noted, and not run.

Sources: the discovery documents sqladmin:v1 and sqladmin:v1beta4 (20261018), and the pages that
:mod:`gcp_emulator.services.sqladmin.rules` names. Databases, users, backups and SQL are in
:mod:`gcp_emulator.services.sqladmin.data`, the ways to connect in :mod:`gcp_emulator.services.sqladmin.connect`, replicas in
:mod:`gcp_emulator.services.sqladmin.replicas`.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from gcp_emulator.databases.process import ServerError
from gcp_emulator.engine import clock, filters
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, failed_precondition, not_found, precondition_failed
from gcp_emulator.engine.faults import fallible, operation_failure
from gcp_emulator.engine.filters import FilterError
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.engine.store import Collection
from gcp_emulator.services.orgpolicy.ports import Constraints
from gcp_emulator.services.sqladmin import backups, rules, topology
from gcp_emulator.services.sqladmin.connect import Connect
from gcp_emulator.services.sqladmin.contents import Content, PostgresContent, StoredContent
from gcp_emulator.services.sqladmin.engines import MYSQL, POSTGRES, SQLSERVER, engine_of
from gcp_emulator.services.sqladmin.mysql_content import MysqlContent
from gcp_emulator.services.sqladmin.private import PrivateAddresses
from gcp_emulator.services.sqladmin.servers import Servers, active

log = logging.getLogger(__name__)

#: A deleted instance's name is free again after a week.
_NAME_LOCK = datetime.timedelta(days=7)
#: Called when an operation has ended, with its error or None.
End = Callable[[ApiError | None], None]
#: The versions for which flags are listed.
_VERSIONS = [
    *(f"POSTGRES_{major}" for major in range(13, 19)),
    *("MYSQL_5_7", "MYSQL_8_0", "MYSQL_8_4"),
    *(
        f"SQLSERVER_{year}_{kind}"
        for year in (2019, 2022)
        for kind in ("STANDARD", "ENTERPRISE", "EXPRESS", "WEB")
    ),
]
#: What is noted of an operation and not told.
_UNTOLD = frozenset({"instance", "targetPath"})


class Instances:
    """The instances, and the operations on them: Cloud SQL runs one at a time on each."""

    def __init__(
        self,
        context: Context,
        servers: Servers,
        connect: Connect,
        private: PrivateAddresses,
        records: Collection,
    ) -> None:
        self.servers = servers
        self._context = context
        self._connect = connect
        self._private = private
        self._constraints = context.ports.find(Constraints)
        self._instances = records
        self._deleted = context.store.collection("sqladmin.deletedInstances")
        self._operations = context.store.collection("sqladmin.operations")
        self._backups = context.store.collection("sqladmin.backupRuns")
        self._final = context.store.collection("sqladmin.backups")
        self._contents = context.store.collection("sqladmin.contents")
        #: Instances with an operation that has not ended.
        self._busy: set[str] = set()

    async def start(self) -> None:
        """Starts the servers."""
        await asyncio.gather(*(self._bring_back(key, record) for key, record in self._instances.items()))

    def resume(self) -> None:
        """After a start: goes on with the operations that a stop interrupted."""
        for name, operation in self._operations.items():
            if operation["status"] != "DONE":
                self._resume(name, operation)

    async def restart_all(self) -> None:
        """Restarts every server that runs here."""
        ours = [(key, record) for key, record in self._instances.items() if not self.servers.is_attached(key)]
        running = [
            (key, record) for key, record in ours if record["state"] == "RUNNABLE" and record["served"]
        ]
        for key, record in running:
            engine = engine_of(record["databaseVersion"])
            await self.servers.apply(key, record["settings"], engine, restart=True)

    def attach(self, project: str, body: Json, host: str, port: int) -> None:
        """Registers an instance whose server somebody else runs at ``host``:``port``; ``body`` as of sql.instances.insert.

        Clients get in with the server's own users and passwords. What it takes to administer the server is refused.
        """
        record = self._new_record(project, body)
        key = f"{project}/{record['name']}"
        record |= {"state": "RUNNABLE", "databaseInstalledVersion": record["databaseVersion"], "served": True}
        self.servers.attach(key, host, port)
        self._instances.put(key, record)

    async def _bring_back(self, key: str, record: Json) -> None:
        if self.servers.is_attached(key) or not record["served"]:
            await self._connect.open_port(key)
            return
        if record["state"] not in ("RUNNABLE", "FAILED", "PENDING_DELETE"):
            return
        try:
            await self.servers.start(key, record["settings"], engine_of(record["databaseVersion"]))
        except (ServerError, FileNotFoundError) as error:
            log.error("the Cloud SQL instance %s does not start: %s", key, error)
            self._set_state(key, "FAILED")
            return
        if record["state"] == "FAILED":
            self._set_state(key, "RUNNABLE")
        await self._connect.open_port(key)

    def _resume(self, name: str, operation: Json) -> None:
        key = operation["instance"]
        record = self._instances.get(key)
        kind = operation["operationType"]
        if record is None or kind not in ("CLONE", "CREATE", "CREATE_REPLICA", "DELETE", "UPDATE", "RESTART"):
            error = ApiError("ABORTED", "The emulator was stopped while the operation ran.")
            self._operations.put(name, _finish(operation, error))
            return
        if kind in ("CLONE", "CREATE", "CREATE_REPLICA"):
            method, work, end = "insert", self._create(key, record, None), self._created(key)
        elif kind == "DELETE":
            method, work, end = "delete", self._destroy(key), self._removed(key)
        else:
            method, end = "patch", self._applied(key)
            work = self._apply(key, record["settings"], restart=True)
        self._launch(name, operation, key, work, f"sql.instances.{method}", end)

    # Operations --------------------------------------------------------------------------------------------------

    def require_idle(self, key: str) -> None:
        """409 while another operation runs on the instance."""
        if key in self._busy:
            raise ApiError(
                "ABORTED",
                "Operation failed because another operation was already in progress. Try your request after the "
                "current operation is complete.",
                reason="operationInProgress",
            )

    def reserve(self, key: str) -> None:
        """Marks the instance as busy until :meth:`release`, or until the operation that begins next has ended."""
        self._busy.add(key)

    def release(self, key: str) -> None:
        self._busy.discard(key)

    def begin(
        self,
        call: Call,
        key: str,
        kind: str,
        work: Coroutine[Any, Any, None] | None = None,
        end: End | None = None,
        *,
        extra: Json | None = None,
    ) -> Json:
        """Starts an operation of type ``kind`` on the instance ``key`` and returns its first view.

        ``work`` is what it does (None: it is done already and only the time passes); ``end`` is called when it ends,
        unless the emulator is stopped meanwhile. ``extra`` are further fields; ``targetPath`` is what it is about below the instance.
        """
        project, _, instance = key.partition("/")
        identifier = clock.new_id()
        name = f"projects/{project}/operations/{identifier}"
        operation: Json = {
            "kind": "sql#operation",
            "name": identifier,
            "operationType": kind,
            "status": "PENDING",
            "insertTime": clock.timestamp(),
            "user": call.caller.email,
            "targetId": instance,
            "targetProject": project,
            "instance": key,
            **(extra or {}),
        }
        self._launch(name, operation, key, work, call.method.id, end)
        return self._operation_view(call, operation)

    async def ended(self, call: Call, operation: Json) -> Json:
        """The operation when it has ended; as it is when something holds it up."""
        name = f"projects/{operation['targetProject']}/operations/{operation['name']}"
        patience = self._context.operations.profile.seconds(call.method.id) + 1
        await self._context.operations.wait(name, patience)
        return self._operation_view(call, self._operations.get(name) or operation)

    def _launch(
        self,
        name: str,
        operation: Json,
        key: str,
        work: Coroutine[Any, Any, None] | None,
        duration: str,
        end: End | None,
    ) -> None:
        self.reserve(key)

        async def run() -> Json:
            self._operations.put(name, operation | {"status": "RUNNING", "startTime": clock.timestamp()})
            if work is not None:
                try:
                    await fallible(work)
                except (ServerError, ApiError) as error:
                    raise ApiError("INTERNAL", str(error)) from None
            elif failure := operation_failure():
                raise failure
            return {}

        def finish(current: Json, _: Json | None, error: ApiError | None) -> Json:
            if error is not None and error.status == "ABORTED":
                # The emulator stops; the next start goes on from here.
                return current
            self.release(key)
            if end is not None:
                end(error)
            return _finish(current, error)

        work_to_do = run()
        try:
            self._context.operations.launch(
                self._operations,
                name,
                operation,
                work_to_do,
                key=duration,
                finish=finish,
                target=operation["targetId"],
            )
        except BaseException:
            # There is no operation whose end would release it.
            work_to_do.close()
            self.release(key)
            raise

    def _operation_view(self, call: Call, operation: Json) -> Json:
        project, instance = operation["targetProject"], operation["targetId"]
        below = f"/{operation['targetPath']}" if "targetPath" in operation else ""
        return {key: value for key, value in operation.items() if key not in _UNTOLD} | {
            "targetLink": rules.link(call, f"projects/{project}/instances/{instance}{below}"),
            "selfLink": rules.link(call, f"projects/{project}/operations/{operation['name']}"),
        }

    @handles("sql.operations.get")
    async def get_operation(self, call: Call) -> Json:
        name = f"projects/{call.params['project']}/operations/{call.params['operation']}"
        operation = self._operations.get(name)
        if operation is None:
            raise not_found(
                "The Cloud SQL instance operation does not exist.", reason="operationDoesNotExist"
            )
        return self._operation_view(call, operation)

    @handles("sql.operations.list")
    async def list_operations(self, call: Call) -> Json:
        found = [op for _, op in self._operations.items(f"projects/{call.params['project']}/operations/")]
        wanted = call.params.get("instance")
        key = f"{call.params['project']}/{wanted}"
        views = [self._operation_view(call, op) for op in found if not wanted or op["instance"] == key]
        views.sort(key=lambda op: op["insertTime"], reverse=True)
        return {"kind": "sql#operationsList"} | call.page(views, "items", size_parameter="maxResults")

    # Instances ---------------------------------------------------------------------------------------------------

    def instance(self, call: Call) -> tuple[str, Json]:
        """Key and record of the call's instance; 404 in Cloud SQL's words."""
        return rules.instance(self._instances, call)

    def running(self, call: Call) -> tuple[str, Json]:
        """As :meth:`instance`; 409 unless it is RUNNABLE, active and idle."""
        key, record = self.instance(call)
        self.require_idle(key)
        if record["state"] != "RUNNABLE" or not active(record["settings"]):
            raise rules.wrong_state()
        return key, record

    def content(self, key: str, record: Json) -> Content:
        """What is in an instance."""
        engine = engine_of(record["databaseVersion"])
        if record["served"] and engine.is_postgres:
            return PostgresContent(self.servers, key)
        stored = StoredContent(self._contents, key, engine)
        return (
            MysqlContent(self.servers, key, engine, record["settings"], stored)
            if record["served"]
            else stored
        )

    @handles("sql.instances.insert")
    async def insert_instance(self, call: Call) -> Json:
        project = call.params["project"]
        name = rules.new_instance(project, call.body)["name"]
        key = f"{project}/{name}"
        self._require_free_name(key)
        rules.require_root_password(call.body)
        primary = self._primary(call.body, project)
        record = self._new_record(project, call.body)
        if not self._constraints.allows(project, "gcp.resourceLocations", record["region"]):
            raise rules.invalid(
                f"'{record['region']}' violates constraint 'constraints/gcp.resourceLocations' on the resource 'projects/{project}'."
            )
        self._require_address(project, record["settings"])
        await self._choose_server(key, record)
        self._require_free_name(key)
        self._instances.put(key, record)
        work = self._create(key, record, call.body.get("rootPassword"))
        if primary is None:
            return self.begin(call, key, "CREATE", work, self._created(key))
        topology.add_replica(self._instances, primary, record["name"])
        # Recorded so: sqlinstance-replica-direct.
        about = {"targetId": call.body["masterInstanceName"]}
        return self.begin(call, key, "CREATE_REPLICA", work, self._created(key), extra=about)

    @handles("sql.instances.clone")
    async def clone_instance(self, call: Call) -> Json:
        key, source = self.running(call)
        project, name = (
            source["project"],
            call.body.get("cloneContext", {}).get("destinationInstanceName", ""),
        )
        if source["served"]:
            label = engine_of(source["databaseVersion"]).label
            raise failed_precondition(f"gcp-emulator does not emulate clones of {label}; nothing was done.")
        asked = {field: source[field] for field in ("region", "databaseVersion", "settings")}
        record = self._new_record(project, asked | {"name": name})
        clone = f"{project}/{name}"
        self._require_free_name(clone)
        self._instances.put(clone, record)
        if (content := self._contents.get(key)) is not None:
            self._contents.put(clone, content)
        return self.begin(call, clone, "CLONE", self._create(clone, record, None), self._created(clone))

    async def _choose_server(self, key: str, record: Json) -> None:
        """Notes which server will run the instance, if one will."""
        if record["instanceType"] != "CLOUD_SQL_INSTANCE":
            return
        engine = engine_of(record["databaseVersion"])
        chosen = await self.servers.choose(engine)
        if chosen is None:
            return
        version, differences = chosen
        if differences:
            log.warning(
                "no server of %s is there: %s %s runs the instance %s in its place: %s",
                engine.version, engine.label, version, key, "; ".join(differences),
            )  # fmt: skip
        record |= {"served": True, "runs": version, "differences": differences}
        if engine.is_postgres:
            record["databaseInstalledVersion"] = "POSTGRES_" + version.replace(".", "_")

    def _primary(self, body: Json, project: str) -> str | None:
        """The key of the primary of the replica that is asked for, None for an instance that is no replica."""
        if "masterInstanceName" not in body:
            return None
        key = rules.instance_key(body["masterInstanceName"], project)
        record = self._instances.get(key)
        if record is None:
            raise ApiError(
                "PERMISSION_DENIED",
                "The client is not authorized to make this request.",
                reason="notAuthorized",
            )
        self.require_idle(key)
        if record["state"] != "RUNNABLE":
            raise rules.wrong_state()
        body.setdefault("databaseVersion", record["databaseVersion"])
        return key

    def _new_record(self, project: str, body: Json) -> Json:
        """What is stored of a new instance; ApiError when Cloud SQL would refuse it."""
        record = rules.new_instance(project, body)
        name, region, settings = record["name"], record["region"], record["settings"]
        self._private.require(project, name, settings)
        engine = engine_of(record["databaseVersion"])
        record |= {
            "kind": "sql#instance",
            "state": "PENDING_CREATE",
            "createTime": clock.timestamp(),
            "backendType": "SECOND_GEN",
            "connectionName": f"{project}:{region}:{name}",
            "databaseInstalledVersion": engine.minor,
            "maintenanceVersion": engine.maintenance_version,
            "serviceAccountEmailAddress": _agent(self._context.projects.number(project), name),
            "ipAddresses": self._connect.addresses(
                f"{project}/{name}", region, settings, record["databaseVersion"]
            ),
            "satisfiesPzi": True,
            "sqlNetworkArchitecture": "NEW_NETWORK_ARCHITECTURE",
            "served": False,
            **rules.zones(settings, region),
            **engine.filled("instance"),
        }
        if engine.gemini is not None:
            record["geminiConfig"] = engine.gemini
        if "masterInstanceName" in record:
            record["masterInstanceName"] = rules.instance_key(record["masterInstanceName"], project).replace(
                "/", ":"
            )
        record["settings"] |= {"kind": "sql#settings", "settingsVersion": "1"}
        return record

    def _require_address(self, project: str, settings: Json) -> None:
        if settings["ipConfiguration"]["ipv4Enabled"] and self._constraints.enforces(
            project, "sql.restrictPublicIp"
        ):
            number = self._context.projects.number(project)
            raise rules.invalid(
                "Organization Policy check failure: the external IP of this instance violates the "
                f"constraints/sql.restrictPublicIp enforced at the {number} project."
            )

    def _require_free_name(self, key: str) -> None:
        deleted = self._deleted.get(key)
        locked = deleted is not None and clock.now() - clock.parse_timestamp(deleted["time"]) < _NAME_LOCK
        if key in self._instances or locked:
            raise ApiError(
                "ALREADY_EXISTS",
                "The Cloud SQL instance already exists. When you delete an instance, you can't reuse the name of the "
                "deleted instance until one week from the deletion date.",
                reason="instanceAlreadyExists",
            )

    async def _create(self, key: str, record: Json, root_password: str | None) -> None:
        self._private.require_allocated(record)
        if record["served"]:
            engine = engine_of(record["databaseVersion"])
            await self.servers.create(key, record["settings"], engine, root_password)
        await self._connect.open_port(key)

    def _created(self, key: str) -> End:
        return lambda error: self._set_state(key, "FAILED" if error else "RUNNABLE")

    @handles("sql.instances.get")
    async def get_instance(self, call: Call) -> Json:
        _, record = self.instance(call)
        return self._instance_view(call, record)

    @handles("sql.instances.list")
    async def list_instances(self, call: Call) -> Json:
        text = str(call.params.get("filter") or "")
        try:
            fits = filters.parse(text)
        except FilterError as error:
            raise rules.invalid(f"Invalid filter {text}: {error}.") from None
        found = (
            self._instance_view(call, record)
            for _, record in self._instances.items(call.params["project"] + "/")
        )
        views = [view for view in found if fits(view)]
        return {"kind": "sql#instancesList"} | call.page(
            views, "items", size_parameter="maxResults", default=500
        )

    def _instance_view(self, call: Call, record: Json) -> Json:
        link = rules.link(call, f"projects/{record['project']}/instances/{record['name']}")
        authority = self._connect.server_ca(f"{record['project']}/{record['name']}")
        view = {key: value for key, value in record.items() if key not in rules.NOTED}
        if upgrades := engine_of(record["databaseVersion"]).upgrades:
            view["upgradableDatabaseVersions"] = upgrades
        return view | {"selfLink": link, "etag": _etag(record), "serverCaCert": authority}

    @handles("sql.instances.patch")
    async def patch_instance(self, call: Call) -> Json:
        _, record = self.instance(call)
        await self._require_same_server(record, call.body)
        raw = call.raw_body.get("settings") or {}
        settings = rules.patched_settings(record["settings"], call.body.get("settings", {}), raw)
        return self._update(call, record | _without_secrets(call.body) | {"settings": settings})

    @handles("sql.instances.update")
    async def update_instance(self, call: Call) -> Json:
        _, record = self.instance(call)
        if "settingsVersion" not in call.body.get("settings", {}):
            raise rules.invalid("Missing parameter: settings.settingsVersion.")
        await self._require_same_server(record, call.body)
        kept = {
            key: value
            for key, value in record.items()
            if key not in ("replicaConfiguration", "replicationCluster")
        }
        return self._update(call, kept | _without_secrets(call.body))

    async def _require_same_server(self, record: Json, body: Json) -> None:
        """FAILED_PRECONDITION when another server would have to take over the data of MySQL."""
        engine = engine_of(body.get("databaseVersion") or record["databaseVersion"])
        if record["served"] and engine.is_mysql and "runs" in record:
            chosen = await self.servers.choose(engine)
            if chosen is None or chosen[0] != record["runs"]:
                raise failed_precondition(
                    f"gcp-emulator does not emulate the upgrade of {record['databaseVersion']} to {engine.version}; nothing was done."
                )

    def _update(self, call: Call, wanted: Json) -> Json:
        key, record = self.instance(call)
        self.require_idle(key)
        if record["state"] != "RUNNABLE":
            raise rules.wrong_state()
        before = record["settings"]
        given = call.body.get("settings", {}).get("settingsVersion")
        if given is not None and given != before["settingsVersion"]:
            raise precondition_failed("Condition does not match.", reason="staleData")
        rules.check_update(record, wanted)
        engine = engine_of(wanted["databaseVersion"])
        is_replica = record["instanceType"] == "READ_REPLICA_INSTANCE"
        settings = rules.complete_settings(
            wanted["settings"], engine, record["region"], is_replica=is_replica
        )
        if not before["ipConfiguration"]["ipv4Enabled"]:
            self._require_address(record["project"], settings)
        if self._private.network(settings) != self._private.network(before):
            self._private.require(record["project"], record["name"], settings)
        settings |= {"kind": "sql#settings", "settingsVersion": before["settingsVersion"]}
        rules.check_maintenance(record, wanted | {"settings": settings})
        if wanted["databaseVersion"] != record["databaseVersion"]:
            wanted |= {
                "databaseInstalledVersion": engine.minor,
                "maintenanceVersion": engine.maintenance_version,
            }
        settings["settingsVersion"] = str(int(before["settingsVersion"]) + 1)
        wanted |= {
            "settings": settings,
            "ipAddresses": self._connect.addresses(
                key, record["region"], settings, wanted["databaseVersion"]
            ),
            **rules.zones(settings, record["region"]),
        }
        self._instances.put(key, wanted)
        topology.name_failover_replica(self._instances, record, wanted)
        work = self._apply(
            key, settings, restart=record["served"] and rules.needs_restart(before, settings, engine.name)
        )
        return self.begin(call, key, "UPDATE", work, self._applied(key))

    async def _apply(self, key: str, settings: Json, *, restart: bool) -> None:
        record = self._instances.get(key)
        if record is not None:
            self._private.require_allocated(record)
        if record is not None and record["served"]:
            engine = engine_of(record["databaseVersion"])
            await self.servers.apply(key, settings, engine, restart=restart)
        await self._connect.open_port(key)

    def _applied(self, key: str) -> End:
        return lambda error: self._set_state(key, "FAILED") if error else None

    @handles("sql.instances.restart")
    async def restart_instance(self, call: Call) -> Json:
        key, record = self.running(call)
        work = self._apply(key, record["settings"], restart=True)
        return self.begin(call, key, "RESTART", work, self._applied(key))

    @handles("sql.instances.delete")
    async def delete_instance(self, call: Call) -> Json:
        key, record = self.instance(call)
        self.require_idle(key)
        if record["settings"]["deletionProtectionEnabled"]:
            raise ApiError(
                "INVALID_ARGUMENT",
                "The instance is protected. Please disable the deletion protection and try again. To disable deletion "
                "protection, update the instance settings with deletionProtectionEnabled set to false.",
                reason="deletionProtectionEnabled",
            )
        if record.get("replicaNames"):
            raise ApiError(
                "INVALID_ARGUMENT",
                "The requested operation is not valid for a replication master instance.",
                reason="errorReplicationMasterInvalidOperation",
            )
        if (final := backups.final_backup(call, record)) is not None:
            self._final.put(final["name"], final)
        self._set_state(key, "PENDING_DELETE")
        return self.begin(call, key, "DELETE", self._destroy(key), self._removed(key))

    async def _destroy(self, key: str) -> None:
        if (final := backups.enqueued(self._final, key)) is not None:
            record = self._instances.get(key)
            has_server = record is not None and record["served"] and active(record["settings"])
            identifier = final["name"].rpartition("/")[2]
            size = await self.servers.backup(key, identifier) if has_server else None
            self._final.put(final["name"], backups.finished(final, size))
        await self._connect.close_port(key)
        await self.servers.destroy(key)

    def _removed(self, key: str) -> End:
        def end(error: ApiError | None) -> None:
            if error is not None:
                self._set_state(key, "FAILED")
                return
            record = self._instances.get(key)
            if record is not None and "masterInstanceName" in record:
                topology.remove_replica(self._instances, record)
            self._instances.delete(key)
            self._contents.delete(key)
            self._deleted.put(key, {"time": clock.timestamp()})
            # A deleted instance takes its backups with it.
            for backup in self._backups.names(key + "/"):
                self._backups.delete(backup)
            self._connect.forget_authority(key)

        return end

    def _set_state(self, key: str, state: str) -> None:
        record = self._instances.get(key)
        if record is not None:
            self._instances.put(key, record | {"state": state})

    # What the document's other tables say ------------------------------------------------------------------------

    @handles("sql.flags.list")
    async def list_flags(self, call: Call) -> Json:
        version = call.params.get("databaseVersion")
        versions = [version] if version else _VERSIONS
        items = [
            _flag_view(name, flag, [one for one in versions if one.startswith(f"{engine}_")])
            for engine in (POSTGRES, MYSQL, SQLSERVER)
            for name, flag in rules.flags(engine).items()
        ]
        return {"kind": "sql#flagsList", "items": [item for item in items if item["appliesTo"]]}

    @handles("sql.tiers.list")
    async def list_tiers(self, call: Call) -> Json:
        limits = rules.limits()
        names = [*limits["shared_core_tiers"], *limits["predefined_tiers"]]
        names += [
            f"{family}-{size}" for family, sizes in limits["enterprise_plus_tiers"].items() for size in sizes
        ]
        items = [
            {
                "kind": "sql#tier",
                "tier": name,
                "RAM": str(int(rules.tier_memory(name)) * 2**20),
                "DiskQuota": str(rules.largest_disk(name) * 2**30),
                "region": limits["regions"],
            }
            for name in names
        ]
        return {"kind": "sql#tiersList", "items": items}


def _finish(operation: Json, error: ApiError | None) -> Json:
    operation |= {"status": "DONE", "endTime": clock.timestamp()}
    operation.setdefault("startTime", operation["insertTime"])
    if error is not None:
        detail = {"kind": "sql#operationError", "code": "INTERNAL_ERROR", "message": error.message}
        operation["error"] = {"kind": "sql#operationErrors", "errors": [detail]}
    return operation


def _without_secrets(body: Json) -> Json:
    return {key: value for key, value in body.items() if key != "rootPassword"}


def _etag(record: Json) -> str:
    return hashlib.sha256(
        f"{record['createTime']}{record['settings']['settingsVersion']}".encode()
    ).hexdigest()


def _agent(number: str, name: str) -> str:
    """The instance's service account: ``p`` + project number, and six stable letters."""
    return (
        f"p{number}-{hashlib.sha256(name.encode()).hexdigest()[:6]}@gcp-sa-cloud-sql.iam.gserviceaccount.com"
    )


def _flag_view(name: str, flag: Json, versions: list[str]) -> Json:
    view: Json = {
        "kind": "sql#flag",
        "name": name,
        "type": flag["type"],
        "appliesTo": [one for one in versions if rules.is_available(flag, engine_of(one))],
        "requiresRestart": bool(flag.get("restart")),
    }
    if flag["type"] == "INTEGER":
        view |= {"minValue": str(flag["min"]), "maxValue": str(flag["max"])}
    if "allowed" in flag:
        view["allowedStringValues"] = flag["allowed"]
    return view
