"""Cloud Storage: the JSON API v1 and, for objects, the XML API with V4 signed URLs.

This file is the API's methods; what they rest on is in the modules beside it, and the bytes are in files
below ``STATE/storage``. Source: https://cloud.google.com/storage/docs/json_api/v1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar
from urllib.parse import unquote

from gcp_emulator.engine import discovery
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.describe import Page, Section, View
from gcp_emulator.engine.errors import (
    ApiError,
    ErrorStyle,
    Json,
    already_exists,
    invalid_argument,
)
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.routes import Route
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.engine.validate import query_parameters
from gcp_emulator.front.messages import Request, Response, in_one_piece
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.orgpolicy.ports import Constraints
from gcp_emulator.services.storage import describe
from gcp_emulator.services.storage.access import Access
from gcp_emulator.services.storage.access_controls import AccessControls
from gcp_emulator.services.storage.acls import Acls
from gcp_emulator.services.storage.buckets import (
    Buckets,
    is_uniform,
    location_type,
    refuse_acl_parameters,
    resource_name,
)
from gcp_emulator.services.storage.errors import (
    not_emulated,
    refuse_encryption,
)
from gcp_emulator.services.storage.files import Files
from gcp_emulator.services.storage.folders import Folders
from gcp_emulator.services.storage.media import media_response
from gcp_emulator.services.storage.notifications import Notifications
from gcp_emulator.services.storage.objects import WRITABLE, Objects, Write, content_of, object_etag, view
from gcp_emulator.services.storage.policies import BucketPolicies
from gcp_emulator.services.storage.ports import Objects as ObjectsPort
from gcp_emulator.services.storage.ports import StoredObject
from gcp_emulator.services.storage.records import (
    NotModifiedError,
    check_conditions,
    number,
    wants_lists,
    with_nulls,
)
from gcp_emulator.services.storage.uploads import Uploads
from gcp_emulator.services.storage.xml import HOST, XmlApi

_JSON_HOSTS = (HOST, "storage.mtls.googleapis.com", "www.googleapis.com")
_UPLOADS = ("/upload/storage/v1/b/{}/o", "/resumable/upload/storage/v1/b/{}/o")
_DOWNLOADS = "/download/storage/v1/b/{}/o/{}"
#: Paths of the JSON API, which bucket names cannot take from it.
_JSON_PATHS = ("/storage/", "/batch/", "/discovery/")
_MAX_COMPONENTS = 32


class Storage(Service):
    api = "storage"
    page = Page("/storage", "Storage")
    hosts = ("www.googleapis.com",)
    error_style: ClassVar[ErrorStyle] = "legacy"
    answers_anonymous: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        store = context.store
        context.ports.offer(ObjectsPort, self)
        self._files = Files(context.state / "storage")
        self._constraints = context.ports.find(Constraints)
        self._acls = Acls(context.iam, context.projects, self._constraints)
        self._buckets = Buckets(store, context.iam, context.projects, self._acls, self._constraints)
        context.iam.place("projects/_/buckets/", self._buckets.project_of)
        self._access = Access(context.iam, self._buckets, self._acls)
        self._objects = Objects(store, self._files, self._access, self._acls)
        self._notifications = Notifications(context, self._access)
        self._folders = Folders(store, self._buckets, self._objects, self._access)
        self._uploads = Uploads(store, self._files, self._buckets, self._objects)
        self._xml = XmlApi(
            context.tokens,
            context.ports.find(Accounts).public_keys_of,
            self._access,
            self._buckets,
            self._objects,
            self._files,
            context.unhandled,
        )

    async def start(self) -> None:
        """Frees what a killed process left behind."""
        self._files.sweep(self._objects.contents(), self._uploads.open_files())

    # For the emulator's other services.

    def read_object(
        self, bucket: str, name: str, *, identity: Identity, generation: int | None = None
    ) -> StoredObject:
        """An object that ``identity`` may read; ApiError 404 or 403 (storage.objects.get)."""
        record = self._objects.require(identity, "storage.objects.get", bucket, name, generation)
        return StoredObject(self._files.path(record["content"]), record["generation"])

    def require_writable(self, bucket: str, name: str, *, identity: Identity) -> None:
        """ApiError 404, 403 or 412 unless ``identity`` may store an object of that name."""
        self._objects.check(Write(identity, bucket, name, {}))

    async def write_object(
        self,
        bucket: str,
        name: str,
        data: bytes,
        *,
        identity: Identity,
        content_type: str = "application/octet-stream",
        metadata: dict[str, str] | None = None,
    ) -> Json:
        """Stores an object as ``identity`` and returns it as the API shows it; ApiError 404, 403 or 412."""
        fields: Json = {"contentType": content_type, "metadata": metadata or {}}
        write = Write(identity, bucket, name, fields)
        self._objects.check(write)
        return view(self._objects.commit(write, await self._files.store(in_one_piece(data))))

    # Uploads, downloads and the XML API, which the discovery document does not route.

    async def describe(self, view: View) -> Section | None:
        if not view.part:
            found = self._buckets.of_project(view.project, "")
            return describe.buckets((name, record, self._objects.sizes(name)) for name, record in found)
        if self._buckets.project_of(resource_name(view.part)) != view.project:
            return None
        return describe.objects(view, self._objects.records(view.part, view.query.get("prefix", "")))

    def parts(self) -> Iterable[object]:
        lists = AccessControls(self._buckets, self._objects, self._access, self._acls)
        return (self, self._notifications, self._folders, lists)

    def policies(self) -> Iterable[BucketPolicies]:
        return [BucketPolicies(self._buckets, self._access, self._acls, self._constraints)]

    def routes(self) -> Iterable[Route]:
        for host in _JSON_HOSTS:
            for path in _UPLOADS:
                yield Route(host, path, self._upload, "storage.objects.insert")
            yield Route(host, _DOWNLOADS, self._download, "storage.objects.get")
        yield Route(HOST, serve=self._xml.serve, method=_object_method)
        yield Route(f"*.{HOST}", serve=self._xml.serve, method=_object_method)
        for path in _JSON_PATHS:
            yield Route(HOST, f"{path}*")

    async def _upload(self, request: Request) -> Response:
        bucket = unquote(request.path.split("/")[-2])
        upload_id = dict(request.query_pairs).get("upload_id")
        if upload_id is None and request.method == "POST":
            identity = self._caller(request)
            return await self._uploads.begin(request, identity, bucket)
        if upload_id is not None and request.method in ("PUT", "POST"):
            return await self._uploads.resume(request, upload_id)
        if upload_id is not None and request.method == "DELETE":
            return await self._uploads.cancel(upload_id)
        raise ApiError("INVALID_ARGUMENT", "Method Not Allowed", code=405, reason="methodNotAllowed")

    async def _download(self, request: Request) -> Response:
        *_, bucket, _, name = map(unquote, request.path.split("/"))
        method = discovery.load("storage", "v1").methods["storage.objects.get"]
        params = query_parameters(method, request.query_pairs, frozenset())
        identity = self._caller(request)
        return self._media(request, identity, bucket, name, params)

    def _caller(self, request: Request) -> Identity | None:
        authorization = request.headers.get("authorization")
        return None if authorization is None else self.context.tokens.authenticate(authorization)

    def _media(
        self, request: Request, identity: Identity | None, bucket: str, name: str, params: Json
    ) -> Response:
        refuse_encryption(request, params)
        record = self._objects.require(identity, "storage.objects.get", bucket, name, _generation(params))
        try:
            check_conditions(params, record["generation"], record["metageneration"], read=True)
        except NotModifiedError:
            return Response(304)
        public = self._objects.is_public(record)
        return media_response(self._files, request, record, etag=object_etag(record), public=public)

    # Buckets.

    @handles("storage.buckets.insert")
    async def insert_bucket(self, call: Call) -> Json:
        project = self._project(call)
        self._access.require_on_project(call.identity, "storage.buckets.create", project)
        if call.params.get("enableObjectRetention"):
            raise not_emulated("object retention")
        name = self._buckets.create(project, call.body, call.params)
        given = bool(call.body.get("acl") or call.body.get("defaultObjectAcl"))
        return self._buckets.view(name, self._buckets.get(name), full=wants_lists(call.params, default=given))

    @handles("storage.buckets.list")
    async def list_buckets(self, call: Call) -> Json:
        project = self._project(call)
        self._access.require_on_project(call.identity, "storage.buckets.list", project)
        if call.params.get("softDeleted"):
            raise not_emulated("soft-deleted buckets")
        found = self._buckets.of_project(project, call.params.get("prefix") or "")
        full = wants_lists(call.params)
        views = [self._buckets.view(name, bucket, full=full) for name, bucket in found]
        page = call.page(views, "items", size_parameter="maxResults", default=1000)
        return {"kind": "storage#buckets", **page}

    @handles("storage.buckets.get")
    async def get_bucket(self, call: Call) -> Json | Response:
        name = call.params["bucket"]
        bucket = self._access.require(call.identity, "storage.buckets.get", name)
        if call.params.get("softDeleted"):
            raise not_emulated("soft-deleted buckets")
        try:
            check_conditions(call.params, 0, bucket["metageneration"], read=True)
        except NotModifiedError:
            return Response(304)
        return self._buckets.view(name, bucket, full=wants_lists(call.params))

    @handles("storage.buckets.getStorageLayout")
    async def get_storage_layout(self, call: Call) -> Json:
        name = call.params["bucket"]
        bucket = self._access.require(call.identity, "storage.objects.list", name)
        return {
            "kind": "storage#storageLayout",
            "bucket": name,
            "location": bucket["location"],
            "locationType": location_type(bucket),
            "hierarchicalNamespace": bucket.get("hierarchicalNamespace", {"enabled": False}),
        }

    @handles("storage.buckets.patch")
    async def patch_bucket(self, call: Call) -> Json:
        return self._configure(call, with_nulls(call.body, call.raw_body), replace=False)

    @handles("storage.buckets.update")
    async def update_bucket(self, call: Call) -> Json:
        return self._configure(call, call.body, replace=True)

    def _configure(self, call: Call, changes: Json, *, replace: bool) -> Json:
        name = call.params["bucket"]
        bucket = self._access.require(call.identity, "storage.buckets.update", name)
        check_conditions(call.params, 0, bucket["metageneration"])
        self._buckets.configure(name, changes, call.params, replace=replace)
        return self._buckets.view(name, self._buckets.get(name), full=wants_lists(call.params, default=True))

    @handles("storage.buckets.delete")
    async def delete_bucket(self, call: Call) -> Response:
        name = call.params["bucket"]
        bucket = self._access.require(call.identity, "storage.buckets.delete", name)
        check_conditions(call.params, 0, bucket["metageneration"])
        if not self._objects.is_empty(name) or self._folders.has_any(name):
            raise already_exists("The bucket you tried to delete is not empty.", reason="conflict")
        self._buckets.delete(name)
        self._notifications.forget(name)
        return Response(204)

    @handles("storage.projects.serviceAccount.get")
    async def get_service_agent(self, call: Call) -> Json:
        agent = f"service-{self.context.projects.number(call.params['projectId'])}"
        return {
            "kind": "storage#serviceAccount",
            "email_address": f"{agent}@gs-project-accounts.iam.gserviceaccount.com",
        }

    # Objects.

    @handles("storage.objects.insert")
    async def insert_object(self, call: Call) -> Json:
        raise invalid_argument(
            "Upload requests must include an uploadType URL parameter and a URL path beginning with /upload/",
            reason="wrongUrlForUpload",
        )

    @handles("storage.objects.get")
    async def get_object(self, call: Call) -> Json | Response:
        bucket, name = call.params["bucket"], call.params["object"]
        if dict(call.request.query_pairs).get("alt") == "media":
            return self._media(call.request, call.identity, bucket, name, call.params)
        _refuse_soft_delete(call)
        record = self._objects.require(
            call.identity, "storage.objects.get", bucket, name, _generation(call.params)
        )
        try:
            check_conditions(call.params, record["generation"], record["metageneration"], read=True)
        except NotModifiedError:
            return Response(304)
        return self._view(call, record)

    @handles("storage.objects.list")
    async def list_objects(self, call: Call) -> Json:
        self._access.require(call.identity, "storage.objects.list", call.params["bucket"])
        _refuse_soft_delete(call)
        for name in ("matchGlob", "filter"):
            if call.params.get(name):
                raise not_emulated(f"the list parameter {name}")
        page = self._objects.page(call.params["bucket"], call.params)
        result: Json = {"kind": "storage#objects"}
        if page.next_token:
            result["nextPageToken"] = page.next_token
        if page.prefixes:
            result["prefixes"] = page.prefixes
        if page.records:
            result["items"] = [self._view(call, record) for record in page.records]
        return result

    @handles("storage.objects.patch")
    async def patch_object(self, call: Call) -> Json:
        return self._change_object(call, with_nulls(call.body, call.raw_body), replace=False)

    @handles("storage.objects.update")
    async def update_object(self, call: Call) -> Json:
        return self._change_object(call, call.body, replace=True)

    def _change_object(self, call: Call, changes: Json, *, replace: bool) -> Json:
        bucket_name, name = call.params["bucket"], call.params["object"]
        record = self._objects.require(
            call.identity, "storage.objects.update", bucket_name, name, _generation(call.params)
        )
        bucket = self._buckets.get(bucket_name)
        refuse_acl_parameters(bucket, call.params)
        check_conditions(call.params, record["generation"], record["metageneration"])
        if predefined := call.params.get("predefinedAcl"):
            changes = changes | {"acl": self._acls.predefined(predefined, bucket["project"])}
        changed = self._objects.change(record, changes, bucket, replace=replace)
        return self._view(call, changed, default=True)

    @handles("storage.objects.delete")
    async def delete_object(self, call: Call) -> Response:
        bucket, name = call.params["bucket"], call.params["object"]
        generation = _generation(call.params)
        record = self._objects.require(call.identity, "storage.objects.delete", bucket, name, generation)
        check_conditions(call.params, record["generation"], record["metageneration"])
        self._objects.remove(self._buckets.get(bucket), record, permanently=generation is not None)
        return Response(204)

    @handles("storage.objects.copy")
    async def copy_object(self, call: Call) -> Json:
        return self._view(call, self._copy(call), default=bool(call.body.get("acl")))

    @handles("storage.objects.rewrite")
    async def rewrite_object(self, call: Call) -> Json:
        """Done in one call, whatever its size: no bytes move."""
        record = self._copy(call)
        size = str(record["size"])
        return {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": size,
            "objectSize": size,
            "done": True,
            "resource": self._view(call, record, default=bool(call.body.get("acl"))),
        }

    def _copy(self, call: Call) -> Json:
        refuse_encryption(call.request, call.params)
        generation = call.params.get("sourceGeneration")
        source = self._objects.require(
            call.identity,
            "storage.objects.get",
            call.params["sourceBucket"],
            call.params["sourceObject"],
            None if generation is None else number(generation),
        )
        check_conditions(call.params, source["generation"], source["metageneration"], prefix="ifSource")
        # Metadata in the body replaces all of the source's; without any, the source's is kept. Holds never are.
        holds = ("eventBasedHold", "temporaryHold")
        metadata = {key: source[key] for key in WRITABLE if key in source and key not in holds}
        if set(call.body) & set(WRITABLE):
            metadata = {"contentType": source.get("contentType")}
        write = self._destination(call, metadata | call.body, source.get("componentCount"))
        return self._objects.commit(write, self._files.copy(content_of(source)))

    @handles("storage.objects.compose")
    async def compose_object(self, call: Call) -> Json:
        refuse_encryption(call.request, call.params)
        if call.body.get("deleteSourceObjects"):
            raise not_emulated("deleteSourceObjects")
        bucket = call.params["destinationBucket"]
        asked = call.body.get("sourceObjects", [])
        if not 1 <= len(asked) <= _MAX_COMPONENTS:
            raise invalid_argument(
                f"The number of source components provided ({len(asked)}) must be between 1 and {_MAX_COMPONENTS}"
            )
        sources = [self._component(call, bucket, item) for item in asked]
        metadata = dict(call.body.get("destination") or {})
        metadata.setdefault("contentType", sources[0].get("contentType"))
        components = sum(source.get("componentCount", 1) for source in sources)
        write = self._destination(call, metadata, components)
        content = await self._files.concatenate([source["content"] for source in sources])
        return view(self._objects.commit(write, replace(content, md5=None)))

    def _component(self, call: Call, bucket: str, item: Json) -> Json:
        generation = item.get("generation")
        source = self._objects.require(
            call.identity,
            "storage.objects.get",
            bucket,
            item.get("name", ""),
            None if generation is None else number(generation),
        )
        check_conditions(item.get("objectPreconditions", {}), source["generation"], 0)
        return source

    def _destination(self, call: Call, metadata: Json, components: int | None) -> Write:
        bucket = call.params["destinationBucket"]
        refuse_acl_parameters(self._buckets.get(bucket), call.params)
        name = call.params["destinationObject"]
        write = Write(call.identity, bucket, name, metadata, call.params, components)
        self._objects.check(write)
        return write

    def _view(self, call: Call, record: Json, *, default: bool = False) -> Json:
        """The object as a call wants to see it."""
        full = wants_lists(call.params, default=default) and not is_uniform(
            self._buckets.get(record["bucket"])
        )
        return view(record, full=full)

    def _project(self, call: Call) -> str:
        """The id of the project that a bucket call names by id or number; the API must be enabled there."""
        given = call.params["project"]
        record = self.context.projects.find(given)
        if record is None:
            raise invalid_argument(f"Unknown project id: {given}")
        api = discovery.load("storage", "v1")
        self.context.projects.require_enabled(record["projectId"], api.host, api.title)
        return str(record["projectId"])


def _object_method(request: Request) -> str:
    """What a request of the XML API does to an object."""
    methods = {"PUT": "storage.objects.insert", "DELETE": "storage.objects.delete"}
    return methods.get(request.method, "storage.objects.get")


def _generation(params: Json) -> int | None:
    text = params.get("generation")
    return None if text is None else number(text)


def _refuse_soft_delete(call: Call) -> None:
    if call.params.get("softDeleted"):
        raise not_emulated("soft-deleted objects")
