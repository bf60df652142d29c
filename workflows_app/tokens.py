"""Programs' keys to the API: made once, shown once, kept as a digest."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone

from workflows_app import access
from workflows_app.models import ApiToken
from workflows_app.problems import Invalid

PREFIX = "rf_"
LIFETIME = timedelta(days=90)
# `last_used_at` is for people: a write on every request would buy nothing.
USE_PRECISION = timedelta(minutes=1)


class TokenRefused(Exception):
    """The token opens nothing; the text says why as far as a stranger may know."""


def create(
    user: User,
    name: str,
    *,
    scope: str = ApiToken.Scope.READ,
    expires_at: datetime | None = None,
    networks: Sequence[str] = (),
) -> tuple[ApiToken, str]:
    """Make a token for `user` and return it with its plain text, which nothing can show again.

    Args:
        expires_at: when it stops working; `LIFETIME` from now if not given.
        networks: addresses or networks that it may be used from, like ``10.0.0.0/8``; anywhere if none.

    Raises:
        Invalid: no name, a name that is too long, an unknown scope, an end in the past, or no network.
    """
    name = name.strip()
    if not 1 <= len(name) <= 100:
        raise Invalid("A token needs a name of 1 to 100 characters; say what it is for.")
    if scope not in ApiToken.Scope.values:
        raise Invalid(
            f"There is no scope {scope!r}; take one of {', '.join(ApiToken.Scope.values)}."
        )
    expires_at = expires_at or timezone.now() + LIFETIME
    if expires_at <= timezone.now():
        raise Invalid("The token would already have expired; give an end in the future.")
    plain = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        prefix=plain[:8],
        digest=digest_of(plain),
        scope=scope,
        expires_at=expires_at,
        networks=[network_of(each) for each in networks],
    )
    return token, plain


def digest_of(plain: str) -> str:
    """What is stored: with 32 random bytes inside, a plain SHA-256 cannot be guessed backwards."""
    return hashlib.sha256(plain.encode()).hexdigest()


def authenticate(plain: str, address: str) -> ApiToken:
    """The live token behind `plain`, its use noted.

    Args:
        address: where the caller is.

    Raises:
        TokenRefused: no such token, or it is expired or revoked, or its owner may not sign in, or it may
            not be used from there.
    """
    token = access.live_token(plain) if plain.startswith(PREFIX) and plain.isascii() else None
    if token is None:
        raise TokenRefused(
            "The token is unknown, expired or revoked; make a new one with `rayflow token create`."
        )
    if not _may_come_from(token, address):
        raise TokenRefused(
            f"The token {token.prefix}… may not be used from {address}; use it from where it was made for."
        )
    _note_use(token)
    return token


def revoke(token: ApiToken) -> None:
    """Make a token useless from now on; revoking twice changes nothing."""
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())


def network_of(text: str) -> str:
    """The network that a text names, in its usual form.

    Raises:
        Invalid: it names none.
    """
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise Invalid(
            f"{text!r} is no address or network; write one like 192.0.2.7 or 10.0.0.0/8."
        ) from None


def _may_come_from(token: ApiToken, address: str) -> bool:
    if not token.networks:
        return True
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        return False  # such as a socket of this machine, which has no address
    if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped:
        caller = caller.ipv4_mapped
    return any(caller in ipaddress.ip_network(each) for each in token.networks)


def _note_use(token: ApiToken) -> None:
    now = timezone.now()
    if token.last_used_at is not None and now - token.last_used_at < USE_PRECISION:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USE_PRECISION)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
