"""Say what the migrations are going to do, and migrate unless it may hurt. Runs in `manage.py shell -c`, before a line that calls `migrate` or `gate`.

It reads the plan of Django 3.2 to 6.0 on the database as it is, so what it judges is what it runs. An operation is additive (nothing that is there
is lost, changed or forbidden), destructive (it drops, renames, rewrites or tightens what was there before) or unknown (code that only running tells).

Sources: what holds a table while it changes: https://www.postgresql.org/docs/current/sql-altertable.html (Notes) and
https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html (Column Operations); that Django takes the default of a new column away
again: https://docs.djangoproject.com/en/stable/ref/models/fields/#db-default.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
from typing import Any, Tuple

from django.apps import apps
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.signals import connection_created
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState
from django.db.models.fields import NOT_PROVIDED

#: What lines for the deploy begin with, which it does not show.
MARK = "djangogcp_migrate: "
#: The exit code of a plan that may not run. Nothing was touched then.
REFUSED = 76
#: Holds the digest of the plan that may run although it is destructive.
ALLOWED = "DJANGOGCP_ALLOWED_PLAN"
ADDITIVE, DESTRUCTIVE, UNKNOWN = "additive", "destructive", "unknown"
#: A kind, what is done to what was there, and what the code that serves can no longer do then.
Judged = Tuple[str, str, str]
#: What nobody notices.
NOTHING: Judged = (ADDITIVE, "", "")
#: Statements that keep everybody from a table for as long as they run.
HOLDS_A_TABLE = re.compile(
    r"\s*(ALTER\s+TABLE|CREATE\s+(UNIQUE\s+)?INDEX(?!\s+CONCURRENTLY)|DROP\s+TABLE)\b", re.I
)
NAMES_A_TABLE = re.compile(r"\b(?:TABLE|ON|UPDATE|INTO|FROM)\s+(?:IF\s+EXISTS\s+)?([\"`]?[\w.]+[\"`]?)", re.I)
#: What SQL of a project's own says when it is destructive.
DESTRUCTIVE_SQL = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN|SCHEMA|DATABASE|TYPE)|TRUNCATE|DELETE\s+FROM|RENAME\s+(TO|COLUMN|TABLE)|SET\s+NOT\s+NULL"
    r"|ALTER\s+COLUMN\s+\S+\s+(SET\s+DATA\s+)?TYPE|(MODIFY|CHANGE)\s+COLUMN)\b",
    re.I,
)
# MySQL writes the length of a text of up to so many bytes in one byte, and a table anew to write it in two.
ONE_BYTE, BYTES_OF_A_CHARACTER = 255, 4
LONGEST_PLAN = 40


class Plan:
    """What the migrations of a database are going to do.

    Attributes:
        steps: each a dictionary of `migration`, `operation`, `kind`, `why` (what it does to what was there) and `breaks` (what the code that
            serves can no longer do then), "" for nothing.
    """

    def __init__(self, connection: Any) -> None:
        executor = MigrationExecutor(connection)
        self.connection = connection
        self.loader = executor.loader
        self.migrations = [
            one for one, _is_backwards in executor.migration_plan(self.loader.graph.leaf_nodes())
        ]
        self.heads = dict(self.loader.graph.leaf_nodes())
        self.is_first = not self.loader.applied_migrations
        self.steps = []
        # What the plan itself makes, in which nothing is: models, and fields of models that were there.
        self._models = set()
        self._fields = set()
        if self.migrations and not self.is_first:
            # As the executor itself begins.
            state = executor._create_project_state(with_applied_migrations=True)
            for migration in self.migrations:
                self._read(
                    migration.app_label,
                    f"{migration.app_label}.{migration.name}",
                    migration.operations,
                    state,
                )

    @property
    def digest(self) -> str:
        """What tells this plan from any other."""
        names = [f"{one.app_label}.{one.name}" for one in self.migrations]
        return hashlib.sha256(json.dumps([names, self.steps], sort_keys=True).encode()).hexdigest()

    def of_kind(self, kind: str) -> list[dict[str, str]]:
        return [step for step in self.steps if step["kind"] == kind]

    def lines(self) -> list[str]:
        """The plan for people."""
        count = len(self.migrations)
        if not count:
            return []
        migrations = "1 migration" if count == 1 else f"{count} migrations"
        if self.is_first:
            return [f"Plan: {migrations} of an empty database."]
        shown = (
            self.steps
            if len(self.steps) <= LONGEST_PLAN
            else [one for one in self.steps if one["kind"] != ADDITIVE]
        )
        found = [
            f"Plan: {migrations}, "
            + ", ".join(f"{len(self.of_kind(kind))} {kind}" for kind in (ADDITIVE, DESTRUCTIVE, UNKNOWN))
            + "."
        ]
        for step in shown:
            why = f": {step['why']}" if step["why"] else ""
            breaks = f" Until the new code serves, {step['breaks']}." if step["breaks"] else ""
            found.append(f"  {step['migration']} {step['operation']} ({step['kind']}{why}).{breaks}")
        return found

    def _read(self, app: str, migration: str, operations: list[Any], state: Any) -> None:
        for operation in operations:
            before = state.clone()
            if type(operation).__name__ == "SeparateDatabaseAndState":
                self._read(app, migration, operation.database_operations, before.clone())
                operation.state_forwards(app, state)
                continue
            operation.state_forwards(app, state)
            try:
                kind, why, breaks = self._judged(app, operation, before, state)
            except Exception as error:  # a gate must not stop what Django itself would run
                kind, why, breaks = UNKNOWN, f"it could not be read: {type(error).__name__}", ""
            self.steps.append(
                {
                    "migration": migration,
                    "operation": operation.describe(),
                    "kind": kind,
                    "why": why,
                    "breaks": breaks,
                }
            )

    def _judged(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        for base in type(operation).__mro__:
            judge = getattr(self, f"_of_{base.__name__.lower()}", None)
            if judge is not None:
                return judge(app, operation, before, after)
            if base.__name__ in HARMLESS:
                return NOTHING
        return UNKNOWN, "", ""

    # Operations -------------------------------------------------------------------------------------------------------

    def _of_runpython(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        is_nothing = operation.code is operation.noop
        return NOTHING if is_nothing else (UNKNOWN, "it runs code of the project", "")

    def _of_runsql(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        sql = operation.sql
        items = [sql] if isinstance(sql, str) else list(sql or [])
        text = ";".join(str(one if isinstance(one, str) else one[0]) for one in items)
        found = DESTRUCTIVE_SQL.search(text)
        if found:
            return DESTRUCTIVE, f"its SQL says {' '.join(found[0].split()).upper()}", ""
        return (UNKNOWN, "it runs SQL of the project", "") if text.strip() else NOTHING

    def _of_createmodel(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        self._models.add((app, operation.name_lower))
        return NOTHING

    def _of_deletemodel(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        if not self._was_there(app, operation.name_lower, operation, before):
            return NOTHING
        model = before.apps.get_model(app, operation.name)
        return (
            DESTRUCTIVE,
            f"it drops the table {model._meta.db_table}",
            f"nothing reads or writes {model._meta.label}",
        )

    def _of_renamemodel(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        known = self._was_there(app, operation.old_name_lower, operation, before)
        if not known:
            if (app, operation.old_name_lower) in self._models:
                self._models.add((app, operation.new_name_lower))
            return NOTHING
        return self._of_table(
            before.apps.get_model(app, operation.old_name), after.apps.get_model(app, operation.new_name)
        )

    def _of_altermodeltable(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        if not self._was_there(app, operation.name_lower, operation, before):
            return NOTHING
        return self._of_table(
            before.apps.get_model(app, operation.name), after.apps.get_model(app, operation.name)
        )

    def _of_table(self, old: Any, new: Any) -> Judged:
        if old._meta.db_table == new._meta.db_table:
            return NOTHING
        why = f"it renames the table {old._meta.db_table} to {new._meta.db_table}"
        return DESTRUCTIVE, why, f"nothing reads or writes {old._meta.label}"

    def _of_addfield(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        key = (app, operation.model_name_lower)
        if not self._was_there(*key, operation, before):
            return NOTHING
        self._fields.add((*key, operation.name_lower))
        model = after.apps.get_model(app, operation.model_name)
        field = model._meta.get_field(operation.name)
        if field.db_parameters(self.connection)["type"] is None:
            return NOTHING
        if getattr(field, "generated", False):
            # Of one that is not stored nothing is written.
            writes = getattr(field, "db_persist", True)
            return (DESTRUCTIVE, f"it writes {model._meta.db_table} anew", "") if writes else NOTHING
        return (
            ADDITIVE,
            "",
            "" if field.null or has_default(field) else f"no row of {model._meta.label} is added",
        )

    def _of_alterorderwithrespectto(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        if not self._was_there(app, operation.name_lower, operation, before):
            return NOTHING
        model = before.apps.get_model(app, operation.name)
        was, is_now = bool(model._meta.order_with_respect_to), bool(operation.order_with_respect_to)
        if was and not is_now:
            return (
                DESTRUCTIVE,
                f"it drops the column _order of {model._meta.db_table}",
                f"nothing reads or writes {model._meta.label}",
            )
        return ADDITIVE, "", f"no row of {model._meta.label} is added" if is_now and not was else ""

    def _of_removefield(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        model, field = self._field_before(app, operation, operation.name, before)
        if field is None:
            return NOTHING
        if field.many_to_many:
            through = field.remote_field.through
            if not through._meta.auto_created:
                return NOTHING
            return (
                DESTRUCTIVE,
                f"it drops the table {through._meta.db_table}",
                f"nothing reads or writes {operation.name} of {model._meta.label}",
            )
        if field.db_parameters(self.connection)["type"] is None:
            return NOTHING
        return (
            DESTRUCTIVE,
            f"it drops the column {field.column} of {model._meta.db_table}",
            f"nothing reads or writes {model._meta.label}",
        )

    def _of_renamefield(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        model, old = self._field_before(app, operation, operation.old_name, before)
        if old is None:
            return NOTHING
        new = after.apps.get_model(app, operation.model_name)._meta.get_field(operation.new_name)
        if old.many_to_many:
            return self._of_table(old.remote_field.through, new.remote_field.through)
        if old.column == new.column:
            return NOTHING
        why = f"it renames the column {old.column} of {model._meta.db_table} to {new.column}"
        return DESTRUCTIVE, why, f"nothing reads or writes {model._meta.label}"

    def _of_alterfield(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        model, old = self._field_before(app, operation, operation.name, before)
        if old is None:
            return NOTHING
        new = after.apps.get_model(app, operation.model_name)._meta.get_field(operation.name)
        return altered(model._meta, old, new, self.connection)

    def _of_alteruniquetogether(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        if not self._was_there(app, operation.name_lower, operation, before):
            return NOTHING
        options = before.models[app, operation.name_lower].options
        had = {tuple(one) for one in options.get("unique_together") or ()}
        added = {tuple(one) for one in operation.unique_together or ()} - had
        return (
            self._of_demand(app, operation.name, before, ", ".join(sorted("+".join(one) for one in added)))
            if added
            else NOTHING
        )

    def _of_addconstraint(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        if not self._was_there(app, operation.model_name_lower, operation, before):
            return NOTHING
        return self._of_demand(app, operation.model_name, before, operation.constraint.name)

    def _of_demand(self, app: str, name: str, before: Any, what: str) -> Judged:
        model = before.apps.get_model(app, name)
        return (
            DESTRUCTIVE,
            f"it demands {what} of every row of {model._meta.db_table}",
            f"rows of {model._meta.label} that do not fulfil it are refused",
        )

    def _of_removecollation(self, app: str, operation: Any, before: Any, after: Any) -> Judged:
        return DESTRUCTIVE, "it drops a collation", ""

    def _was_there(self, app: str, model: str, operation: Any, before: Any) -> bool:
        """Whether the model had a table before the plan that this operation changes."""
        if (app, model) in self._models:
            return False
        return operation.allow_migrate_model(self.connection.alias, before.apps.get_model(app, model))

    def _field_before(self, app: str, operation: Any, name: str, before: Any) -> tuple[Any, Any]:
        """The model and its field; no field where the plan itself has made it, or nothing of it is in this database."""
        key = (app, operation.model_name_lower)
        if not self._was_there(*key, operation, before) or (*key, name.lower()) in self._fields:
            return None, None
        model = before.apps.get_model(app, operation.model_name)
        return model, model._meta.get_field(name)


#: Operations that take nothing away and forbid nothing, by the names of their classes, of which some versions of Django have not all.
HARMLESS = {
    "AddIndex",
    "AlterConstraint",
    "AlterIndexTogether",
    "AlterModelManagers",
    "AlterModelOptions",
    "AlterModelTableComment",
    "CreateCollation",
    "CreateExtension",
    "RemoveConstraint",
    "RemoveIndex",
    "RenameIndex",
    "ValidateConstraint",
}


def has_default(field: Any) -> bool:
    """Whether the database has a default for a column."""
    return getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


def refers(field: Any) -> str:
    """The table to whose rows the database holds a column; "" for none."""
    remote = field.remote_field if field.remote_field and getattr(field, "db_constraint", False) else None
    return remote.model._meta.db_table if remote else ""


def altered(meta: Any, old: Any, new: Any, connection: Any) -> Judged:
    """What becomes of a column."""
    was, becomes = old.db_parameters(connection), new.db_parameters(connection)
    column = f"the column {old.column} of {meta.db_table}"
    refused = f"rows of {meta.label} that do not fulfil it are refused"
    if was["type"] is None or becomes["type"] is None:
        return NOTHING if was["type"] == becomes["type"] else (UNKNOWN, "", "")
    if old.column != new.column:
        return DESTRUCTIVE, f"it renames {column} to {new.column}", f"nothing reads or writes {meta.label}"
    if was["type"] != becomes["type"] and not is_wider(was["type"], becomes["type"], connection.vendor):
        return DESTRUCTIVE, f"it makes {column} {becomes['type']}, which was {was['type']}", ""
    if getattr(old, "db_collation", None) != getattr(new, "db_collation", None):
        return DESTRUCTIVE, f"it sorts {column} otherwise", ""
    if old.null and not new.null:
        return DESTRUCTIVE, f"it allows no NULL in {column}", refused
    if new.unique and not old.unique:
        return DESTRUCTIVE, f"it allows no value twice in {column}", refused
    if becomes["check"] and becomes["check"] != was["check"]:
        return DESTRUCTIVE, f"it checks the values of {column}", refused
    if refers(new) and refers(new) != refers(old):
        return DESTRUCTIVE, f"it demands rows of {refers(new)} for {column}", refused
    if has_default(old) and not has_default(new) and not new.null:
        return DESTRUCTIVE, f"it takes the default of {column} away", f"no row of {meta.label} is added"
    return NOTHING


def is_wider(was: str, becomes: str, vendor: str) -> bool:
    """Whether a column gets a type that holds all that it held, and no row has to be written for it."""
    old, new = (re.fullmatch(r"([a-z ]+?)(?:\((\d+)(?:, *(\d+))?\))?", one) for one in (was, becomes))
    if not old or not new:
        return False
    if vendor == "mysql":
        lengths = [int(one[2] or 0) * BYTES_OF_A_CHARACTER for one in (old, new)]
        one_kind = len({length > ONE_BYTE for length in lengths}) == 1
        return old[1] == new[1] == "varchar" and lengths[0] <= lengths[1] and one_kind
    if old[1] in ("varchar", "text") and new[1] in ("varchar", "text"):
        return not new[2] or bool(old[2] and int(old[2]) <= int(new[2]))
    return (
        old[1] == new[1] == "numeric"
        and old[3] == new[3]
        and bool(old[2] and new[2])
        and int(old[2]) <= int(new[2])
    )


def without_migration(loader: Any) -> list[str]:
    """The apps whose models no migration makes as they are, as `makemigrations --check` finds them."""
    try:
        changes = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps)).changes(
            graph=loader.graph
        )
    except Exception:  # Django itself asks only when there is nothing to migrate
        return []
    return sorted(changes)


class Limits:
    """Time limits for the sessions of a migration, and what was going on when one has passed.

    A statement that waits for a table makes all wait that come after it. PostgreSQL has both limits; MySQL knows none of the time that a statement
    holds a table, which it seldom does (https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_lock_wait_timeout).

    Args:
        connection: to the database.
        lock_seconds: for how long a statement may wait, 0 for ever.
        statement_seconds: for how long it may keep everybody from a table, 0 for ever.
    """

    def __init__(self, connection: Any, lock_seconds: int, statement_seconds: int) -> None:
        self._connection = connection
        self._lock_seconds = lock_seconds
        self._statement_seconds = statement_seconds if connection.vendor == "postgresql" else 0
        self._last = ""

    def set(self, **_: Any) -> None:
        """Limits the session that there is; a new one begins without."""
        settings = {
            "postgresql": f"SET lock_timeout = {self._lock_seconds * 1000}",
            "mysql": f"SET SESSION lock_wait_timeout = {self._lock_seconds}",
        }
        if self._lock_seconds and self._connection.vendor in settings:
            with self._connection.cursor() as cursor:
                cursor.execute(settings[self._connection.vendor])

    def __call__(self, execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """Runs a statement (https://docs.djangoproject.com/en/stable/topics/db/instrumentation/)."""
        self._last = str(sql)
        if not self._statement_seconds or not HOLDS_A_TABLE.match(self._last):
            return execute(sql, params, many, context)
        raw = context["cursor"].cursor
        raw.execute(f"SET statement_timeout = {self._statement_seconds * 1000}")
        try:
            found = execute(sql, params, many, context)
        except Exception:
            # A transaction that has failed takes the limit back with everything else.
            if not self._connection.in_atomic_block:
                raw.execute("RESET statement_timeout")
            raise
        raw.execute("RESET statement_timeout")
        return found

    def passed(self, error: Exception) -> dict[str, Any] | None:
        """Which limit has passed, the table, and who has it at this moment; None if none has."""
        said = str(error)
        names = {"lock timeout": "lock", "Lock wait timeout": "lock", "statement timeout": "statement"}
        limit = next((limit for words, limit in names.items() if words in said), "")
        if not limit:
            return None
        named = NAMES_A_TABLE.search(self._last)
        table = named[1].strip('"`') if named else ""
        seconds = self._lock_seconds if limit == "lock" else self._statement_seconds
        return {
            "limit": limit,
            "seconds": seconds,
            "table": table,
            "holders": self._holders(table) if limit == "lock" else [],
        }

    def _holders(self, table: str) -> list[str]:
        if self._connection.vendor != "postgresql" or not table:
            return []
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT a.pid, a.usename, l.mode FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE l.relation = to_regclass(%s) AND l.granted AND l.pid <> pg_backend_pid() ORDER BY 1",
                [table],
            )
            return [f"the session {pid} of {user} ({mode})" for pid, user, mode in cursor.fetchall()]


def tell(report: dict[str, Any]) -> None:
    """What the deploy is told, on a line of its own: Django ends none in the middle of a migration."""
    print(f"\n{MARK}{json.dumps(report)}", flush=True)


def gate() -> tuple[Plan, dict[str, Any]]:
    """Print the plan, and end with `REFUSED` if it is destructive and not allowed.

    Returns:
        The plan, and the report of it.
    """
    # As migrate itself does, but before anybody makes a backup for it.
    call_command("check", databases=[DEFAULT_DB_ALIAS], stdout=io.StringIO())
    plan = Plan(connections[DEFAULT_DB_ALIAS])
    lines = plan.lines()
    report = {
        "digest": plan.digest,
        "migrations": [f"{one.app_label}.{one.name}" for one in plan.migrations],
        "heads": plan.heads,
        "lines": lines,
        "destructive": plan.of_kind(DESTRUCTIVE),
        "breaks": sorted({step["breaks"] for step in plan.steps} - {""}),
        "without_migration": without_migration(plan.loader),
    }
    if lines:
        print(*lines, sep="\n", flush=True)
    if report["destructive"] and os.environ.get(ALLOWED) != plan.digest:
        tell({**report, "refused": True})
        sys.exit(REFUSED)
    return plan, report


def migrate(lock_seconds: int, statement_seconds: int) -> None:
    """Migrate as `manage.py migrate --noinput` does, unless the plan is destructive and not allowed.

    Args:
        lock_seconds: for how long a statement may wait for a table, 0 for ever.
        statement_seconds: for how long a statement of a plan that is not destructive may keep everybody from a table, 0 for ever.
    """
    plan, report = gate()
    connection = plan.connection
    # Whoever allows a table to be written anew has to wait for that, and nobody waits for an empty database.
    is_free = plan.is_first or report["destructive"]
    limits = Limits(connection, lock_seconds, 0 if is_free else statement_seconds)
    connection_created.connect(limits.set)
    limits.set()
    try:
        with connection.execute_wrapper(limits):
            call_command("migrate", interactive=False)
    except OperationalError as error:
        report["passed"] = limits.passed(error)
        raise
    finally:
        connection_created.disconnect(limits.set)
        tell(report)
