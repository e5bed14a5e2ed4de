# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What the module secretmanager_secrets does beside keeping the secrets themselves: their values, which never leave this file."""

from __future__ import annotations

import contextlib
import datetime
import re
import secrets
import typing as t
import urllib.parse

from ansible_collections.org.djangogcp.plugins.module_utils._annotations import annotations_of, note
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, many_results
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Outcome,
    may_delete,
    reconcile,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import (
    SECRET,
    SecretVersion,
    add_version,
    destroy_version,
    enabled_between,
    newest_version,
    read_text,
    read_version,
    retire_versions,
    version_state,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of

#: ``{key}`` or ``{key|form}`` in a template.
_PLACEHOLDER = re.compile(r"\{(\w+)(?:\|(\w+))?\}")


class _Part(t.NamedTuple):
    """What a template is filled in with: the value of a secret, and the number of the version that holds it."""

    value: str
    number: str


#: The forms of a part. All but the unreserved characters of RFC 3986 are percent-encoded.
_FORMS: dict[str, t.Callable[[_Part], str]] = {
    "": lambda part: part.value,
    "urlencode": lambda part: urllib.parse.quote(part.value, safe=""),
    "version": lambda part: part.number,
}


class SecretsRun:
    """One task of the module secretmanager_secrets.

    Args:
        task: the task; its option "secrets" is the list.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        # What this run has added: the number of the version and its value; None for a value that check mode cannot know.
        self._added: dict[str, tuple[str, bytes | None]] = {}
        # The newest versions of the secrets of finished waves that were left as they are.
        self._newest: dict[str, SecretVersion | None] = {}

    def result(self) -> Json:
        """Make all secrets what is asked and return the module's result.

        Raises:
            DjangoGcpError: also for a value that cannot be: before anything is changed.
        """
        asked = self._task.params["secrets"]
        for secret in asked:
            _check(secret)
        outcomes: dict[str, Outcome] = {}
        for wave in _waves(asked):
            outcomes.update(
                zip([secret["name"] for secret in wave], for_each(wave, self._ensure), strict=True)
            )
        return many_results("secrets", [outcomes[secret["name"]] for secret in asked])

    def _ensure(self, secret: Json) -> Outcome:
        task, name = self._task, secret["name"]
        outcome = reconcile(
            task.client,
            SECRET,
            {"project": task.project, "name": name},
            asked_of(secret, SECRET.fields),
            state=secret["state"],
            check_mode=task.check_mode,
            ownership=Ownership.from_params(task.params),
        )
        if secret["state"] == "absent":
            return outcome
        is_new = f"create {outcome.label}" in outcome.actions
        newest = None if is_new else newest_version(task.client, task.project, name)
        self._newest[name] = newest
        payload = _UNCHANGED if self._is_adopted(outcome, newest, name) else self._new_payload(secret, newest)
        number = newest.number if newest else None
        if payload is not _UNCHANGED:
            number, value = self._add(secret, newest, t.cast("bytes | None", payload))
            self._added[name] = (number, value)
            outcome.changed = True
            outcome.actions.append(f"add version {number} to secret {name}")
            outcome.before["version"] = newest.number if newest else None
            outcome.after["version"] = number
        retired = self._retire(secret, number, outcome)
        outcome.resource.update(version=number, retired_versions=retired)
        return outcome

    def _is_adopted(self, outcome: Outcome, newest: SecretVersion | None, name: str) -> bool:
        """Whether it is somebody else's and used as it is, value included."""
        ownership = Ownership.from_params(self._task.params)
        if ownership is None or outcome.found is None or may_delete(SECRET, outcome.found, ownership):
            return False
        if newest is None or not newest.is_enabled:
            raise DjangoGcpError(
                f"Failed to use secret {name}: it is adopted, and its newest version is not enabled. Add one, or choose another name."
            )
        return True

    def _new_payload(self, secret: Json, newest: SecretVersion | None) -> bytes | object | None:
        """The value that is missing: _UNCHANGED when none is, None when check mode cannot know it."""
        enabled = newest is not None and newest.is_enabled
        if secret["generate"] is not None:
            newer_than = secret["generate"].get("newer_than") or 0
            is_due = newest is None or not enabled or int(newest.number) <= newer_than
            return self._generated(secret["generate"], is_first=not newer_than) if is_due else _UNCHANGED
        if secret["template"] is not None:
            wanted = self._composed(secret)
        elif secret["value"] is not None:
            wanted = secret["value"].encode()
        else:
            return _UNCHANGED
        if wanted is None or newest is None or not enabled:
            return wanted
        have = read_version(self._task.client, self._task.project, secret["name"], newest.number)
        return _UNCHANGED if have == wanted else wanted

    def _generated(self, generate: Json, *, is_first: bool) -> bytes:
        """A generated value; the first one is that of the secret that is copied, where it has one."""
        client, project = self._task.client, self._task.project
        copy_from = generate.get("copy_from") if is_first else None
        newest = newest_version(client, project, copy_from) if copy_from else None
        if copy_from and newest is not None and newest.is_enabled:
            return read_version(client, project, copy_from, newest.number)
        return "".join(secrets.choice(generate["alphabet"]) for dummy in range(generate["length"])).encode()

    def _composed(self, secret: Json) -> bytes | None:
        parts: dict[str, _Part] = {}
        for key, source in secret["values_from"].items():
            part = self._part(source, secret["name"])
            if part is None:
                return None
            parts[key] = part
        return _PLACEHOLDER.sub(
            lambda match: _FORMS[match[2] or ""](parts[match[1]]), secret["template"]
        ).encode()

    def _part(self, source: str, wanted_by: str) -> _Part | None:
        """What a secret holds; None for what check mode cannot know."""
        if source in self._added:
            number, value = self._added[source]
            return None if value is None else _Part(value.decode(), number)
        if source in self._newest:
            newest = self._newest[source]
        else:
            newest = newest_version(self._task.client, self._task.project, source)
        if newest is not None and newest.is_enabled:
            text = read_text(self._task.client, self._task.project, source, newest.number)
            return _Part(text, newest.number)
        # A task before this one may have been going to make it.
        if self._task.check_mode:
            return None
        raise DjangoGcpError(
            f"Failed to compose the value of secret {wanted_by}: the secret {source} in project {self._task.project} has no "
            f"enabled newest version. Add one, or correct values_from."
        )

    def _add(
        self, secret: Json, newest: SecretVersion | None, payload: bytes | None
    ) -> tuple[str, bytes | None]:
        """Add a version; returns the number and the value that the secret has then."""
        before = int(newest.number) if newest else 0
        # Version numbers are consecutive.
        next_number = str(before + 1)
        if self._task.check_mode or payload is None:
            return next_number, payload
        number = add_version(self._task.client, self._task.project, secret["name"], payload)
        return (number, payload) if number == next_number else self._settled(secret, before, number, payload)

    def _settled(self, secret: Json, before: int, number: str, payload: bytes) -> tuple[str, bytes]:
        """What holds when other runs added versions since ours looked: the oldest of them, which all runs see.

        Who was later takes its own version back, unless it is another value that somebody gave.
        """
        where = (self._task.client, self._task.project, secret["name"])
        for other in enabled_between(*where, before, int(number)):
            value = read_version(*where, other)
            if secret["generate"] is not None or value == payload:
                destroy_version(*where, number)
                return other, value
        return number, payload

    def _retire(self, secret: Json, number: str | None, outcome: Outcome) -> list[str]:
        if secret["old_versions"] == "keep" or number is None or f"create {outcome.label}" in outcome.actions:
            return []
        task, how, name = self._task, secret["old_versions"], secret["name"]
        where = (task.client, task.project, name)
        disabled = _disabled_days(annotations_of(outcome.found))
        today = datetime.datetime.now(tz=datetime.UTC).date()
        retired = retire_versions(
            *where,
            keep={number, *map(str, secret["kept_versions"] or ())},
            how=how,
            check_mode=task.check_mode,
        )
        outcome.actions += [f"{how} version {one} of secret {name}" for one in retired]
        if secret["destroy_after_days"] is not None:
            past = [
                one
                for one, day in disabled.items()
                if (today - day).days >= secret["destroy_after_days"]
                and one not in retired
                and version_state(*where, one) == "DISABLED"
            ]
            for one in past:
                if not task.check_mode:
                    destroy_version(*where, one)
                outcome.actions.append(f"destroy version {one} of secret {name}")
            kept = {one: day for one, day in disabled.items() if one not in past}
            noted = {**kept, **dict.fromkeys(retired, today)}
            if noted != disabled and not task.check_mode:
                text = " ".join(f"{one}={day.isoformat()}" for one, day in noted.items())
                note(*where, {_DISABLED: text or None})
            retired = [*retired, *past]
        outcome.changed = outcome.changed or bool(retired)
        return retired


#: The annotation that tells when which versions were disabled, for instance "1=2026-11-29 2=2027-02-27".
_DISABLED = "djangogcp-disabled"


def _disabled_days(annotations: Json) -> dict[str, datetime.date]:
    """The day on which a version was disabled, by its number. What is no day was not written here, and says nothing."""
    found = re.findall(r"(?<!\S)(\d+)=(\d{4}-\d\d-\d\d)(?!\S)", str(annotations.get(_DISABLED, "")))
    days = {}
    for number, day in found:
        with contextlib.suppress(ValueError):
            days[number] = datetime.date.fromisoformat(day)
    return days


_UNCHANGED = object()


def _check(secret: Json) -> None:
    name = secret["name"]
    if secret["value"] == "":
        raise DjangoGcpError(
            f"The value of secret {name} is empty. Give one, or leave value out to keep what is there."
        )
    if secret["generate"] is not None and (
        secret["generate"]["length"] < 1 or not secret["generate"]["alphabet"]
    ):
        raise DjangoGcpError(
            f"Secret {name}: generate needs a length of 1 or more and an alphabet that is not empty."
        )
    if secret["template"] is not None:
        found = _PLACEHOLDER.findall(secret["template"])
        used, given = {key for key, dummy in found}, set(secret["values_from"])
        for key in sorted(used - given):
            raise DjangoGcpError(
                f"Secret {name}: template uses {{{key}}} but values_from has no key {key}. Add it."
            )
        for key in sorted(given - used):
            raise DjangoGcpError(
                f"Secret {name}: values_from has the key {key} but template does not use {{{key}}}."
            )
        for key, form in found:
            if form not in _FORMS:
                raise DjangoGcpError(
                    f"Secret {name}: template uses {{{key}|{form}}}: expected {{{key}}}, {{{key}|urlencode}} or {{{key}|version}}."
                )


def _waves(asked: list[Json]) -> list[list[Json]]:
    """The secrets in an order in which what a template is made of comes before it."""
    names = [secret["name"] for secret in asked]
    for name in names:
        if names.count(name) > 1:
            raise DjangoGcpError(f"The secret {name} is in the list more than once. Keep one of them.")
    waves: list[list[Json]] = []
    left = list(asked)
    while left:
        open_names = {secret["name"] for secret in left}
        ready = [secret for secret in left if not open_names & set((secret["values_from"] or {}).values())]
        if not ready:
            raise DjangoGcpError(f"The templates of {', '.join(sorted(open_names))} are made of one another.")
        waves.append(ready)
        left = [secret for secret in left if secret not in ready]
    return waves
