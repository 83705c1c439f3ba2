"""Values that are encrypted before they reach the database: passwords, tokens and certificates of what is watched.

The key comes from SECRET_KEY; those of SECRET_KEY_FALLBACKS still open what they closed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet


class SecretError(ValueError):
    """A value was encrypted with a SECRET_KEY that is not known any more."""


def encrypt(plain: str) -> str:
    return _keys().encrypt(plain.encode()).decode()


def decrypt(token: str) -> str:
    """Raises SecretError."""
    from cryptography.fernet import InvalidToken

    try:
        return _keys().decrypt(token.encode()).decode()
    except InvalidToken:
        raise SecretError(
            "A stored secret can't be read: SECRET_KEY is not the one that it was stored with. Put the old one into "
            "PHAROS_SECRET_KEY_FALLBACKS, or enter the secret anew."
        ) from None


def _keys() -> MultiFernet:
    # Megabytes in each process, and most installations have no secret to keep.
    from cryptography.fernet import MultiFernet

    return MultiFernet([_fernet(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _fernet(key: str) -> Fernet:
    from cryptography.fernet import Fernet

    digest = hashlib.sha256(b"pharos.core.secrets:" + key.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))


class Lost(dict[str, Any]):
    """What could not be decrypted. It is empty, says why, and is stored again as it was."""

    def __init__(self, token: str, reason: str) -> None:
        super().__init__()
        self.token, self.reason = token, reason


class EncryptedJSONField(models.TextField):  # type: ignore[type-arg]
    """A dict of texts; `Lost` if it can't be decrypted. In the database a token of Fernet, "" for an empty one."""

    def from_db_value(self, value: str | None, *_: Any) -> dict[str, Any]:
        if not value:
            return {}
        try:
            found: dict[str, Any] = json.loads(decrypt(value))
        except SecretError as error:
            return Lost(value, str(error))
        return found

    def to_python(self, value: Any) -> dict[str, Any]:
        """From a form's JSON, or from the token that a dump has."""
        if not isinstance(value, str):
            return value or {}
        if not value.lstrip().startswith("{"):
            return self.from_db_value(value)
        try:
            found: dict[str, Any] = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValidationError(f"Expected names and texts in JSON, but it can't be read: {error}.") from None
        return found

    def get_prep_value(self, value: Any) -> str:
        if isinstance(value, Lost):
            return value.token
        return encrypt(json.dumps(value)) if value else ""

    def value_to_string(self, obj: models.Model) -> str:
        """For dumpdata: as it is stored."""
        return self.get_prep_value(self.value_from_object(obj))
