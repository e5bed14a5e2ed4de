"""Questions, their choices, and who has voted."""

from __future__ import annotations

from uuid import UUID

from django.db import models, transaction
from django.db.models import F
from django.urls import reverse
from django.utils import timezone


class QuestionQuerySet(models.QuerySet["Question"]):
    def published(self) -> QuestionQuerySet:
        """Return what visitors see: not what is dated in the future."""
        return self.filter(pub_date__lte=timezone.now())


class Question(models.Model):
    question_text = models.CharField("question", max_length=200)
    pub_date = models.DateTimeField("date published", default=timezone.now, db_index=True)

    objects = QuestionQuerySet.as_manager()

    class Meta:
        ordering = ["-pub_date", "-pk"]

    def __str__(self) -> str:
        return self.question_text

    def get_absolute_url(self) -> str:
        return reverse("polls:detail", args=[self.pk])

    def vote(self, choice: Choice, voter: UUID) -> bool:
        """Count a vote for `choice`, and return True; return False, counting nothing, if `voter` has voted here before.

        Safe against a second click and against other people at the same moment: the database refuses a second ballot,
        and adds to the count itself.
        """
        with transaction.atomic():
            _, is_first = Ballot.objects.get_or_create(question=self, voter=voter)
            if is_first:
                self.choices.filter(pk=choice.pk).update(votes=F("votes") + 1)
        return is_first

    def has_vote_of(self, voter: UUID) -> bool:
        """Return whether `voter` has voted on this question."""
        return self.ballots.filter(voter=voter).exists()


class Choice(models.Model):
    question = models.ForeignKey(Question, on_delete=models.CASCADE, related_name="choices")
    choice_text = models.CharField("choice", max_length=200)
    votes = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.choice_text


class Ballot(models.Model):
    """That a browser has voted on a question. Not for what: the vote is secret."""

    question = models.ForeignKey(Question, on_delete=models.CASCADE, related_name="ballots")
    voter = models.UUIDField()
    cast_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["question", "voter"], name="one_ballot_per_voter")]

    def __str__(self) -> str:
        return f"Ballot on question {self.question_id}"
