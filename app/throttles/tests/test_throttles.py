from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from itertools import islice
from threading import Barrier, Event, Semaphore
from unittest import mock

from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import (
    Client,
    RequestFactory,
    SimpleTestCase,
    TestCase,
    TransactionTestCase,
    override_settings,
)
from django.urls import reverse

from accounts.models import User
from config.settings import rate
from gallery.models import Picture
from polls.models import Question
from throttles.clients import network_of
from throttles.models import Throttle
from throttles.rates import ThrottledError, give_back, take

PASSWORD = "a long password"


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def time(self) -> float:
        return self.seconds


def throttles(**rates: tuple[int, int]) -> override_settings:
    """Rates of a test; without any where it names none. `login_account` is the rate `login-account`."""
    names = ("login-account", "login-address", "upload-account", "upload-address", "vote-address")
    given = {name.replace("_", "-"): value for name, value in rates.items()}
    assert given.keys() <= {*names}
    return override_settings(THROTTLES=dict.fromkeys(names) | given)


class ClockedTestCase(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        patch = mock.patch("throttles.rates.time", self.clock)
        patch.start()
        self.addCleanup(patch.stop)


@throttles(vote_address=(3, 60))
class RateTests(ClockedTestCase):
    def left(self, client: str = "somebody") -> int:
        """Use up what is left, and return how many it were."""
        count = 0
        with suppress(ThrottledError):
            while count < 100:
                take("vote-address", client)
                count += 1
        return count

    def test_so_many_at_once_and_then_one_in_each_share_of_the_time(self) -> None:
        self.assertEqual(self.left(), 3)
        for seconds, count in ((19, 0), (1, 1), (40, 2), (1000, 3)):
            self.clock.seconds += seconds
            self.assertEqual(self.left(), count, f"after {seconds} s more")

    def test_refusal_says_when_there_is_one_again(self) -> None:
        self.left()
        self.clock.seconds += 12.5
        with self.assertRaises(ThrottledError) as caught:
            take("vote-address", "somebody")
        self.assertEqual(caught.exception.retry_after, 8)
        self.clock.seconds += caught.exception.retry_after
        take("vote-address", "somebody")

    def test_who_is_refused_does_not_wait_longer_for_it(self) -> None:
        self.left()
        for _ in range(50):
            self.left()
        self.clock.seconds += 60
        self.assertEqual(self.left(), 3)

    def test_everybody_has_their_own(self) -> None:
        self.left()
        self.assertEqual(self.left("somebody else"), 3)

    def test_what_is_given_back_is_there_again(self) -> None:
        self.left()
        give_back("vote-address", "somebody")
        self.assertEqual(self.left(), 1)

    def test_without_a_rate_nothing_is_counted(self) -> None:
        take("login-address", "somebody")
        give_back("login-address", "somebody")
        self.assertFalse(Throttle.objects.exists())

    def test_what_says_nothing_any_more_is_deleted_and_the_rest_stays(self) -> None:
        self.left("long ago")
        self.clock.seconds += 50
        self.left("just now")
        self.clock.seconds += 11
        take("vote-address", "somebody")
        self.assertEqual(Throttle.objects.count(), 2)
        self.assertEqual(self.left("just now"), 0)

    def test_neither_account_nor_address_can_be_read_from_the_database(self) -> None:
        take("vote-address", "192.0.2.1")
        self.assertRegex(Throttle.objects.get().key, r"^[0-9a-f]{64}$")


@throttles(vote_address=(5, 3600))
class RatesAtTheSameMomentTests(TransactionTestCase):
    def take_together(self, times: int) -> int:
        """Return how many of so many threads got one, that all begin at once."""
        barrier = Barrier(times)

        def one(_: int) -> bool:
            try:
                connection.ensure_connection()
                barrier.wait(30)
                take("vote-address", "somebody")
            except ThrottledError:
                return False
            finally:
                connection.close()  # this thread's own
            return True

        with ThreadPoolExecutor(times) as pool:
            return sum(pool.map(one, range(times)))

    def test_two_cannot_take_the_last_one(self) -> None:
        for _ in range(4):
            take("vote-address", "somebody")
        self.assertEqual(self.take_together(2), 1)

    def test_the_first_ones_are_counted_too(self) -> None:
        self.assertEqual(self.take_together(8), 5)


class LoginTests(ClockedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.user = User.objects.create_superuser("ada@example.org", PASSWORD)
        User.objects.create_superuser("eve@example.org", PASSWORD)

    def log_in(
        self,
        username: str,
        password: str,
        *,
        client: Client | None = None,
        page: str = "login",
        **headers: str,
    ) -> HttpResponse:
        form = {"username": username, "password": password}
        return (client or Client()).post(reverse(page), form, **headers)

    def hashes(self, *arguments: str, **options: str) -> tuple[int, HttpResponse]:
        """Return how often a password was hashed for a log-in, and the answer."""
        hasher = "django.contrib.auth.hashers.MD5PasswordHasher.encode"
        with mock.patch(hasher, autospec=True, return_value="md5$salt$0") as encode:
            answer = self.log_in(*arguments, **options)
        return encode.call_count, answer

    @throttles(login_account=(3, 900))
    def test_after_so_many_no_password_is_hashed(self) -> None:
        for page in ("login", "admin:login"):
            for username in (f"ada+{page}@example.org", f"nobody+{page}@example.org"):
                with self.subTest(page=page, username=username):
                    for _ in range(3):
                        count, answer = self.hashes(username, "wrong", page=page)
                        self.assertEqual((answer.status_code, count > 0), (200, True))
                    count, answer = self.hashes(username, "wrong", page=page)
                    self.assertEqual((answer.status_code, count), (429, 0))

    @throttles(login_account=(3, 900))
    def test_the_page_says_how_long_to_wait(self) -> None:
        answers = [self.log_in("ada@example.org", "wrong") for _ in range(4)]
        self.assertContains(answers[-1], "Wait 5 minutes and try again.", status_code=429)
        self.assertEqual(answers[-1].headers["Retry-After"], "300")
        self.assertIn("no-store", answers[-1].headers["Cache-Control"])
        self.clock.seconds += 241
        self.assertContains(
            self.log_in("ada@example.org", "wrong"), "Wait a minute and try again.", status_code=429
        )
        self.clock.seconds += 59
        self.assertRedirects(self.log_in("ada@example.org", PASSWORD), reverse("home"))

    @throttles(login_account=(3, 900))
    def test_an_account_that_is_not_there_is_answered_alike(self) -> None:
        pages = []
        for username in ("ada@example.org", "nobody@example.org"):
            answers = [self.log_in(username, "wrong") for _ in range(4)]
            pages.append([(answer.status_code, answer.headers.get("Retry-After")) for answer in answers])
        self.assertEqual(pages[0], pages[1])
        self.assertEqual(pages[0][-1], (429, "300"))

    @throttles(login_account=(3, 900))
    def test_every_spelling_of_an_address_is_the_same_account(self) -> None:
        for username in ("ada@example.org", "ADA@example.org", "Ada@Example.Org"):
            self.log_in(username, "wrong")
        self.assertEqual(self.log_in("ada@example.org ", PASSWORD).status_code, 429)

    @throttles(login_account=(3, 900))
    def test_an_account_is_counted_wherever_the_tries_come_from(self) -> None:
        for number in range(3):
            self.log_in("ada@example.org", "wrong", REMOTE_ADDR=f"192.0.2.{number}")
        self.assertEqual(self.log_in("ada@example.org", PASSWORD, REMOTE_ADDR="192.0.2.9").status_code, 429)
        self.assertEqual(self.log_in("eve@example.org", PASSWORD, REMOTE_ADDR="192.0.2.9").status_code, 302)

    @throttles(login_address=(3, 900))
    def test_an_address_is_counted_whatever_account_it_tries(self) -> None:
        for number in range(3):
            self.log_in(f"user{number}@example.org", "wrong")
        self.assertEqual(self.log_in("ada@example.org", PASSWORD).status_code, 429)
        self.assertEqual(self.log_in("ada@example.org", PASSWORD, REMOTE_ADDR="192.0.2.9").status_code, 302)

    @throttles(login_account=(3, 900), login_address=(3, 900))
    def test_what_succeeds_does_not_count(self) -> None:
        for _ in range(5):
            self.assertRedirects(self.log_in("ada@example.org", PASSWORD), reverse("home"))

    @throttles(login_account=(3, 900), login_address=(3, 900))
    def test_who_has_been_in_before_is_not_locked_out_by_others(self) -> None:
        known = Client()
        self.log_in("ada@example.org", PASSWORD, client=known)
        known.post(reverse("logout"))
        for _ in range(10):
            self.log_in("ada@example.org", "wrong")
        self.assertEqual(self.log_in("ada@example.org", PASSWORD).status_code, 429)
        self.assertRedirects(self.log_in("ada@example.org", PASSWORD, client=known), reverse("home"))

    @throttles(login_account=(3, 900))
    def test_a_browser_that_is_known_has_no_more_tries_than_others_and_none_at_other_accounts(self) -> None:
        known = Client()
        self.log_in("eve@example.org", PASSWORD, client=known)
        known.post(reverse("logout"))
        statuses = [self.log_in("eve@example.org", "wrong", client=known).status_code for _ in range(4)]
        self.assertEqual(statuses, [200, 200, 200, 429])
        for _ in range(3):
            self.log_in("ada@example.org", "wrong")
        self.assertEqual(self.log_in("ada@example.org", "wrong", client=known).status_code, 429)

    @throttles(login_account=(3, 900))
    def test_a_forged_cookie_is_none(self) -> None:
        known = Client()
        self.log_in("ada@example.org", PASSWORD, client=known)
        value = known.cookies["device"].value
        self.assertNotIn("ada", value)
        for _ in range(3):
            self.log_in("ada@example.org", "wrong")
        forger = Client()
        forger.cookies["device"] = value.replace(".", ".x", 1)
        self.assertEqual(self.log_in("ada@example.org", PASSWORD, client=forger).status_code, 429)

    @throttles(login_account=(3, 900))
    def test_code_that_asks_without_a_request_or_without_waiting_is_counted_too(self) -> None:
        for _ in range(3):
            self.assertIsNone(authenticate(username="ada@example.org", password="wrong"))
        with self.assertRaises(ThrottledError):
            authenticate(email="ada@example.org", password=PASSWORD)
        with self.assertRaises(ThrottledError):
            async_to_sync(aauthenticate)(username="ada@example.org", password=PASSWORD)


class LoginsAtTheSameMomentTests(TransactionTestCase):
    @throttles(login_account=(2, 900))
    def test_one_password_is_hashed_at_a_time_few_wait_and_the_others_are_not_counted(self) -> None:
        User.objects.create_user("ada@example.org", PASSWORD)
        entered, go = Semaphore(0), Event()
        running, most = 0, 0

        def encode(*_: object) -> str:
            nonlocal running, most
            running += 1
            most = max(most, running)
            entered.release()
            go.wait(30)
            running -= 1
            return "md5$salt$0"

        def log_in(number: int) -> int:
            try:
                form = {"username": f"user{number}@example.org", "password": "wrong"}
                return Client().post(reverse("login"), form).status_code
            finally:
                connection.close()  # this thread's own

        hasher = "django.contrib.auth.hashers.MD5PasswordHasher.encode"
        with mock.patch(hasher, side_effect=encode), ThreadPoolExecutor(7) as pool:
            answers = [pool.submit(log_in, number) for number in range(7)]
            self.assertTrue(entered.acquire(timeout=30))
            first = [answer.result(30) for answer in islice(as_completed(answers, 30), 3)]
            go.set()
            statuses = sorted(answer.result(30) for answer in answers)
        self.assertEqual(first, [429] * 3)
        self.assertEqual(statuses, [200] * 4 + [429] * 3)
        self.assertEqual(most, 1)
        self.assertEqual(Throttle.objects.filter(free_at__gt=time.time() * 1_000_000).count(), 4)


class UploadTests(ClockedTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("ada", "eve"):
            User.objects.create_user(f"{name}@example.org", PASSWORD)

    def statuses(self, names: str, **options: str) -> list[int]:
        answers = []
        for name in names.split():
            client = Client()
            client.force_login(User.objects.get(email=f"{name}@example.org"))
            answers.append(client.post(reverse("gallery:upload"), {"images": []}, **options).status_code)
        return answers

    @throttles(upload_account=(2, 600))
    def test_an_account_is_counted_and_the_others_go_on(self) -> None:
        self.assertEqual(self.statuses("ada ada ada eve"), [200, 200, 429, 200])
        self.assertEqual(self.statuses("ada", REMOTE_ADDR="192.0.2.9"), [429])

    @throttles(upload_address=(2, 600))
    def test_an_address_is_counted_and_the_others_go_on(self) -> None:
        self.assertEqual(self.statuses("ada eve ada"), [200, 200, 429])
        self.assertEqual(self.statuses("ada", REMOTE_ADDR="192.0.2.9"), [200])
        self.assertFalse(Picture.objects.exists())


class VoteTests(ClockedTestCase):
    @throttles(vote_address=(2, 60))
    def test_an_address_is_counted_and_the_others_go_on(self) -> None:
        question = Question.objects.get()
        url, choice = reverse("polls:vote", args=[question.pk]), question.choices.first().pk
        # Each with no cookies: a new voter, as a program would be.
        statuses = [Client().post(url, {"choice": choice}).status_code for _ in range(3)]
        self.assertEqual(statuses, [302, 302, 429])
        self.assertEqual(Client().post(url, {"choice": choice}, REMOTE_ADDR="192.0.2.9").status_code, 302)
        self.assertEqual(question.choices.first().votes, 3)


class ClientTests(SimpleTestCase):
    def request(self, forwarded: str = "", remote: str = "192.0.2.200", **headers: str) -> HttpRequest:
        given = {"X-Forwarded-For": forwarded} if forwarded else {}
        return RequestFactory().get("/", headers=given | headers, REMOTE_ADDR=remote)

    def network(
        self, *arguments: str, proxies: int = 1, header: str = "X-Forwarded-For", **headers: str
    ) -> str:
        with override_settings(TRUSTED_PROXIES=proxies, CLIENT_ADDRESS_HEADER=header):
            return network_of(self.request(*arguments, **headers))

    def test_what_the_proxies_added_is_taken_and_not_what_the_client_said(self) -> None:
        self.assertEqual(self.network("198.51.100.7"), "198.51.100.7")
        self.assertEqual(self.network("127.0.0.1, 198.51.100.7"), "198.51.100.7")
        self.assertEqual(self.network("127.0.0.1,198.51.100.7, 203.0.113.1", proxies=2), "198.51.100.7")

    def test_without_proxies_no_header_is_believed(self) -> None:
        self.assertEqual(self.network("198.51.100.7", proxies=0), "192.0.2.200")

    def test_a_header_that_lacks_is_the_connections_other_end(self) -> None:
        self.assertEqual(self.network(), "192.0.2.200")
        self.assertEqual(self.network("198.51.100.7", proxies=2), "192.0.2.200")
        self.assertEqual(self.network("", ""), "")

    def test_the_header_of_app_engine_counts_where_it_is_chosen_only(self) -> None:
        own = {"X-Appengine-User-IP": "203.0.113.5"}
        self.assertEqual(self.network("198.51.100.7", header="X-Appengine-User-IP", **own), "203.0.113.5")
        self.assertEqual(self.network("198.51.100.7", **own), "198.51.100.7")

    def test_a_customer_of_ipv6_is_one_client(self) -> None:
        self.assertEqual(self.network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64")
        self.assertEqual(self.network("2001:db8:1:2:ffff::"), "2001:db8:1:2::/64")
        self.assertEqual(self.network("::ffff:198.51.100.7"), "198.51.100.7")


class SettingTests(SimpleTestCase):
    def test_a_rate_is_a_count_in_seconds_or_none(self) -> None:
        with mock.patch.dict("os.environ", {"THROTTLE_X": "7/60"}):
            self.assertEqual(rate("THROTTLE_X", "1/1"), (7, 60))
        with mock.patch.dict("os.environ", {"THROTTLE_X": ""}):
            self.assertIsNone(rate("THROTTLE_X", "1/1"))

    def test_a_rate_that_is_none_is_named(self) -> None:
        for value in ("0/60", "10", "10/min", "-1/60", "10/0", "1/2/3"):
            with (
                self.subTest(value=value),
                mock.patch.dict("os.environ", {"THROTTLE_X": value}),
                self.assertRaisesMessage(
                    ImproperlyConfigured, f"THROTTLE_X is '{value}'. Write COUNT/SECONDS"
                ),
            ):
                rate("THROTTLE_X", "1/1")
