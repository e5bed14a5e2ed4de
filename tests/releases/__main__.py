"""``make releases``: whatever a deploy comes to, the people who visit the site do not notice.

Prints the table; that of all scenarios is written to docs/releases.md. Takes half an hour on two cores.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.table import machine
from tests.releases.report import Row, seen, table, told
from tests.releases.scenarios import SCENARIOS
from tests.releases.site import ROOT, Site

SUMMARY = ROOT / "docs" / "releases.md"
README = ROOT / "README.md"
_QUOTED = re.compile(r"(<!-- releases: begin -->).*?(<!-- releases: end -->)", re.DOTALL)
#: What was asked and printed, of the last run.
LOGS = ROOT / ".cache" / "releases"


def main() -> int:
    """Runs the scenarios, prints and writes the table; returns the exit status."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="releases", description=__doc__.splitlines()[0])
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(names)} (default: all)"
    )
    parser.add_argument("--seed", type=int, help="what is drawn: moments of kills, what visitors ask")
    parser.add_argument("--rate", type=float, default=55, help="requests per second (default: %(default)s)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.scenarios if name not in names]
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are: {', '.join(names)}")
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    began_on = machine()
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    # Not $TMPDIR of a deep checkout: paths of sockets have to be short.
    folder = Path(tempfile.mkdtemp(prefix="releases-"))
    site = Site(folder, LOGS, arguments.rate, seed)
    rows: list[Row] = []
    try:
        site.begin()
        for scenario in SCENARIOS:
            if not arguments.scenarios or scenario.name in arguments.scenarios:
                began = time.monotonic()
                row = seen(site, scenario)
                rows.append(row)
                print(f"{' | '.join(row.cells())} ({time.monotonic() - began:.0f} s)", flush=True)
                print(told([row]), flush=True)
    finally:
        site.rehearsal.make("rehearse-clean")
        shutil.rmtree(folder, ignore_errors=True)
    text = f"{_SEEN.format(rate=arguments.rate, machine=began_on, seed=seed)}\n{table(rows)}\n"
    failed = told(rows)
    text += f"What failed:\n\n{failed}\n" if failed else "No request failed.\n"
    print(f"\n{text}\nwhat was asked and printed: {LOGS.relative_to(ROOT)}")
    if not arguments.scenarios:
        SUMMARY.write_text(_HEAD + text, "utf-8")
        quote(rows)
        print(f"written to {SUMMARY.relative_to(ROOT)} and {README.name}")
    return 0 if all(row.is_good for row in rows) else 1


def quote(rows: list[Row]) -> None:
    """Puts the sum of all into the README, between its marks."""
    asked = sum(len(row.asked) for row in rows)
    failed = sum(len(row.failed) for row in rows)
    text = f"{asked:,} requests during {len(rows)} scenarios, {failed} failed"
    old = README.read_text("utf-8")
    new, found = _QUOTED.subn(lambda block: block[1] + text + block[2], old)
    if not found:
        raise SystemExit(f"{README} has no marks `releases: begin` and `releases: end` for the numbers")
    README.write_text(new, "utf-8")


_HEAD = """# Releases under load

Written by `make releases`. While each of these happens, through the playbooks, people visit the model site: of 100 requests 92 are for pages, health addresses and
style sheets, 4 are of people who stay logged in, 3 log somebody in, 1 uploads a picture. Requests come at their rate, whatever the answers take, over connections that are kept.

* **Failed** is whatever a visitor would not get without the deploy: no answer within 60 s, another status, another page or half of one, somebody who is not logged in any more, a picture
  that was taken and is not in the database.
* **Apart** is what the scenario is about: the answers of a canary's bad part, and of maintenance.
* The lock is looked at after the scenario and before the next deploy, which brings other variables to the same visitors; times are counted from when a request was due.
* The site has two instances with 32 threads, connections to the database for two revisions of that, `/polls/` in `djangogcp_smoke_paths`, and throttles that let one address log
  in and upload so often, and wait for their turn. All else is as it comes.

"""
_SEEN = "Seen with {rate:.0f} requests a second asked for, on {machine}; seed {seed}.\n"

if __name__ == "__main__":
    sys.exit(main())
