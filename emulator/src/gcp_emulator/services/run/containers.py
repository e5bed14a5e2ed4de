"""From a stored template to a running container: environment, secrets, sockets, probes, logs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gcp_emulator.databases.pipe import pipe
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json
from gcp_emulator.front.tasks import ConnectionHandler
from gcp_emulator.services.run import templates
from gcp_emulator.services.run.names import Name
from gcp_emulator.services.run.neighbours import Neighbours
from gcp_emulator.workloads.images import Image
from gcp_emulator.workloads.instances import Instance, InstanceSpec, Probe
from gcp_emulator.workloads.pods import Pod
from gcp_emulator.workloads.sandbox.process import LogHandler, TcpListener, UnixListener, Volume

#: Volumes that are stored, and their words: nothing here mounts them.
_NOT_MOUNTED = {"gcs": "buckets of Cloud Storage", "nfs": "NFS servers"}
_SYSTEM_SEVERITY = (
    ("gcp-emulator does not mount", "WARNING"),
    ("failed", "ERROR"),
    ("exceeded", "ERROR"),
    ("Container called exit(0)", "INFO"),
    ("exit(", "WARNING"),
    ("succeeded", "INFO"),
)


class Containers:
    """Makes instance specifications of templates; the same for revisions and tasks."""

    def __init__(self, context: Context, neighbours: Neighbours) -> None:
        self._context = context
        self._neighbours = neighbours

    async def check(self, name: Name, template: Json) -> None:
        """Raises `Refusal` when an image, a secret or a network cannot be had."""
        for index, container in enumerate(template["containers"]):
            image = await self._neighbours.image(container["image"], name.project)
            resource = {"labels": {"project_id": name.project}}
            self.prepare(name, template, index, image, {}, resource, {})

    def instance(
        self, name: Name, template: Json, images: Sequence[Image], env: dict[str, str], resource: Json
    ) -> Instance:
        """An instance of a revision with all its containers, not yet started. Raises `Refusal` when a secret or a network cannot be had.

        Containers of an instance reach one another on localhost, at the ports that they or their probes name.
        """
        containers = template["containers"]
        made: dict[int, Instance] = {}
        ports = {index: templates.ports_of(container) for index, container in enumerate(containers)}
        order = templates.start_order(containers)
        main = templates.ingress_index(containers)
        for index in [*(one for one in order if one != main), main]:
            elsewhere = {port: other for other in ports for port in ports[other] if other != index}
            listeners = tuple(
                TcpListener("127.0.0.1", port, _passing_on(made, other, port))
                for port, other in sorted(elsewhere.items())
                if port not in ports[index]
            )
            spec, log = self.prepare(name, template, index, images[index], env, resource, {})
            tell_of_empty_volumes(template, index, log)
            spec = replace(spec, routes=(*spec.routes, *listeners))
            if index != main or len(containers) == 1:
                made[index] = Instance(spec, log)
            else:
                place = order.index(main)
                before, after = ([made[one] for one in part] for part in (order[:place], order[place + 1 :]))
                made[index] = Pod(spec, log, before, after)
        return made[main]

    def prepare(
        self,
        name: Name,
        template: Json,
        index: int,
        image: Image,
        env: dict[str, str],
        resource: Json,
        labels: dict[str, str],
    ) -> tuple[InstanceSpec, LogHandler]:
        """What to run for one container of a template (a revision's or a task's), with secrets read now as its service account,
        and where its lines go.

        ``env`` are the platform's variables, ``resource`` and ``labels`` those of its log entries. Raises `Refusal` when
        a secret or a network cannot be had.
        """
        container = template["containers"][index]
        account = template["serviceAccount"]
        instance_id = secrets.token_hex(32)
        container_name = container.get("name") or f"{name.id}-{index + 1}"
        log = self._log(resource, {**labels, "instanceId": instance_id}, container_name)
        network = self._neighbours.network(name, template)
        volumes, sockets = self._volumes(name, template, container, network, log)
        port = int(container["ports"][0]["containerPort"]) if container.get("ports") else None
        spec = InstanceSpec(
            image=image,
            container=container_name,
            command=tuple(container.get("command", ())),
            args=tuple(container.get("args", ())),
            working_dir=container.get("workingDir", ""),
            env=self._environment(name, container, index, account),
            platform_env=env,
            port=port,
            volumes=volumes,
            sockets=sockets,
            routes=self._neighbours.private_servers(network) if network else (),
            ca_bundle=self._context.ca_bundle,
            metadata=self._neighbours.metadata(account, name.project, name.region, instance_id),
            proxy=self._neighbours.proxy(),
            startup_probe=_probe(container.get("startupProbe"), startup=True),
            liveness_probe=_probe(container.get("livenessProbe"), startup=False),
            cpus=templates.cpu_of(container),
            memory=templates.memory_of(container),
            sandbox=self._context.runtime.sandbox,
        )
        return spec, log

    def _environment(self, name: Name, container: Json, place: int, account: str) -> dict[str, str]:
        env: dict[str, str] = {}
        for index, entry in enumerate(container.get("env", ())):
            if reference := entry.get("valueSource", {}).get("secretKeyRef"):
                field = f"spec.template.spec.containers[{place}].env[{index}].value_from.secret_key_ref.name"
                payload = self._neighbours.secret(
                    reference["secret"], reference["version"], name.project, account, field
                )
                env[entry["name"]] = payload.decode(errors="surrogateescape")
            else:
                env[entry["name"]] = entry.get("value", "")
        return env

    def _volumes(
        self, name: Name, template: Json, container: Json, network: str | None, log: LogHandler
    ) -> tuple[tuple[Volume, ...], tuple[UnixListener, ...]]:
        account = template["serviceAccount"]
        volumes: dict[str, Volume] = {}
        sockets: list[UnixListener] = []
        mounts = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", ())}
        for index, volume in enumerate(template.get("volumes", ())):
            if volume["name"] not in mounts and "cloudSqlInstance" not in volume:
                continue
            path = mounts.get(volume["name"], "/cloudsql").rstrip("/")
            if "secret" in volume:
                volumes[path] = Volume(path, self._secret_files(name, volume["secret"], account, index))
            elif "cloudSqlInstance" not in volume:
                volumes[path] = Volume(path, mode=0o1777)
            else:
                volumes[path] = Volume(path)
                for connection in volume["cloudSqlInstance"].get("instances", ()):
                    handler = self._neighbours.database(connection, account, network, log)
                    socket = self._neighbours.database_socket(connection)
                    sockets.append(UnixListener(f"{path}/{socket}", handler))
        return tuple(volumes.values()), tuple(sockets)

    def _secret_files(
        self, name: Name, source: Json, account: str, index: int
    ) -> dict[str, tuple[bytes, int]]:
        files: dict[str, tuple[bytes, int]] = {}
        items = source.get("items") or [{"path": source["secret"].rpartition("/")[2], "version": "latest"}]
        for item in items:
            field = f"spec.template.spec.volumes[{index}].secret.secret_name"
            payload = self._neighbours.secret(source["secret"], item["version"], name.project, account, field)
            files[item["path"]] = (payload, item.get("mode") or source["defaultMode"])
        return files

    def _log(self, resource: Json, labels: dict[str, str], container: str) -> LogHandler:
        """A handler that writes an instance's lines to Cloud Logging."""
        project = resource["labels"]["project_id"]

        def write(stream: str, line: str) -> None:
            if stream == "system":
                severity = next((level for word, level in _SYSTEM_SEVERITY if word in line), "INFO")
                fields: dict[str, Any] = {
                    "labels": {**labels, "container_name": container},
                    "severity": severity,
                }
                self._context.logs.write(
                    project, "run.googleapis.com/varlog/system", resource, line, **fields
                )
            elif line:
                self._context.logs.write_line(
                    project, f"run.googleapis.com/{stream}", resource, line, labels=labels
                )

        return write


def tell_of_empty_volumes(template: Json, index: int, log: LogHandler) -> None:
    """Say in the system log which folders of a container are empty because nothing here mounts what they are to hold."""
    mounted = {mount["name"] for mount in template["containers"][index].get("volumeMounts", ())}
    for volume in template.get("volumes", ()):
        what = next((words for kind, words in _NOT_MOUNTED.items() if kind in volume), None)
        if what and volume["name"] in mounted:
            log(
                "system",
                f"gcp-emulator does not mount {what}: the volume '{volume['name']}' is an empty folder, and what is written there is lost.",
            )


def _passing_on(made: Mapping[int, Instance], index: int, port: int) -> ConnectionHandler:
    """Connects to a port of another container of the same instance; it refuses while that one does not listen."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await made[index].connect(port)
        except (KeyError, OSError):
            return
        await pipe(reader, writer, *there)

    return handle


def _probe(probe: Json | None, *, startup: bool) -> Probe | None:
    if probe is None:
        return None
    action = probe.get("httpGet") or probe.get("tcpSocket") or {}
    by_default = startup and "tcpSocket" in probe and probe["timeoutSeconds"] == 240
    return Probe(
        port=action["port"],
        path=probe["httpGet"]["path"] if "httpGet" in probe else None,
        headers=tuple((entry["name"], entry.get("value", "")) for entry in action.get("httpHeaders", ())),
        initial_delay=probe.get("initialDelaySeconds", 0),
        timeout=probe["timeoutSeconds"],
        period=probe["periodSeconds"],
        failure_threshold=probe["failureThreshold"],
        configured=not by_default,
    )
