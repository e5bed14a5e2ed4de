#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_worker_pool
short_description: Manage a Cloud Run worker pool
version_added: 0.9.0
description:
  - Creates, updates and deletes a Cloud Run worker pool, whose instances work without being asked by requests, for instance on a queue, and
    waits until what was asked for runs.
  - Only what is asked for is compared; lists (containers, environment variables, volumes, instance splits) are exactly what is asked.
  - An empty value removes, for instance V({}) of C(vpc_access). What is asked for replaces its alternatives, for instance a C(gcs) the
    C(secret) of a volume.
  - When the newest revision did not start, the same template is tried again as a new revision.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description: The worker pool's id.
    type: str
    required: true
  location:
    description: The region, for instance V(us-central1).
    type: str
    required: true
  # From the table WORKER_POOL of _services/run.py: written by tests/module_docs.py.
  description:
    description: What the worker pool is for.
    type: str
  labels:
    description: The labels. Labels that are not in it are removed, so V({}) removes all but those of Google's own products,
      C(goog-*).
    type: dict
  annotations:
    description: The annotations. Annotations that are not in it are removed, so V({}) removes all.
    type: dict
  scaling:
    description: How many instances the worker pool has.
    type: dict
    suboptions:
      manual_instance_count:
        description: So many.
        type: int
  template:
    description: What a revision is made of. Any change makes a new revision.
    type: dict
    suboptions:
      labels:
        description: The labels. Labels that are not in it are removed, so V({}) removes all but those of Google's own products,
          C(goog-*).
        type: dict
      annotations:
        description: The annotations. Annotations that are not in it are removed, so V({}) removes all.
        type: dict
      service_account:
        description: The e-mail address of the service account that containers act as. The default one of the project if not
          set.
        type: str
      containers:
        description: The containers. The first one is compared with the first one that is there, and so on.
        type: list
        elements: dict
        suboptions:
          name:
            description: The name.
            type: str
          image:
            description: The address of the image.
            type: str
          command:
            description: The program and its first arguments, without a shell. The image's own if not set.
            type: list
            elements: str
          args:
            description: Its further arguments. The image's own if not set.
            type: list
            elements: str
          env:
            description: All environment variables, in any order.
            type: list
            elements: dict
            suboptions:
              name:
                description: The name.
                type: str
              value:
                description:
                  - The value.
                  - Excludes C(value_source).
                type: str
              value_source:
                description:
                  - Where the value comes from.
                  - Excludes C(value).
                type: dict
                suboptions:
                  secret_key_ref:
                    description: A version of a secret.
                    type: dict
                    suboptions:
                      secret:
                        description: The name of the secret, for that of another project C(projects/PROJECT/secrets/SECRET).
                        type: str
                      version:
                        description: The number of the version, an alias, or V(latest), which is read whenever an instance
                          starts.
                        type: str
          resources:
            description: What the container may use.
            type: dict
            suboptions:
              limits:
                description: How much an instance may use, by C(cpu), C(memory) and C(nvidia.com/gpu), for instance V(1) or
                  V(500m) and V(512Mi).
                type: dict
              cpu_idle:
                description: Whether an instance has a processor only while it answers requests.
                type: bool
              startup_cpu_boost:
                description: Whether an instance has more processors while it starts.
                type: bool
          ports:
            description: The one port that the container listens on. Google Cloud chooses one, and tells it as E(PORT), if
              not set.
            type: list
            elements: dict
            suboptions:
              name:
                description: The protocol, V(http1) or V(h2c).
                type: str
              container_port:
                description: The port.
                type: int
          volume_mounts:
            description: Where the files of all volumes are, in any order.
            type: list
            elements: dict
            suboptions:
              name:
                description: The name of the volume.
                type: str
              mount_path:
                description: The directory. For Cloud SQL it is V(/cloudsql).
                type: str
              sub_path:
                description: The directory of the volume that is meant. All of it if not set.
                type: str
          working_dir:
            description: The directory to start in. The image's own if not set.
            type: str
          startup_probe:
            description: How to see that the container has started. Before that, it gets no requests and no other probe.
            type: dict
            suboptions:
              initial_delay_seconds:
                description: How long after its start the container is asked first.
                type: int
              timeout_seconds:
                description: How long an answer may take.
                type: int
              period_seconds:
                description: How often the container is asked. No less than C(timeout_seconds).
                type: int
              failure_threshold:
                description: After how many failures in a row it has failed.
                type: int
              http_get:
                description:
                  - Ask for a page.
                  - Excludes C(tcp_socket) and C(grpc).
                type: dict
                suboptions:
                  path:
                    description: The path, V(/) if not set.
                    type: str
                  port:
                    description: The port. The one that the container listens on if not set.
                    type: int
                  http_headers:
                    description: All headers of the request, in any order.
                    type: list
                    elements: dict
                    suboptions:
                      name:
                        description: The name.
                        type: str
                      value:
                        description: The value.
                        type: str
              tcp_socket:
                description:
                  - Open a connection.
                  - Excludes C(http_get) and C(grpc).
                type: dict
                suboptions:
                  port:
                    description: The port. The one that the container listens on if not set.
                    type: int
              grpc:
                description:
                  - Ask with gRPC.
                  - Excludes C(http_get) and C(tcp_socket).
                type: dict
                suboptions:
                  port:
                    description: The port. The one that the container listens on if not set.
                    type: int
                  service:
                    description: The name of the service to ask for.
                    type: str
          liveness_probe:
            description: How to see that it is alive. It is restarted when it is not.
            type: dict
            suboptions:
              initial_delay_seconds:
                description: How long after its start the container is asked first.
                type: int
              timeout_seconds:
                description: How long an answer may take.
                type: int
              period_seconds:
                description: How often the container is asked. No less than C(timeout_seconds).
                type: int
              failure_threshold:
                description: After how many failures in a row it has failed.
                type: int
              http_get:
                description:
                  - Ask for a page.
                  - Excludes C(tcp_socket) and C(grpc).
                type: dict
                suboptions:
                  path:
                    description: The path, V(/) if not set.
                    type: str
                  port:
                    description: The port. The one that the container listens on if not set.
                    type: int
                  http_headers:
                    description: All headers of the request, in any order.
                    type: list
                    elements: dict
                    suboptions:
                      name:
                        description: The name.
                        type: str
                      value:
                        description: The value.
                        type: str
              tcp_socket:
                description:
                  - Open a connection.
                  - Excludes C(http_get) and C(grpc).
                type: dict
                suboptions:
                  port:
                    description: The port. The one that the container listens on if not set.
                    type: int
              grpc:
                description:
                  - Ask with gRPC.
                  - Excludes C(http_get) and C(tcp_socket).
                type: dict
                suboptions:
                  port:
                    description: The port. The one that the container listens on if not set.
                    type: int
                  service:
                    description: The name of the service to ask for.
                    type: str
          readiness_probe:
            description: How to see that it can answer. It gets no requests while it cannot.
            type: dict
            suboptions:
              initial_delay_seconds:
                description: How long after its start the container is asked first.
                type: int
              timeout_seconds:
                description: How long an answer may take.
                type: int
              period_seconds:
                description: How often the container is asked. No less than C(timeout_seconds).
                type: int
              failure_threshold:
                description: After how many failures in a row it has failed.
                type: int
              http_get:
                description:
                  - Ask for a page.
                  - Excludes C(tcp_socket) and C(grpc).
                type: dict
                suboptions:
                  path:
                    description: The path, V(/) if not set.
                    type: str
                  port:
                    description: The port. The one that the container listens on if not set.
                    type: int
                  http_headers:
                    description: All headers of the request, in any order.
                    type: list
                    elements: dict
                    suboptions:
                      name:
                        description: The name.
                        type: str
                      value:
                        description: The value.
                        type: str
              tcp_socket:
                description:
                  - Open a connection.
                  - Excludes C(http_get) and C(grpc).
                type: dict
                suboptions:
                  port:
                    description: The port. The one that the container listens on if not set.
                    type: int
              grpc:
                description:
                  - Ask with gRPC.
                  - Excludes C(http_get) and C(tcp_socket).
                type: dict
                suboptions:
                  port:
                    description: The port. The one that the container listens on if not set.
                    type: int
                  service:
                    description: The name of the service to ask for.
                    type: str
          depends_on:
            description: The names of the containers that start first, in any order.
            type: list
            elements: str
          base_image_uri:
            description: The base image that is updated automatically. Only of services.
            type: str
          build_config:
            description: How Cloud Run builds the image from C(source_code).
            type: dict
            suboptions:
              buildpacks_build:
                description: Build with buildpacks.
                type: dict
                suboptions:
                  build_base_image_uri:
                    description: Another base image than the default one.
                    type: str
                  cache_image_uri:
                    description: The image that holds the cache.
                    type: str
                  environment_variables:
                    description: Environment variables of the build.
                    type: dict
              docker_build:
                description: Build with Docker. There is nothing to say of it, V({}) asks for it.
                type: dict
              image_repository_uri:
                description: Where in Artifact Registry the image goes.
                type: str
              service_account:
                description: The service account, as C(projects/PROJECT/serviceAccounts/EMAIL).
                type: str
              tags:
                description: Tags of the build, in any order.
                type: list
                elements: str
              worker_configuration:
                description: The machine that builds.
                type: dict
                suboptions:
                  cloud_build_worker_configuration:
                    description: Of Cloud Build.
                    type: dict
                    suboptions:
                      machine_type:
                        description: The type of the machine.
                        type: str
                      worker_pool:
                        description: The private pool, by its full name.
                        type: str
          source_code:
            description: The source to build and run. Only of services.
            type: dict
            suboptions:
              cloud_storage_source:
                description: An object of Cloud Storage.
                type: dict
                suboptions:
                  bucket:
                    description: The bucket.
                    type: str
                  object:
                    description: The name of the object.
                    type: str
                  generation:
                    description: Its generation.
                    type: int
          sandbox_launcher:
            description: Whether the container may start C(sandboxes).
            type: bool
      volumes:
        description: All volumes, in any order.
        type: list
        elements: dict
        suboptions:
          name:
            description: The name.
            type: str
          secret:
            description:
              - The values of a secret as files.
              - Excludes C(cloud_sql_instance), C(gcs), C(empty_dir), C(nfs) and C(filestore).
            type: dict
            suboptions:
              secret:
                description: The name of the secret, for that of another project C(projects/PROJECT/secrets/SECRET).
                type: str
              default_mode:
                description: The mode of the files, for instance V(0444) without quotes.
                type: raw
              items:
                description: All files. One with the name of the secret and the newest version if not set.
                type: list
                elements: dict
                suboptions:
                  path:
                    description: The path of the file in the volume.
                    type: str
                  version:
                    description: The version that it holds.
                    type: str
                  mode:
                    description: The mode of the file.
                    type: raw
          cloud_sql_instance:
            description:
              - Sockets of Cloud SQL instances.
              - Excludes C(secret), C(gcs), C(empty_dir), C(nfs) and C(filestore).
            type: dict
            suboptions:
              instances:
                description: All instances, each as C(PROJECT:REGION:INSTANCE), in any order.
                type: list
                elements: str
          gcs:
            description:
              - A bucket of Cloud Storage.
              - Excludes C(secret), C(cloud_sql_instance), C(empty_dir), C(nfs) and C(filestore).
            type: dict
            suboptions:
              bucket:
                description: The name of the bucket.
                type: str
              read_only:
                description: Whether nothing can be written.
                type: bool
              mount_options:
                description: Flags of C(gcsfuse) without the hyphens, in any order.
                type: list
                elements: str
          empty_dir:
            description:
              - A directory that is empty when an instance starts and lost when it ends.
              - Excludes C(secret), C(cloud_sql_instance), C(gcs), C(nfs) and C(filestore).
            type: dict
            suboptions:
              medium:
                description: What holds the files.
                type: str
                choices: [MEMORY, DISK]
              size_limit:
                description: How much it holds at most, for instance V(128Mi).
                type: str
          nfs:
            description:
              - A directory of an NFS server.
              - Excludes C(secret), C(cloud_sql_instance), C(gcs), C(empty_dir) and C(filestore).
            type: dict
            suboptions:
              server:
                description: The name or address of the server.
                type: str
              path:
                description: The path that it exports.
                type: str
              read_only:
                description: Whether nothing can be written.
                type: bool
          filestore:
            description:
              - A volume of Filestore.
              - Excludes C(secret), C(cloud_sql_instance), C(gcs), C(empty_dir) and C(nfs).
            type: dict
            suboptions:
              volume:
                description: The volume, by its full name.
                type: str
      vpc_access:
        description: How to reach a VPC network.
        type: dict
        suboptions:
          connector:
            description:
              - The Serverless VPC Access connector, as C(projects/PROJECT/locations/LOCATION/connectors/CONNECTOR).
              - Excludes C(network_interfaces).
            type: str
          egress:
            description: Which requests go through it. Google Cloud takes V(PRIVATE_RANGES_ONLY) if not set.
            type: str
            choices: [ALL_TRAFFIC, PRIVATE_RANGES_ONLY]
          network_interfaces:
            description:
              - The one network to be in (Direct VPC egress).
              - Excludes C(connector).
            type: list
            elements: dict
            suboptions:
              network:
                description: The network. That of the subnetwork if not set.
                type: str
              subnetwork:
                description: The subnetwork that addresses come from. That with the name of the network if not set.
                type: str
              tags:
                description: Network tags, in any order.
                type: list
                elements: str
      encryption_key:
        description: The key of Cloud KMS that the image is encrypted with, by its full name.
        type: str
      node_selector:
        description: The hardware to run on.
        type: dict
        suboptions:
          accelerator:
            description: The kind of GPU, for instance V(nvidia-l4).
            type: str
      gpu_zonal_redundancy_disabled:
        description: Whether instances with a GPU need not be able to move to another zone.
        type: bool
      sandboxes:
        description: What a container with C(sandbox_launcher) may start.
        type: dict
        suboptions:
          templates:
            description: All kinds of sandboxes, in any order.
            type: list
            elements: dict
            suboptions:
              name:
                description: The name.
                type: str
              image:
                description: The address of the image.
                type: str
              command:
                description: The program and its first arguments, without a shell. The image's own if not set.
                type: list
                elements: str
              args:
                description: Its further arguments. The image's own if not set.
                type: list
                elements: str
              env:
                description: All environment variables, in any order.
                type: list
                elements: dict
                suboptions:
                  name:
                    description: The name.
                    type: str
                  value:
                    description:
                      - The value.
                      - Excludes C(value_source).
                    type: str
                  value_source:
                    description:
                      - Where the value comes from.
                      - Excludes C(value).
                    type: dict
                    suboptions:
                      secret_key_ref:
                        description: A version of a secret.
                        type: dict
                        suboptions:
                          secret:
                            description: The name of the secret, for that of another project C(projects/PROJECT/secrets/SECRET).
                            type: str
                          version:
                            description: The number of the version, an alias, or V(latest), which is read whenever an instance
                              starts.
                            type: str
              volume_mounts:
                description: Where the files of all volumes are, in any order.
                type: list
                elements: dict
                suboptions:
                  name:
                    description: The name of the volume.
                    type: str
                  mount_path:
                    description: The directory. For Cloud SQL it is V(/cloudsql).
                    type: str
                  sub_path:
                    description: The directory of the volume that is meant. All of it if not set.
                    type: str
              working_dir:
                description: The directory to start in. The image's own if not set.
                type: str
      encryption_key_revocation_action:
        description: What happens when the key is revoked.
        type: str
        choices: [PREVENT_NEW, SHUTDOWN]
      encryption_key_shutdown_duration:
        description: How long after V(SHUTDOWN) instances may still run, for instance V(3600s), which is the least.
        type: str
      service_mesh:
        description: Cloud Service Mesh.
        type: dict
        suboptions:
          mesh:
            description: The mesh, as C(projects/PROJECT/locations/global/meshes/MESH).
            type: str
      client:
        description: The name of the program that makes the change, in any words.
        type: str
      client_version:
        description: The version of that program.
        type: str
  instance_splits:
    description: 'Which revisions have the instances: all shares, in this order. All of them are of the newest revision if
      not set, or V([]).'
    type: list
    elements: dict
    suboptions:
      type:
        description: Whether the share is that of the newest revision or of C(revision).
        type: str
        choices: [INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST, INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION]
      revision:
        description: The name of the revision.
        type: str
      percent:
        description: How many of the instances.
        type: int
  binary_authorization:
    description: Which images Binary Authorization lets run.
    type: dict
    suboptions:
      use_default:
        description: Whether the policy of the project holds.
        type: bool
      policy:
        description: The policy, as C(projects/PROJECT/platforms/cloudRun/POLICY).
        type: str
      breakglass_justification:
        description: Why an image runs in spite of the policy. Not with C(use_default).
        type: str
  launch_stage:
    description: Which features may be used. Those in preview need V(BETA) or V(ALPHA).
    type: str
    choices: [ALPHA, BETA, GA]
  client:
    description: The name of the program that makes the change, in any words.
    type: str
  client_version:
    description: The version of that program.
    type: str
  # End of the table.
  settle_seconds:
    description:
      - A container that ends so many seconds after a new revision was ready, or sooner, is a failure, which is told with what it printed, and the next
        run tries it again. Its log is watched for that long. V(0) does not look at it.
    type: int
    default: 0
  state:
    description: Whether the worker pool is there.
    type: str
    choices: [present, absent]
    default: present
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Work on a queue with two instances
  org.djangogcp.run_worker_pool:
    project: my-project
    location: us-central1
    name: polls-worker
    scaling: {manual_instance_count: 2}
    template:
      service_account: polls-web@my-project.iam.gserviceaccount.com
      containers:
        - image: us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa
          command: [python, manage.py]
          args: [db_worker]

- name: Stop it for a while
  org.djangogcp.run_worker_pool:
    project: my-project
    location: us-central1
    name: polls-worker
    scaling: {manual_instance_count: 0}

- name: Delete it
  org.djangogcp.run_worker_pool:
    project: my-project
    location: us-central1
    name: polls-worker
    state: absent
"""

RETURN = r"""
worker_pool:
  description: The worker pool, empty when it is absent.
  returned: success
  type: dict
  sample:
    name: polls-worker
    location: us-central1
    latest_ready_revision: polls-worker-00001-abc
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [create worker pool polls-worker]
"""

import dataclasses
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    WAIT_ARGS,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError, OperationError
from ansible_collections.org.djangogcp.plugins.module_utils._grants import once_granted, refused_by_cloud_run
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, one_result, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Outcome, read, reconcile
from ansible_collections.org.djangogcp.plugins.module_utils._run import ended_at_once, log_of_failed_start
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import WORKER_POOL
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of
from ansible_collections.org.djangogcp.plugins.module_utils._traffic import newest_revision

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "location": {"type": "str", "required": True},
    **table_options(WORKER_POOL.fields),
    "settle_seconds": {"type": "int", "default": 0},
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}


def work(task: Task) -> Json:
    """Make the worker pool what is asked."""
    ids = {name: task.params[name] for name in ("project", "location", "name")}
    seconds = task.params["settle_seconds"] or 0

    def printed(pool: Json, *, wait: bool) -> list[str]:
        return (
            ended_at_once(task.client, ids, pool, seconds, wait=wait)
            if seconds and newest_revision(pool)
            else []
        )

    def retry(pool: Json, asked: t.Mapping[str, t.Any]) -> Json:
        # What ended at once is as good as what has never been ready.
        return WORKER_POOL.retry(
            {**pool, "latestReadyRevision": ""} if printed(pool, wait=False) else pool, asked
        )

    def ensure() -> Outcome:
        return reconcile(
            task.client,
            dataclasses.replace(WORKER_POOL, retry=retry),
            ids,
            asked_of(task.params, WORKER_POOL.fields),
            state=task.params["state"],
            check_mode=task.check_mode,
            wait=task.wait,
            ownership=Ownership.from_params(task.params),
        )

    try:
        outcome = once_granted(
            task.client, ensure, refused_by_cloud_run, doing=f"deploy worker pool {ids['name']}"
        )
    except OperationError as error:
        raise with_log(task, ids, error) from error
    is_new = newest_revision(outcome.wire) != newest_revision(outcome.found)
    if is_new and task.wait.enabled and not task.check_mode:
        lines = printed(outcome.wire or {}, wait=True)
        if lines:
            raise DjangoGcpError(
                f"Failed to deploy worker pool {ids['name']}: its container ended within {seconds} seconds, and is started again and again. "
                + _printed(newest_revision(outcome.wire), lines)
            )
    return one_result("worker_pool", outcome)


def with_log(task: Task, ids: Json, error: OperationError) -> OperationError:
    """The error of a revision that did not start, with what it printed."""
    pool = read(task.client, WORKER_POOL, ids) or {}
    revision = newest_revision(pool)
    lines = (
        log_of_failed_start(task.client, task.project, pool, revision, "cloud_run_worker_pool")
        if revision
        else []
    )
    return OperationError(f"{error.message} {_printed(revision, lines)}", code=error.code) if lines else error


def _printed(revision: str, lines: list[str]) -> str:
    return "\n".join([f"What revision {revision} printed:", *lines])


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={"name": rules.WORKER_POOL, "settle_seconds": rules.SETTLE_SECONDS},
        tables={"": WORKER_POOL.fields},
    )


if __name__ == "__main__":
    main()
