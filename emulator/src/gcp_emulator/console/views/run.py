"""Cloud Run: services with their revisions and traffic, jobs with their executions."""

from __future__ import annotations

from gcp_emulator.console.views.common import badge, newest, seconds_between, short_digest
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.store import Store
from gcp_emulator.services.run.names import Name, hosts, short, tagged

#: Executions that are shown of each job.
_EXECUTIONS = 10


def services(store: Store, project: str, number: str, port: int) -> list[Json]:
    """Every service of the project with its addresses for a browser, its traffic and its revisions."""
    found = []
    for full, record in store.collection("run.services").items(f"projects/{project}/"):
        name = Name.of(full)
        status, host = record["status"], hosts(name, number)[0]
        traffic = [
            {
                # Traffic for the latest revision names none.
                "revision": target.get("revision") or short(status.get("latestReadyRevision", "")),
                "percent": target.get("percent", 0),
                "tag": target.get("tag", ""),
                "address": _browser(tagged(target["tag"], host), port) if target.get("tag") else "",
            }
            for target in status.get("trafficStatuses", [])
        ]
        found.append(
            {
                "name": name.id,
                "region": name.region,
                "state": _readiness(status.get("terminalCondition", {})),
                "message": status.get("terminalCondition", {}).get("message", ""),
                "address": _browser(host, port),
                "real_address": f"https://{host}",
                "public": bool(record["spec"].get("invokerIamDisabled")),
                "updated": status.get("updateTime", ""),
                "modifier": status.get("lastModifier", ""),
                "traffic": traffic,
                "revisions": _revisions(store, full, traffic),
            }
        )
    return found


def _browser(host: str, port: int) -> str:
    """Where a browser finds a run.app host; `*.localhost` is loopback and counts as a secure context."""
    return f"http://{host}.localhost:{port}/"


def _condition(conditions: list[Json], kind: str) -> Json:
    """The condition of this type, or an empty one."""
    return next((one for one in conditions if one["type"] == kind), {})


def _readiness(condition: Json) -> Json:
    """The state of a condition that is called Ready: when it succeeded, what it is about is ready."""
    state = condition.get("state", "CONDITION_PENDING")
    return badge("READY" if state == "CONDITION_SUCCEEDED" else state)


def _revisions(store: Store, service: str, traffic: list[Json]) -> list[Json]:
    revisions = []
    for full, record in store.collection("run.revisions").items(f"{service}/revisions/"):
        name, status = short(full), record["status"]
        ready = _condition(status.get("conditions", []), "Ready")
        revisions.append(
            {
                "name": name,
                "state": _readiness(ready),
                "message": ready.get("message", ""),
                "percent": sum(target["percent"] for target in traffic if target["revision"] == name),
                "created": status["createTime"],
                **_template(record["spec"]),
            }
        )
    return newest(revisions, "created")


def _template(spec: Json) -> Json:
    """What a revision or an execution runs. Of environment variables the names, and the secrets they come from."""
    container = spec["containers"][0]
    variables = []
    for variable in container.get("env", []):
        source = variable.get("valueSource", {}).get("secretKeyRef")
        variables.append(
            {
                "name": variable["name"],
                "secret": f"{short(source['secret'])} version {source.get('version', 'latest')}"
                if source
                else "",
            }
        )
    limits = container.get("resources", {}).get("limits", {})
    return {
        "image": short_digest(container["image"]),
        "account": spec.get("serviceAccount", ""),
        "variables": variables,
        "cpu": limits.get("cpu", ""),
        "memory": limits.get("memory", ""),
        "scaling": spec.get("scaling", {}),
    }


def jobs(store: Store, project: str) -> list[Json]:
    """Every job of the project with its newest executions."""
    found = []
    for full, record in store.collection("run.jobs").items(f"projects/{project}/"):
        name = Name.of(full)
        executions = [
            _execution(short(execution), body)
            for execution, body in store.collection("run.executions").items(f"{full}/executions/")
        ]
        found.append(
            {
                "name": name.id,
                "region": name.region,
                "executions": newest(executions, "created")[:_EXECUTIONS],
                "count": len(executions),
                **_template(record["spec"]["template"]["template"]),
            }
        )
    return found


def _execution(name: str, body: Json) -> Json:
    completed = _condition(body.get("conditions", []), "Completed")
    return {
        "name": name,
        "state": badge(completed.get("state", "PENDING")),
        "message": completed.get("message", ""),
        "created": body["createTime"],
        "seconds": seconds_between(body.get("startTime"), body.get("completionTime")),
        "creator": body.get("creator", ""),
    }
