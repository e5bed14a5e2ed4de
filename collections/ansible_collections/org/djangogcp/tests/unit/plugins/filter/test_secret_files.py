# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files in which a machine holds secrets."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.org.djangogcp.plugins.filter.secret_files import secret_files


def test_each_version_has_a_file_of_its_own() -> None:
    secrets = {"SECRET_KEY": "shop-key", "SECRET_KEY_FALLBACKS": "shop-key:1"}
    assert secret_files(secrets, {"shop-key": 2}, "/etc/shop") == [
        {"variable": "SECRET_KEY", "secret": "shop-key", "version": "2", "path": "/etc/shop/shop-key.2"},
        {
            "variable": "SECRET_KEY_FALLBACKS",
            "secret": "shop-key",
            "version": "1",
            "path": "/etc/shop/shop-key.1",
        },
    ]


def test_a_version_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="The version of the secret shop-key is not known"):
        secret_files({"SECRET_KEY": "shop-key"}, {}, "/etc/shop")


def test_by_the_path_of_a_file_it_is_told_too() -> None:
    [found] = secret_files({"/run/secrets/key": "payments-key"}, {"payments-key": "3"}, "/etc/shop")
    assert (found["variable"], found["path"]) == ("/run/secrets/key", "/etc/shop/payments-key.3")
