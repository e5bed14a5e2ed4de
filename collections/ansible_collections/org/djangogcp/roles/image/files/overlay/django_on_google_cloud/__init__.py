# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any Django project, on Google Cloud, unedited: its own settings, with what the platform needs laid over them.

``DJANGO_SETTINGS_MODULE`` is ``django_on_google_cloud.settings``, and ``DJANGO_PROJECT_SETTINGS_MODULE`` the project's. For Django 3.2 to 6.0;
it knows the environment that it is given, and nothing of what gives it.
"""
