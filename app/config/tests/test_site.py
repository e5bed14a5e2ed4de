from __future__ import annotations

from unittest import mock

from django.test import Client, SimpleTestCase, TestCase, override_settings
from django.urls import reverse


class HomeTests(TestCase):
    def test_shows_polls_and_pictures(self) -> None:
        response = self.client.get("/")
        self.assertContains(response, "Sample question:")
        self.assertContains(response, "No pictures yet.")

    def test_policy_is_sent(self) -> None:
        policy = self.client.get("/").headers["Content-Security-Policy"]
        self.assertTrue(policy.startswith("default-src 'none'; base-uri 'none'; "), policy)

    def test_icon_for_those_that_look_for_it_at_the_root(self) -> None:
        response = self.client.get("/favicon.ico")
        self.assertRedirects(response, "/static/site/icon.svg", fetch_redirect_response=False)


class ErrorPageTests(TestCase):
    def test_not_found(self) -> None:
        self.assertContains(self.client.get("/nowhere"), "Nothing here", status_code=404)

    def test_form_without_a_token(self) -> None:
        response = Client(enforce_csrf_checks=True).post(reverse("login"))
        self.assertContains(response, "The form was too old", status_code=403)

    @override_settings(ALLOWED_HOSTS=["only.example.org"])
    def test_wrong_host(self) -> None:
        response = self.client.get("/")
        self.assertContains(response, "That request made no sense here", status_code=400)


class ServerErrorTests(SimpleTestCase):
    """Without `databases`, and with static files missing: the page must need neither."""

    def test_needs_nothing(self) -> None:
        client = Client(raise_request_exception=False)
        missing = {
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
        }
        with (
            override_settings(STORAGES=missing, STATIC_ROOT="/nonexistent"),
            mock.patch("config.views.Picture.objects.all", side_effect=RuntimeError("boom")),
            self.assertLogs("django.request", "ERROR"),
        ):
            response = client.get("/")
        self.assertContains(response, "Something went wrong", status_code=500)
        self.assertEqual(
            response.headers["Content-Security-Policy"], "default-src 'none'; style-src 'unsafe-inline'"
        )
