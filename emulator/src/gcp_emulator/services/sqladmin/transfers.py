"""Databases that go to a bucket as SQL and come back: instances.export and instances.import, of PostgreSQL.

The instance reads and writes the bucket as its own service account (https://cloud.google.com/sql/docs/postgres/import-export/import-export-sql);
the words for one that may not are quoted in https://stackoverflow.com/questions/50255432. That they come before an operation begins, which type an
operation has, and that without ``importUser`` all is made as ``cloudsqlsuperuser``, are assumed.
"""

from __future__ import annotations

import gzip
import re

from gcp_emulator.databases.postgres import dumps
from gcp_emulator.databases.postgres.cluster import Cluster
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, failed_precondition
from gcp_emulator.engine.identity import Identity, identity_of
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.services.sqladmin import rules
from gcp_emulator.services.sqladmin.engines import engine_of
from gcp_emulator.services.sqladmin.instances import Instances
from gcp_emulator.services.storage.ports import Objects

_URI = re.compile(r"gs://(?P<bucket>[a-z0-9][a-z0-9._-]{1,220})/(?P<name>.+)")
_NO_RIGHT = "The service account does not have the required permissions for the bucket."
_GZIP = b"\x1f\x8b"


class Transfers:
    """The part of the service that exports and imports."""

    def __init__(self, context: Context, instances: Instances, objects: Objects) -> None:
        self._instances = instances
        self._servers = instances.servers
        self._objects = objects

    @handles("sql.instances.export")
    async def export(self, call: Call) -> Json:
        key, record, asked, bucket, name = self._asked(call, "exportContext")
        databases = asked.get("databases") or []
        if len(databases) != 1:
            raise rules.invalid("for PostgreSQL instances, you must specify one database to be exported.")
        agent = self._agent(record)
        try:
            self._objects.require_writable(bucket, name, identity=agent)
        except ApiError as error:
            raise _refused(error) from None

        async def work() -> None:
            sql = await self._servers.run(key, Cluster, dumps.dump, databases[0])
            data = gzip.compress(sql, mtime=0) if name.endswith(".gz") else sql
            await self._objects.write_object(bucket, name, data, identity=agent)

        return self._instances.begin(call, key, "EXPORT", work(), extra={"exportContext": asked})

    @handles("sql.instances.import")
    async def import_(self, call: Call) -> Json:
        key, record, asked, bucket, name = self._asked(call, "importContext")
        database = asked.get("database", "")
        if not database:
            raise rules.invalid("the database to import into must be specified.")
        try:
            found = self._objects.read_object(bucket, name, identity=self._agent(record))
        except ApiError as error:
            raise _refused(error) from None
        data = found.path.read_bytes()
        sql = gzip.decompress(data) if data.startswith(_GZIP) else data
        user = asked.get("importUser") or "cloudsqlsuperuser"

        async def work() -> None:
            await self._servers.run(key, Cluster, dumps.load, database, user, sql)

        return self._instances.begin(call, key, "IMPORT", work(), extra={"importContext": asked})

    def _asked(self, call: Call, field: str) -> tuple[str, Json, Json, str, str]:
        """Key and record of the instance, what is asked for, and the bucket and name of the object."""
        key, record = self._instances.running(call)
        self._servers.require_served(key, record)
        asked: Json = call.body.get(field) or {}
        kind = asked.get("fileType", "")
        if not engine_of(record["databaseVersion"]).is_postgres or kind != "SQL":
            what = f"fileType {kind or '(none)'}" if kind != "SQL" else record["databaseVersion"]
            raise failed_precondition(
                f"gcp-emulator exports and imports PostgreSQL as SQL, and not {what}; nothing was done."
            )
        place = _URI.fullmatch(asked.get("uri", ""))
        if place is None:
            raise rules.invalid("the URI must be of the form gs://bucketName/fileName.")
        return key, record, asked, place["bucket"], place["name"]

    def _agent(self, record: Json) -> Identity:
        return identity_of(record["serviceAccountEmailAddress"])


def _refused(error: ApiError) -> ApiError:
    """What Cloud SQL says of a bucket that its account may not use; of one that is not there it says what Cloud Storage says."""
    return ApiError("PERMISSION_DENIED", _NO_RIGHT) if error.status == "PERMISSION_DENIED" else error
