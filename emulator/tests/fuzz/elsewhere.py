"""Calls of what no discovery document describes: tokens, objects by their own address, uploads, sites, the emulator itself."""

from __future__ import annotations

from random import Random
from urllib.parse import quote, urlencode

from emulator.tests.fuzz.calls import OTHER, REGION, Maker, Request
from emulator.tests.running import PROJECT

_VERBS = ("GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PROPFIND")
_STORAGE = "storage.googleapis.com"
_TOKEN_PLACES = (
    ("oauth2.googleapis.com", "/token"),
    ("accounts.google.com", "/o/oauth2/token"),
    ("www.googleapis.com", "/oauth2/v4/token"),
    ("oauth2.googleapis.com", "/revoke"),
    ("oauth2.googleapis.com", "/tokeninfo"),
    ("www.googleapis.com", "/oauth2/v1/tokeninfo"),
    ("www.googleapis.com", "/oauth2/v3/userinfo"),
    ("www.googleapis.com", "/oauth2/v3/certs"),
    ("www.googleapis.com", f"/robot/v1/metadata/x509/thing-account@{PROJECT}.iam.gserviceaccount.com"),
    (
        "www.googleapis.com",
        f"/service_accounts/v1/metadata/jwk/other-account@{OTHER}.iam.gserviceaccount.com",
    ),
)
_FORM = {
    "grant_type": ("refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer", "authorization_code"),
    "assertion": ("a.b.c", "e30.e30.e30", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOjF9.AA", "..", "é.é.é"),
    "refresh_token": ("1//nobody",),
    "client_id": ("x",),
    "client_secret": ("x",),
    "access_token": ("ya29.x",),
    "id_token": ("a.b.c", "e30.W10.AA"),
    "token": ("x",),
}
_OBJECTS = ("thing", "other", "absent", "a/b/c", "..", "%2E%2E", "dir/", "")
_UPLOAD_TYPES = ("media", "multipart", "resumable", "resumable", "x")
_XML_QUERIES = (
    "acl",
    "cors",
    "lifecycle",
    "versioning",
    "uploads",
    "uploadId",
    "partNumber",
    "prefix",
    "max-keys",
    "marker",
    "list-type",
    "delimiter",
    "generation",
    "X-Goog-Algorithm",
    "X-Goog-Credential",
    "X-Goog-Date",
    "X-Goog-Expires",
    "X-Goog-Signature",
    "X-Goog-SignedHeaders",
    "response-content-disposition",
)
_SIGNED = {
    "X-Goog-Algorithm": ("GOOG4-RSA-SHA256", "x"),
    "X-Goog-Credential": (
        f"thing-account@{PROJECT}.iam.gserviceaccount.com/20260101/auto/storage/goog4_request",
        f"other-account@{OTHER}.iam.gserviceaccount.com/20260101/auto/storage/goog4_request",
        "x/y/z",
    ),
    "X-Goog-Date": ("20260101T000000Z", "20269999T000000Z", "x"),
    "X-Goog-Expires": ("3600", "0", "-1", "²"),
    "X-Goog-SignedHeaders": ("host", "", "host;x"),
    "X-Goog-Signature": ("00" * 256, "zz", ""),
}
_MULTIPART = (
    b'--x\r\nContent-Type: application/json\r\n\r\n{"name": "new"}\r\n--x\r\n\r\nbytes\r\n--x--',
    b"--x\r\n\r\n{\r\n--x--",
    b"--x--",
    b"--x\r\nContent-Type: \xff\r\n\r\n\xff",
    b"no boundary at all",
)
_RANGES = (
    "bytes */*",
    "bytes 0-9/10",
    "bytes 5-1/3",
    "bytes 0-9/*",
    "bytes x",
    "bytes 0-99999999999999/5",
    "",
)
_SITES = (f"thing-0.{REGION}.run.app", "thing-abcdefghij-uc.a.run.app", "run.app", "candidate---x.run.app")
_ELSEWHERE = (
    "pkg.dev",
    f"{REGION}-docker.pkg.dev",
    "metadata.google.internal",
    "no-such-api.googleapis.com",
    "x",
    "..",
)
_CONTROL = ("health", "unhandled", "requests", "nothing", "..%2f..", "")


class Elsewhere:
    """Makes such calls by chance."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._maker = Maker(random)
        self._upload_ids = ["absent"]

    def call(self) -> Request:
        """One call of anything."""
        kinds = (
            self._token,
            self._object,
            self._object,
            self._upload,
            self._upload,
            self._download,
            self._site,
        )
        return self._random.choice(kinds)()

    def control(self) -> Request:
        """A call of the emulator's own addresses, by any name for this machine."""
        host = self._random.choice(
            [
                "127.0.0.1",
                "localhost",
                "",
                *(f"{site}.localhost" for site in _SITES),
                "storage.googleapis.com.localhost",
            ]
        )
        path = (
            f"/_emulator/{self._random.choice(_CONTROL)}"
            if self._random.random() < 0.6
            else self._path(("x", "y"))
        )
        headers = (*self._maker.headers(), ("Host", host))
        return Request(self._maker.caller(), self._random.choice(_VERBS), "", path, headers, self._body())

    def _body(self) -> bytes:
        choice = self._random.randrange(4)
        if choice == 0:
            return self._random.choice(_MULTIPART)
        return b"" if choice == 1 else self._random.randbytes(self._random.randint(0, 50))

    def _path(self, words: tuple[str, ...]) -> str:
        odd = self._random.random() < 0.2
        return "/" + "/".join(
            quote(self._maker.text(), safe="", errors="surrogatepass") if odd else w for w in words
        )

    def _some(self, values: dict[str, tuple[str, ...]], most: int) -> dict[str, str]:
        names = self._random.sample(sorted(values), self._random.randint(0, most))
        return {
            name: self._maker.text() if self._random.random() < 0.2 else self._random.choice(values[name])
            for name in names
        }

    def _token(self) -> Request:
        host, path = self._random.choice(_TOKEN_PLACES)
        form = urlencode(self._some(_FORM, len(_FORM)), errors="surrogatepass")
        headers = (
            (
                "Content-Type",
                self._random.choice(["application/x-www-form-urlencoded", "application/json", ""]),
            ),
        )
        body = form.encode() if self._random.random() < 0.8 else self._body()
        target = f"{path}?{form}" if self._random.random() < 0.4 else path
        return Request(
            None, self._random.choice(["GET", "POST", "POST"]), host, target, headers, body, "token"
        )

    def _object(self) -> Request:
        bucket = self._maker.name("bucket")
        name = self._random.choice(_OBJECTS)
        query = self._some({**dict.fromkeys(_XML_QUERIES, ("1", "")), **_SIGNED}, 4)
        if self._random.random() < 0.3:
            query = {name: self._random.choice(values) for name, values in _SIGNED.items()}
        host, path = _STORAGE, f"/{bucket}/{name}"
        if self._random.random() < 0.3:
            host, path = f"{bucket}.{_STORAGE}", f"/{name}"
        target = path + ("?" + urlencode(query, errors="surrogatepass") if query else "")
        headers = self._maker.headers()
        if self._random.random() < 0.3:
            headers = (
                *headers,
                ("Range", self._random.choice(["bytes=0-1", "bytes=-1", "bytes=9-1", "bytes=x", "é"])),
            )
        return Request(
            self._maker.caller(), self._random.choice(_VERBS), host, target, headers, self._body(), "xml"
        )

    def _upload(self) -> Request:
        query = {"uploadType": self._random.choice(_UPLOAD_TYPES), "name": self._random.choice(_OBJECTS)}
        query |= self._some(
            {"upload_id": ("absent",), "ifGenerationMatch": ("0", "1", "x"), "fields": ("*", "name")}, 2
        )
        prefix = self._random.choice(["", "/resumable"])
        path = f"{prefix}/upload/storage/v1/b/{self._maker.name('bucket')}/o"
        headers = self._maker.headers()
        if self._random.random() < 0.5:
            headers = (("Content-Type", "multipart/related; boundary=x"),)
        if self._random.random() < 0.4:
            headers = (*headers, ("Content-Range", self._random.choice(_RANGES)))
        target = f"{path}?{urlencode(query, errors='surrogatepass')}"
        verb = self._random.choice(["POST", "POST", "PUT", "DELETE"])
        return Request(self._maker.caller(), verb, _STORAGE, target, headers, self._body(), "upload")

    def _download(self) -> Request:
        path = f"/download/storage/v1/b/{self._maker.name('bucket')}/o/{self._maker.name('o')}"
        query = urlencode(
            self._some({"alt": ("media", "json"), "generation": ("1", "x", "9" * 40)}, 2),
            errors="surrogatepass",
        )
        headers = (
            *self._maker.headers(),
            ("Range", self._random.choice(["bytes=0-1", "bytes=-5", "bytes=99-", "x"])),
        )
        return Request(self._maker.caller(), "GET", _STORAGE, f"{path}?{query}", headers, b"", "download")

    def _site(self) -> Request:
        host = self._random.choice((*_SITES, *_ELSEWHERE))
        path = self._path(("v2", "thing", "manifests", "latest"))
        return Request(
            self._maker.caller(), self._random.choice(_VERBS), host, path, self._maker.headers(), self._body()
        )
