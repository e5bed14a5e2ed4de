"""Questions in the admin, with their choices on the same page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Sum

from polls.models import Choice, Question


class ChoiceInline(admin.TabularInline):
    model = Choice
    extra = 3
    readonly_fields = ["votes"]


@admin.register(Question)
class QuestionAdmin(admin.ModelAdmin):
    inlines = [ChoiceInline]
    list_display = ["question_text", "pub_date", "votes"]
    list_filter = ["pub_date"]
    search_fields = ["question_text"]

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).annotate(votes=Sum("choices__votes", default=0))

    @admin.display(ordering="votes")
    def votes(self, question: Any) -> int:
        return question.votes
