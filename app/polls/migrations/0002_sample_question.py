"""A first question, so that a new site has something to vote on.

It is a row like any other: delete it in the admin, and it does not come back.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

QUESTION = "Sample question: which part of a new site do you look at first?"
CHOICES = ["The front page", "The pictures", "The admin", "The logs"]


def add_question(apps: Any, schema_editor: Any) -> None:
    question = apps.get_model("polls", "Question").objects.create(question_text=QUESTION)
    choices = apps.get_model("polls", "Choice").objects
    for choice_text in CHOICES:
        choices.create(question=question, choice_text=choice_text)


def remove_question(apps: Any, schema_editor: Any) -> None:
    apps.get_model("polls", "Question").objects.filter(question_text=QUESTION).delete()


class Migration(migrations.Migration):
    dependencies = [("polls", "0001_initial")]

    operations = [migrations.RunPython(add_question, remove_question)]
