"""What a rehearsal says of the sites of an inventory, and the inventory that it writes for any project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import sites

MODEL = """
from django.contrib.auth.models import AbstractUser
class User(AbstractUser):
    USERNAME_FIELD = "email"
"""
URLS = """
from django.contrib import admin
urlpatterns = [path("", home), path("manage/", admin.site.urls), path("-/live", live)]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "My Shop_2"
    (folder / "shop").mkdir(parents=True)
    (folder / "manage.py").touch()
    return folder


def test_any_project_gets_an_inventory(project: Path, tmp_path: Path) -> None:
    inventory = sites.inventory_of(project, tmp_path / "inventories")
    [site] = sites.read(inventory)
    assert site.name == site.host == "my-shop-2"
    assert (site.project, site.login, site.admin_path) == (sites.PROJECT, "admin", "")
    text = (inventory / "hosts.yml").read_text("utf-8")
    assert "djangogcp_startup_path: ''" in text
    assert "djangogcp_cloud: emulator" in text
    assert str(project) in text


def test_a_folder_that_is_called_like_any_other_gets_the_name_of_the_one_above(tmp_path: Path) -> None:
    source = tmp_path / "shop" / "src"
    source.mkdir(parents=True)
    (source / "manage.py").touch()
    [site] = sites.read(sites.inventory_of(source, tmp_path / "inventories"))
    assert site.name == "shop"


def test_what_the_project_has_is_tried(project: Path, tmp_path: Path) -> None:
    (project / "shop" / "models.py").write_text(MODEL, "utf-8")
    (project / "shop" / "urls.py").write_text(URLS, "utf-8")
    (project / ".venv").mkdir()
    (project / ".venv" / "other.py").write_text("path('other/', admin.site.urls)", "utf-8")
    inventory = sites.inventory_of(project, tmp_path / "inventories")
    [site] = sites.read(inventory)
    assert (site.login, site.admin_path) == ("admin@example.com", "/manage/")
    assert "djangogcp_liveness_path" not in (inventory / "hosts.yml").read_text("utf-8")


@pytest.mark.parametrize(("django", "version"), [("django<6.1", "MYSQL_8_0"), ("django", "")])
def test_a_project_of_mysql_gets_mysql_where_it_is_reached_without_a_network(
    project: Path, tmp_path: Path, django: str, version: str
) -> None:
    (project / "manage.py").write_text("os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n")
    engine = "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql'}}\n"
    (project / "shop" / "settings.py").write_text(engine)
    (project / "requirements.txt").write_text(f"{django}\nPyMySQL\n")
    [site] = sites.read(sites.inventory_of(project, tmp_path / "inventories"))
    assert site.database_version == version


def test_what_is_laid_over_settings_answers_at_the_health_addresses(project: Path, tmp_path: Path) -> None:
    (project / "manage.py").write_text(
        'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n', "utf-8"
    )
    (project / "shop" / "settings.py").write_text('STATIC_URL = "static/"\n', "utf-8")
    text = (sites.inventory_of(project, tmp_path / "inventories") / "hosts.yml").read_text("utf-8")
    assert "startup_path" not in text
    assert "liveness_path" not in text


def test_the_folder_above_is_taken_where_it_holds_one_project(project: Path, tmp_path: Path) -> None:
    inventory = sites.inventory_of(project.parent, tmp_path / "inventories")
    assert f"djangogcp_source_dir: {project.parent}" in (inventory / "hosts.yml").read_text("utf-8")
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "manage.py").touch()
    with pytest.raises(sites.SitesError, match="holds several projects, in My Shop_2, second: SOURCE is"):
        sites.inventory_of(project.parent, tmp_path / "inventories")


def test_the_folder_above_several_names_them_and_none_that_a_rehearsal_has_made(tmp_path: Path) -> None:
    for name in (".rehearsal/images/layer/app", "library", "my shop"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "manage.py").touch()
    with pytest.raises(sites.SitesError, match="holds several projects, in library, my shop: SOURCE is"):
        sites.inventory_of(tmp_path, tmp_path / "inventories")


def test_two_projects_of_one_name_are_not_taken_for_one(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / project.name
    other.mkdir(parents=True)
    (other / "manage.py").touch()
    sites.inventory_of(project, tmp_path / "inventories")
    with pytest.raises(sites.SitesError, match=f"has a site my-shop-2 already, of {project}"):
        sites.inventory_of(other, tmp_path / "inventories")


def test_the_variables_of_an_inventory_are_what_ansible_makes_of_them(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "hosts").write_text(
        "[sites]\neast\nwest djangogcp_site=western djangogcp_region=europe-west1\n[others]\nnorth\n", "utf-8"
    )
    (inventory / "group_vars" / "sites.yml").write_text(
        'owner: company\ndjangogcp_project: "{{ owner }}-prod"\ndjangogcp_superuser_username: root\n', "utf-8"
    )
    east, west = sites.read(inventory)
    assert (east.name, east.project, east.login) == ("east", "company-prod", "root")
    assert (west.host, west.name) == ("west", "western")
    assert west.address(8910).endswith(".europe-west1.run.app.localhost:8910/")
    assert west.address(8910).startswith("http://western-")


def test_an_inventory_without_sites_is_told(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[web]\none\n", "utf-8")
    with pytest.raises(sites.SitesError, match="has no host in the group sites"):
        sites.read(tmp_path / "hosts")


def test_paths_are_meant_from_where_make_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, checkout = tmp_path / "here", tmp_path / "checkout"
    (here / "shop").mkdir(parents=True)
    (checkout / "app").mkdir(parents=True)
    monkeypatch.setenv("CALLED_FROM", f"{checkout}:{here}")
    assert sites.found("shop", checkout) == here / "shop"
    assert sites.found("app", checkout) == checkout / "app"


def test_nobody_can_own_the_project_of_the_rehearsal() -> None:
    """Google refuses ids that hold "ssl" (docs/decisions/0048-a-rehearsal-is-not-google.md)."""
    root = Path(__file__).resolve().parents[2]
    assert "ssl" in sites.PROJECT
    for path in ("rehearsal/seed.yaml", "rehearsal/strict.yaml", "inventories/local/group_vars/sites.yml"):
        assert sites.PROJECT in (root / path).read_text("utf-8")
