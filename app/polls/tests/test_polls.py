from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from unittest import skipUnless
from uuid import UUID, uuid4

from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.test import Client, TestCase, TransactionTestCase
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from polls.models import Ballot, Question


def ask(text: str = "Tea or coffee?", days: int = 0) -> Question:
    question = Question.objects.create(question_text=text, pub_date=timezone.now() + timedelta(days=days))
    question.choices.create(choice_text="Tea")
    question.choices.create(choice_text="Coffee")
    return question


class VotingTests(TestCase):
    def setUp(self) -> None:
        self.question = ask()
        self.tea, self.coffee = self.question.choices.all()

    def votes(self) -> tuple[int, int]:
        tea, coffee = self.question.choices.all()
        return tea.votes, coffee.votes

    def cast(self, client: Client, choice: object) -> object:
        client.get(reverse("polls:detail", args=[self.question.pk]))
        url = reverse("polls:vote", args=[self.question.pk])
        return client.post(url, {"choice": choice}, follow=True)

    def test_vote_is_counted_and_the_results_are_shown(self) -> None:
        response = self.cast(self.client, self.coffee.pk)
        self.assertRedirects(response, reverse("polls:results", args=[self.question.pk]))
        self.assertContains(response, "Thank you, your vote is counted.")
        self.assertContains(response, "100%")
        self.assertContains(response, "1 vote in all.")
        self.assertEqual(self.votes(), (0, 1))

    def test_a_browser_votes_once(self) -> None:
        self.cast(self.client, self.coffee.pk)
        response = self.cast(self.client, self.tea.pk)
        self.assertContains(response, "You have voted on this question before; your first vote counts.")
        self.assertEqual(self.votes(), (0, 1))

    def test_every_browser_has_a_vote(self) -> None:
        self.cast(Client(), self.coffee.pk)
        self.cast(Client(), self.coffee.pk)
        self.cast(Client(), self.tea.pk)
        self.assertEqual(self.votes(), (1, 2))

    def test_votes_that_come_together_are_all_counted(self) -> None:
        # Both objects were read before either vote: a count made of what they hold would lose one.
        first, second = self.question.choices.get(pk=self.tea.pk), self.question.choices.get(pk=self.tea.pk)
        self.question.vote(first, uuid4())
        self.question.vote(second, uuid4())
        self.assertEqual(self.votes(), (2, 0))

    def test_second_ballot_is_refused_by_the_database(self) -> None:
        voter = uuid4()
        Ballot.objects.create(question=self.question, voter=voter)
        with self.assertRaises(IntegrityError), transaction.atomic():
            Ballot.objects.create(question=self.question, voter=voter)

    def test_without_a_choice_the_question_is_asked_again(self) -> None:
        for choice in ("", "nonsense", "999999"):
            with self.subTest(choice=choice):
                response = self.cast(Client(), choice)
                self.assertContains(response, "Choose one of the answers first.", status_code=422)
        self.assertEqual(self.votes(), (0, 0))

    def test_choice_of_another_question_does_not_count(self) -> None:
        other = ask("Cats or dogs?").choices.first()
        self.assertEqual(self.cast(self.client, other.pk).status_code, 422)

    def test_forged_voter_is_a_new_voter(self) -> None:
        self.cast(self.client, self.tea.pk)
        self.client.cookies["voter"] = f"{uuid4().hex}:forged"
        self.assertContains(self.cast(self.client, self.tea.pk), "Thank you, your vote is counted.")

    def test_voting_is_a_post(self) -> None:
        self.assertEqual(self.client.get(reverse("polls:vote", args=[self.question.pk])).status_code, 405)


@skipUnless(connection.vendor == "postgresql", "SQLite lets nobody else write while a vote is being counted")
class VotesAtTheSameMomentTests(TransactionTestCase):
    def setUp(self) -> None:
        self.question = ask()
        self.tea = self.question.choices.first()

    def vote_elsewhere(self, voter: UUID) -> bool:
        try:
            return self.question.vote(self.tea, voter)
        finally:
            connection.close()  # this thread's own

    def vote_together(self, first: UUID, second: UUID) -> bool:
        """Return what `second` is told, who votes after the vote of `first` and before it is committed."""
        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                self.assertTrue(self.question.vote(self.tea, first))
                vote = pool.submit(self.vote_elsewhere, second)
                self.wait_for_a_lock(vote)
            return vote.result()

    def wait_for_a_lock(self, vote: Future[bool]) -> None:
        deadline = time.monotonic() + 30
        with connection.cursor() as cursor:
            while True:
                cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
                if cursor.fetchone()[0]:
                    return
                self.assertFalse(vote.done(), "the second vote did not wait for the first")
                self.assertLess(time.monotonic(), deadline, "the second vote neither waits nor ends")

    def test_votes_of_two_people_are_both_counted(self) -> None:
        self.assertTrue(self.vote_together(uuid4(), uuid4()))
        self.assertEqual(self.question.choices.get(pk=self.tea.pk).votes, 2)

    def test_both_clicks_of_one_person_are_one_vote(self) -> None:
        voter = uuid4()
        self.assertFalse(self.vote_together(voter, voter))
        self.assertEqual(self.question.choices.get(pk=self.tea.pk).votes, 1)
        self.assertEqual(self.question.ballots.count(), 1)


class PageTests(TestCase):
    def test_index_greets_as_in_the_tutorial(self) -> None:
        self.assertContains(self.client.get("/polls/"), "Hello, world. You're at the polls index.")

    def test_index_lists_the_newest_first_and_nothing_from_the_future(self) -> None:
        Question.objects.all().delete()
        ask("Old?", days=-2), ask("New?", days=-1), ask("Future?", days=1)
        questions = self.client.get(reverse("polls:index")).context["questions"]
        self.assertEqual([str(question) for question in questions], ["New?", "Old?"])

    def test_empty_index_says_so(self) -> None:
        Question.objects.all().delete()
        self.assertContains(self.client.get(reverse("polls:index")), "No polls yet.")

    def test_question_from_the_future_is_not_found(self) -> None:
        question = ask(days=1)
        for name in ("polls:detail", "polls:results"):
            self.assertEqual(self.client.get(reverse(name, args=[question.pk])).status_code, 404)

    def test_results_without_votes(self) -> None:
        response = self.client.get(reverse("polls:results", args=[ask().pk]))
        self.assertContains(response, "Nobody has voted yet.")

    def test_admin_edits_a_question_with_its_choices(self) -> None:
        self.client.force_login(User.objects.create_superuser("root@example.org", "a long password"))
        response = self.client.get(reverse("admin:polls_question_change", args=[ask().pk]))
        self.assertContains(response, 'value="Tea"')
        self.assertContains(self.client.get(reverse("admin:polls_question_changelist")), "Tea or coffee?")


class SampleQuestionTests(TestCase):
    def test_new_site_has_one_question_to_vote_on(self) -> None:
        question = Question.objects.get()
        self.assertTrue(question.question_text.startswith("Sample question: "))
        self.assertEqual(question.choices.count(), 4)

    def test_going_back_removes_only_the_sample(self) -> None:
        ask("Mine?")
        import_module("polls.migrations.0002_sample_question").remove_question(apps, None)
        self.assertEqual([str(question) for question in Question.objects.all()], ["Mine?"])
