"""Pictures: a row, the file as it was uploaded, and a thumbnail. They come together and go together."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import PurePath
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.files.storage import Storage
from django.db import models, transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.urls import reverse

from gallery.images import CheckedImage

logger = logging.getLogger(__name__)


class PictureManager(models.Manager["Picture"]):
    def add(self, images: Iterable[CheckedImage], *, uploaded_by: Any, caption: str = "") -> list[Picture]:
        """Save every image with its thumbnail, or, if one cannot be saved, none of them."""
        pictures: list[Picture] = []
        try:
            with transaction.atomic():
                for image in images:
                    # Nobody can guess a random name, and no two uploads ever meet.
                    stem = uuid4().hex
                    picture = self.model(
                        uploaded_by=uploaded_by,
                        caption=caption,
                        original_name=PurePath(image.upload.name or "").name,
                    )
                    pictures.append(picture)
                    picture.image.save(f"{stem}{image.extension}", image.upload, save=False)
                    picture.thumbnail.save(f"{stem}-thumbnail.webp", image.thumbnail, save=False)
                    picture.save()
        except BaseException:
            for picture in pictures:
                picture.delete_files()
            raise
        return pictures


class Picture(models.Model):
    image = models.ImageField(upload_to="gallery/%Y%m%d")
    thumbnail = models.ImageField(upload_to="gallery/%Y%m%d", editable=False)
    caption = models.CharField(max_length=200, blank=True)
    original_name = models.CharField(max_length=255, editable=False)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="pictures",
    )
    uploaded_at = models.DateTimeField(auto_now_add=True, db_index=True)

    objects = PictureManager()

    class Meta:
        ordering = ["-uploaded_at", "-pk"]

    def __str__(self) -> str:
        return self.caption or self.original_name

    def get_absolute_url(self) -> str:
        return reverse("gallery:detail", args=[self.pk])

    def may_be_changed_by(self, user: Any) -> bool:
        """Return whether `user` may caption and delete it: whoever uploaded it, or who may delete any picture."""
        return user.is_authenticated and (
            user.pk == self.uploaded_by_id or user.has_perm("gallery.delete_picture")
        )

    def delete_files(self) -> None:
        """Delete the picture and the thumbnail from the storage. What fails is logged, with the name of the file left."""
        for file in (self.image, self.thumbnail):
            if file.name:
                _delete_file(file.storage, file.name)


def _delete_file(storage: Storage, name: str) -> None:
    try:
        storage.delete(name)
    except Exception:  # whatever the storage raises: the row is gone, and the other file has its turn
        logger.exception("The file %s could not be deleted and is left over.", name)


@receiver(post_delete, sender=Picture)
def delete_files_with_row(instance: Picture, **kwargs: Any) -> None:
    """However a row is deleted (page, admin, in bulk), its files follow, once the database has really forgotten it."""
    transaction.on_commit(partial(instance.delete_files))
