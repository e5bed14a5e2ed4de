"""What a person says of Google Cloud on the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass
from typing import Any, Self

from django_simple_deploy.management.commands.utils.command_errors import DSDCommandError

#: What django-simple-deploy has for --region where nobody gave one: a region of another platform.
_NO_REGION = "us-3.platform.sh"


@dataclass(frozen=True)
class Options:
    """All are names as Google Cloud has them; empty where nobody said anything, and the collection's defaults hold."""

    project_id: str
    superuser_email: str
    region: str
    site: str

    @staticmethod
    def declare(parser: ArgumentParser) -> None:
        """Adds the options that are this plugin's own."""
        group = parser.add_argument_group(title="Options for dsd-djangogcp")
        group.add_argument("--project-id", default="", help="The Google Cloud project that is deployed to.")
        group.add_argument(
            "--superuser-email",
            default="",
            help="The address of the site's superuser, whose password is made and kept in Secret Manager.",
        )

    @classmethod
    def read(cls, options: dict[str, Any]) -> Self:
        """What was said. DSDCommandError where everything is to be done and nobody said where."""
        if options["automate_all"] and not options["project_id"]:
            raise DSDCommandError(
                "--automate-all needs --project-id, the Google Cloud project that is deployed to."
            )
        return cls(
            project_id=options["project_id"],
            superuser_email=options["superuser_email"],
            region="" if options["region"] == _NO_REGION else options["region"],
            site=options["deployed_project_name"],
        )
