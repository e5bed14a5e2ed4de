"""The XML API's objects: what a browser, ``curl`` and a signed URL use.

``https://storage.googleapis.com/BUCKET/OBJECT`` and ``https://BUCKET.storage.googleapis.com/OBJECT``: GET, HEAD, PUT,
DELETE and OPTIONS. Source: https://cloud.google.com/storage/docs/xml-api/reference-methods. Listing, bucket methods and the multipart and
resumable uploads of this API are not emulated (400).
"""

from __future__ import annotations

import base64
from collections import deque
from urllib.parse import unquote

from gcp_emulator.engine import discovery
from gcp_emulator.engine.discovery import Method
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.engine.identity import Identity, Tokens
from gcp_emulator.engine.validate import is_number
from gcp_emulator.front.messages import Headers, Request, Response
from gcp_emulator.services.storage.access import Access
from gcp_emulator.services.storage.buckets import Buckets, is_uniform
from gcp_emulator.services.storage.cors import add_headers, preflight
from gcp_emulator.services.storage.errors import (
    NotEmulatedError,
    XmlError,
    acl_refused,
    xml_error,
)
from gcp_emulator.services.storage.files import Files
from gcp_emulator.services.storage.media import media_response
from gcp_emulator.services.storage.objects import Objects, Write, object_etag
from gcp_emulator.services.storage.records import NotModifiedError, check_conditions
from gcp_emulator.services.storage.signed_urls import PublicKeys, is_signed, signer

HOST = "storage.googleapis.com"
_SUFFIX = "." + HOST
_OVERRIDES = {
    "response-content-disposition": "Content-Disposition",
    "response-content-type": "Content-Type",
    "response-cache-control": "Cache-Control",
    "response-content-encoding": "Content-Encoding",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
}
_WRITTEN_HEADERS = {
    "content-type": "contentType",
    "cache-control": "cacheControl",
    "content-disposition": "contentDisposition",
    "content-encoding": "contentEncoding",
    "content-language": "contentLanguage",
    "content-md5": "md5Hash",
    "x-goog-custom-time": "customTime",
    "x-goog-storage-class": "storageClass",
}
_CONDITIONS = {
    "x-goog-if-generation-match": "ifGenerationMatch",
    "x-goog-if-metageneration-match": "ifMetagenerationMatch",
}
#: Query parameters and headers that ask for something which is not emulated.
_REFUSED_QUERY = (
    "acl",
    "compose",
    "encryption",
    "legal-hold",
    "partNumber",
    "retention",
    "tagging",
    "uploadId",
    "uploads",
    "upload_id",
)
_REFUSED_HEADERS = (
    "x-goog-copy-source",
    "x-goog-encryption-algorithm",
    "x-goog-encryption-kms-key-name",
    "x-goog-resumable",
)


class XmlApi:
    """Answers the XML API; errors come as XML."""

    def __init__(
        self,
        tokens: Tokens,
        keys: PublicKeys,
        access: Access,
        buckets: Buckets,
        objects: Objects,
        files: Files,
        unhandled: deque[str],
    ) -> None:
        self._tokens = tokens
        self._keys = keys
        self._access = access
        self._buckets = buckets
        self._objects = objects
        self._files = files
        self._unhandled = unhandled

    async def serve(self, request: Request) -> Response:
        """The response to any request of this API; never an ApiError."""
        bucket, name = _target(request)
        try:
            response = await self._answer(request, bucket, name)
        except NotModifiedError:
            response = Response(304)
        except ApiError as error:
            if isinstance(error, NotEmulatedError):
                self._unhandled.append(f"{request.method} https://{request.host}{request.path}")
            # An anonymous caller is forbidden here (403), where the JSON API asks for credentials (401).
            anonymous = error.code == 401 and error.reason == "required"
            response = xml_error(ApiError("PERMISSION_DENIED", error.message) if anonymous else error)
            if request.method == "HEAD":
                response.body = b""
        if request.method != "OPTIONS" and bucket in self._buckets:
            add_headers(self._buckets.get(bucket), request, response)
        return response

    async def _answer(self, request: Request, bucket: str, name: str) -> Response:
        _refuse_unemulated(request, bucket, name)
        if request.method == "OPTIONS":
            return preflight(self._buckets.get(bucket), request)
        identity = self._caller(request)
        if request.method in ("GET", "HEAD"):
            return self._read(request, identity, bucket, name)
        if request.method == "PUT":
            return await self._write(request, identity, bucket, name)
        if request.method == "DELETE":
            return self._delete(request, identity, bucket, name)
        raise XmlError(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")

    def _caller(self, request: Request) -> Identity | None:
        """Who signed the URL, or whose token it is, or nobody."""
        if is_signed(request):
            return signer(request, self._keys)
        authorization = request.headers.get("authorization")
        return None if authorization is None else self._tokens.authenticate(authorization)

    def _read(self, request: Request, identity: Identity | None, bucket: str, name: str) -> Response:
        query = dict(request.query_pairs)
        record = self._objects.require(identity, "storage.objects.get", bucket, name, _generation(query))
        check_conditions(
            _conditions(request.headers), record["generation"], record["metageneration"], read=True
        )
        overrides = {_OVERRIDES[key]: value for key, value in query.items() if key in _OVERRIDES}
        if overrides and identity is None:
            raise XmlError(
                400,
                "InvalidArgument",
                "Invalid argument.",
                Details="Anonymous callers cannot choose response headers.",
            )
        public = self._objects.is_public(record)
        return media_response(
            self._files, request, record, etag=_etag(record), public=public, overrides=overrides
        )

    async def _write(self, request: Request, identity: Identity | None, bucket: str, name: str) -> Response:
        params: Json = dict(_conditions(request.headers))
        if acl := request.headers.get("x-goog-acl"):
            if is_uniform(self._buckets.get(bucket)):
                raise acl_refused("insert")
            params["predefinedAcl"] = _predefined(acl)
        write = Write(identity, bucket, name, _metadata(request.headers), params)
        self._objects.check(write)
        record = self._objects.commit(write, await self._files.store(request.body))
        headers = [
            ("ETag", _etag(record)),
            ("x-goog-generation", str(record["generation"])),
            ("x-goog-metageneration", str(record["metageneration"])),
            ("x-goog-hash", f"crc32c={record['crc32c']}"),
            ("x-goog-hash", f"md5={record['md5Hash']}"),
            ("x-goog-stored-content-length", str(record["size"])),
            ("Content-Type", "text/html; charset=UTF-8"),
        ]
        return Response(200, Headers(headers))

    def _delete(self, request: Request, identity: Identity | None, bucket: str, name: str) -> Response:
        generation = _generation(dict(request.query_pairs))
        record = self._objects.require(identity, "storage.objects.delete", bucket, name, generation)
        check_conditions(_conditions(request.headers), record["generation"], record["metageneration"])
        self._objects.remove(self._buckets.get(bucket), record, permanently=generation is not None)
        return Response(204)


def _target(request: Request) -> tuple[str, str]:
    """Bucket and object of a request, by either form of address."""
    path = request.path.removeprefix("/")
    if request.host.endswith(_SUFFIX):
        return request.host.removesuffix(_SUFFIX), unquote(path)
    bucket, _, name = path.partition("/")
    return unquote(bucket), unquote(name)


def _refuse_unemulated(request: Request, bucket: str, name: str) -> None:
    if not bucket or not name:
        raise NotEmulatedError("does not emulate the XML API's service and bucket methods.")
    for key in dict(request.query_pairs):
        if key in _REFUSED_QUERY:
            raise NotEmulatedError(f"does not emulate ?{key} of the XML API.")
    for key in _REFUSED_HEADERS:
        if key in request.headers:
            raise NotEmulatedError(f"does not emulate the header {key} of the XML API.")


def _generation(query: dict[str, str]) -> int | None:
    text = query.get("generation")
    if text is None:
        return None
    if not is_number(text):
        raise XmlError(400, "InvalidArgument", "Invalid argument.", Details=f"Invalid generation: {text}")
    return int(text)


def _conditions(headers: Headers) -> dict[str, str]:
    found: dict[str, str] = {}
    for header, parameter in _CONDITIONS.items():
        value = headers.get(header)
        if value is None:
            continue
        if not is_number(value):
            raise XmlError(400, "InvalidArgument", "Invalid argument.", Details=f"Invalid {header}: {value}")
        found[parameter] = value
    return found


def _predefined(name: str) -> str:
    """The JSON API's name of a predefined list (``public-read``)."""
    head, *rest = name.split("-")
    found = head + "".join(part.title() for part in rest)
    if found not in _insert_method().parameters["predefinedAcl"].enum:
        raise XmlError(400, "InvalidArgument", "Invalid argument.", Details=f"Invalid canned acl: {name}")
    return found


def _insert_method() -> Method:
    return discovery.load("storage", "v1").methods["storage.objects.insert"]


def _metadata(headers: Headers) -> Json:
    metadata: Json = {}
    custom: dict[str, str] = {}
    for key, value in headers.items:
        lowered = key.lower()
        if lowered in _WRITTEN_HEADERS:
            metadata[_WRITTEN_HEADERS[lowered]] = value
        elif lowered.startswith("x-goog-meta-"):
            custom[lowered.removeprefix("x-goog-meta-")] = value
        elif lowered == "x-goog-hash":
            for item in value.split(","):
                kind, _, digest = item.strip().partition("=")
                metadata[{"md5": "md5Hash"}.get(kind, kind)] = digest
    if custom:
        metadata["metadata"] = custom
    return metadata


def _etag(record: Json) -> str:
    """This API's ETag: the MD5 in hexadecimal, or an opaque one for a composite object."""
    if "md5Hash" not in record:
        return f'"-{object_etag(record)}"'
    return f'"{base64.b64decode(record["md5Hash"]).hex()}"'
