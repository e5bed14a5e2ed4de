"""Pub/Sub v1: schemas, topics, subscriptions and snapshots are stored (see `tables`); nothing is published, pulled or pushed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, not_found
from gcp_emulator.engine.policies import Policies
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.engine.tables import Table
from gcp_emulator.services.pubsub.ports import Topics
from gcp_emulator.services.pubsub.tables import DELETED_TOPIC, SNAPSHOTS, SUBSCRIPTIONS, TABLES, TOPICS


class PubSub(Service):
    api = "pubsub"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        context.ports.offer(Topics, self)
        #: When each new subscription can be read; in memory, a restart lets all be read.
        self._readable: dict[str, float] = {}

    def has_topic(self, name: str) -> bool:
        """Whether there is a topic ``projects/P/topics/T``."""
        return TOPICS.find(self.context, name) is not None

    def tables(self) -> Iterable[Table]:
        return TABLES

    def policies(self) -> Iterable[Policies]:
        return [Policies(table.methods[0], partial(table.require, self.context)) for table in TABLES]

    @handles("pubsub.projects.subscriptions.create")
    async def create_subscription(self, call: Call) -> Json:
        """It can be read a moment later only (recorded)."""
        answer = await SUBSCRIPTIONS.answer("create", call)
        name = answer["name"]
        self._readable[name] = time.monotonic() + self.context.operations.profile.drawn(call.method.id, name)
        return answer

    @handles("pubsub.projects.subscriptions.get")
    async def get_subscription(self, call: Call) -> Json:
        name = call.params["subscription"]
        if time.monotonic() < self._readable.get(name, 0.0):
            raise not_found(SUBSCRIPTIONS.said(SUBSCRIPTIONS.missing, name))
        self._readable.pop(name, None)
        return await SUBSCRIPTIONS.answer("get", call)

    @handles("pubsub.projects.topics.delete")
    async def delete_topic(self, call: Call) -> Json:
        """The subscriptions stay, and say that their topic is gone."""
        name = call.params["topic"]
        answer = await TOPICS.answer("delete", call)
        for subscription in self._of(SUBSCRIPTIONS, name):
            record = SUBSCRIPTIONS.require(self.context, subscription)
            SUBSCRIPTIONS.put(self.context, subscription, record | {"topic": DELETED_TOPIC})
        return answer

    @handles("pubsub.projects.topics.subscriptions.list")
    async def list_subscriptions(self, call: Call) -> Json:
        return self._page(call, SUBSCRIPTIONS)

    @handles("pubsub.projects.topics.snapshots.list")
    async def list_snapshots(self, call: Call) -> Json:
        return self._page(call, SNAPSHOTS)

    def _page(self, call: Call, table: Table) -> Json:
        """The names of what belongs to a topic."""
        TOPICS.require(self.context, call.params["topic"])
        page = call.page([{"name": name} for name in self._of(table, call.params["topic"])], table.kind)
        return page | {table.kind: [one["name"] for one in page[table.kind]]} if table.kind in page else page

    def _of(self, table: Table, topic: str) -> list[str]:
        """The names of the subscriptions or snapshots of a topic."""
        found = self.context.store.collection(table.collection).items()
        return [name for name, record in found if record["topic"] == topic]
