#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_service
short_description: Manage a Cloud Run service
version_added: 0.9.0
description:
  - Creates, updates and deletes a Cloud Run service and its traffic, and waits until what was asked for serves.
  - Only what is asked for is compared; lists (containers, environment variables, volumes, traffic) are exactly what is asked.
  - An empty value removes, for instance V({}) of C(liveness_probe), C(vpc_access) or C(scaling). What is asked for replaces its
    alternatives, for instance a C(tcp_socket) the C(http_get) of a probe.
  - Quantities are compared as such (a C(cpu) of V(1) is V(1000m)); of C(limits), C(cpu) and C(memory) stay when they are not asked for.
  - When the newest revision did not start, the same template is tried again as a new revision.
  - With O(candidate_tag) a changed template becomes a revision that has an address of its own but no traffic, so that it can
    be tried out before it serves.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._mark
  - org.djangogcp._wait
options:
  name:
    description:
      - The service's id.
    type: str
    required: true
  location:
    description:
      - The region, for instance V(us-central1).
    type: str
    required: true
  # From the table SERVICE of _services/run.py: written by tests/module_docs.py.
  description:
    description: What the service is for.
    type: str
  labels:
    description: The labels. Labels that are not in it are removed, so V({}) removes all but those of Google's own products,
      C(goog-*).
    type: dict
  annotations:
    description: The annotations. Annotations that are not in it are removed, so V({}) removes all.
    type: dict
  ingress:
    description: Where requests may come from.
    type: str
    choices: [INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY, INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER, INGRESS_TRAFFIC_NONE]
  invoker_iam_disabled:
    description: Whether everybody may call the service. Google's recommended way of making a service public.
    type: bool
  iap_enabled:
    description: Whether Identity-Aware Proxy asks who calls.
    type: bool
  default_uri_disabled:
    description: Whether the service has no C(run.app) address.
    type: bool
  custom_audiences:
    description: Further audiences that ID tokens for the service may name.
    type: list
    elements: str
  scaling:
    description: How many instances the service has, shared by its revisions as their traffic is.
    type: dict
    suboptions:
      min_instance_count:
        description: At least so many.
        type: int
      max_instance_count:
        description: At most so many.
        type: int
      scaling_mode:
        description: Whether Cloud Run chooses how many.
        type: str
        choices: [AUTOMATIC, MANUAL]
      manual_instance_count:
        description: So many, with C(scaling_mode) V(MANUAL).
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
      scaling:
        description: How many instances the revision has.
        type: dict
        suboptions:
          min_instance_count:
            description: At least so many.
            type: int
          max_instance_count:
            description: At most so many.
            type: int
          cpu_utilization:
            description: From which use of its processors on more instances are started, V(0.1) to V(0.9). V(0) does not look
              at it.
            type: float
          concurrency_utilization:
            description: From which part of C(max_instance_request_concurrency) on more instances are started, V(0.1) to V(0.95).
              V(0) does not look at it.
            type: float
      timeout:
        description: How long a request may take, for instance V(300s).
        type: str
      max_instance_request_concurrency:
        description: How many requests an instance gets at the same time.
        type: int
      session_affinity:
        description: Whether requests of one visitor go to the same instance where that can be.
        type: bool
      health_check_disabled:
        description: Whether a revision may serve without having listened on its port.
        type: bool
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
      execution_environment:
        description: The sandbox that containers run in, the first or the second generation.
        type: str
        choices: [EXECUTION_ENVIRONMENT_GEN1, EXECUTION_ENVIRONMENT_GEN2]
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
      workload_identity_config:
        description: The identity by which workloads know one another.
        type: dict
        suboptions:
          identity:
            description: The SPIFFE identity.
            type: str
          identity_certificate_enabled:
            description: Whether instances get a certificate.
            type: bool
          identity_type:
            description: The kind of identity.
            type: str
            choices: [IDENTITY_TYPE_SERVICE_ACCOUNT, IDENTITY_TYPE_AGENT_IDENTITY]
      ambient_networking:
        description: Ambient networking.
        type: dict
        suboptions:
          enabled:
            description: Whether it is on.
            type: bool
          ambient_scope:
            description: How far it reaches.
            type: str
            choices: [AMBIENT_SCOPE_REGIONAL, AMBIENT_SCOPE_GLOBAL]
      client:
        description: The name of the program that makes the change, in any words.
        type: str
      client_version:
        description: The version of that program.
        type: str
  traffic:
    description: 'Who gets the traffic: all shares, in this order. All of it goes to the newest revision if not set, or V([]).'
    type: list
    elements: dict
    suboptions:
      type:
        description: Whether the share is that of the newest revision or of C(revision).
        type: str
        choices: [TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST, TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION]
      revision:
        description: The name of the revision.
        type: str
      percent:
        description: How much of the traffic.
        type: int
      tag:
        description: A name that gives the revision an address of its own.
        type: str
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
  multi_region_settings:
    description: A service in several regions.
    type: dict
    suboptions:
      regions:
        description: All regions, in any order, C(location) among them.
        type: list
        elements: str
  build_config:
    description: How Cloud Run builds a function. An image that is there needs none of it.
    type: dict
    suboptions:
      function_target:
        description: The name of the function in the source.
        type: str
      source_location:
        description: The archive with the source, as C(gs://BUCKET/OBJECT).
        type: str
      image_uri:
        description: Where in Artifact Registry the image goes.
        type: str
      base_image:
        description: The base image.
        type: str
      enable_automatic_updates:
        description: Whether the base image is updated automatically.
        type: bool
      environment_variables:
        description: Environment variables of the build.
        type: dict
      service_account:
        description: The service account, as C(projects/PROJECT/serviceAccounts/EMAIL).
        type: str
      worker_pool:
        description: The private pool of Cloud Build, by its full name.
        type: str
  ssh_enabled:
    description: Whether one can log in to instances.
    type: bool
  functional_type:
    description: What it is to others.
    type: str
    choices: [FUNCTIONAL_TYPE_AGENT, FUNCTIONAL_TYPE_MCP_SERVER]
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
  candidate_tag:
    description:
      - The tag of a new revision that is to get no traffic yet.
      - Traffic stays exactly where it is. As long as nothing of the service serves, a revision serves at once, because Cloud Run
        cannot create a service without traffic, unless there is a O(placeholder).
    type: str
  own_hosts:
    description:
      - By environment variable of the first container that lists hosts with commas, what stands before each host, for instance
        V({"ALLOWED_HOSTS":"", "CSRF_TRUSTED_ORIGINS":"https://"}).
      - The hosts of all addresses that Cloud Run gives the service are added to them, with O(candidate_tag) those of the tag, too. One has
        a hash that is known only when the service is there; with O(placeholder) that is before the first revision of O(template).
    type: dict
  placeholder:
    description:
      - What gets the traffic of a service of which nothing serves yet, so that the first revision of O(template), too, can be tried
        out before it serves.
      - It is a revision of its own that is made before the one of O(template), with the image of its first container, its account,
        network access and encryption key, but without its environment, secrets, volumes and probes, with at most one instance and
        with this command. It has to listen on E(PORT).
      - It is marked with the annotation C(djangogcp/placeholder).
    type: dict
    suboptions:
      command:
        description:
          - The program, which the image has to have.
        type: list
        elements: str
        required: true
      args:
        description:
          - Its arguments.
        type: list
        elements: str
      tries_grants:
        description:
          - Add an argument, Python code that defines C(RIGHTS) and C(refused). C(refused(RIGHTS)) gives the names of what the service's
            account was granted less than seven minutes ago, to use buckets and databases and to sign, and has not taken effect.
          - Where the placeholder tells them as JSON, C({"refused"&#58; [...]}), at C(/-/rights), M(org.djangogcp.smoke_test) waits for them.
        type: bool
        default: false
  latest_revision:
    description:
      - The revision that has to be the newest one. The task fails if it is not, because somebody else has deployed.
      - With it, traffic for the newest revision is traffic for the one that was tried out.
      - The annotation C(djangogcp/deployed-revision) of the service remembers it. M(org.djangogcp.run_service_info) tells when another
        one serves since, and with O(candidate_tag) the task fails rather than try it out again unchanged.
    type: str
  taken_out:
    description:
      - Beside O(latest_revision), digests of the releases that it takes the traffic from, when it is a rollback. The annotation
        C(djangogcp/taken-out) of the service remembers them until O(latest_revision) is set the next time.
    type: list
    elements: str
  canary:
    description:
      - A part of the traffic for the newest revision, which has the tag O(candidate_tag); what served before it has the rest.
      - The annotation C(djangogcp/canary) of the service remembers what had how much before, until the newest revision is given all the
        traffic with O(latest_revision), or the traffic is given back. With O(candidate_tag) alone a canary that an earlier run left begins
        again without traffic.
    type: dict
    suboptions:
      percent:
        description:
          - How much. V(0) gives the traffic back to what had it before, whatever was made since.
          - With more, O(latest_revision) is needed.
        type: int
        required: true
      digest:
        description:
          - A digest of the release, which the annotation C(djangogcp/taken-out) remembers when the traffic is given back, as those of
            O(taken_out).
        type: str
  state:
    description:
      - Whether the service is there.
    type: str
    choices: [present, absent]
    default: present
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Deploy a revision without traffic
  org.djangogcp.run_service:
    project: my-project
    location: us-central1
    name: polls
    invoker_iam_disabled: true
    template:
      service_account: polls-web@my-project.iam.gserviceaccount.com
      containers:
        - image: us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa
          env:
            - name: SECRET_KEY
              value_source:
                secret_key_ref:
                  secret: polls-secret-key
                  version: "1"
    candidate_tag: candidate
    placeholder:
      command: [python, -m, http.server, "8080", --directory, /srv/not-released]
  register: deployed

- name: Give it a tenth of the traffic first
  org.djangogcp.run_service:
    project: my-project
    location: us-central1
    name: polls
    candidate_tag: candidate
    canary:
      percent: 10
    latest_revision: "{{ deployed.candidate.revision }}"

- name: Give it all the traffic
  org.djangogcp.run_service:
    project: my-project
    location: us-central1
    name: polls
    traffic:
      - type: TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
        percent: 100
    latest_revision: "{{ deployed.candidate.revision }}"

- name: Delete the service
  org.djangogcp.run_service:
    project: my-project
    location: us-central1
    name: polls
    state: absent
"""

RETURN = r"""
service:
  description: The service, empty when it is absent.
  returned: success
  type: dict
  sample:
    name: polls
    uri: https://polls-123456789012.us-central1.run.app
    latest_ready_revision: polls-00002-abc
candidate:
  description: The revision that carries O(candidate_tag), or nothing.
  returned: success
  type: dict
  sample:
    revision: polls-00002-abc
    uri: https://candidate---polls-123456789012.us-central1.run.app
serving:
  description: Who gets traffic.
  returned: success
  type: list
  elements: dict
  sample:
    - revision: polls-00001-xyz
      percent: 100
      tag: ""
      image: us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa
      placeholder: false
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: [update service polls]
"""

import dataclasses

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    MARK_ARGS,
    STATE_ARG,
    WAIT_ARGS,
    table_options,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    DjangoGcpError,
    OperationError,
)
from ansible_collections.org.djangogcp.plugins.module_utils._grants import once_granted, refused_by_cloud_run
from ansible_collections.org.djangogcp.plugins.module_utils._marks import Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, one_result, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Asked,
    Outcome,
    ResourceSpec,
    owned,
    read,
    reconcile,
    retried,
)
from ansible_collections.org.djangogcp.plugins.module_utils._rights import python_definitions, rights_of
from ansible_collections.org.djangogcp.plugins.module_utils._run import (
    candidate,
    is_placeholder,
    is_serving,
    log_of_failed_start,
    serving,
    with_candidate,
    with_deployed,
    with_own_hosts,
    with_placeholder,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import (
    SERVICE,
    SERVICE_WITH_NEW_TEMPLATE,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of
from ansible_collections.org.djangogcp.plugins.module_utils._traffic import (
    newest_revision,
    with_canary,
    with_traffic_before,
)

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "location": {"type": "str", "required": True},
    **table_options(SERVICE.fields),
    "candidate_tag": {"type": "str"},
    "own_hosts": {"type": "dict"},
    "placeholder": {
        "type": "dict",
        "options": {
            "command": {"type": "list", "elements": "str", "required": True},
            "args": {"type": "list", "elements": "str"},
            "tries_grants": {"type": "bool", "default": False},
        },
    },
    "latest_revision": {"type": "str"},
    "taken_out": {"type": "list", "elements": "str"},
    "canary": {
        "type": "dict",
        "options": {"percent": {"type": "int", "required": True}, "digest": {"type": "str"}},
    },
    "state": STATE_ARG,
    **MARK_ARGS,
    **WAIT_ARGS,
}


def desired(params: Json, current: Json | None, ids: Json) -> Json:
    """The options as the engine compares them."""
    wanted = params["latest_revision"]
    if wanted and current and newest_revision(current) != wanted:
        raise DjangoGcpError(
            f"Failed to update service {params['name']}: its newest revision is {newest_revision(current)} and not {wanted}. "
            "Somebody else has deployed at the same time. Run again."
        )
    asked = asked_of(params, SERVICE.fields)
    canary, tag = params["canary"], params["candidate_tag"]
    if canary and canary["percent"]:
        return with_canary(current, asked, canary["percent"], canary["digest"] or "", tag)
    if canary:
        return with_traffic_before(current, asked, tag)
    asked = with_own_hosts(current, asked, params["own_hosts"] or {}, params["candidate_tag"])
    if params["placeholder"] and not is_serving(current):
        return with_placeholder(asked, params["placeholder"])
    ownership = Ownership.from_params(params)
    if ownership:
        # What an adopted service has beside what is asked is no new template.
        asked = dict(owned(SERVICE, ids, asked, current, ownership))
    # Before it is known who serves: what is tried again is a candidate, too.
    asked = dict(retried(SERVICE, asked, current))
    if wanted:
        asked = with_deployed(current, asked, wanted, params["taken_out"] or [])
    return with_candidate(current, asked, params["candidate_tag"]) if params["candidate_tag"] else asked


def that_tries_grants(task: Task) -> Json:
    """The placeholder with what its account tries."""
    template, placeholder = task.params["template"], task.params["placeholder"]
    changes = task.client.granted.of(template.get("service_account") or "")
    volumes = [volume.get("cloud_sql_instance") or {} for volume in template.get("volumes") or []]
    databases = [name for volume in volumes for name in volume.get("instances") or []]
    rights = rights_of(changes, databases)
    return {**placeholder, "args": [*(placeholder["args"] or []), python_definitions([*rights.values()])]}


def deploy(task: Task, ids: Json) -> Outcome:
    """Make the service what is asked: in one step, or in two when nothing of it was released yet."""
    params = task.params
    if params["placeholder"] and params["placeholder"]["tries_grants"]:
        params = {**params, "placeholder": that_tries_grants(task)}

    def step(spec: ResourceSpec, asked: Asked, wait: Wait) -> Outcome:
        return reconcile(
            task.client,
            spec,
            ids,
            asked,
            state=params["state"],
            check_mode=task.check_mode,
            wait=wait,
            ownership=Ownership.from_params(task.params),
        )

    def place(current: Json | None) -> Json:
        return {} if is_placeholder(current) and is_serving(current) else desired(params, current, ids)

    def replace(current: Json | None) -> Json:
        # Another run, or a request of ours whose answer was lost, has done it.
        return {} if is_serving(current) and not is_placeholder(current) else release(current)

    def release(current: Json | None) -> Json:
        if current is None and params["latest_revision"] and not params["template"] and not task.check_mode:
            raise DjangoGcpError(
                f"Failed to give traffic to {params['latest_revision']}: service {ids['name']} is not there any more."
                " If nobody has deleted it on purpose, run again."
            )
        return desired({**params, "placeholder": None}, current, ids)

    if not params["placeholder"]:
        return step(SERVICE, release, task.wait)
    # A placeholder has to serve before anything can be made beside it.
    steps = [step(SERVICE, place, dataclasses.replace(task.wait, enabled=True))]
    if is_placeholder(steps[0].wire):
        steps.append(step(SERVICE_WITH_NEW_TEMPLATE, replace, task.wait))
        if not steps[-1].changed:
            steps.append(step(SERVICE, release, task.wait))
    return dataclasses.replace(
        steps[-1],
        changed=any(one.changed for one in steps),
        before=steps[0].before if steps[0].found is None else steps[-1].before,
        # In check mode no step saw what the one before it would have made.
        actions=steps[-1].actions if task.check_mode else [action for one in steps for action in one.actions],
        found=steps[0].found,
    )


def work(task: Task) -> Json:
    """Make the service what is asked."""
    ids = {name: task.params[name] for name in ("project", "location", "name")}
    try:
        outcome = once_granted(
            task.client,
            lambda: deploy(task, ids),
            refused_by_cloud_run,
            doing=f"deploy service {ids['name']}",
        )
    except OperationError as error:
        raise with_log(task, ids, error) from error
    # What check mode predicts has no address and serves nobody.
    after = outcome.found if task.check_mode else outcome.wire
    tag = task.params["candidate_tag"]
    return {
        **one_result("service", outcome),
        "candidate": candidate(after, tag) if after and tag else None,
        "serving": serving(task.client, ids, after) if after else [],
    }


def check(params: Json) -> list[str]:
    """What would be dropped in silence: it is noted with the revision that gets the traffic, and a canary is nothing but traffic."""
    canary = params["canary"]
    needs_revision = {"taken_out": params["taken_out"], "canary.percent": canary and canary["percent"]}
    found = [
        f"{name} is set: expected latest_revision beside it."
        for name, value in needs_revision.items()
        if value and not params["latest_revision"]
    ]
    if canary and not params["candidate_tag"]:
        found.append("canary is set: expected candidate_tag beside it.")
    return found + [
        f"{name} is set: expected no canary beside it."
        for name in ("template", "placeholder")
        if canary and params[name]
    ]


def with_log(task: Task, ids: Json, error: OperationError) -> OperationError:
    """The error of a revision that did not start, with what it printed."""
    service = read(task.client, SERVICE, ids) or {}
    revision = newest_revision(service)
    lines = log_of_failed_start(task.client, task.project, service, revision) if revision else []
    if not lines:
        return error
    printed = "\n".join(lines)
    return OperationError(f"{error.message} What revision {revision} printed:\n{printed}", code=error.code)


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules={
            "name": rules.SERVICE,
            "candidate_tag": rules.TAG,
            "own_hosts": rules.ENVIRONMENT,
            "latest_revision": rules.REVISION,
            "taken_out": rules.DIGEST,
            "canary.percent": rules.CANARY_PERCENT,
            "canary.digest": rules.DIGEST,
            "placeholder.command": rules.ARGUMENT,
            "placeholder.args": rules.ARGUMENT,
        },
        tables={"": SERVICE.fields},
        check=check,
        mutually_exclusive=[("traffic", "candidate_tag")],
        required_by={"placeholder": ["candidate_tag", "template"]},
    )


if __name__ == "__main__":
    main()
