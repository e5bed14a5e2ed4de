from __future__ import annotations

from io import StringIO
from unittest import mock

from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import TestCase
from django.urls import reverse

from accounts.models import User


class EmailLoginTests(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("Ada@Example.org", "a long password", first_name="Ada")

    def test_address_is_stored_in_lower_case(self) -> None:
        self.assertEqual(User.objects.get().email, "ada@example.org")

    def test_people_log_in_with_their_address_in_any_case(self) -> None:
        response = self.client.post(
            reverse("login"), {"username": "ADA@example.ORG", "password": "a long password"}
        )
        self.assertRedirects(response, reverse("home"))

    def test_wrong_password_is_refused_in_words(self) -> None:
        response = self.client.post(reverse("login"), {"username": "ada@example.org", "password": "wrong"})
        self.assertContains(response, "Please enter a correct e-mail address and password.")

    def test_address_that_differs_only_in_case_is_taken(self) -> None:
        with self.assertRaisesMessage(ValidationError, "User with this E-mail address already exists."):
            User(email="ADA@EXAMPLE.ORG", password="x").full_clean()

    def test_user_needs_an_address(self) -> None:
        with self.assertRaisesMessage(ValueError, "A user needs an e-mail address."):
            User.objects.create_user("", "a long password")

    def test_user_without_a_password_cannot_log_in(self) -> None:
        self.assertFalse(User.objects.create_user("eve@example.org").has_usable_password())

    def test_logging_out_is_a_post(self) -> None:
        self.client.force_login(self.user)
        self.assertEqual(self.client.get(reverse("logout")).status_code, 405)
        self.assertRedirects(self.client.post(reverse("logout")), reverse("home"))
        self.assertNotIn("_auth_user_id", self.client.session)


class SuperuserTests(TestCase):
    def test_createsuperuser_takes_address_and_password_from_the_environment(self) -> None:
        variables = {
            "DJANGO_SUPERUSER_EMAIL": "Root@example.org",
            "DJANGO_SUPERUSER_PASSWORD": "a long password",
        }
        with mock.patch.dict("os.environ", variables):
            call_command("createsuperuser", interactive=False, stdout=StringIO())
        user = User.objects.get(email="root@example.org")
        self.assertTrue(user.is_superuser and user.is_staff and user.check_password("a long password"))

    def test_superuser_adds_a_user_in_the_admin(self) -> None:
        self.client.force_login(User.objects.create_superuser("root@example.org", "a long password"))
        password = "another long password"
        self.client.post(
            reverse("admin:accounts_user_add"),
            {
                "email": "New@example.org",
                "usable_password": "true",
                "password1": password,
                "password2": password,
            },
        )
        self.assertTrue(User.objects.get(email="new@example.org").check_password(password))
