from __future__ import annotations

from unittest import mock

from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpResponse
from django.test import RequestFactory, SimpleTestCase, TestCase, override_settings

from health.middleware import HealthMiddleware


@override_settings(ALLOWED_HOSTS=["only.example.org"], SECURE_SSL_REDIRECT=True)
class LiveTests(SimpleTestCase):
    """Without `databases`: a query would fail these tests."""

    def test_answers_any_host_without_tls_and_without_the_database(self) -> None:
        response = self.client.get("/-/live", headers={"host": "10.0.0.7:8080"})
        self.assertEqual((response.status_code, response.json()), (200, {"status": "ok"}))
        self.assertEqual(response.headers["Cache-Control"], "no-store")

    def test_other_addresses_are_left_to_the_site(self) -> None:
        response = self.client.get("/-/else", headers={"host": "only.example.org"})
        self.assertRedirects(response, "https://only.example.org/-/else", 301, fetch_redirect_response=False)

    def test_needs_no_static_files(self) -> None:
        missing = {
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}
        }
        with override_settings(STORAGES=missing, STATIC_ROOT="/nonexistent"):
            self.assertEqual(self.client.get("/-/live").status_code, 200)


class ReadyTests(TestCase):
    def setUp(self) -> None:
        self.middleware = HealthMiddleware(lambda request: HttpResponse("the site"))

    def get(self) -> tuple[int, str]:
        response = self.middleware(RequestFactory().get("/-/ready"))
        return response.status_code, response.content.decode()

    @override_settings(ALLOWED_HOSTS=["only.example.org"], SECURE_SSL_REDIRECT=True)
    def test_answers_any_host_without_tls(self) -> None:
        response = self.client.get("/-/ready", headers={"host": "10.0.0.7:8080"})
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json(), {"status": "ok", "database": "ok", "migrations": "ok"})

    def test_not_ready_while_the_database_does_not_answer(self) -> None:
        with (
            mock.patch.object(
                connection, "cursor", side_effect=OperationalError("password of polls_web is wrong")
            ),
            self.assertLogs("", "WARNING") as logs,
        ):
            self.assertEqual(self.get(), (503, '{"status": "unavailable", "database": "does not answer"}'))
        self.assertEqual(
            [(record.levelname, record.getMessage()) for record in logs.records],
            [("WARNING", "Not ready: the database does not answer: password of polls_web is wrong")],
        )

    def test_not_ready_before_the_migrations(self) -> None:
        MigrationRecorder(connection).record_unapplied("polls", "0002_sample_question")
        with self.assertLogs("health", "WARNING"):
            self.assertEqual(
                self.get(),
                (503, '{"status": "unavailable", "unapplied_migrations": ["polls.0002_sample_question"]}'),
            )
        MigrationRecorder(connection).record_applied("polls", "0002_sample_question")
        self.assertEqual(self.get()[0], 200)

    def test_migrations_are_not_read_again_once_applied(self) -> None:
        self.get()
        with self.assertNumQueries(1):
            self.assertEqual(self.get()[0], 200)
