"""Uploaded pictures: are they pictures, and what do they look like small?"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from io import BytesIO

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat
from PIL import Image, ImageOps

logger = logging.getLogger(__name__)

MEGABYTE = 1024 * 1024

# Cloud Run takes 32 MiB in one HTTP/1 request (https://cloud.google.com/run/quotas#request_limits); the rest is for the form.
MAX_UPLOAD_BYTES = 30 * MEGABYTE
MAX_FILES = 10
MAX_FILE_BYTES = 10 * MEGABYTE
# A small file can unpack into gigabytes. This is what a picture may take, of the memory that an instance has by default (README.md).
MAX_MEMORY = 200_000_000
# What Pillow takes for a pixel at most, measured: the picture in four bytes, and once more to make it smaller; its decoder of WebP keeps
# two more.
BYTES_PER_PIXEL = 8
WEBP_BYTES_PER_PIXEL = 16
THUMBNAIL_SIZE = (640, 640)

# What browsers show, by Pillow's names. No SVG: it can carry scripts.
FORMATS = ["JPEG", "PNG", "WEBP", "GIF"]
# The extension decides how a file is served, so it comes from the content and not from the sender. MPO is what Pillow calls
# a JPEG that has a second picture inside, as some phones write them.
EXTENSIONS = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif"}
ACCEPT = "image/jpeg,image/png,image/webp,image/gif"

# The eight threads of an instance share its memory: one at a time.
_decoding = threading.Lock()


@dataclass(frozen=True)
class CheckedImage:
    """An upload that has been decoded from beginning to end, and its thumbnail (WebP, upright, without metadata)."""

    upload: UploadedFile
    extension: str
    thumbnail: ContentFile


def check_image(upload: UploadedFile) -> CheckedImage:
    """Decode `upload` and make its thumbnail.

    Raises:
        ValidationError: it is empty, too large, of a type that is not taken, or damaged.
    """
    if not upload.size:
        raise ValidationError(f"“{upload.name}” is empty.")
    if upload.size > MAX_FILE_BYTES:
        raise ValidationError(
            f"“{upload.name}” is too large: {filesizeformat(upload.size)}, at most {MAX_FILE_BYTES // MEGABYTE} MB."
        )
    with _decoding:
        try:
            extension = _identify(upload)
            thumbnail = _make_thumbnail(upload)
        except Image.DecompressionBombError:
            raise _too_many_pixels(upload, MAX_MEMORY // BYTES_PER_PIXEL) from None
        except ValidationError:
            raise
        except Exception as error:  # Pillow raises nearly anything on a file that was made to harm it
            logger.info("Refused an upload that cannot be read: %r", error)
            raise ValidationError(
                f"“{upload.name}” is not a picture that can be read. JPEG, PNG, WebP and GIF are taken."
            ) from error
    upload.seek(0)
    return CheckedImage(upload, extension, thumbnail)


def _identify(upload: UploadedFile) -> str:
    upload.seek(0)
    with Image.open(upload, formats=FORMATS) as image:
        # Known from the header, before anything is unpacked.
        most = MAX_MEMORY // (WEBP_BYTES_PER_PIXEL if image.format == "WEBP" else BYTES_PER_PIXEL)
        if image.width * image.height > most:
            raise _too_many_pixels(upload, most)
        extension = EXTENSIONS[image.format or ""]
        image.verify()
    return extension


def _make_thumbnail(upload: UploadedFile) -> ContentFile:
    upload.seek(0)
    with Image.open(upload, formats=FORMATS) as image:
        # 16 bits of grey are not made smaller in two steps, which would be faster.
        is_deep = image.mode.startswith("I")
        image.thumbnail(THUMBNAIL_SIZE, reducing_gap=None if is_deep else 2.0)
        if is_deep:
            image = image.convert("I").point(lambda grey: grey * (1 / 256)).convert("L")
        upright = ImageOps.exif_transpose(image)
        buffer = BytesIO()
        upright.convert("RGBA" if upright.has_transparency_data else "RGB").save(
            buffer, "WEBP", quality=80, exif=b""
        )
    return ContentFile(buffer.getvalue())


def _too_many_pixels(upload: UploadedFile, most: int) -> ValidationError:
    return ValidationError(
        f"“{upload.name}” has too many pixels: at most {most / 1_000_000:g} million are taken."
    )
