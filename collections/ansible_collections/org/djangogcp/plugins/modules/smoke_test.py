#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smoke_test
short_description: Ask pages of a site as a visitor does
version_added: 0.9.0
description:
  - Asks pages of a site, all at the same time, each again and again until it answers as it must. The task fails with one message
    when one of them does not in time.
  - It is a visitor and sends no credentials, unless O(service_account) says in whose name it asks. A message shows the first words of a page that is
    an error, and of no other page anything.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
attributes:
  check_mode:
    details: Nothing is asked, and the task is skipped. What would answer may not have been made.
options:
  url:
    description:
      - The address of the site, to which the paths are added.
    type: str
    required: true
  checks:
    description:
      - The pages. Each must answer with the status 200, unless O(checks[].any_answer=true).
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description:
          - The path, which may have a query.
        type: str
        required: true
      follow_redirects:
        description:
          - Whether redirects are followed, at most ten and also to other hosts, unless O(checks[].any_answer=true). Otherwise a redirect is a failure.
        type: bool
        default: false
      contains:
        description:
          - What the first MiB of the page must have in it.
        type: str
      any_answer:
        description:
          - Whether any answer will do, for a page of which nothing is known, but a failure of the server (500 and above) and a refusal of the
            host's name (400). Redirects to other hosts are not followed then.
        type: bool
        default: false
      style_sheets:
        description:
          - Whether the first ten style sheets that the page links have to be there. Those of other hosts are not asked for, but those of buckets are.
        type: bool
        default: false
      sends_form:
        description:
          - Whether the first form on the page that Django protects from forged requests is sent back empty, with its token and its cookie. It must not be
            refused. Nobody is logged in by it, and no password is tried.
        type: bool
        default: false
  headers:
    description:
      - Headers that each request to the site itself carries, but not what is asked of other hosts. Their values are no secrets.
    type: dict
    default: {}
  connect_to:
    description:
      - The IP address that is connected to in place of what the host of O(url) resolves to, for a site whose name does not lead to its machine yet.
        The header Host, the name that TLS asks for and the one that the certificate must have stay those of O(url).
      - Redirects within that host lead to this address as well, and other hosts are asked as ever. The proxy of E(HTTPS_PROXY), if any, is asked for a
        tunnel to this address, also for http, unless E(NO_PROXY) has it.
    type: str
  service_account:
    description:
      - The e-mail address of the service account in whose name a Cloud Run service is asked that is not public. Each request carries
        an identity token of it, but not to other hosts that redirects lead to.
      - The caller needs C(roles/iam.serviceAccountOpenIdTokenCreator) on it, and it needs C(roles/run.invoker) on the service.
    type: str
  audience:
    description:
      - The address that the identity token is for. Cloud Run wants that of the service, also where a tag's address is asked.
    type: str
  grant_timeout:
    description:
      - For how long a right of O(service_account) that was granted a moment ago may not be in force, in seconds. Refusals are asked again
        for so long, and other answers only for O(wait_timeout).
    type: int
    default: 0
  placeholder_url:
    description:
      - The address of the service while a placeholder serves that tells which of the rights of the service's account have not taken effect
        (O(org.djangogcp.run_service#module:placeholder.tries_grants)). Those that were granted less than seven minutes ago are waited for
        before any page is asked.
    type: str
  wait_timeout:
    description:
      - For how long pages are asked again, in seconds. Each is asked at least once, and has a minute to answer.
    type: int
    default: 30
requirements:
  - requests
notes:
  - Requests honour E(HTTPS_PROXY), E(NO_PROXY), E(REQUESTS_CA_BUNDLE) and E(CURL_CA_BUNDLE).
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Try a revision out that has no traffic yet
  org.djangogcp.smoke_test:
    project: my-project
    url: https://candidate---polls-123456789012.us-central1.run.app
    # Only for a service that is not public.
    service_account: polls-web@my-project.iam.gserviceaccount.com
    audience: https://polls-123456789012.us-central1.run.app
    checks:
      - path: /healthz/
      - path: /
        follow_redirects: true
        any_answer: true
        style_sheets: true
      - path: /admin/
        follow_redirects: true
        contains: csrfmiddlewaretoken
        sends_form: true
"""

RETURN = r"""
checks:
  description: What each page answered in the end.
  returned: always, but not in check mode
  type: list
  elements: dict
  contains:
    path:
      description: The path that was asked for.
      type: str
    status:
      description: The HTTP status, 0 without a whole answer.
      type: int
    seconds:
      description: How long the answer took.
      type: float
    url:
      description: Where it came from, which redirects may have changed.
      type: str
    problem:
      description: What is not as it must be, empty when all is.
      type: str
  sample:
    - path: /admin/
      status: 200
      seconds: 0.31
      url: https://candidate---polls-123456789012.us-central1.run.app/admin/login/?next=/admin/
      problem: ""
"""

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._grants import Waiting
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline, delays
from ansible_collections.org.djangogcp.plugins.module_utils._visitor import (
    Answer,
    Check,
    Way,
    ask_until_it_passes,
    rights_refused,
)

ARGUMENT_SPEC = {
    "url": {"type": "str", "required": True},
    "checks": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "path": {"type": "str", "required": True},
            "follow_redirects": {"type": "bool", "default": False},
            "contains": {"type": "str"},
            "any_answer": {"type": "bool", "default": False},
            "style_sheets": {"type": "bool", "default": False},
            "sends_form": {"type": "bool", "default": False},
        },
    },
    "headers": {"type": "dict", "default": {}},
    "connect_to": {"type": "str"},
    "service_account": {"type": "str"},
    "audience": {"type": "str"},
    "grant_timeout": {"type": "int", "default": 0},
    "placeholder_url": {"type": "str"},
    "wait_timeout": {"type": "int", "default": 30},
}

RULES = {
    "url": rules.SITE_URL,
    "placeholder_url": rules.SITE_URL,
    "checks.path": rules.HTTP_PATH,
    "headers": rules.HTTP_HEADERS,
    "connect_to": rules.IP_ADDRESS,
    "service_account": rules.SERVICE_ACCOUNT,
    "audience": rules.SITE_URL,
    "grant_timeout": rules.WAIT_SECONDS,
}


class TryOutError(DjangoGcpError):
    """Pages that did not answer as they must. Carries what all pages answered."""

    def __init__(self, message: str, checks: list[Json]) -> None:
        super().__init__(message)
        self.checks = checks

    def as_fail_json(self) -> Json:
        return {"msg": self.message, "checks": self.checks}


_SSL_HEADER = (
    "Google's front end ends HTTPS. Where SECURE_SSL_REDIRECT is on, set"
    ' SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") in the settings.'
)


def failure(site: str, answers: list[Answer], connect_to: str = "") -> TryOutError:
    """The error of pages some of which have problems."""
    which = rules.one_line(site) + (f" at {connect_to}" if connect_to else "")
    failed = [answer for answer in answers if answer.problem]
    problems = "; ".join(f"{rules.one_line(answer.path)} {answer.problem}" for answer in failed)
    if any(answer.in_a_loop for answer in failed):
        cure = f"A page that redirects to its own https address takes every request for http: {_SSL_HEADER}"
    elif any(answer.moved_to for answer in failed):
        cure = (
            "A page that redirects to its own path at another host does so because of PREPEND_WWW, of SECURE_SSL_HOST, or of a middleware."
            f" If it takes every request for http: {_SSL_HEADER}"
        )
    elif any(answer.fault == "style sheet" for answer in failed):
        cure = (
            "Visitors see the page without its styles: check that STATIC_URL begins with / or https://, that collectstatic finds the file, and the"
            " link itself."
        )
    elif any(answer.fault == "form" for answer in failed):
        cure = (
            "Nobody can log in to a site that refuses its own forms: check CSRF_TRUSTED_ORIGINS, which has to hold the https:// addresses of the"
            f" site, and CSRF_COOKIE_DOMAIN. {_SSL_HEADER}"
        )
    elif any(answer.status for answer in failed):
        cure = "Check what the site logged; if it only needs longer, raise wait_timeout."
    else:
        cure = "Check the network, HTTPS_PROXY and the CA variables (REQUESTS_CA_BUNDLE)."
    return TryOutError(f"Failed to try {which} out: {problems}. {cure}", shown(answers))


def shown(answers: list[Answer]) -> list[Json]:
    """What pages answered, as the module returns it."""
    names = ("path", "status", "seconds", "url", "problem")
    return [{name: getattr(answer, name) for name in names} for answer in answers]


def identity_token(client: Client, account: str, audience: str, deadline: Deadline) -> str:
    """An identity token of a service account. A right to have one that is not in force yet is waited for.

    Source: iamcredentials v1, projects.serviceAccounts.generateIdToken; Cloud Run looks for the claim email.
    """
    url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateIdToken"
    call = Call(f"get an identity token of {account}", "iam.serviceAccounts.getOpenIdToken")
    body = {"audience": audience, "includeEmail": True}
    for delay in delays(first=0.5, factor=2, longest=10):
        try:
            return str(client.request("POST", url, call, body=body, repeatable=True)["token"])
        except ApiError as error:
            if error.status != 403 or not deadline.sleep(delay):
                raise
    raise AssertionError("delays() never ends")


def await_rights(client: Client, placeholder: str, token: str, site: str) -> None:
    """Wait while a placeholder tells of rights that were granted a moment ago and have not taken effect for the site's account."""
    waiting = Waiting(client, f"try {rules.one_line(site)} out")
    while client.granted.changes():
        refused = rights_refused(placeholder, token)
        if not waiting.goes_on(lambda change, names=refused: str(change) in names):
            return


def work(task: Task) -> Json:
    """Ask for all pages."""
    if task.check_mode:
        return {"changed": False, "skipped": True, "msg": "Not done in check mode."}
    params, client = task.params, task.client
    site = params["url"].rstrip("/")
    checks = [Check(**{**check, "contains": check["contains"] or ""}) for check in params["checks"]]
    account, audience = params["service_account"], params["audience"]
    granted = Deadline(max(params["grant_timeout"], params["wait_timeout"]), client.clock)
    token = identity_token(client, account, audience, granted) if account else ""
    if params["placeholder_url"]:
        await_rights(client, params["placeholder_url"].rstrip("/"), token, site)
    deadline = Deadline(params["wait_timeout"], client.clock)
    way = Way(token, params["headers"], params["connect_to"] or "")
    answers = for_each(checks, lambda check: ask_until_it_passes(site, check, deadline, way, granted))
    if any(answer.problem for answer in answers):
        raise failure(site, answers, way.connect_to)
    return {"changed": False, "checks": shown(answers)}


def main() -> None:
    """Run the module."""
    run_module(
        ARGUMENT_SPEC,
        work,
        rules=RULES,
        only_reads=True,
        required_together=[("service_account", "audience")],
    )


if __name__ == "__main__":
    main()
