"""Pages that try what a sandbox is to forbid, and tell how it went."""

import errno
import hashlib
import os
import time
from pathlib import Path

from django.http import HttpRequest, JsonResponse
from django.urls import path


def release(request: HttpRequest) -> JsonResponse:
    """Tells which release this is, after as many seconds as are asked for."""
    time.sleep(float(request.GET.get("seconds", 0)))
    return JsonResponse({"release": os.environ.get("RELEASE", "")})


def write(request: HttpRequest) -> JsonResponse:
    """Writes a file and tells why it could not."""
    try:
        Path(request.GET["path"]).write_text("written", "utf-8")
    except OSError as error:
        return JsonResponse({"error": errno.errorcode[error.errno]})
    return JsonResponse({"error": ""})


def read(request: HttpRequest) -> JsonResponse:
    """Tells the digest of a file."""
    return JsonResponse({"digest": hashlib.sha256(Path(request.GET["path"]).read_bytes()).hexdigest()})


def secret(request: HttpRequest) -> JsonResponse:
    """Tells the digests of the secret key, in the environment and in its file."""
    found = (
        os.environ["SECRET_KEY"],
        Path(os.environ["CREDENTIALS_DIRECTORY"], "SECRET_KEY").read_text("utf-8").strip(),
    )
    return JsonResponse({"digests": [hashlib.sha256(text.encode()).hexdigest() for text in found]})


def seen(request: HttpRequest) -> JsonResponse:
    """Tells which processes and which homes are seen."""
    return JsonResponse(
        {
            "processes": sorted(name for name in os.listdir("/proc") if name.isdigit()),
            "root": os.access("/root", os.R_OK),
        }
    )


urlpatterns = [
    path("", release),
    path("health/", release),
    path("write/", write),
    path("read/", read),
    path("secret/", secret),
    path("seen/", seen),
]
