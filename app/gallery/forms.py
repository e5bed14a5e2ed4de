"""The upload form."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.template.defaultfilters import filesizeformat

from gallery.images import (
    ACCEPT,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_UPLOAD_BYTES,
    MEGABYTE,
    CheckedImage,
    check_image,
)


class MultipleFileInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class MultipleImageField(forms.FileField):
    """Several pictures in one field; cleaned, a list of `CheckedImage`. Reports everything that is wrong at once."""

    widget = MultipleFileInput

    def clean(self, data: Any, initial: Any = None) -> list[CheckedImage]:
        uploads = [upload for upload in data or [] if upload]
        if not uploads:
            raise ValidationError("Choose at least one picture.")
        if len(uploads) > MAX_FILES:
            raise ValidationError(f"Too many pictures: {len(uploads)}, at most {MAX_FILES} at once.")
        total = sum(upload.size for upload in uploads)
        if total > MAX_UPLOAD_BYTES:
            raise ValidationError(
                f"Too much at once: {filesizeformat(total)}, at most {MAX_UPLOAD_BYTES // MEGABYTE} MB together."
            )
        images, errors = [], []
        for upload in uploads:
            try:
                images.append(check_image(upload))
            except ValidationError as error:
                errors.append(error)
        if errors:
            raise ValidationError(errors)
        return images


class UploadForm(forms.Form):
    images = MultipleImageField(
        label="Pictures",
        help_text=(
            f"JPEG, PNG, WebP or GIF; up to {MAX_FILES} at once, {MAX_FILE_BYTES // MEGABYTE} MB each, "
            f"{MAX_UPLOAD_BYTES // MEGABYTE} MB together. Originals are kept unchanged, with the place and the time "
            "that a camera may have written into them."
        ),
        widget=MultipleFileInput(attrs={"accept": ACCEPT}),
    )
    caption = forms.CharField(
        max_length=200,
        required=False,
        help_text="Optional. It goes with each of them; you can change it later, picture by picture.",
    )
