"""Cloud Run on the state page: services with their revisions and traffic, worker pools, jobs with their executions."""

from __future__ import annotations

from collections.abc import Iterable

from gcp_emulator.engine.describe import (
    Badge,
    Cell,
    Code,
    Details,
    Group,
    Link,
    Message,
    Moment,
    Panel,
    Quiet,
    Section,
    Share,
    Site,
    Table,
    Tile,
    Took,
    View,
    seconds_between,
    state,
)
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.store import Collection
from gcp_emulator.services.run.names import Name, hosts, short, tagged

#: Executions that are shown of each job.
_EXECUTIONS = 10


def describe(
    services: Collection,
    revisions: Collection,
    jobs: Collection,
    executions: Collection,
    pools: Collection,
    view: View,
    port: int,
) -> Section:
    """The services, worker pools and jobs of a project; a browser finds the emulator at ``port``."""
    below = f"projects/{view.project}/"
    found = [_Service(name, record, revisions, view.number, port) for name, record in services.items(below)]
    working = [_worker_pool(name, record) for name, record in pools.items(below)]
    made = [_job(name, record, executions) for name, record in jobs.items(below)]
    return Section(
        "Cloud Run",
        [
            Group([one.panel() for one in found], "There is no service.", "Services"),
            Group(working, "There is no worker pool.", "Worker pools"),
            Group(made, "There is no job.", "Jobs", anchor="jobs"),
        ],
        tiles=[Tile(len(found), "services"), Tile(len(made), "jobs", "jobs")],
        sites=[one.site() for one in found],
    )


class _Service:
    """A service with its traffic."""

    def __init__(self, full: str, record: Json, revisions: Collection, number: str, port: int) -> None:
        self._name = Name.of(full)
        self._status: Json = record["status"]
        self._port = port
        self._host = hosts(self._name, number)[0]
        self._revisions = [(short(one), body) for one, body in revisions.items(f"{full}/revisions/")]
        condition = self._status.get("terminalCondition", {})
        public = "public" if record["spec"].get("invokerIamDisabled") else "private"
        self._badges = [_readiness(condition), Badge(public)]
        self._message = str(condition.get("message", ""))
        latest = short(self._status.get("latestReadyRevision", ""))
        #: Revision, percent and tag; traffic for the latest revision names none.
        self._traffic = [
            (one.get("revision") or latest, one.get("percent", 0), one.get("tag", ""))
            for one in self._status.get("trafficStatuses", [])
        ]

    def site(self) -> Site:
        """What a browser is sent to."""
        shares = [f"{percent} % to {revision}" for revision, percent, _ in self._traffic if percent]
        return Site(
            self._name.id, self._browser(self._host), self._badges, ", ".join(shares) or "no traffic yet"
        )

    def panel(self) -> Panel:
        """The service with its traffic and its revisions."""
        address = self._browser(self._host)
        targets = [
            [
                revision,
                Share(percent),
                Link(tag, self._browser(tagged(tag, self._host))) if tag else "",
            ]
            for revision, percent, tag in self._traffic
        ]
        newest = sorted(self._revisions, key=lambda one: str(one[1]["status"]["createTime"]), reverse=True)
        return Panel(
            self._name.id,
            self._badges,
            self._message,
            {
                "For a browser": Link(address, address),
                "Its own address": Code(f"https://{self._host}"),
                "Region": self._name.region,
                "Changed": (
                    Moment(self._status.get("updateTime", "")),
                    f" by {self._status.get('lastModifier', '')}",
                ),
            },
            tables=[
                Table("Traffic", ("Revision", "Share", "Tag"), targets, empty="No traffic yet"),
                Table(
                    "Revisions, the newest first",
                    ("Revision", "State", "Image", "Runs as", "Made"),
                    [self._revision(*one) for one in newest],
                ),
            ],
        )

    def _revision(self, name: str, record: Json) -> list[Cell]:
        ready = _condition(record["status"].get("conditions", []), "Ready")
        badge, spec = _readiness(ready), record["spec"]
        percent = sum(share for revision, share, _ in self._traffic if revision == name)
        container, scaling = spec["containers"][0], spec.get("scaling", {})
        limits = container.get("resources", {}).get("limits", {})
        size = (
            f"{limits.get('cpu', '')} CPU, {limits.get('memory', '')}, "
            f"{scaling.get('minInstanceCount', 0)}\N{EN DASH}{scaling.get('maxInstanceCount', '?')} instances"
        )
        share: tuple[Cell, ...] = (" ", Badge(f"{percent} % of the traffic", "good")) if percent else ()
        failed = ready.get("message") if badge.tone == "bad" else ""
        return [
            (name, *share, *_variables(container)),
            (badge, Message(failed)) if failed else badge,
            (Code(short_digest(container["image"])), " ", Quiet(size)),
            spec.get("serviceAccount", ""),
            Moment(record["status"]["createTime"]),
        ]

    def _browser(self, host: str) -> str:
        """Where a browser finds a run.app host; `*.localhost` is loopback and counts as a secure context."""
        return f"http://{host}.localhost:{self._port}/"


def _worker_pool(full: str, record: Json) -> Panel:
    template, status = record["spec"]["template"], record["status"]
    ready = status.get("terminalCondition", {})
    container = template["containers"][0]
    latest = short(status.get("latestReadyRevision", ""))
    instances = [
        [split.get("revision") or latest, Share(split.get("percent", 0))]
        for split in status.get("instanceSplitStatuses", [])
    ]
    return Panel(
        Name.of(full).id,
        [_readiness(ready)],
        str(ready.get("message", "")),
        {
            "Instances": str(record["spec"]["scaling"]["manualInstanceCount"]),
            "Image": Code(short_digest(container["image"])),
            "Runs as": template.get("serviceAccount", ""),
            "Changed": (Moment(status.get("updateTime", "")), f" by {status.get('lastModifier', '')}"),
        },
        more=_variables(container),
        tables=[Table("Instances", ("Revision", "Share"), instances, empty="No revision has any")],
    )


def _job(full: str, record: Json, executions: Collection) -> Panel:
    task = record["spec"]["template"]["template"]
    container = task["containers"][0]
    everything = sorted(
        executions.items(f"{full}/executions/"), key=lambda one: str(one[1]["createTime"]), reverse=True
    )
    shown = everything[:_EXECUTIONS]
    more = f": the newest {len(shown)} of {len(everything)}" if len(everything) > len(shown) else ""
    return Panel(
        Name.of(full).id,
        facts={"Image": Code(short_digest(container["image"])), "Runs as": task.get("serviceAccount", "")},
        more=_variables(container),
        tables=[
            Table(
                f"Executions{more}",
                ("Execution", "State", "Took", "Began", "By"),
                [_execution(short(name), body) for name, body in shown],
                frozenset({"Took"}),
                empty="It was never executed.",
            )
        ],
    )


def _execution(name: str, body: Json) -> list[Cell]:
    completed = _condition(body.get("conditions", []), "Completed")
    badge = state(completed.get("state", "PENDING"))
    failed = completed.get("message") if badge.tone == "bad" else ""
    return [
        name,
        (badge, Message(failed)) if failed else badge,
        Took(seconds_between(body.get("startTime"), body.get("completionTime"))),
        Moment(body["createTime"]),
        body.get("creator", ""),
    ]


def _variables(container: Json) -> list[Cell]:
    """Of environment variables the names, and the secrets that they come from."""
    cells: list[Cell] = []
    for variable in container.get("env", []):
        source = variable.get("valueSource", {}).get("secretKeyRef")
        origin = (
            f" from the secret {short(source['secret'])} version {source.get('version', 'latest')}"
            if source
            else ""
        )
        cells.append((Code(variable["name"]), Quiet(origin)) if source else Code(variable["name"]))
    return [Details(f"{len(cells)} environment variables", cells)] if cells else []


def _condition(conditions: Iterable[Json], kind: str) -> Json:
    """The condition of this type, or an empty one."""
    return next((one for one in conditions if one["type"] == kind), {})


def _readiness(condition: Json) -> Badge:
    """The state of a condition that is called Ready: when it succeeded, what it is about is ready."""
    name = condition.get("state", "CONDITION_PENDING")
    return state("READY" if name == "CONDITION_SUCCEEDED" else name)


def short_digest(image: str) -> str:
    """``HOST/PROJECT/REPOSITORY/NAME@sha256:0123...`` -> ``NAME@sha256:0123456789ab``."""
    name, at, digest = image.rpartition("/")[2].partition("@")
    return f"{name}{at}{digest[: len('sha256:') + 12]}"
