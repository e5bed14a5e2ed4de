"""The modules cloudbuild_build, run_service, run_jobs and run_job_execution with an application that is really built and really runs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import certifi
import pytest
from gcp_emulator.services.cloudbuild.ports import BuildLocations
from gcp_emulator.workloads.sandbox.bubblewrap import check_available
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

from tests.integration.cloud import PROJECT, REGION, Cloud, until

try:
    check_available()
except SandboxUnavailable as why:
    pytest.skip(str(why), allow_module_level=True)

LOCATION = f"projects/{PROJECT}/locations/{REGION}"
RUN = f"run.googleapis.com/v2/{LOCATION}"


def service(name: str, image: str = "", greeting: str = "hello", **options: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"name": name, "location": REGION, **options}
    if image:
        container = {"image": image, "env": [{"name": "GREETING", "value": greeting}]}
        asked["template"] = {"containers": [container]}
    return asked


def job(name: str, image: str, *args: str, **template: Any) -> dict[str, Any]:
    container = {"image": image, "command": ["python", "job.py"], "args": list(args)}
    inner = {"max_retries": 0, "containers": [container], **template}
    return {"location": REGION, "jobs": [{"name": name, "template": {"template": inner}}]}


def greeting(cloud: Cloud, name: str, tag: str = "") -> str:
    """What the service answers a stranger at its own address."""
    prefix = f"{tag}---" if tag else ""
    url = f"https://{prefix}{name}-{cloud.running.number}.{REGION}.run.app/"
    answer = cloud.running.session(None).get(url)
    assert answer.status_code == 200, answer.text
    return answer.text


# ------------------------------------------------------------------ build


def test_a_source_is_built_once(cloud: Cloud, build_options: dict[str, str], image: str) -> None:
    name = build_options["image"]
    assert image.startswith(f"{name}@sha256:")
    again = cloud.ok("cloudbuild_build", **build_options)
    assert again["changed"] is False
    assert again["build"] is None
    assert again["image"]["uri"] == image
    tag = cloud.api(
        f"artifactregistry.googleapis.com/v1/{LOCATION}/repositories/djangogcp/packages/app/tags/{again['image']['tag']}"
    )
    assert tag["version"].rpartition("/")[2] == image.partition("@")[2]
    builds = cloud.api(f"cloudbuild.googleapis.com/v1/{LOCATION}/builds")["builds"]
    assert [one["status"] for one in builds if again["image"]["tag"] in one.get("tags", [])] == ["SUCCESS"]


def test_a_moved_tag_is_not_trusted(
    cloud: Cloud, build_options: dict[str, str], image: str, tmp_path: Path
) -> None:
    """Whoever may push may move a tag; what Cloud Build has recorded nobody can."""
    package = f"artifactregistry.googleapis.com/v1/{LOCATION}/repositories/djangogcp/packages/app"
    other = shutil.copytree(build_options["source_dir"], tmp_path / "other")
    (other / "other.txt").write_text("other", "utf-8")
    theirs = cloud.ok("cloudbuild_build", **{**build_options, "source_dir": str(other)})["image"]
    tag = cloud.ok("cloudbuild_build", **build_options)["image"]["tag"]
    version = f"{package.partition('/v1/')[2]}/versions/{theirs['digest']}"
    cloud.api(f"{package}/tags/{tag}?updateMask=version", method="PATCH", body={"version": version})
    assert cloud.api(f"{package}/tags/{tag}")["version"] == version
    again = cloud.ok("cloudbuild_build", **build_options)
    assert (again["changed"], again["image"]["uri"]) == (False, image)


def test_an_image_that_was_deleted_is_built_again(
    cloud: Cloud, build_options: dict[str, str], tmp_path: Path
) -> None:
    source = shutil.copytree(build_options["source_dir"], tmp_path / "deleted")
    (source / "deleted.txt").write_text("deleted", "utf-8")
    asked = {**build_options, "source_dir": str(source)}
    made = cloud.ok("cloudbuild_build", **asked)["image"]
    package = f"artifactregistry.googleapis.com/v1/{LOCATION}/repositories/djangogcp/packages/app"
    cloud.api(f"{package}/versions/{made['digest']}?force=true", method="DELETE")
    assert cloud.ok("cloudbuild_build", **asked)["changed"] is True


def test_check_mode_tells_that_a_changed_source_would_be_built(
    cloud: Cloud, build_options: dict[str, str], image: str, tmp_path: Path
) -> None:
    changed = shutil.copytree(build_options["source_dir"], tmp_path / "changed")
    (changed / "new.txt").write_text("new", "utf-8")
    before = cloud.resources()
    planned = cloud.ok("cloudbuild_build", check=True, **{**build_options, "source_dir": str(changed)})
    assert (planned["changed"], planned["image"]["digest"]) == (True, "")
    assert cloud.resources() == before


def test_a_build_goes_on_while_other_tasks_run(
    cloud: Cloud, build_options: dict[str, str], image: str, tmp_path: Path
) -> None:
    changed = shutil.copytree(build_options["source_dir"], tmp_path / "later")
    (changed / "later.txt").write_text("later", "utf-8")
    started = cloud.ok("cloudbuild_build", **{**build_options, "source_dir": str(changed)}, wait=False)
    assert started["changed"] is True
    common = {name: build_options[name] for name in ("image", "location")}
    finished = cloud.ok("cloudbuild_build", **common, build_id=started["build"]["id"])
    assert finished["finished"] is True
    assert finished["image"]["tag"] == started["image"]["tag"]
    assert finished["image"]["digest"].startswith("sha256:")
    assert finished["image"]["uri"] != image


def test_a_project_that_may_not_build_in_a_region_builds_elsewhere(
    cloud: Cloud, build_options: dict[str, str]
) -> None:
    cloud.running.call(cloud.running.context.ports.find(BuildLocations).restrict, PROJECT)
    asked = {**build_options, "location": "europe-west3", "rebuild": "elsewhere"}
    assert "Set djangogcp_build_location" in cloud.error("cloudbuild_build", **asked)
    started = cloud.ok("cloudbuild_build", **asked, fallback_location="global", wait=False)
    assert started["build"]["location"] == "global"
    followed = {"image": asked["image"], "location": "global", "build_id": started["build"]["id"]}
    assert cloud.ok("cloudbuild_build", **followed)["finished"] is True


def test_a_build_that_fails_shows_the_end_of_its_log(
    cloud: Cloud, build_options: dict[str, str], tmp_path: Path
) -> None:
    broken = shutil.copytree(build_options["source_dir"], tmp_path / "broken")
    with (broken / "Dockerfile").open("a", encoding="utf-8") as file:
        file.write("RUN python -c \"raise SystemExit('no such luck')\"\n")
    message = cloud.error("cloudbuild_build", **{**build_options, "source_dir": str(broken)})
    assert message.startswith(f"Failed to build {build_options['image']}: build ")
    assert "ended with FAILURE" in message
    assert "The end of its log says why; fix the source and run again.\n" in message
    assert "no such luck" in message


# ------------------------------------------------------------------ services


def test_the_life_of_a_service(cloud: Cloud, image: str) -> None:
    before = cloud.resources()
    asked = service("life", image, invoker_iam_disabled=True, labels={"site": "polls"})
    planned = cloud.ok("run_service", check=True, **asked)
    assert planned["actions"] == ["create service life"]
    assert cloud.resources() == before

    made = cloud.ok("run_service", **asked)
    first = made["service"]["latest_ready_revision"]
    assert made["serving"] == [
        {"revision": first, "percent": 100, "tag": "", "image": image, "placeholder": False}
    ]
    assert greeting(cloud, "life") == "hello"
    assert cloud.ok("run_service", **asked)["changed"] is False

    update = service("life", image, "good day", labels={})
    planned = cloud.ok("run_service", check=True, **update)
    assert planned["diff"]["before"]["labels"] == {"site": "polls"}
    assert "good day" in str(planned["diff"]["after"]["template"])
    assert greeting(cloud, "life") == "hello"
    changed = cloud.ok("run_service", **update)
    assert changed["actions"] == ["update service life"]
    assert greeting(cloud, "life") == "good day"
    assert cloud.api(f"{RUN}/services/life")["invokerIamDisabled"] is True, "not asked, so left alone"
    assert cloud.ok("run_service", **update)["changed"] is False
    found = cloud.ok("run_service_info", name="life", location=REGION)
    assert found["serving"] == changed["serving"]

    absent = service("life", state="absent")
    assert cloud.ok("run_service", **absent)["actions"] == ["delete service life"]
    assert cloud.absent(f"{RUN}/services/life")
    assert cloud.ok("run_service", **absent)["changed"] is False
    assert cloud.ok("run_service_info", name="life", location=REGION)["service"] is None


def test_a_candidate_can_be_tried_out_before_it_serves(cloud: Cloud, image: str) -> None:
    cloud.ok("run_service", **service("tried", image, "old", invoker_iam_disabled=True))
    new = service("tried", image, "new", candidate_tag="candidate")
    made = cloud.ok("run_service", **new)
    assert greeting(cloud, "tried") == "old"
    assert greeting(cloud, "tried", "candidate") == "new"
    assert made["candidate"]["uri"] in {
        target.get("uri") for target in cloud.api(f"{RUN}/services/tried")["trafficStatuses"]
    }
    assert cloud.ok("run_service", **new)["changed"] is False
    latest = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
    cloud.ok("run_service", **service("tried", traffic=latest))
    assert greeting(cloud, "tried") == "new"
    # The next deploy remembers what has all the traffic (decision 36).
    cloud.ok("run_service", **new)
    assert cloud.ok("run_service", **new)["changed"] is False


#: Answers with a status of its own.
ANSWERS = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(os.environ["STATUS"]))
        self.end_headers()
        print("asked for", self.path, flush=True)
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_a_canary_is_watched_judged_and_taken_back(cloud: Cloud, image: str) -> None:
    def release(status: int, **options: Any) -> dict[str, Any]:
        container = {"image": image, "command": ["python", "-c", ANSWERS]}
        container["env"] = [{"name": "STATUS", "value": str(status)}]
        return {**named, "template": {"containers": [container]}, "invoker_iam_disabled": True, **options}

    def shares() -> dict[str, int]:
        statuses = cloud.api(f"{RUN}/services/parts")["trafficStatuses"]
        return {one.get("revision", newest): one["percent"] for one in statuses if one.get("percent")}

    def visit(times: int) -> None:
        for _ in range(times):
            session.get(f"https://parts-{cloud.running.number}.{REGION}.run.app/a?b=c")

    def canary(percent: int, **options: Any) -> dict[str, Any]:
        return {**tagged, "canary": {"percent": percent, "digest": "0" * 64}, **options}

    named = {"name": "parts", "location": REGION}
    tagged = {**named, "candidate_tag": "candidate"}
    session = cloud.running.session(None)
    cloud.ok("run_service", **release(200))
    newest = cloud.ok("run_service", **release(200, candidate_tag="candidate"))["serving"][0]["revision"]
    old = newest
    newest = cloud.ok("run_service", **release(500, candidate_tag="candidate"))["candidate"]["revision"]

    half = canary(50, latest_revision=newest)
    before = cloud.resources()
    assert cloud.ok("run_service", check=True, **half)["changed"] is True
    assert cloud.resources() == before
    assert "no canary has a part of its traffic" in cloud.error("run_canary", **tagged, seconds=1)
    cloud.ok("run_service", **half)
    assert shares() == {old: 50, newest: 50}
    assert cloud.ok("run_service", **half)["changed"] is False
    told = cloud.ok("run_service_info", **tagged)
    assert told["moved"] is None
    assert told["canary"] == {"revision": newest, "percent": 50, "before": {old: 100}, "digest": "0" * 64}
    assert told["candidate"] == {"revision": newest, "percent": 50}

    # Who tries it out is no visitor.
    for _ in range(9):
        session.get(f"https://candidate---parts-{cloud.running.number}.{REGION}.run.app/")
    assert cloud.ok("run_canary", **tagged, seconds=1)["canary"]["requests"] == 0
    visit(40)
    failed = cloud.run("run_canary", **tagged, seconds=60)
    seen = failed["canary"]
    assert 0 < seen["errors"] == seen["requests"] < 40
    assert seen["examples"] == [f"500 GET /a ({seen['errors']})"]
    assert (
        f"{newest} is bad with 50 % of the traffic: {seen['errors']} of {seen['errors']} requests"
        in failed.message
    )
    assert "asked for /a" in failed.message
    assert cloud.ok("run_canary", **tagged, seconds=1, max_error_ratio=1)["canary"]["is_judged"] is (
        seen["requests"] >= 20
    )

    assert cloud.ok("run_service", **canary(0))["changed"] is True
    assert shares() == {old: 100}
    annotations = cloud.api(f"{RUN}/services/parts")["annotations"]
    assert (annotations["djangogcp/canary"], annotations["djangogcp/taken-out"]) == ("", "0" * 64)
    assert cloud.ok("run_service", **canary(0))["changed"] is False
    told = cloud.ok("run_service_info", **tagged)
    assert (told["canary"], told["candidate"]) == (None, {"revision": newest, "percent": 0})


PLACEHOLDER = {
    "command": ["python", "-c"],
    "args": [
        (
            Path(__file__).parents[2]
            / "collections/ansible_collections/org/djangogcp/roles/cloud_run/files/placeholder.py"
        ).read_text("utf-8")
    ],
}
#: What the role asks for: all traffic for the newest revision.
ALL_TRAFFIC = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]


def first_release(name: str, image: str, words: str = "hello", **options: Any) -> dict[str, Any]:
    """A service whose first release, too, is to be tried out, with a probe of its own."""
    asked = service(
        name, image, words, invoker_iam_disabled=True, candidate_tag="candidate", placeholder=PLACEHOLDER
    )
    asked["template"]["containers"][0]["startup_probe"] = {"http_get": {"path": "/"}, "period_seconds": 1}
    asked["template"]["containers"][0] |= options
    return asked


def test_the_first_release_is_tried_out_before_it_serves(cloud: Cloud, image: str) -> None:
    before = cloud.resources()
    asked = first_release("first", image)
    planned = cloud.ok("run_service", check=True, **asked)
    assert (planned["actions"], planned["candidate"]) == (["create service first"], None)
    assert cloud.resources() == before

    made = cloud.ok("run_service", **asked)
    assert made["actions"] == ["create service first", "update service first"]
    assert [(one["percent"], one["placeholder"]) for one in made["serving"]] == [(100, True)]
    assert greeting(cloud, "first", "candidate") == "hello"
    url = f"https://first-{cloud.running.number}.{REGION}.run.app/any/path"
    for method in ("GET", "HEAD", "POST", "DELETE"):
        answer = cloud.running.session(None).request(method, url, data=b"x" if method == "POST" else None)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60"), method
    assert cloud.running.session(None).get(url).text == "This site has not been released yet.\n"

    again = cloud.ok("run_service", **asked)
    assert (again["changed"], again["candidate"]) == (False, made["candidate"])
    revision = made["candidate"]["revision"]
    traffic = service("first", traffic=ALL_TRAFFIC, latest_revision=revision)
    assert cloud.ok("run_service", **traffic)["serving"][0]["placeholder"] is False
    assert greeting(cloud, "first") == "hello"
    template = cloud.api(f"{RUN}/services/first")["template"]
    assert "command" not in template["containers"][0]
    assert "tcpSocket" not in template["containers"][0]["startupProbe"]
    assert template["containers"][0]["startupProbe"]["httpGet"]["path"] == "/"
    assert "djangogcp/placeholder" not in template.get("annotations", {})
    unchanged = cloud.ok("run_service", **asked)
    assert (unchanged["changed"], unchanged["candidate"]) == (False, None)


def test_a_first_release_that_does_not_start_leaves_the_placeholder(cloud: Cloud, image: str) -> None:
    broken = first_release("unborn", image, command=["python", "-c", "raise SystemExit('no database')"])
    for _ in range(2):
        assert "printed:\nno database\n" in cloud.error("run_service", **broken)
        found = cloud.ok("run_service_info", name="unborn", location=REGION)
        assert [(one["percent"], one["placeholder"]) for one in found["serving"]] == [(100, True)]
    newest = cloud.api(f"{RUN}/services/unborn")["latestCreatedRevision"].rpartition("/")[2]
    found = cloud.ok("run_service_info", name="unborn", location=REGION, log_revision=newest)
    assert "no database" in found["log"]

    fixed = cloud.ok("run_service", **first_release("unborn", image, command=["python", "main.py"]))
    assert fixed["serving"][0]["placeholder"] is True
    assert greeting(cloud, "unborn", "candidate") == "hello"


def test_traffic_is_refused_when_somebody_else_has_deployed(cloud: Cloud, image: str) -> None:
    cloud.ok("run_service", **first_release("raced", image))
    tried = cloud.ok("run_service", **first_release("raced", image, "second"))["candidate"]["revision"]
    newest = cloud.ok("run_service", **first_release("raced", image, "third"))["candidate"]["revision"]
    message = cloud.error("run_service", **service("raced", traffic=ALL_TRAFFIC, latest_revision=tried))
    assert f"its newest revision is {newest} and not {tried}" in message
    assert cloud.ok("run_service_info", name="raced", location=REGION)["serving"][0]["placeholder"] is True


def test_a_revision_that_does_not_start_says_why_and_gets_no_traffic(cloud: Cloud, image: str) -> None:
    cloud.ok("run_service", **service("broken", image, "works", invoker_iam_disabled=True))
    container = {"image": image, "command": ["python", "-c", "raise SystemExit('no database')"]}
    message = cloud.error("run_service", name="broken", location=REGION, template={"containers": [container]})
    assert message.startswith("Failed to update service broken: ")
    assert "failed to start and listen on the port" in message
    assert "printed:\nno database\n" in message
    assert greeting(cloud, "broken") == "works"


def test_why_a_revision_does_not_start_is_shown_to_its_last_line_which_comes_late(
    cloud: Cloud, image: str
) -> None:
    cloud.ok("run_service", **service("late-reason", image, "works"))
    lines = [f"print({number}, flush=True)" for number in range(12)]
    command = "; ".join([*lines, "raise RuntimeError('no database')"])
    container = {"image": image, "command": ["python", "-c"], "args": [command]}
    cloud.running.plan(
        {"method": "run.projects.locations.services.patch", "kind": "logs_late", "seconds": 4, "seed": 1}
    )
    message = cloud.error(
        "run_service", name="late-reason", location=REGION, template={"containers": [container]}
    )
    printed = message.partition(" printed:\n")[2].splitlines()
    assert [line for line in printed if line.isdecimal()] == [str(number) for number in range(12)]
    assert "RuntimeError: no database" in printed
    assert "more may come" not in message


def test_probes_replace_one_another_and_go(cloud: Cloud, image: str) -> None:
    path = {"http_get": {"path": "/", "port": 8080}, "period_seconds": "1", "failure_threshold": "240"}
    port = {"tcp_socket": {"port": "8080"}, "period_seconds": 1, "failure_threshold": 240}
    url = f"{RUN}/services/probed"

    def ensured(startup: Any, liveness: Any) -> dict[str, Any]:
        asked = service("probed", image)
        asked["template"]["containers"][0] |= {"startup_probe": startup, "liveness_probe": liveness}
        assert cloud.ok("run_service", **asked)["changed"] is True
        assert cloud.ok("run_service", **asked)["changed"] is False
        found: dict[str, Any] = cloud.api(url)["template"]["containers"][0]
        return found

    for _ in range(2):
        made = ensured(path, {"http_get": {"path": "/"}})
        assert made["startupProbe"]["httpGet"] == {"path": "/", "port": 8080}
        assert "tcpSocket" not in made["startupProbe"]
        assert made["livenessProbe"]["httpGet"]["path"] == "/"
        made = ensured(port, {})
        assert made["startupProbe"]["tcpSocket"] == {"port": 8080}
        assert "httpGet" not in made["startupProbe"]
        assert "livenessProbe" not in made
    made = ensured({}, {"http_get": {}})
    assert made["startupProbe"]["periodSeconds"] == 240, "what Cloud Run does when nothing is asked"


def test_the_name_that_somebody_gave_a_revision_blocks_nothing(cloud: Cloud, image: str) -> None:
    cloud.ok("run_service", **service("suffixed", image, "one"))
    url = f"{RUN}/services/suffixed"
    template = cloud.api(url)["template"] | {"revision": "suffixed-by-hand"}
    cloud.api(f"{url}?updateMask=template", method="PATCH", body={"template": template})
    until(lambda: cloud.api(url)["latestReadyRevision"].endswith("/suffixed-by-hand"))
    for text in ("two", "three"):
        cloud.ok("run_service", **service("suffixed", image, text))
    assert cloud.ok("run_service", **service("suffixed", image, "three"))["changed"] is False


def test_quantities_and_the_annotation_of_a_retry_are_no_differences(cloud: Cloud, image: str) -> None:
    broken = {"image": image, "command": ["python", "-c", "raise SystemExit(1)"]}
    asked = service("quantities", image)
    template = {**asked["template"], "annotations": {"team": "web"}}
    template["containers"][0]["resources"] = {"limits": {"cpu": "1"}}
    cloud.error(
        "run_service", **{**asked, "template": {"containers": [broken], "annotations": {"team": "web"}}}
    )
    cloud.error(
        "run_service", **{**asked, "template": {"containers": [broken], "annotations": {"team": "web"}}}
    )
    cloud.ok(
        "run_service",
        **{**asked, "template": {**template, "containers": [{**template["containers"][0], "command": []}]}},
    )
    assert "djangogcp/retry-of" in cloud.api(f"{RUN}/services/quantities")["template"]["annotations"]
    for limits in ({"cpu": "1000m"}, {"cpu": 1, "memory": "0.5Gi"}, {"memory": "512Mi"}):
        template["containers"][0]["resources"] = {"limits": limits}
        assert cloud.ok("run_service", **{**asked, "template": template})["changed"] is False


def test_a_right_to_a_secret_that_was_granted_a_moment_ago_is_waited_for(cloud: Cloud, image: str) -> None:
    account = f"late-reader@{PROJECT}.iam.gserviceaccount.com"
    cloud.ok("iam_service_accounts", service_accounts=[{"name": "late-reader"}])
    cloud.ok("secretmanager_secrets", secrets=[{"name": "late", "value": "what only the secret knows"}])
    secret = {"secret_key_ref": {"secret": "late", "version": "1"}}
    variables = [{"name": "GREETING", "value_source": secret}]
    container = {"image": image, "env": variables}
    asked = service("late", invoker_iam_disabled=True)
    asked |= {
        "template": {"service_account": account, "containers": [container]},
        "candidate_tag": "candidate",
    }
    assert "Permission denied on secret" in cloud.error("run_service", **asked)

    method = "secretmanager.projects.secrets.setIamPolicy"
    cloud.running.plan({"method": method, "kind": "grant_pending", "seconds": 2})
    grant = {"resource_type": "secret", "resource": "late", "role": "roles/secretmanager.secretAccessor"}
    cloud.ok("iam_members", members=[{**grant, "members": [f"serviceAccount:{account}"]}])
    made = cloud.ok("run_service", **asked)
    assert (made["candidate"], made["serving"][0]["percent"]) == (None, 100)
    assert greeting(cloud, "late") == "what only the secret knows"
    # The next deploy remembers what has all the traffic (decision 36).
    cloud.ok("run_service", **asked)
    assert cloud.ok("run_service", **asked)["changed"] is False


def test_a_revision_that_did_not_start_fails_the_next_run_too(cloud: Cloud, image: str) -> None:
    container = {"image": image, "command": ["python", "-c", "raise SystemExit('no database')"]}
    asked = {"name": "again", "location": REGION, "template": {"containers": [container]}}
    cloud.error("run_service", **asked)
    message = cloud.error("run_service", **asked)
    assert "failed to start and listen on the port" in message


def test_a_name_that_the_api_does_not_have_is_refused_with_the_nearest_one(cloud: Cloud) -> None:
    before = cloud.resources()
    message = cloud.error("run_service", name="x", location=REGION, template={"containers": [{"imgae": "x"}]})
    assert message.startswith("template.containers[0].imgae is unknown: expected one of ")
    assert message.endswith("Did you mean template.containers[0].image?")
    assert cloud.resources() == before


def test_a_role_is_granted_on_a_service_and_a_job(cloud: Cloud, image: str) -> None:
    cloud.ok("run_service", **service("granted", image))
    cloud.ok("run_jobs", **job("granted", image, "0"))
    member = "user:visitor@example.com"
    kinds = {"run_service": f"{RUN}/services/granted", "run_job": f"{RUN}/jobs/granted"}
    items = [
        {
            "resource_type": kind,
            "resource": "granted",
            "location": REGION,
            "role": "roles/run.invoker",
            "members": [member],
        }
        for kind in kinds
    ]
    assert cloud.ok("iam_members", members=items)["changed"] is True
    for url in kinds.values():
        assert cloud.members(url, "roles/run.invoker") == [member]
    assert cloud.ok("iam_members", members=items)["changed"] is False


# ------------------------------------------------------------------ worker pools


def worker(name: str, image: str, *args: str, **options: Any) -> dict[str, Any]:
    program = "import sys, time; print('working', *sys.argv[1:], flush=True); time.sleep(3600)"
    container = {"image": image, "command": ["python", "-c", program], "args": list(args)}
    return {"name": name, "location": REGION, "template": {"containers": [container]}, **options}


def printed(cloud: Cloud, name: str) -> list[str]:
    """What the instances of a worker pool have printed."""
    selector = f'resource.type="cloud_run_worker_pool" AND resource.labels.worker_pool_name="{name}"'
    body = {"resourceNames": [f"projects/{PROJECT}"], "filter": selector}
    entries = cloud.api("logging.googleapis.com/v2/entries:list", method="POST", body=body).get("entries", [])
    return [str(one.get("textPayload", "")) for one in entries]


def test_the_life_of_a_worker_pool(cloud: Cloud, image: str) -> None:
    before = cloud.resources()
    asked = worker("worker", image, "hard", scaling={"manual_instance_count": 1})
    planned = cloud.ok("run_worker_pool", check=True, **asked)
    assert (planned["changed"], cloud.resources()) == (True, before)
    made = cloud.ok("run_worker_pool", **asked)
    assert made["actions"] == ["create worker pool worker"]
    path = f"{RUN}/workerPools/worker"
    first = cloud.api(path)
    assert made["worker_pool"]["latest_ready_revision"] == first["latestReadyRevision"].rpartition("/")[2]
    until(lambda: printed(cloud, "worker") == ["working hard"])
    assert cloud.ok("run_worker_pool", **asked)["changed"] is False
    stopped = cloud.ok(
        "run_worker_pool", name="worker", location=REGION, scaling={"manual_instance_count": 0}
    )
    assert stopped["changed"] is True
    assert cloud.api(path)["latestCreatedRevision"] == first["latestCreatedRevision"]
    changed = cloud.ok("run_worker_pool", **worker("worker", image, "harder"))
    second = changed["worker_pool"]["latest_ready_revision"]
    assert second.startswith("worker-00002-")
    for names in ({"names": ["worker", "none"]}, {}):
        [told] = cloud.ok("run_worker_pools_info", location=REGION, **names)["worker_pools"]
        assert told["scaling"] == {"manual_instance_count": 0}
        assert told["serving"] == [
            {
                "revision": second,
                "percent": 100,
                "image": cloud.api(path)["template"]["containers"][0]["image"],
            }
        ]
    assert cloud.ok("run_worker_pool", name="worker", location=REGION, state="absent")["changed"] is True
    assert cloud.ok("run_worker_pool", name="worker", location=REGION, state="absent")["changed"] is False
    assert cloud.resources() == before


def test_a_worker_that_ends_at_once_is_told_until_it_works(cloud: Cloud, image: str) -> None:
    asked = worker("hasty", image, scaling={"manual_instance_count": 1}, settle_seconds=2)
    good = asked["template"]["containers"][0]["command"]
    asked["template"]["containers"][0]["command"] = ["python", "-c", "print('off'); raise SystemExit(3)"]
    revisions = []
    for _ in range(2):
        message = cloud.error("run_worker_pool", **asked)
        assert "its container ended within 2 seconds" in message
        assert "off\nContainer called exit(3)." in message
        revisions.append(cloud.api(f"{RUN}/workerPools/hasty")["latestReadyRevision"])
    assert revisions[0] != revisions[1]
    asked["template"]["containers"][0]["command"] = good
    assert cloud.ok("run_worker_pool", **asked)["changed"] is True
    assert cloud.ok("run_worker_pool", **asked)["changed"] is False
    assert cloud.ok("run_worker_pool", name="hasty", location=REGION, state="absent")["changed"] is True


def test_a_worker_pool_that_could_not_start_is_tried_again(cloud: Cloud, image: str) -> None:
    asked = worker("secretive", image)
    reference = {"secret_key_ref": {"secret": "pool-key", "version": "1"}}
    asked["template"]["containers"][0]["env"] = [{"name": "KEY", "value_source": reference}]
    assert "pool-key" in cloud.error("run_worker_pool", **asked)
    cloud.ok("secretmanager_secrets", secrets=[{"name": "pool-key", "generate": {}}])
    account = f"{cloud.running.number}-compute@developer.gserviceaccount.com"
    cloud.ok(
        "iam_members",
        members=[
            {
                "resource_type": "secret",
                "resource": "pool-key",
                "role": "roles/secretmanager.secretAccessor",
                "members": [f"serviceAccount:{account}"],
            }
        ],
    )
    again = cloud.ok("run_worker_pool", **asked)
    assert again["actions"] == ["update worker pool secretive"]
    pool = cloud.api(f"{RUN}/workerPools/secretive")
    assert pool["latestReadyRevision"] == pool["latestCreatedRevision"]
    assert cloud.ok("run_worker_pool", **asked)["changed"] is False


# ------------------------------------------------------------------ jobs


def test_the_life_of_a_job(cloud: Cloud, image: str) -> None:
    before, url = cloud.resources(), f"{RUN}/jobs/life"
    assert cloud.ok("run_jobs", check=True, **job("life", image, "0"))["actions"] == ["create job life"]
    assert cloud.resources() == before
    assert cloud.ok("run_jobs", **job("life", image, "0"))["changed"] is True
    made = cloud.api(url)["template"]["template"]
    assert (made["containers"][0]["args"], made.get("maxRetries", 0)) == (["0"], 0)
    assert cloud.ok("run_jobs", **job("life", image, "0"))["changed"] is False
    for names in ({"names": ["life", "none"]}, {}):
        told = cloud.ok("run_jobs_info", location=REGION, **names)["jobs"]
        assert [one["template"]["template"]["max_retries"] for one in told if one["name"] == "life"] == [0]
    update = job("life", image, "0", timeout="120s")
    planned = cloud.ok("run_jobs", check=True, **update)
    assert planned["diff"][0]["after"]["template"]["template"]["timeout"] == "120s"
    assert cloud.api(url)["template"]["template"] == made
    assert cloud.ok("run_jobs", **update)["actions"] == ["update job life"]
    assert cloud.api(url)["template"]["template"]["timeout"] == "120s"
    assert cloud.ok("run_jobs", **update)["changed"] is False
    absent = {"location": REGION, "jobs": [{"name": "life", "state": "absent"}]}
    assert cloud.ok("run_jobs", **absent)["actions"] == ["delete job life"]
    assert cloud.absent(url)
    assert cloud.ok("run_jobs", **absent)["changed"] is False


def test_a_job_runs_shows_its_output_and_is_not_run_twice(cloud: Cloud, image: str) -> None:
    cloud.ok("run_jobs", **job("migrate", image, "0"))
    asked = {"job": "migrate", "location": REGION, "once": True}
    assert cloud.ok("run_job_execution", check=True, **asked)["changed"] is True
    assert cloud.api(f"{RUN}/jobs/migrate/executions").get("executions", []) == []
    ran = cloud.ok("run_job_execution", **asked)
    assert ran["output"][0] == "greeting is None"
    assert (ran["execution"]["succeeded"], ran["execution"]["exit_code"]) == (True, 0)
    assert cloud.ok("run_job_execution", **asked)["changed"] is False
    assert len(cloud.api(f"{RUN}/jobs/migrate/executions")["executions"]) == 1

    with_environment = cloud.ok(
        "run_job_execution", job="migrate", location=REGION, env={"GREETING": "good day"}
    )
    assert with_environment["output"][0] == "greeting is good day"
    listed = cloud.ok("run_job_execution_info", job="migrate", location=REGION)["executions"]
    assert [one["name"] for one in listed] == [
        with_environment["execution"]["name"],
        ran["execution"]["name"],
    ]


def test_a_job_that_fails_keeps_its_exit_code_and_shows_what_it_printed(cloud: Cloud, image: str) -> None:
    cloud.ok("run_jobs", **job("fails", image, "7"))
    failed = cloud.run("run_job_execution", job="fails", location=REGION)
    assert failed.failed
    assert failed["execution"]["exit_code"] == 7
    assert (
        f"Failed to run job fails: execution {failed['execution']['name']} ended with exit code 7: "
        in failed.message
    )
    assert "What it printed:\ngreeting is None\n" in failed.message
    assert cloud.run("run_job_execution", job="fails", location=REGION, once=True).failed, (
        "a failure is not done"
    )


def test_a_traceback_that_reaches_the_log_in_pieces_is_shown_to_its_end(cloud: Cloud, image: str) -> None:
    lines = [f"print({number}, flush=True)" for number in range(12)]
    command = "; ".join([*lines, "raise RuntimeError('the last line')"])
    container = {"image": image, "command": ["python", "-c"], "args": [command]}
    template = {"template": {"max_retries": 0, "containers": [container]}}
    cloud.ok("run_jobs", location=REGION, jobs=[{"name": "late-logs", "template": template}])
    cloud.running.plan(
        {"method": "run.projects.locations.jobs.run", "kind": "logs_late", "seconds": 4, "seed": 1},
        {"method": "logging.entries.list", "kind": "empty_page", "count": 3},
    )
    failed = cloud.run("run_job_execution", job="late-logs", location=REGION)
    assert failed.failed
    printed = [line for line in failed["output"] if line.isdecimal()]
    assert printed == [str(number) for number in range(12)]
    assert "RuntimeError: the last line" in failed["output"]
    assert "RuntimeError: the last line" in failed.message


def test_a_job_is_started_without_waiting(cloud: Cloud, image: str) -> None:
    cloud.ok("run_jobs", **job("started", image, "0"))
    started = cloud.ok("run_job_execution", job="started", location=REGION, wait=False)
    name = started["execution"]["name"]
    until(lambda: "completionTime" in cloud.api(f"{RUN}/jobs/started/executions/{name}"))


def test_a_running_execution_is_waited_for_and_not_started_again(cloud: Cloud, image: str) -> None:
    works = "import time; time.sleep(2); print('worked')"
    container = {"image": image, "command": ["python", "-c"], "args": [works]}
    cloud.ok(
        "run_jobs",
        location=REGION,
        jobs=[{"name": "slow", "template": {"template": {"containers": [container]}}}],
    )
    asked = {"job": "slow", "location": REGION, "once": True}
    assert cloud.ok("run_job_execution", wait=False, **asked)["changed"] is True
    assert cloud.run("run_job_execution", wait_timeout=0, **asked)["timed_out"] is True
    assert cloud.ok("run_job_execution", check=True, **asked)["changed"] is False
    waited = cloud.ok("run_job_execution", **asked)
    assert (waited["changed"], waited["output"][0]) == (False, "worked")
    assert len(cloud.api(f"{RUN}/jobs/slow/executions")["executions"]) == 1


def executions(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    """What has run of a job, the newest first, by a direct call."""
    found: list[dict[str, Any]] = cloud.api(f"{RUN}/jobs/{name}/executions").get("executions", [])
    return found


def labels(cloud: Cloud, name: str) -> Any:
    return cloud.api(f"{RUN}/jobs/{name}")["template"]["labels"]


def test_what_is_about_an_execution_alone_does_not_make_a_job_run_again(cloud: Cloud, image: str) -> None:
    cloud.ok("run_jobs", **job("allowed", image, "0"))
    run = {"job": "allowed", "location": REGION}
    cloud.ok("run_job_execution", env={"OTHER": "1"}, **run)
    assert cloud.ok("run_job_execution", once=True, check=True, **run)["changed"] is True
    cloud.ok("run_job_execution", env={"DJANGOGCP_ALLOWED_PLAN": "abc"}, **run)
    assert cloud.ok("run_job_execution", once=True, **run)["changed"] is False
    assert len(executions(cloud, "allowed")) == 2


def test_what_google_fills_in_does_not_make_a_job_run_again(cloud: Cloud, image: str) -> None:
    asked = job("filled", image, "0")
    assert cloud.ok("run_jobs", **asked)["jobs"][0]["executed"] is False
    once = {"job": "filled", "location": REGION, "once": True}
    assert cloud.ok("run_job_execution", **once)["changed"] is True
    collection = cloud.running.context.store.collection("run.executions")

    def fill_in() -> None:
        (name,) = collection.names(f"{LOCATION}/jobs/filled/executions/")
        execution = collection.get(name)
        assert execution
        execution["template"] |= {"vpcAccess": {"egress": "PRIVATE_RANGES_ONLY"}, "timeout": "601s"}
        execution["template"]["containers"][0] |= {"name": "filled-1", "image": f"{image}-resolved"}
        collection.put(name, execution)

    cloud.running.call(fill_in)
    again = cloud.ok("run_jobs", **asked)
    assert (again["changed"], again["jobs"][0]["executed"]) == (False, True)
    assert cloud.ok("run_job_execution", **once)["changed"] is False
    assert len(executions(cloud, "filled")) == 1


def test_a_job_runs_again_when_it_is_asked_something_else_and_when_it_goes_back(
    cloud: Cloud, image: str
) -> None:
    once = {"job": "versions", "location": REGION, "once": True}
    for count, argument in enumerate(["0", "00", "0"], 1):
        cloud.ok("run_jobs", **job("versions", image, argument))
        assert cloud.ok("run_job_execution", **once)["changed"] is True
        assert cloud.ok("run_job_execution", **once)["changed"] is False
        assert len(executions(cloud, "versions")) == count


def test_a_job_that_somebody_else_made_has_not_run_until_it_is_asked_for(cloud: Cloud, image: str) -> None:
    container = {"image": image, "command": ["python", "job.py"], "args": ["0"]}
    body = {"template": {"template": {"maxRetries": 0, "containers": [container]}}}
    cloud.api(f"{RUN}/jobs?jobId=by-hand", method="POST", body=body)
    url = f"{RUN}/jobs/by-hand"
    until(lambda: not cloud.api(url).get("reconciling"))
    cloud.api(f"{url}:run", method="POST", body={})
    until(lambda: "completionTime" in executions(cloud, "by-hand")[0])
    asked = job("by-hand", image, "0")
    adopted = cloud.ok("run_jobs", **asked)
    assert (adopted["changed"], adopted["jobs"][0]["executed"]) == (True, False)
    assert cloud.ok("run_job_execution", job="by-hand", location=REGION, once=True)["changed"] is True
    again = cloud.ok("run_jobs", **asked)
    assert (again["changed"], again["jobs"][0]["executed"]) == (False, True)


def test_the_label_is_kept_when_a_part_of_a_job_is_asked_for(cloud: Cloud, image: str) -> None:
    cloud.ok("run_jobs", **job("parts", image, "0"))
    first = labels(cloud, "parts")
    part = {"name": "parts", "template": {"template": {"max_retries": 0}}}
    assert cloud.ok("run_jobs", location=REGION, jobs=[part])["changed"] is False
    assert labels(cloud, "parts") == first
    assert cloud.ok("run_jobs", **job("parts", image, "0"))["changed"] is False


@pytest.mark.parametrize("kind", ["reset_after", "truncated"])
@pytest.mark.parametrize("options", [{"args": ["0"]}, {}, {"once": True}, {"once": True, "timeout": 60}])
def test_a_job_whose_start_was_not_answered_runs_once(
    cloud: Cloud, image: str, kind: str, options: dict[str, Any]
) -> None:
    name = f"lost-{kind.replace('_', '-')}-{len(options)}-{'args' in options}".lower()
    cloud.ok("run_jobs", **job(name, image, "0"))
    cloud.running.plan({"method": "run.projects.locations.jobs.run", "kind": kind})
    ran = cloud.ok("run_job_execution", job=name, location=REGION, **options)
    (execution,) = executions(cloud, name)
    assert execution["name"].endswith(f"/{ran['execution']['name']}")
    assert ran["output"][0] == "greeting is None"


@pytest.mark.parametrize("once", [False, True])
def test_a_job_of_which_nobody_knows_whether_it_was_started_is_not_started_again(
    cloud: Cloud, image: str, once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.org.djangogcp.plugins.module_utils._run._LOST_SECONDS", 1.0)
    name = f"unknown-{once}".lower()
    cloud.ok("run_jobs", **job(name, image, "0"))
    cloud.running.plan({"method": "run.projects.locations.jobs.run", "kind": "reset_before"})
    message = cloud.error("run_job_execution", job=name, location=REGION, once=once)
    assert "It is not known whether the job runs, and it is not started a second time." in message
    assert f"'gcloud run jobs executions list --job {name} --region {REGION} --project {PROJECT}'" in message
    assert executions(cloud, name) == []
    cloud.ok("run_job_execution", job=name, location=REGION, once=once)
    assert len(executions(cloud, name)) == 1


def reader(cloud: Cloud, image: str, name: str, command: str) -> dict[str, Any]:
    """A job with an account of its own that reads a secret, and the grant that it needs, which it has."""
    account = f"{name}@{PROJECT}.iam.gserviceaccount.com"
    cloud.ok("iam_service_accounts", service_accounts=[{"name": name}])
    cloud.ok("secretmanager_secrets", secrets=[{"name": name, "value": "what only the secret knows"}])
    members = [f"serviceAccount:{account}"]
    grant = {"resource_type": "secret", "resource": name, "role": "roles/secretmanager.secretAccessor"}
    cloud.ok("iam_members", members=[{**grant, "members": members}])
    secret = {"secret_key_ref": {"secret": name, "version": "1"}}
    container = {
        "image": image,
        "command": ["python", "-c"],
        "args": [command],
        "env": [{"name": "KEY", "value_source": secret}],
    }
    template = {"service_account": account, "max_retries": 0, "containers": [container]}
    cloud.ok("run_jobs", location=REGION, jobs=[{"name": name, "template": {"template": template}}])
    return {**grant, "members": members}


def test_a_command_that_prints_what_cloud_run_says_of_a_secret_runs_once(cloud: Cloud, image: str) -> None:
    refusal = (
        f"Permission denied on secret: projects/{cloud.running.number}/secrets/prints/versions/1 "
        f"for Revision service account prints@{PROJECT}.iam.gserviceaccount.com"
    )
    reader(cloud, image, "prints", f"raise SystemExit('{refusal}')")
    message = cloud.error("run_job_execution", job="prints", location=REGION)
    assert refusal in message
    assert len(executions(cloud, "prints")) == 1


def test_a_job_starts_as_soon_as_a_right_that_it_was_granted_is_in_force(cloud: Cloud, image: str) -> None:
    grant = reader(cloud, image, "late-job", "print('ran')")
    cloud.ok("iam_members", members=[{**grant, "state": "absent"}])
    refused = cloud.error("run_job_execution", job="late-job", location=REGION)
    assert "Permission denied on secret" in refused
    method = "secretmanager.projects.secrets.setIamPolicy"
    cloud.running.plan({"method": method, "kind": "grant_pending", "seconds": 2})
    cloud.ok("iam_members", members=[grant])
    assert cloud.ok("run_job_execution", job="late-job", location=REGION)["output"][0] == "ran"
    found = executions(cloud, "late-job")
    assert [one.get("succeededCount", 0) for one in found] == [1, *[0] * (len(found) - 1)]
    assert len(found) > 2


UPLOAD = """
import json, urllib.request
metadata = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
ask = urllib.request.Request(metadata, headers={"Metadata-Flavor": "Google"})
token = json.load(urllib.request.urlopen(ask))["access_token"]
url = "https://storage.googleapis.com/upload/storage/v1/b/BUCKET/o?uploadType=media&name=site.css"
headers = {"Authorization": "Bearer " + token}
try:
    urllib.request.urlopen(urllib.request.Request(url, data=b"body {}", headers=headers))
except urllib.error.HTTPError as error:
    raise SystemExit(error.read().decode())
print("uploaded")
"""


def uploader(cloud: Cloud, image: str, name: str) -> dict[str, Any]:
    """A job with an account of its own that writes to a bucket, and the grant that it needs, which it does not have."""
    account = f"{name}@{PROJECT}.iam.gserviceaccount.com"
    bucket = f"{PROJECT}-{name}"
    cloud.ok("iam_service_accounts", service_accounts=[{"name": name}])
    cloud.ok("storage_buckets", buckets=[{"name": bucket, "location": REGION}])
    container = {"image": image, "command": ["python"], "args": ["-c", UPLOAD.replace("BUCKET", bucket)]}
    template = {"service_account": account, "max_retries": 0, "containers": [container]}
    cloud.ok("run_jobs", location=REGION, jobs=[{"name": name, "template": {"template": template}}])
    members = [f"serviceAccount:{account}"]
    role = "roles/storage.objectUser"
    return {"resource_type": "bucket", "resource": bucket, "role": role, "members": members}


def test_a_job_runs_once_when_its_account_may_use_the_bucket_that_it_was_granted(
    cloud: Cloud, image: str
) -> None:
    grant = uploader(cloud, image, "late-uploads")
    cloud.running.plan({"method": "storage.buckets.setIamPolicy", "kind": "grant_pending", "seconds": 4})
    cloud.ok("iam_members", members=[grant])
    ran = cloud.ok("run_job_execution", job="late-uploads", location=REGION, python_args=["-c"], once=True)
    assert ran["execution"]["succeeded"]
    own, waiting = executions(cloud, "late-uploads")
    assert UPLOAD.split()[0] in str(own["template"])
    # It is known now that the right has taken effect.
    assert waiting["succeededCount"] == 1
    cloud.ok("run_job_execution", job="late-uploads", location=REGION, python_args=["-c"])
    assert len(executions(cloud, "late-uploads")) == 3


def test_a_job_that_is_refused_what_nobody_granted_fails_at_once(cloud: Cloud, image: str) -> None:
    uploader(cloud, image, "ungranted")
    failed = cloud.run("run_job_execution", job="ungranted", location=REGION, python_args=["-c"])
    assert "does not have storage.objects.create access" in failed.message
    assert len(executions(cloud, "ungranted")) == 1


def test_a_job_and_a_service_of_a_new_account_are_made_as_soon_as_cloud_run_knows_it(
    cloud: Cloud, image: str
) -> None:
    cloud.running.plan(
        {
            "method": "iam.projects.serviceAccounts.create",
            "kind": "unknown_account",
            "service": "run",
            "seconds": 2,
        }
    )
    account = f"brand-new@{PROJECT}.iam.gserviceaccount.com"
    cloud.ok("iam_service_accounts", service_accounts=[{"name": "brand-new"}])
    container = {"image": image}
    task = {"template": {"service_account": account, "containers": [container]}}
    cloud.ok("run_jobs", location=REGION, jobs=[{"name": "of-new-account", "template": task}])
    made = cloud.api(f"{RUN}/jobs/of-new-account")
    assert made["template"]["template"]["serviceAccount"] == account


def test_an_account_that_nobody_has_made_is_refused_at_once(cloud: Cloud, image: str) -> None:
    template = {
        "service_account": f"nobody@{PROJECT}.iam.gserviceaccount.com",
        "containers": [{"image": image}],
    }
    began = time.monotonic()
    message = cloud.error("run_service", name="nobodys", location=REGION, template=template)
    assert "Permission 'iam.serviceaccounts.actAs' denied on service account nobody@" in message
    assert time.monotonic() - began < 5


def test_a_job_that_is_not_there_is_named(cloud: Cloud) -> None:
    message = cloud.error("run_job_execution", job="nowhere", location=REGION)
    assert message.startswith("Failed to run job nowhere: ")
    assert "(HTTP 404 NOT_FOUND)" in message


# ------------------------------------------------------------------ smoke_test


def test_a_site_is_asked_as_a_visitor_does(cloud: Cloud, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cloud.ok("run_service", **service("visited", image, invoker_iam_disabled=True))["service"]
    asked = {
        "url": made["uri"],
        "checks": [{"path": "/"}, {"path": "/any", "contains": "hello"}],
        "wait_timeout": 0,
    }
    checks = cloud.ok("smoke_test", **asked)["checks"]
    assert [(one["status"], one["url"]) for one in checks] == [
        (200, f"{made['uri']}/"),
        (200, f"{made['uri']}/any"),
    ]
    skipped = cloud.ok("smoke_test", check=True, **{**asked, "url": "https://absent.example.com"})
    assert (skipped["changed"], skipped["skipped"]) == (False, True)

    refused = cloud.error(
        "smoke_test", **{**asked, "checks": [{"path": "/", "contains": "goodbye"}, {"path": "/any"}]}
    )
    assert refused == (
        f"Failed to try {made['uri']} out: / answered without 'goodbye' in it. "
        "Check what the site logged; if it only needs longer, raise wait_timeout."
    )
    # The certificates of the whole world do not hold the emulator's.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    untrusted = cloud.error("smoke_test", **{**asked, "checks": [{"path": "/"}]})
    assert f"Failed to try {made['uri']} out: / could not be read (TLS: " in untrusted
    assert untrusted.endswith("Check the network, HTTPS_PROXY and the CA variables (REQUESTS_CA_BUNDLE).")


def test_a_site_that_is_not_public_is_asked_in_the_name_of_whom_it_knows(cloud: Cloud, image: str) -> None:
    made = cloud.ok("run_service", **service("closed", image))["service"]
    asked: dict[str, Any] = {"url": made["uri"], "checks": [{"path": "/"}], "wait_timeout": 0}
    assert "/ answered 403 (expected 200)" in cloud.error("smoke_test", **asked)

    cloud.ok("iam_service_accounts", service_accounts=[{"name": "closed-web"}])
    account = f"closed-web@{PROJECT}.iam.gserviceaccount.com"
    known = {**asked, "service_account": account, "audience": made["uri"]}
    assert "/ answered 403 (expected 200)" in cloud.error("smoke_test", **known)
    grant = {
        "resource_type": "run_service",
        "resource": "closed",
        "location": REGION,
        "role": "roles/run.invoker",
        "members": [f"serviceAccount:{account}"],
    }
    cloud.ok("iam_members", members=[grant])
    assert cloud.ok("smoke_test", **known)["checks"][0]["status"] == 200
    assert cloud.never_printed("eyJhbGci"), "the identity token was shown"
    elsewhere = {**known, "audience": "https://another.example.com"}
    assert "/ answered 401 (expected 200)" in cloud.error("smoke_test", **elsewhere)
