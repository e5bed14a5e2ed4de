#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudbuild_build
short_description: Build a project's image with Cloud Build, once per source
version_added: 0.9.0
description:
  - Packs a project's source, looks for a build of exactly this source by its tag C(source-<digest>), and only when there is none, or its
    image is no more, has Cloud Build make it from the Dockerfile. The image is the one that Cloud Build recorded, by digest, wherever the
    tags in Artifact Registry have been moved to.
  - The newest image of the same name is the cache of a build, so that what has not changed (mostly what is installed) is not made again.
  - Version control, caches, virtual environments and what holds secrets or data are never uploaded; the notes list them.
    C(.dockerignore) and C(.gcloudignore) are honoured on top of that; where there is neither, C(.gitignore).
  - With O(wait=false) the build goes on while other tasks run; the same module with O(build_id) tells how far it is.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
  - org.djangogcp._wait
options:
  image:
    description:
      - The image without tag or digest, C(LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/NAME).
    type: str
    required: true
  location:
    description:
      - The region that builds, or V(global).
    type: str
    required: true
  fallback_location:
    description:
      - The region, or V(global), that builds if the project may not build in O(location). Google Cloud restricts some projects, mostly new
        ones, to few regions, and not every region has Cloud Build. A warning tells.
    type: str
  source_dir:
    description:
      - The folder of the project on the machine that runs Ansible. Required without O(build_id).
    type: path
  dockerfile:
    description:
      - The text of the Dockerfile that is built. It takes the place of a C(Dockerfile) in O(source_dir), which is used as it is if this is not given.
    type: str
  extra_files:
    description:
      - Files that are built beside those of O(source_dir), by their names relative to it, each with its text. What O(source_dir) leaves out
        (C(.dockerignore)) does not leave them out.
    type: dict
  source_bucket:
    description:
      - The bucket that the source is uploaded to. Required without O(build_id).
    type: str
  service_account:
    description:
      - The e-mail address of the service account that the build runs as. Required without O(build_id).
    type: str
  timeout:
    description:
      - Seconds after which Cloud Build gives up.
    type: int
    default: 1200
  machine_type:
    description:
      - A machine type of Cloud Build, for instance V(E2_HIGHCPU_8).
    type: str
  rebuild:
    description:
      - A part of the tag beside the source, for instance a date. An image of the same source is built again when it changes, with the
        base image as it is then.
    type: str
  build_id:
    description:
      - The id of a build that an earlier task started, to wait for it. What a build is started with cannot stand beside it.
    type: str
notes:
  - Never uploaded, in any folder and letter case, are C(.git), C(.hg), C(.svn), C(__pycache__), C(*.py[cod]), C(.venv), C(venv), C(node_modules),
    C(.mypy_cache), C(.pytest_cache), C(.ruff_cache), C(.tox), C(.nox), C(.terraform), C(.vagrant), C(.DS_Store) and C(Thumbs.db), and virtual
    environments, which C(pyvenv.cfg) or C(conda-meta) tells.
  - Never uploaded by their names, because they hold secrets or data, are C(.env), C(.env.*), C(.env-*), C(*.env), C(.envs), C(.envrc),
    C(local_settings.py), C(*.pem), C(*.key), C(*.p12), C(*.pfx), C(*.p8), C(*.ppk), C(*.jks), C(*.keystore), C(*.kdbx), C(id_rsa*), C(id_dsa*),
    C(id_ecdsa*), C(id_ed25519*), C(.ssh), C(.gnupg), C(.aws), C(.kube), C(kubeconfig), C(*.kubeconfig), C(.config/gcloud), C(.docker/config.json),
    C(.dockercfg), C(.netrc), C(_netrc), C(.pgpass), C(.my.cnf), C(.pypirc), C(.boto), C(.s3cfg), C(.git-credentials), C(.htpasswd), C(.vault_pass*),
    C(.vault-pass*), C(vault_pass*), C(.*_history), C(*credentials*.json), C(*service-account*.json), C(*service_account*.json),
    C(client_secret*.json), C(*.tfstate), C(*.tfstate.*), C(*.tfvars), C(*.sqlite), C(*.sqlite-*), C(*.sqlite3), C(*.sqlite3-*), C(*.dump),
    C(*.pgdump), C(*.sql.gz), C(*.sql.bz2), C(*.sql.xz), C(*.sql.zst) and C(*.sql.zip). C(*.pem) and C(*.key) are uploaded if they hold certificates
    and public keys only, and so are C(.env*.example), C(.env*.sample), C(.env*.template), C(.env*.dist), C(.env[-_]example), C(.env[-_]sample),
    C(.env[-_]template), C(example.env), C(sample.env) and C(template.env).
  - Never uploaded because of what is in them, whatever their names are, are files with a private key (PEM, OpenSSH, PGP, PuTTY), a key of a Google
    service account, a person's credentials of Google or an OAuth client's secret, archives of C(pg_dump), dumps of PostgreSQL, MySQL and MariaDB that
    hold rows, databases of SQLite named C(*.db) or C(*.db3), and C(.npmrc) with a token. A module (C(*.py)) with a private key is uploaded, because
    the project would not run without it, and told.
  - Never uploaded is the folder C(media) in O(source_dir), beside C(manage.py) or in a package, unless it holds code, pages or style sheets (C(.py),
    C(.html), C(.css), C(.scss), C(.less), C(.js), C(.ts)).
  - Where there is neither a C(.dockerignore) nor a C(.gcloudignore), what the C(.gitignore) in O(source_dir) lists is not uploaded, either. An empty
    C(.dockerignore) is a way to upload what is not versioned, for instance compiled translations.
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Start the build, or find the image of the same source
  org.djangogcp.cloudbuild_build:
    project: my-project
    location: us-central1
    fallback_location: global
    image: us-central1-docker.pkg.dev/my-project/polls/polls
    source_dir: /srv/polls
    source_bucket: my-project-polls-source
    service_account: polls-build@my-project.iam.gserviceaccount.com
    wait: false
  register: build

- name: Wait for it
  org.djangogcp.cloudbuild_build:
    project: my-project
    location: "{{ build.build.location }}"
    image: us-central1-docker.pkg.dev/my-project/polls/polls
    build_id: "{{ build.build.id }}"
  when: not build.finished
"""

RETURN = r"""
image:
  description: The image. The digest is empty while the build goes on and in check mode.
  returned: success
  type: dict
  contains:
    name:
      description: The image without tag or digest.
      type: str
    tag:
      description: The tag that stands for the source, for people. What is deployed is the digest.
      type: str
    digest:
      description: The digest, C(sha256:...).
      type: str
    uri:
      description: What to deploy.
      type: str
  sample:
    name: us-central1-docker.pkg.dev/my-project/polls/polls
    tag: source-0123456789abcdef01234567
    digest: sha256:aaaa
    uri: us-central1-docker.pkg.dev/my-project/polls/polls@sha256:aaaa
finished:
  description: Whether there is nothing to wait for.
  returned: success
  type: bool
build:
  description: The build, or nothing when the image was there already.
  returned: success
  type: dict
  sample:
    id: 0f0f0f0f-0000-0000-0000-000000000000
    location: us-central1
    status: WORKING
    log_url: https://console.cloud.google.com/cloud-build/builds
source:
  description: What was packed.
  returned: without O(build_id)
  type: dict
  sample:
    digest: 0123456789abcdef
    files: 87
    bytes: 40321
    # What was left out only because it may hold secrets or data. The project itself can say in .dockerignore that it is not needed.
    withheld: [.env, db.sqlite3]
    # Modules that hold a private key and were uploaded all the same.
    exposed: []
    # Files that are called like keys and were uploaded, because they hold public keys or certificates only.
    public_keys: [keys/public.pem]
    # What was left out only because .gitignore lists it, and there is no other ignore file.
    unversioned: [staticfiles]
    # Scripts whose first line ends as on Windows: where the image runs one, Linux finds no program of that name.
    windows_scripts: []
"""

import dataclasses
import os
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import WAIT_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._builds import (
    BuildRequest,
    Builds,
    Image,
    build_result,
    is_finished,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import Json
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._source import Archive, SourceError, pack

ARGUMENT_SPEC = {
    "image": {"type": "str", "required": True},
    "location": {"type": "str", "required": True},
    "fallback_location": {"type": "str"},
    "source_dir": {"type": "path"},
    "dockerfile": {"type": "str"},
    "extra_files": {"type": "dict"},
    "source_bucket": {"type": "str"},
    "service_account": {"type": "str"},
    "timeout": {"type": "int", "default": 1200},
    "machine_type": {"type": "str"},
    "rebuild": {"type": "str"},
    "build_id": {"type": "str"},
    **WAIT_ARGS,
}

#: What Google accepts.
RULES = {
    "image": rules.IMAGE_NAME,
    "fallback_location": rules.LOCATION,
    "dockerfile": rules.text(1024 * 1024),
    "extra_files": rules.each_entry(
        "texts by names of files relative to source_dir, of letters, digits, ., _, - and /",
        lambda name: (
            re.fullmatch(r"(?!/)(?!(.*/)?\.\.(/|\Z))[A-Za-z0-9_./-]{1,1000}(?<!/)", name) is not None
        ),
        rules.text(1024 * 1024).test,
        1000,
    ),
    "source_bucket": rules.BUCKET,
    "service_account": rules.SERVICE_ACCOUNT,
    "timeout": rules.BUILD_SECONDS,
    "machine_type": rules.MACHINE_TYPE,
    "rebuild": rules.REBUILD,
    "build_id": rules.BUILD_ID,
}


def packed(
    source_dir: str, dockerfile: str | None, extra_files: t.Mapping[str, str] | None = None
) -> Archive:
    """The source with the Dockerfile that will be used, and further files by their names.

    Raises:
        SourceError: there is none, or the source cannot be packed.
    """
    own = os.path.isfile(os.path.join(source_dir, "Dockerfile"))
    if not own and not dockerfile and os.path.isdir(source_dir):
        raise SourceError(source_dir, "it has no Dockerfile", "Add one, or give its text with dockerfile.")
    return pack(source_dir, {**(extra_files or {}), **({"Dockerfile": dockerfile} if dockerfile else {})})


def start(task: Task, builds: Builds) -> Json:
    """Find the image of the source, or have it built."""
    params = task.params
    archive = packed(params["source_dir"], params["dockerfile"], params["extra_files"])
    wanted = Image.of_source(params["image"], archive.digest, params["rebuild"] or "")
    source = {
        "digest": archive.digest,
        "files": len(archive.files),
        "bytes": len(archive.content),
        "withheld": list(archive.withheld),
        "exposed": list(archive.exposed),
        "public_keys": list(archive.public_keys),
        "unversioned": list(archive.unversioned),
        "windows_scripts": list(archive.windows_scripts),
    }
    build, made = builds.find(wanted)
    if made is not None:
        return {"changed": False, "finished": True, "image": made.result(), "build": None, "source": source}
    diff = {"before": {"image": None}, "after": {"image": wanted.uri}}
    if task.check_mode:
        return {
            "changed": True,
            "finished": True,
            "image": wanted.result(),
            "build": None,
            "source": source,
            "diff": diff,
        }
    if build is None:
        name = f"{wanted.name.rpartition('/')[2]}/{wanted.tag}.tar.gz"
        generation = builds.upload(archive, params["source_bucket"], name)
        request = BuildRequest(
            params["service_account"], params["timeout"], params["machine_type"], builds.newest(wanted)
        )
        build = builds.submit(request, wanted, params["source_bucket"], name, generation)
    return {**followed(task, builds, build, wanted), "changed": True, "source": source, "diff": diff}


def followed(task: Task, builds: Builds, build: Json, image: Image) -> Json:
    """The result of a build: what it has made when it has finished, or how far it is."""
    if task.wait.enabled:
        build, image = builds.finish(build, image, task.wait)
    elif is_finished(build):
        image = builds.built_image(build, image)
    return {
        "finished": is_finished(build),
        "image": image.result(),
        "build": build_result(build),
        "warnings": builds.warnings(build),
    }


def work(task: Task) -> Json:
    """Start a build, or follow one."""
    builds = Builds(
        task.client, task.project, task.params["location"], task.params["fallback_location"] or ""
    )
    if not task.params["build_id"]:
        return start(task, builds)
    build = builds.get(task.params["build_id"])
    tagged = (build.get("images") or [":"])[0].rpartition(":")
    image = dataclasses.replace(Image.of_source(task.params["image"], ""), tag=tagged[2])
    return {"changed": False, **followed(task, builds, build, image)}


def check(params: Json) -> list[str]:
    """What would be dropped in silence: a build that is followed is what it was when it was started."""
    names = (
        "fallback_location",
        "dockerfile",
        "extra_files",
        "source_bucket",
        "service_account",
        "machine_type",
        "rebuild",
    )
    return [
        f"{name} is set: expected none beside build_id, because that build has been started already."
        for name in names
        if params["build_id"] and params[name] is not None
    ]


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules=RULES,
        required_one_of=[("source_dir", "build_id")],
        mutually_exclusive=[("source_dir", "build_id")],
        required_by={"source_dir": ("source_bucket", "service_account")},
        check=check,
    )


if __name__ == "__main__":
    main()
