"""Every request that a module can send is one that Google's discovery documents describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _builds, _policies, _run
from ansible_collections.org.djangogcp.plugins.module_utils._caller import find_caller
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call
from ansible_collections.org.djangogcp.plugins.module_utils._differences import Difference
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    PLAIN,
    SHORT_NAME,
    Change,
    Field,
    Kind,
)
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Plan, ResourceSpec
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Clock, Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services import (
    artifactregistry,
    iam,
    oslogin,
    run,
    secretmanager,
    serviceusage,
    sqladmin,
    storage,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import get_path, lay_over
from ansible_collections.org.djangogcp.plugins.module_utils._source import Archive
from ansible_collections.org.djangogcp.plugins.modules import (
    compute_instance_info,
    compute_network_info,
    resourcemanager_project_info,
    smoke_test,
)

from tests.contract.wire import COLLECTION, Found, Recorder, Request, check, find, inside, property_at, sample

SERVICES = (artifactregistry, iam, run, secretmanager, sqladmin, storage)
SPECS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": spec
    for module in SERVICES
    for name, spec in vars(module).items()
    if isinstance(spec, ResourceSpec)
}
IDS = {"project": "my-project", "location": "us-central1", "instance": "main", "name": "polls"}
#: What a resource has when it was read that a write refers to.
READ = {
    "etag": "e",
    "metageneration": "1",
    "name": "polls",
    "project": "my-project",
    "instance": "main",
    "settings": {"settingsVersion": "1"},
}
specs = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def reading(spec: ResourceSpec) -> Found:
    """The documented method that reads a resource."""
    return find("GET", spec.url(IDS))


def resource_schema(spec: ResourceSpec) -> Any:
    found = reading(spec)
    return found.schema(found.method.response)


def rows(spec: ResourceSpec) -> Iterator[tuple[str, Field, Any]]:
    """The path of every row of a table, however deep, with its documented property."""

    def below(fields: tuple[Field, ...], schema: Any, prefix: str) -> Iterator[tuple[str, Field, Any]]:
        for field in fields:
            found = property_at(reading(spec).api, schema, field.path)
            yield f"{prefix}{field.path}", field, found
            yield from below(field.fields, found, f"{prefix}{field.path}.")

    return below(spec.fields, resource_schema(spec), "")


def asked(spec: ResourceSpec, fields: tuple[Field, ...], schema: Any) -> dict[str, Any]:
    """A value for every option of a table."""
    api = reading(spec).api
    values: dict[str, Any] = {}
    for field in fields:
        found = property_at(api, schema, field.path)
        if not field.is_option:
            continue
        if field.fields:
            value: Any = asked(spec, field.fields, found)
            values[field.name] = value if field.kind is Kind.VALUE else [value]
        elif field.kind is Kind.MAP:
            free = inside(api, found).get("additionalProperties")
            value = {} if free is None or "$ref" in free else sample(api, free)
            values[field.name] = {} if free is None else {"key": value}
        elif field.codec not in (PLAIN, SHORT_NAME) and field.kind is Kind.SET:
            values[field.name] = ["us-central1"]
        else:
            values[field.name] = sample(api, found)
    return values


def plan(spec: ResourceSpec) -> Plan:
    """The plan that changes everything a plan can change."""
    values = asked(spec, spec.fields, resource_schema(spec))
    mutable = {field.name for field in spec.fields if field.change is Change.MUTABLE}
    values = {name: value for name, value in values.items() if name in mutable}
    current = {name: value for name, value in READ.items() if name in resource_schema(spec)["properties"]}
    merged = lay_over(current, values, spec.fields)
    changes = [
        Difference(field.name, field.path, field.mask or field.path, field, None, values[field.name])
        for field in spec.fields
        if field.name in mutable and field.kind is not Kind.SECRET
    ]
    secrets = [field.path for field in spec.fields if field.kind is Kind.SECRET]
    return Plan(current, merged, changes, secrets, spec.guard(current))


def writes(spec: ResourceSpec) -> dict[str, Request]:
    """The requests that create, update and delete a resource, with every option."""
    ids = IDS
    wire = lay_over(spec.defaults, asked(spec, spec.fields, resource_schema(spec)), spec.fields)
    if spec.id_field:
        wire[spec.id_field] = ids["name"]
    params = spec.collection_query(ids)
    if spec.id_param:
        params[spec.id_param] = ids["name"]
    create = Request("POST", spec.collection_url(ids), params, spec.create_body(ids, wire))
    found = {"create": create}
    if any(field.change is Change.MUTABLE for field in spec.fields):
        update = spec.update(plan(spec))
        address = f"{spec.api}/{update.path}" if update.path else spec.url(ids)
        found["update"] = Request(update.method, address, update.params, update.body)
    delete = spec.delete(ids)
    address = f"{spec.api}/{delete.path}" if delete.path else spec.url(ids)
    found["delete"] = Request(delete.method, address, delete.params)
    return found


def test_all_tables_are_found() -> None:
    assert len(SPECS) >= 9


@specs
def test_a_resource_is_read_as_documented(spec: ResourceSpec) -> None:
    check(Request("GET", spec.url(IDS)))


@pytest.mark.parametrize(
    "spec",
    [
        artifactregistry.REPOSITORY,
        iam.SERVICE_ACCOUNT,
        run.JOB,
        secretmanager.SECRET,
        sqladmin.DATABASE,
        sqladmin.INSTANCE,
        sqladmin.USER,
        storage.BUCKET,
    ],
    ids=lambda spec: str(spec.noun),
)
def test_a_list_of_resources_is_read_as_documented(spec: ResourceSpec) -> None:
    found = check(Request("GET", spec.collection_url(IDS), spec.collection_query(IDS), None))
    assert spec.items in found.schema(found.method.response)["properties"]


@specs
def test_every_row_of_a_table_is_documented(spec: ResourceSpec) -> None:
    assert [path for path, _, _ in rows(spec)] != []


@specs
def test_what_the_document_calls_read_only_is_no_option(spec: ResourceSpec) -> None:
    wrong = [path for path, field, found in rows(spec) if found.get("readOnly") and field.is_option]
    assert wrong == []


@specs
def test_creating_updating_and_deleting_is_documented(spec: ResourceSpec) -> None:
    for request in writes(spec).values():
        if request.method in ("PUT", "PATCH") and request.body:
            request = Request(request.method, request.url, request.params, without_read_only(request))
        check(request)


def without_read_only(request: Request) -> Any:
    """The body of a write that sends the resource as it was read; Google ignores what is read-only in it."""
    found = find(request.method, request.url)
    properties = found.schema(found.method.request)["properties"]
    return {
        name: value for name, value in request.body.items() if not properties.get(name, {}).get("readOnly")
    }


@specs
def test_a_mask_names_what_the_document_has(spec: ResourceSpec) -> None:
    update = writes(spec).get("update")
    mask = (update.params.get("updateMask") or (update.body or {}).get("updateMask")) if update else None
    for path in (mask or "").split(",") if mask else []:
        property_at(reading(spec).api, resource_schema(spec), path)
        assert update is not None
        body = update.body.get("serviceAccount", update.body)
        assert get_path(body, path) is not None, f"{path} is in the mask but not in the body"


class WaitsError(Exception):
    """A client was asked for the state of an operation."""


class Waiting(Recorder):
    def get(self, url: str, call: Any, *, params: Any = None) -> Any:
        check(Request("GET", url))
        raise WaitsError


@specs
def test_an_operation_is_waited_for_exactly_where_the_answer_is_one(spec: ResourceSpec) -> None:
    for verb, request in writes(spec).items():
        found = find(request.method, request.url)
        answer = {
            "name": spec.url(IDS).partition(".googleapis.com/")[2].partition("/")[2],
            "targetProject": "my-project",
        }
        if found.answers_operation:
            is_sql = "sqladmin" in spec.api
            answer["name"] = "0123" if is_sql else "projects/my-project/locations/us-central1/operations/0123"
        try:
            spec.operations(Waiting(), spec.api, answer, Deadline(5, Clock()), Call(f"{verb} it"))
            waited = False
        except WaitsError:
            waited = True
        assert waited == found.answers_operation, f"{verb}: {found.method.id} answers {found.method.response}"


# ------------------------------------------------------------------ choices


@specs
def test_the_choices_of_an_option_are_values_of_the_document(spec: ResourceSpec) -> None:
    for path, field, found in rows(spec):
        known = found.get("items", found).get("enum")
        assert known is None or set(field.choices) <= set(known), path


# ------------------------------------------------------------------ requests that no table describes

IMAGE = _builds.Image.of_source("us-central1-docker.pkg.dev/my-project/djangogcp/polls", "0" * 64)
BUILD = {"id": "1", "status": "WORKING"}
BUILT = {
    "status": "SUCCESS",
    "images": [IMAGE.tagged],
    "results": {"images": [{"name": IMAGE.tagged, "digest": "sha256:1"}]},
}
GRANT = _policies.Grant("roles/viewer", ("user:a@example.com",), {"title": "t", "expression": "true"})
SYSTEM_LOG = "projects/my-project/logs/run.googleapis.com%2Fvarlog%2Fsystem"
EXECUTION = {"name": "projects/p/locations/l/jobs/j/executions/j-1"}


def builds(client: Any) -> _builds.Builds:
    return _builds.Builds(client, "my-project", "us-central1")


def executions(client: Any) -> _run.Executions:
    return _run.Executions(client, "my-project", "us-central1", "polls")


def submit(client: Any) -> None:
    request = _builds.BuildRequest("b@my-project.iam.gserviceaccount.com", 60, "E2_HIGHCPU_8")
    builds(client).submit(request, IMAGE, "bucket", "o.tar.gz", "1")


def failed_build(client: Any) -> None:
    with pytest.raises(_builds.BuildError):
        builds(client).built_image({"id": "1", "status": "FAILURE"}, IMAGE)


def grants(kind: str) -> Callable[[Any], Any]:
    resource = _policies.Resource(kind, "my-project", "polls", "us-central1")
    return lambda client: _policies.ensure_grants(client, resource, [GRANT], check_mode=False)


REQUESTS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "look up an image": (
        lambda c: builds(c).find(IMAGE),
        {"/builds": {"builds": [BUILT]}, "": {"name": "v"}},
    ),
    "list the versions of an image": (lambda c: builds(c).newest(IMAGE), {"": {"versions": []}}),
    "upload a source": (
        lambda c: builds(c).upload(Archive("0", (), b""), "bucket", "polls/o.tar.gz"),
        {"": {"generation": "1"}},
    ),
    "start a build": (submit, {"/builds": {"metadata": {"build": BUILD}}, "/builds/1": BUILD}),
    "read the log of a build": (failed_build, {}),
    "get an identity token": (
        lambda c: smoke_test.identity_token(
            c, "web@p.iam.gserviceaccount.com", "https://polls", Deadline(5, Clock())
        ),
        {":generateIdToken": {"token": "t"}},
    ),
    "read who serves": (
        lambda c: _run.serving(c, IDS, {"trafficStatuses": [{"revision": "polls-1", "percent": 100}]}),
        {},
    ),
    "read the log of a revision": (lambda c: _run.revision_log(c, "my-project", "polls-1"), {}),
    "see whether a job is done": (
        lambda c: executions(c).newest_as_is(),
        {"/polls": {"latestCreatedExecution": EXECUTION, "template": {}}},
    ),
    "run a job": (lambda c: executions(c).start(_run.Overrides(["check"], {"A": "b"}, 60)), {}),
    "wait for an execution": (
        lambda c: executions(c).finish(EXECUTION, Wait(timeout=1)),
        {"": {"completionTime": "2026-01-01T00:00:00Z"}},
    ),
    "read the output of an execution": (
        lambda c: executions(c).output(EXECUTION, whole=False),
        {"entries:list": {"entries": [{"textPayload": "Container called exit(0).", "logName": SYSTEM_LOG}]}},
    ),
    "read the exit code of an execution": (lambda c: executions(c).result(EXECUTION), {}),
    "list executions": (lambda c: executions(c).list(5), {}),
    "list enabled APIs": (lambda c: serviceusage.enabled_services(c, "my-project"), {}),
    "enable APIs": (
        lambda c: serviceusage.enable_services(c, "my-project", ["run.googleapis.com"], Wait(enabled=False)),
        {},
    ),
    "disable an API": (
        lambda c: serviceusage.disable_service(c, "my-project", "run.googleapis.com", Wait(enabled=False)),
        {},
    ),
    "read the newest version": (
        lambda c: secretmanager.newest_version(c, "my-project", "polls"),
        {"": {"name": "v/1", "state": "ENABLED"}},
    ),
    "read a value": (
        lambda c: secretmanager.read_version(c, "my-project", "polls", "1"),
        {"": {"payload": {"data": ""}}},
    ),
    "add a version": (
        lambda c: secretmanager.add_version(c, "my-project", "polls", b"x"),
        {"": {"name": "v/1"}},
    ),
    **{
        f"{how} old versions": (
            lambda c, how=how: secretmanager.retire_versions(  # type: ignore[misc]
                c, "my-project", "polls", keep="2", how=how, check_mode=False
            ),
            {"/versions": {"versions": [{"name": "v/1", "state": "ENABLED", "etag": "e"}]}},
        )
        for how in ("disable", "destroy")
    },
    "run SQL": (
        lambda c: sqladmin.execute_sql(c, "my-project", "main", "polls", "SELECT 1", "look", repeatable=True),
        {},
    ),
    "read a project": (
        lambda c: resourcemanager_project_info.find_project(c, "my-project"),
        {"": {"projectId": "p", "name": "projects/1"}},
    ),
    "test permissions": (
        lambda c: resourcemanager_project_info.missing(c, "my-project", ["run.services.get"]),
        {},
    ),
    "read a policy in effect": (
        lambda c: resourcemanager_project_info.effective_policies(c, "my-project", ["gcp.resourceLocations"]),
        {},
    ),
    "read a network": (
        lambda c: compute_network_info.work(
            Task({"project": "my-project", "network": "sites", "region": "us-east1", "subnetwork": None}, c)
        ),
        {"": {"network": "projects/my-project/global/networks/sites", "ipCidrRange": "10.8.0.0/26"}},
    ),
    "read the host keys of a machine": (
        lambda c: compute_instance_info.host_keys(
            c, {"project": "my-project", "zone": "us-east1-b", "name": "polls"}
        ),
        {"": {"queryValue": {"items": []}}},
    ),
    "read a login profile": (lambda c: oslogin.find_profile(c, "a@example.com", "my-project"), {}),
    "import an SSH key": (
        lambda c: oslogin.import_key(c, "a@example.com", "my-project", "ssh-ed25519 AAAA", 1),
        {},
    ),
    "delete an SSH key": (lambda c: oslogin.delete_key(c, "a@example.com", "0a1b"), {}),
    "ask who is calling": (
        lambda c: find_caller(c),
        {"": {"email": "a@example.com"}},
    ),
    **{f"grant a role on a {kind}": (grants(kind), {}) for kind in iam.POLICY_PLACES},
}


@pytest.mark.parametrize("doing", REQUESTS)
def test_a_request_is_documented(doing: str) -> None:
    send, answers = REQUESTS[doing]
    client = Recorder(answers)
    send(client)
    assert client.requests != []
    for request in client.requests:
        check(request)


def test_every_address_in_the_collection_has_a_document() -> None:
    address = re.compile(r'"(https://[a-z]+\.googleapis\.com/[a-z0-9/]*)')
    found = {
        match
        for path in (COLLECTION / "plugins").rglob("*.py")
        for match in address.findall(path.read_text("utf-8"))
        if "/auth/" not in match
    }
    bases = {spec.api for spec in SPECS.values()} | {request.url for _, request in sent()}
    assert found != set()
    for base in found:
        assert any(known.startswith(base.rstrip("/")) for known in bases), base


def sent() -> Iterator[tuple[str, Request]]:
    """Every request of `REQUESTS`."""
    for doing, (send, answers) in REQUESTS.items():
        client = Recorder(answers)
        send(client)
        yield from ((doing, request) for request in client.requests)
