"""What happens to the site while people visit it. Each scenario says what it ended with, or fails by an assertion."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import requests

from tests.e2e import projects
from tests.e2e.rehearsal import Run
from tests.releases.load import Asked
from tests.releases.site import SECRET, SITE, Site, kill, until

#: How often ansible-playbook is killed.
KILLS = 30
#: Between two deploys that have to end, so many are killed.
_KILLED_IN_A_ROW = 15
#: Seconds for which the site is visited and nothing is done.
_UNDISTURBED = 20
#: What visitors of the bad part of a canary get.
_DEGRADED = "degraded on purpose"

_NOT_STARTING = '\nraise RuntimeError("does not start, on purpose")\n'
#: Every page of polls and of the gallery, not the first one and not the log-in.
_HALF = """
from django.http import HttpResponse
class Broken:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        if request.path.startswith(("/polls/", "/gallery/")):
            return HttpResponse("broken on purpose", status=500)
        return self.get_response(request)
"""
_DEGRADES = f"""
def _degraded(self, request, *args, **kwargs):
    return HttpResponse("{_DEGRADED}", status=500)
IndexView.get = _degraded
"""
_CANARY = {
    "djangogcp_strategy": "canary",
    "djangogcp_canary_percentages": [20, 60],
    "djangogcp_canary_step_seconds": 15,
    # What slows here are the other things that the machine does.
    "djangogcp_canary_max_p95_ms": 60_000,
}


@dataclass(frozen=True)
class Scenario:
    """``apart``: which failures are not the deploy system's, but what the scenario is about; ``apart_is`` is what they are called."""

    name: str
    title: str
    run: Callable[[Site], str]
    apart: Callable[[Asked], bool] = lambda asked: False
    apart_is: str = ""
    #: Whether another deploy follows, which has to be clean.
    is_followed: bool = True


def _words(run: Run) -> str:
    return " ".join(run.output.split())


def _released(site: Site, run: Run) -> None:
    assert run.status == 0, run.output[-3000:]
    assert site.serves() == site.described()
    assert list(site.traffic().values()) == [100]


def _stopped(site: Site, run: Run, before: tuple[str, dict[str, int]], *told: str) -> None:
    """It failed with what it has to tell, and everything serves as before."""
    assert run.status != 0, "it is green"
    for text in told:
        assert text in _words(run), run.output[-3000:]
    assert (site.serves(), site.traffic()) == before


def _now(site: Site) -> tuple[str, dict[str, int]]:
    return site.serves(), site.traffic()


# The scenarios ---------------------------------------------------------------------------------------------------------------


def _undisturbed(site: Site) -> str:
    time.sleep(_UNDISTURBED)
    return "no deploy"


def _good(site: Site) -> str:
    _released(site, site.deploy())
    return "released"


def _does_not_start(site: Site) -> str:
    before = _now(site)
    site.append("config/wsgi.py", _NOT_STARTING)
    _stopped(site, site.deploy(), before, "does not start, on purpose")
    site.new_source()
    return "stopped: the revision does not start"


def _half_of_its_pages(site: Site) -> str:
    before = _now(site)
    site.append("config/middleware.py", _HALF)
    site.append("config/settings.py", '\nMIDDLEWARE.insert(0, "config.middleware.Broken")\n')
    _stopped(site, site.deploy(), before, "/polls/ answered 500")
    site.new_source()
    return "stopped by the try-out: `/polls/ answered 500`"


def _failing_migration(site: Site) -> str:
    before, columns = _now(site), site.columns()
    add = 'migrations.AddField("choice", "never", models.CharField(max_length=9, null=True))'
    migration = site.migration("fails", add, "migrations.RunPython(fail)")
    _stopped(site, site.deploy(), before, "this migration fails on purpose")
    assert site.columns() == columns
    migration.unlink()
    return "stopped: the migration failed, and left nothing"


def _destructive_migration(site: Site) -> str:
    before, columns = _now(site), site.columns()
    migration = site.migration("drops", 'migrations.RemoveField("choice", "votes")')
    _stopped(
        site, site.deploy(), before, "djangogcp_allow_destructive_migrations is false. Nothing was migrated"
    )
    assert site.columns() == columns
    migration.unlink()
    return "refused before it migrated"


def _waiting_migration(site: Site) -> str:
    before = _now(site)
    site.migration(
        "note", 'migrations.AddField("question", "note", models.CharField(max_length=9, null=True))'
    )
    with site.session() as cursor:
        cursor.execute("SELECT count(*) FROM polls_question")
        _stopped(site, site.deploy(), before, "It waited 5 seconds for the table polls_question")
    assert "polls_question.note" not in site.columns()
    return "stopped: gave the table up after 5 s; the next one migrates"


def _canary(site: Site) -> str:
    before = _now(site)
    site.append("gallery/views.py", _DEGRADES)
    site.variables |= _CANARY
    run = site.deploy()
    _stopped(site, run, before, "is bad with 20 % of the traffic:", "Errors: 500 GET /gallery/")
    site.variables.clear()
    site.new_source()
    return "went back by itself, from 20 %"


def _killed(site: Site) -> str:
    killed, locks, with_children, built = 0, 0, 0, 0
    # How long a deploy takes on this machine, so that each of its parts has its turn; one that has ended before it was killed is not counted.
    latest = {is_built: _duration(site, is_built=is_built) for is_built in (True, False)}
    while killed < KILLS:
        takes_children, is_built = site.draw.random() < 0.5, site.draw.random() < 0.5
        seconds = site.draw.uniform(0.5, latest[is_built])
        if kill_once(site, seconds, with_children=takes_children, is_built=is_built):
            killed += 1
            with_children += takes_children
            built += is_built
            locks += site.lock() != "free"
            if killed % _KILLED_IN_A_ROW == 0 and killed < KILLS:
                _released(site, site.deploy(is_built=False))
    return f"{killed} killed, {with_children} of them with their children, {built} with a build; {locks} left the lock"


def _duration(site: Site, *, is_built: bool) -> float:
    began = time.monotonic()
    _released(site, site.deploy(is_built=is_built))
    return time.monotonic() - began


def kill_once(site: Site, seconds: float, *, with_children: bool, is_built: bool) -> bool:
    """Kills a deploy after so many seconds, and looks at what serves then; False if it had ended before."""
    before = site.serves()
    site.change(is_built=is_built)
    with site.going_on() as (process, _):
        began = time.monotonic()
        until("ended or due", lambda: process.poll() is not None or time.monotonic() > began + seconds)
        if process.poll() is not None:
            return False
        kill(process.pid, with_children=with_children)
        process.wait(60)
    assert site.serves() in (before, site.described())
    site.lock()
    return True


def _two_at_once(site: Site) -> str:
    site.change(is_built=True)
    with (
        site.going_on() as (first, told_first),
        site.going_on("-e", "djangogcp_threads=31") as (second, told_second),
    ):
        ended = sorted([(first.wait(600), told_first), (second.wait(600), told_second)])
    assert ended[0][0] == 0, ended[0][1].read_text("utf-8")[-3000:]
    assert site.serves() == site.described()
    if ended[1][0] == 0:
        return "both released, one after the other"
    assert "/lock.json is held by" in ended[1][1].read_text("utf-8"), ended[1][1].read_text("utf-8")[-3000:]
    return "one released, one was told who releases"


def _rollback(site: Site) -> str:
    before = site.serves()
    _released(site, site.deploy())
    run = site.play("playbooks/rollback.yml")
    assert run.status == 0, run.output[-3000:]
    assert site.serves() == before
    return "rolled back"


def _rotate(what: str) -> Callable[[Site], str]:
    def rotate(site: Site) -> str:
        before = site.serves()
        run = site.play("playbooks/rotate.yml", "-e", f"rotate={what}")
        assert run.status == 0, run.output[-3000:]
        assert site.serves() == before
        return "rotated"

    return rotate


def _rotate_superuser(site: Site) -> str:
    old = site.rehearsal.secret(f"{SITE}-superuser-password")
    told = _rotate("superuser_password")(site)
    assert site.rehearsal.secret(f"{SITE}-superuser-password") != old
    session = site.rehearsal.session()
    address = f"{site.rehearsal.url(SITE)}/admin/login/"
    form = {
        "csrfmiddlewaretoken": projects.csrf_token(session.get(address, timeout=60)),
        "username": projects.EMAIL,
        "password": site.rehearsal.secret(f"{SITE}-superuser-password"),
        "next": "/admin/",
    }
    answer = session.post(address, form, headers={"Referer": address}, timeout=60, allow_redirects=False)
    assert answer.status_code == requests.codes.found, answer.text
    return told


def _rotate_own(site: Site) -> str:
    site.add_secret("next-of-smtp")
    told = _rotate(SECRET)(site)
    [state] = [
        one["valueSource"]["secretKeyRef"]["version"]
        for one in site.rehearsal.service(SITE)["template"]["containers"][0]["env"]
        if one["name"] == "EMAIL_HOST_PASSWORD"
    ]
    assert state == "2"
    return told


def _maintenance(site: Site) -> str:
    before = site.serves()
    on = site.play("playbooks/maintenance.yml", "-e", "maintenance=on")
    assert on.status == 0, on.output[-3000:]
    answer = site.get("/polls/")
    assert (answer.status_code, answer.headers["Retry-After"].isdigit()) == (503, True)
    assert site.get("/-/ready").status_code == requests.codes.ok
    off = site.play("playbooks/maintenance.yml", "-e", "maintenance=off")
    assert off.status == 0, off.output[-3000:]
    assert site.serves() == before
    return "on, and off again"


def next_deploy(site: Site) -> str:
    """The deploy after a scenario, of a good release."""
    run = site.deploy(is_built=False)
    _released(site, run)
    assert site.lock() == "free"
    taken = re.search(r"was taken from|is taken from", _words(run))
    return "released, took the lock" if taken else "released"


SCENARIOS = (
    Scenario("none", "nothing is done for 20 s", _undisturbed, is_followed=False),
    Scenario("good", "a good deploy", _good),
    Scenario("start", "a deploy whose app does not start", _does_not_start),
    Scenario("half", "one that starts, and answers 500 on half of its pages", _half_of_its_pages),
    Scenario("failing", "one with a failing migration", _failing_migration),
    Scenario("destructive", "one with a destructive migration that is not allowed", _destructive_migration),
    Scenario("waiting", "one whose migration waits for a table that the site uses", _waiting_migration),
    Scenario(
        "canary",
        "a canary that degrades",
        _canary,
        lambda asked: (asked.status, asked.begin) == (500, _DEGRADED),
        "the canary's own 500",
    ),
    Scenario("killed", f"`kill -9` of ansible-playbook at {KILLS} random moments", _killed),
    Scenario("two", "two deploys at once", _two_at_once),
    Scenario("rollback", "a deploy and a rollback", _rollback),
    Scenario("secret-key", "the secret key is rotated", _rotate("secret_key")),
    Scenario("database", "the database passwords are rotated", _rotate("database_password")),
    Scenario("superuser", "the superuser's password is rotated", _rotate_superuser),
    Scenario("own-secret", "a secret of the site's own is rotated", _rotate_own),
    Scenario(
        "maintenance",
        "maintenance on, and off",
        _maintenance,
        lambda asked: asked.failure == "maintenance",
        "503 with Retry-After",
    ),
)
