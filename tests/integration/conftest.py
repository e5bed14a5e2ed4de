"""One emulator for all module tests; each test has names of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.tests.running import RunningEmulator
from tests.integration.cloud import PROJECT, REGION, Cloud, write_app


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """A running emulator with an empty project whose APIs are enabled.

    At the end no call may have been unknown to it, and no module may have printed a secret.
    """
    # Not pytest's folder: paths of sockets have to be short.
    state = Path(tempfile.mkdtemp(prefix="djangogcp-"))
    running = RunningEmulator(state / "state", machines="records")
    with pytest.MonkeyPatch.context() as patch:
        (state / "runtime").mkdir(mode=0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(state / "runtime"))
        found = Cloud(running, patch)
        yield found
        shown = found.shown_secrets()
    unhandled = list(running.context.unhandled)
    running.stop()
    shutil.rmtree(state)
    assert unhandled == []
    assert shown == [], "a module has printed the value of these"


@pytest.fixture(scope="session")
def sql_instance(cloud: Cloud) -> str:
    """The name of a Cloud SQL instance for all tests that only look at what is in it."""
    cloud.ok(
        "sql_instance",
        name="shared",
        region=REGION,
        database_version="POSTGRES_17",
        edition="ENTERPRISE",
        tier="db-f1-micro",
        database_flags={"cloudsql.iam_authentication": True},
        data_api_access="ALLOW_DATA_API",
    )
    return "shared"


@pytest.fixture(scope="session")
def app_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of a tiny application."""
    return write_app(tmp_path_factory.mktemp("source") / "app")


@pytest.fixture(scope="session")
def build_options(cloud: Cloud, app_source: Path) -> dict[str, str]:
    """The options of the module cloudbuild_build, with all that a build needs in place."""
    account = f"builder@{PROJECT}.iam.gserviceaccount.com"
    cloud.ok("artifactregistry_repository", name="djangogcp", location=REGION)
    cloud.ok("storage_buckets", buckets=[{"name": f"{PROJECT}-source", "location": REGION}])
    cloud.ok("iam_service_accounts", service_accounts=[{"name": "builder"}])
    for role in ("roles/artifactregistry.writer", "roles/logging.logWriter", "roles/storage.objectViewer"):
        cloud.ok("iam_members", members=[{"role": role, "members": [f"serviceAccount:{account}"]}])
    return {
        "image": f"{REGION}-docker.pkg.dev/{PROJECT}/djangogcp/app",
        "location": REGION,
        "source_dir": str(app_source),
        "source_bucket": f"{PROJECT}-source",
        "service_account": account,
    }


@pytest.fixture(scope="session")
def image(cloud: Cloud, build_options: dict[str, str]) -> str:
    """The address, by digest, of the tiny application's image."""
    return str(cloud.ok("cloudbuild_build", **build_options)["image"]["uri"])
