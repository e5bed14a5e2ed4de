"""Final backups: what stays of an instance that was deleted with one. It is listed until it expires, and nothing restores it.

Sources: the discovery documents (Backup, FinalBackupConfig, instances.delete);
https://cloud.google.com/sql/docs/postgres/backup-recovery/backups#final-backups (30 days by default). That ``backupRuns`` permissions are
asked for, and the text for one that is not there, are assumed.
"""

from __future__ import annotations

import datetime

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, not_found
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.engine.store import Collection
from gcp_emulator.services.sqladmin import rules

_DEFAULT_DAYS = 30


def final_backup(call: Call, record: Json) -> Json | None:
    """The backup that a call of instances.delete makes of the instance; None when it is to have none."""
    config = record["settings"].get("finalBackupConfig", {})
    if not call.params.get("enableFinalBackup", config.get("enabled", False)):
        return None
    days = int(call.params.get("finalBackupTtlDays") or config.get("retentionDays") or _DEFAULT_DAYS)
    now = clock.now()
    expires = call.params.get("finalBackupExpiryTime") or clock.timestamp(now + datetime.timedelta(days=days))
    backup: Json = {
        "kind": "sql#backup",
        "name": f"projects/{record['project']}/backups/{clock.new_id()}",
        "type": "FINAL",
        "backupKind": "PHYSICAL",
        "state": "ENQUEUED",
        "instance": record["name"],
        "databaseVersion": record["databaseVersion"],
        "location": record["region"].partition("-")[0],
        "instanceSettings": {key: value for key, value in record.items() if key not in rules.NOTED},
        "expiryTime": expires,
        "backupInterval": {"startTime": clock.timestamp(now)},
    }
    if description := call.params.get("finalBackupDescription"):
        backup["description"] = description
    return backup


def enqueued(records: Collection, key: str) -> Json | None:
    """The final backup that is to be made of an instance before it is gone."""
    project, _, instance = key.partition("/")
    for _, backup in records.items(f"projects/{project}/backups/"):
        if backup["instance"] == instance and backup["state"] == "ENQUEUED":
            return backup
    return None


def finished(backup: Json, size: int | None) -> Json:
    """A final backup that was made; ``size`` in bytes when a server made it."""
    now = clock.timestamp()
    done = backup | {"state": "SUCCESSFUL", "instanceDeletionTime": now}
    done["backupInterval"] = backup["backupInterval"] | {"endTime": now}
    return done | ({"maxChargeableBytes": str(size)} if size is not None else {})


class Backups:
    """The part of the service for backups that outlive their instances."""

    def __init__(self, context: Context) -> None:
        self._backups = context.store.collection("sqladmin.backups")

    def _backup(self, call: Call) -> Json:
        backup = self._backups.get(call.params["name"])
        if backup is None or _has_expired(backup):
            raise not_found("The backup does not exist.", reason="backupDoesNotExist")
        return backup

    @handles("sql.backups.getBackup", "sql.Backups.GetBackup")
    async def get_backup(self, call: Call) -> Json:
        return _view(call, self._backup(call))

    @handles("sql.backups.listBackups", "sql.Backups.ListBackups")
    async def list_backups(self, call: Call) -> Json:
        found = [
            one
            for _, one in self._backups.items(f"{call.params['parent']}/backups/")
            if not _has_expired(one)
        ]
        return call.page([_view(call, one) for one in found], "backups", default=500)


def _has_expired(backup: Json) -> bool:
    return clock.parse_timestamp(backup["expiryTime"]) <= clock.now()


def _view(call: Call, backup: Json) -> Json:
    return backup | {"selfLink": rules.link(call, backup["name"])}
