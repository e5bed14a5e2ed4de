"""What Cloud SQL's engines differ in: versions, and what a new instance of each has. The data are in versions.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.facts import read_yaml

POSTGRES, MYSQL, SQLSERVER = "POSTGRES", "MYSQL", "SQLSERVER"
_NEWEST_POSTGRES = 18
#: Of versions that versions.yaml does not list.
_BUILD = "R20251004.01_07"


@cache
def _data() -> Json:
    loaded: Json = read_yaml("services/sqladmin/versions.yaml")
    return loaded


@dataclass(frozen=True)
class Engine:
    """An engine at the version that an instance asks for."""

    name: str
    version: str

    @property
    def is_postgres(self) -> bool:
        return self.name == POSTGRES

    @property
    def is_mysql(self) -> bool:
        return self.name == MYSQL

    @property
    def label(self) -> str:
        """Its name as people write it."""
        return str(self._facts["label"])

    @property
    def port(self) -> int:
        """Where its servers listen at private addresses (https://cloud.google.com/sql/docs/mysql/connect-admin-ip, .../postgres/...)."""
        return {MYSQL: 3306, POSTGRES: 5432, SQLSERVER: 1433}[self.name]

    @property
    def major(self) -> int:
        """The major version: 17 of ``POSTGRES_17``, 9 of ``POSTGRES_9_6``."""
        return int(self.version.split("_")[1])

    @property
    def series(self) -> tuple[int, int]:
        """Of MySQL: ``(8, 0)`` of ``MYSQL_8_0_41``."""
        major, minor = self.order[:2]
        return major, minor

    @property
    def order(self) -> tuple[int, ...]:
        """Sorts the versions of one engine."""
        return tuple(int(number) for number in re.findall(r"(?<=_)\d+", self.version))

    @property
    def default_edition(self) -> str:
        """The edition of an instance that asks for none (https://cloud.google.com/sql/docs/editions-intro)."""
        least = {POSTGRES: (16,), MYSQL: (8, 4)}.get(self.name)
        return "ENTERPRISE_PLUS" if least is not None and self.order >= least else "ENTERPRISE"

    @property
    def minor(self) -> str:
        """The minor version that Google installs."""
        return str(self._version.get("minor", self.version))

    @property
    def maintenance_version(self) -> str:
        """The ``maintenanceVersion`` of a new instance."""
        return f"{self.minor}.{self._version.get('build', _BUILD)}"

    @property
    def upgrades(self) -> list[Json]:
        """``upgradableDatabaseVersions``."""
        names = self._version.get("upgrades", [])
        if self.is_postgres:
            names = [f"POSTGRES_{major}" for major in range(self.major + 1, _NEWEST_POSTGRES + 1)]
        return [_available(name) for name in names]

    @property
    def charset(self) -> str:
        """The character set of a database that asks for none."""
        return str(self._version.get("charset", self._facts["charset"]))

    def collation(self, charset: str) -> str | None:
        """The collation of a database that asks for this character set only; None for one that the engine does not have."""
        found: str | None = self._facts["collations"].get(charset)
        if charset == "utf8mb4" and self.order < (8, 0):
            return "utf8mb4_general_ci"
        return found

    def filled(self, part: str) -> Json:
        """What Google adds to a ``part`` of each instance: ``instance``, ``settings``, ``backups`` or ``network``."""
        return dict(self._facts.get(part, {}))

    @property
    def gemini(self) -> Json | None:
        """``geminiConfig``."""
        found: Json | None = self._facts.get("gemini")
        return found

    @property
    def users(self) -> list[Json]:
        """The users of a new instance."""
        return [dict(user) for user in self._facts["users"]]

    @property
    def databases(self) -> list[Json]:
        """The databases of a new instance."""
        found = [dict(database) for database in self._facts["databases"]]
        if self.is_mysql and self.order < (8, 0):
            return [one | {"charset": "utf8", "collation": "utf8_general_ci"} for one in found]
        return found

    @property
    def _facts(self) -> dict[str, Any]:
        found: dict[str, Any] = _data()["engines"][self.name]
        return found

    @property
    def _version(self) -> dict[str, Any]:
        found: dict[str, Any] = _data()["versions"].get(self.version, {})
        return found


def engine_of(version: str) -> Engine:
    """The engine of a ``databaseVersion``."""
    return Engine(version.partition("_")[0], version)


def _available(name: str) -> Json:
    """An ``AvailableDatabaseVersion``: a minor version of MySQL belongs to a major one, SQL Server has none."""
    engine = engine_of(name)
    _, number, *rest = name.split("_")
    if engine.name == SQLSERVER:
        major, text = name, " ".join([number, *(part.capitalize() for part in rest)])
    else:
        major = "_".join(name.split("_")[:3]) if engine.is_mysql else name
        text = ".".join([number, *rest])
    return {"displayName": f"{engine.label} {text}", "majorVersion": major, "name": name}
