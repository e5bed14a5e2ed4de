"""People: the e-mail address is the login."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models


class LowercaseEmailField(models.EmailField):
    """An address in lower case, stored so and looked up so: `Ada@Example.org` logs in as `ada@example.org`."""

    def to_python(self, value: Any) -> Any:
        value = super().to_python(value)
        return value.strip().lower() if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> Any:
        return self.to_python(super().get_prep_value(value))


class UserManager(BaseUserManager["User"]):
    """Makes users from an address and a password; `createsuperuser` uses it."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Save and return a user; without a password, one that cannot log in.

        Raises:
            ValueError: the address is empty.
        """
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.model._meta.get_field("email").to_python(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Save and return a user who may do everything."""
        return self.create_user(email, password, **fields | {"is_staff": True, "is_superuser": True})


class User(AbstractUser):
    """Django's user without a user name."""

    username = None
    email = LowercaseEmailField("e-mail address", unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []

    objects = UserManager()

    def __str__(self) -> str:
        return self.get_full_name() or self.email
