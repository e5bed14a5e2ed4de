"""Cloud SQL Admin, v1 and v1beta4 alike: each instance of PostgreSQL is a real server, and each of MySQL where one was brought; SQL Server and
replicas are the API only.

Instances and operations are in `instances`; databases, users, backups and SQL in `data`; the ways to connect in `connect`; replicas in
`replicas`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import psycopg2
import pymysql

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.describe import Page, Section, View
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.engine.faults import Fault
from gcp_emulator.engine.service import Service
from gcp_emulator.front.tasks import Tasks
from gcp_emulator.services.secretmanager.ports import Secrets
from gcp_emulator.services.sqladmin.backups import Backups
from gcp_emulator.services.sqladmin.connect import Connect
from gcp_emulator.services.sqladmin.data import Data
from gcp_emulator.services.sqladmin.describe import Shown, describe
from gcp_emulator.services.sqladmin.instances import Instances
from gcp_emulator.services.sqladmin.ports import Attachments, SqlSockets
from gcp_emulator.services.sqladmin.private import PrivateAddresses
from gcp_emulator.services.sqladmin.replicas import Replicas
from gcp_emulator.services.sqladmin.servers import Servers
from gcp_emulator.services.sqladmin.transfers import Transfers
from gcp_emulator.services.storage.ports import Objects


class SqlAdmin(Service):
    api = "sqladmin"
    page = Page("/databases", "Databases")
    versions = ("v1", "v1beta4")
    error_style = "legacy"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._records = records = context.store.collection("sqladmin.instances")
        self.servers = Servers(context.state / "sql")
        private = PrivateAddresses(context, records)
        self.connect = Connect(context, self.servers, records, private)
        self.instances = Instances(context, self.servers, self.connect, private, records)
        self._backups = Backups(context)
        self._replicas = Replicas(context, self.instances)
        self._data = Data(context, self.instances, context.ports.find(Secrets))
        self._transfers = Transfers(context, self.instances, context.ports.find(Objects))
        self._restarts = Tasks()
        context.ports.offer(SqlSockets, self.connect)
        context.ways.add(self.connect.way)
        context.ports.offer(Attachments, self.instances)

    def parts(self) -> Iterable[object]:
        return self.instances, self._data, self.connect, self._replicas, self._backups, self._transfers

    async def describe(self, view: View) -> Section | None:
        if view.part:
            return None
        found = self._records.items(f"{view.project}/")
        return describe([(record, await self._content(key, record)) for key, record in found])

    async def _content(self, key: str, record: Json) -> Shown:
        if record["state"] != "RUNNABLE":
            return Shown()
        content = self.instances.content(key, record)
        try:
            return Shown(await content.databases(), await content.users(), served=record["served"])
        except (ApiError, psycopg2.Error, pymysql.MySQLError) as error:
            return Shown(problem=f"The server does not answer: {error}")

    async def start(self) -> None:
        """Starts the servers, then goes on with the operations that a stop interrupted."""
        await self.instances.start()
        self._data.end_interrupted_backups()
        self.instances.resume()

    async def stop(self) -> None:
        await self._restarts.stop()
        await self.connect.close_ports()
        await self.servers.stop()

    async def disturb(self, fault: Fault) -> None:
        if fault.kind == "database_restart":
            self._restarts.start(self._restart_all(fault.seconds))

    async def _restart_all(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.instances.restart_all()
