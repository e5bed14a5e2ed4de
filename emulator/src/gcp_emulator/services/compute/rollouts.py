"""What managers of groups do: they make the instances that are missing, remove those that are too many, and replace those of another template.

An instance of a group is made, and ends, like any other (`machines`). Not done: healing by a health check, and changing instances in place: what a
new template or ``allInstancesConfig`` says reaches the instances that are made after it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import string
from collections import Counter
from collections.abc import Iterator

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.services.compute import groups, machines, places
from gcp_emulator.services.compute.instances import INSTANCES
from gcp_emulator.services.compute.templates import template_named

log = logging.getLogger(__name__)
#: The managers, and beside each its instances (``{"members": [{"instance", "template", "action"}], "errors": [...]}``).
_MANAGERS, _STORE = "compute.instanceGroupManagers", "compute.managedInstances"
_ZONES = 3
_MOST_ERRORS = 100


def group_of(manager: str) -> str:
    """The path of the group that a manager has."""
    return manager.replace("/instanceGroupManagers/", "/instanceGroups/")


def zones_of(path: str, manager: Json) -> list[str]:
    """The zones in which a manager makes instances: its own, those that it was given, or three of its region."""
    _, _, kind, place, *_ = path.split("/")
    if kind == "zones":
        return [place]
    given = [one["zone"].rpartition("/")[2] for one in manager.get("distributionPolicy", {}).get("zones", [])]
    return given or places.zones(place)[:_ZONES]


def amount(value: Json, size: int) -> int:
    """How many instances ``{"fixed": 1}`` or ``{"percent": 20}`` are, of so many."""
    if value.get("fixed") is not None:
        return int(value["fixed"])
    return math.ceil(size * int(value.get("percent") or 0) / 100)


def has_template(manager: Json) -> bool:
    return any(one.get("instanceTemplate") for one in manager.get("versions", []))


# ---------------------------------------------------------------- what is kept of a group


def _state(context: Context, path: str) -> Json:
    return context.store.collection(_STORE).get(path) or {"members": [], "errors": []}


def members(context: Context, path: str) -> list[Json]:
    """The instances of a manager."""
    found: list[Json] = _state(context, path)["members"]
    return found


def errors(context: Context, path: str) -> list[Json]:
    """What went wrong, the newest first."""
    found: list[Json] = _state(context, path)["errors"]
    return found


def forget(context: Context, path: str) -> None:
    """Drops what is kept of a manager that is gone."""
    context.store.collection(_STORE).delete(path)


def _set_member(context: Context, path: str, instance: str, **fields: str) -> None:
    """Changes what is kept of an instance, which is new to the group or one of it."""
    state = _state(context, path)
    for member in state["members"]:
        if member["instance"] == instance:
            member |= fields
            break
    else:
        state["members"].append({"instance": instance, **fields})
    context.store.collection(_STORE).put(path, state)


def _drop_member(context: Context, path: str, instance: str) -> None:
    state = _state(context, path)
    state["members"] = [one for one in state["members"] if one["instance"] != instance]
    context.store.collection(_STORE).put(path, state)


def _note(context: Context, path: str, instance: str, action: str, error: ApiError) -> None:
    state = _state(context, path)
    told = {
        "timestamp": clock.timestamp(),
        "instanceActionDetails": {"instance": places.link_to(instance), "action": action},
        "error": {"code": error.status, "message": error.message},
    }
    state["errors"] = [told, *state["errors"]][:_MOST_ERRORS]
    context.store.collection(_STORE).put(path, state)


def view(context: Context, member: Json) -> Json:
    """An instance of a group as its manager tells it."""
    path, instance = member["instance"], INSTANCES.find(context, member["instance"])
    shown: Json = {
        "instance": places.link_to(path),
        "name": path.rpartition("/")[2],
        "currentAction": member["action"],
        "version": {"instanceTemplate": places.link_to(member["template"])},
    }
    if instance is not None:
        shown |= {"id": instance["id"], "instanceStatus": instance["status"]}
    return shown


# ---------------------------------------------------------------- what there should be


def _wanted(context: Context, path: str, manager: Json) -> Counter[str]:
    """How many instances of each template a group is to have."""
    project, size = path.split("/")[1], int(manager["targetSize"])
    found: Counter[str] = Counter()
    rest = None
    for version in manager.get("versions", []):
        if not version.get("instanceTemplate"):
            continue
        template = places.path_of(version["instanceTemplate"], project, context.projects)
        if version.get("targetSize"):
            found[template] += min(amount(version["targetSize"], size), size - found.total())
        else:
            rest = template
    if rest is not None:
        found[rest] += size - found.total()
    return found


def outdated(context: Context, path: str, manager: Json) -> Iterator[tuple[Json, bool]]:
    """Each instance, and whether it is of a template of which there are enough, or that is none of the group's any more."""
    left = _wanted(context, path, manager)
    for member in members(context, path):
        left[member["template"]] -= 1
        yield member, left[member["template"]] < 0


def _missing_template(context: Context, path: str, manager: Json) -> str | None:
    """The template of which there are too few instances."""
    left = _wanted(context, path, manager)
    left.subtract(member["template"] for member in members(context, path))
    return next((template for template, number in left.items() if number > 0), None)


# ---------------------------------------------------------------- what is done


async def create(context: Context, path: str, template: str, name: str = "") -> None:
    """Makes an instance of a group. ApiError when it did not start; then it is gone again."""
    manager = context.store.collection(_MANAGERS).get(path)
    if manager is None:
        return
    project = path.split("/")[1]
    _, record = template_named(context, project, "instanceTemplate", template)
    taken = Counter(member["instance"].split("/")[3] for member in members(context, path))
    instance = name or _new_name(manager, min(zones_of(path, manager), key=lambda zone: taken[zone]), project)
    zone = instance.split("/")[3]
    config = manager.get("allInstancesConfig", {}).get("properties", {})
    body = machines.from_template(record["properties"], zone, project)
    body["labels"] = {**body.get("labels", {}), **config.get("labels", {})}
    items = machines.metadata_of(body) | config.get("metadata", {})
    number = context.projects.number(project)
    for key, value in (("instance-template", template), ("created-by", path)):
        items[key] = value.replace(f"projects/{project}", f"projects/{number}", 1)
    body["metadata"] = {"items": [{"key": key, "value": value} for key, value in items.items()]}
    _set_member(context, path, instance, template=template, action="CREATING")
    try:
        made = machines.prepared(context, instance, INSTANCES.new(instance, body))
        INSTANCES.refuse_second(context, instance)
        INSTANCES.put(context, instance, made)
        await machines.make(context, instance, made)
    except ApiError as error:
        _drop_member(context, path, instance)
        _note(context, path, instance, "CREATING", error)
        raise
    if context.store.collection(_MANAGERS).get(path) is None:
        # The manager went meanwhile, and knew nothing of this one.
        await remove(context, path, instance)
        return
    groups.join(context, group_of(path), instance)
    _set_member(context, path, instance, action="NONE")


def _new_name(manager: Json, zone: str, project: str) -> str:
    letters = string.ascii_lowercase + string.digits
    suffix = "".join(secrets.choice(letters) for _ in range(4))
    return f"projects/{project}/zones/{zone}/instances/{manager['baseInstanceName']}-{suffix}"


async def remove(context: Context, path: str, instance: str) -> None:
    """Removes an instance of a group."""
    _set_member(context, path, instance, action="DELETING")
    record = INSTANCES.find(context, instance)
    if record is not None:
        context.store.collection(INSTANCES.store).delete(instance)
        await machines.forget(context, instance, record)
    groups.leave(context, instance)
    _drop_member(context, path, instance)


def abandon(context: Context, path: str, instance: str) -> None:
    """Takes an instance out of a group, and leaves it as it is."""
    groups.leave(context, instance)
    _drop_member(context, path, instance)


async def recreate(context: Context, path: str, instance: str) -> None:
    """Makes an instance anew, with its name, of the template that the group is to have. ApiError."""
    manager = context.store.collection(_MANAGERS).get(path)
    if manager is None:
        return
    old = next((one["template"] for one in members(context, path) if one["instance"] == instance), "")
    await remove(context, path, instance)
    await create(context, path, _missing_template(context, path, manager) or old, instance)


async def restart(context: Context, path: str, instance: str) -> None:
    """Stops an instance and starts it again. ApiError."""
    _set_member(context, path, instance, action="RESTARTING")
    try:
        await machines.stop(context, instance)
        await machines.start(context, instance)
    finally:
        _set_member(context, path, instance, action="NONE")


async def reconcile(context: Context, path: str) -> None:
    """Brings a group to what it is to be: its size first, then, where its policy is proactive, its templates."""
    while (manager := context.store.collection(_MANAGERS).get(path)) is not None and has_template(manager):
        found = members(context, path)
        size, policy = manager["targetSize"], manager["updatePolicy"]
        old = [member["instance"] for member, one in outdated(context, path, manager) if one]
        if len(found) < size:
            template = _missing_template(context, path, manager)
            if template is None:
                return
            await create(context, path, template)
        elif len(found) > size:
            await remove(context, path, (old or [found[-1]["instance"]])[0])
        elif old and policy["type"] == "PROACTIVE":
            await _replace(context, path, manager, old)
        else:
            return


async def _replace(context: Context, path: str, manager: Json, old: list[str]) -> None:
    """Replaces as many as the policy lets at once: never more than ``maxSurge`` beyond the size, never more than ``maxUnavailable`` missing."""
    policy, size = manager["updatePolicy"], manager["targetSize"]
    surge, missing = amount(policy["maxSurge"], size), amount(policy["maxUnavailable"], size)
    if policy["replacementMethod"] == "RECREATE":
        for instance in old[:missing]:
            await recreate(context, path, instance)
        return
    before = old[:surge]
    for _ in before:
        if template := _missing_template(context, path, manager):
            await create(context, path, template)
    for instance in before or old[:missing]:
        await remove(context, path, instance)


class Tasks:
    """Looks at groups, each in a task of its own, as long as something has changed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()

    def begin(self, manager: str) -> None:
        if manager in self._running:
            self._again.add(manager)
            return
        task = asyncio.get_running_loop().create_task(self._look(manager))
        self._running[manager] = task
        task.add_done_callback(lambda _: self._running.pop(manager, None))

    def is_going(self, manager: str) -> bool:
        return manager in self._running

    def lost(self, instance: str) -> None:
        """An instance that is deleted by hand is made anew."""
        project = instance.split("/")[1]
        for path, state in list(self._context.store.collection(_STORE).items(f"projects/{project}/")):
            if any(one["instance"] == instance for one in state["members"]):
                _drop_member(self._context, path, instance)
                self.begin(path)

    def resume(self) -> None:
        """Goes on after a restart with what was not done when the emulator ended."""
        for path, _ in list(self._context.store.collection(_MANAGERS).items()):
            for member in members(self._context, path):
                if INSTANCES.find(self._context, member["instance"]) is None:
                    _drop_member(self._context, path, member["instance"])
                else:
                    _set_member(self._context, path, member["instance"], action="NONE")
            self.begin(path)

    async def stop(self) -> None:
        """Ends all tasks."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _look(self, manager: str) -> None:
        while True:
            self._again.discard(manager)
            try:
                await reconcile(self._context, manager)
            except ApiError as error:
                # It is in the list of errors. Tried again as soon as the group changes.
                log.warning("%s: %s", manager, error.message)
            if manager not in self._again:
                return
