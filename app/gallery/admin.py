"""Pictures in the admin: to look through, caption and delete. They are added on the site, where uploads are checked."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.html import format_html

from gallery.models import Picture


@admin.register(Picture)
class PictureAdmin(admin.ModelAdmin):
    list_display = ["preview", "original_name", "caption", "uploaded_by", "uploaded_at"]
    list_display_links = ["preview", "original_name"]
    list_per_page = 24
    list_select_related = ["uploaded_by"]
    search_fields = ["caption", "original_name"]
    fields = ["preview", "caption", "original_name", "uploaded_by", "uploaded_at"]
    readonly_fields = ["preview", "original_name", "uploaded_by", "uploaded_at"]

    def has_add_permission(self, request: Any) -> bool:
        return False

    @admin.display(description="picture")
    def preview(self, picture: Picture) -> str:
        return format_html('<img src="{}" alt="" height="80">', picture.thumbnail.url)
