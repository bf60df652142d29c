"""The environment variables of the web application, read once and checked.

Every value that cannot work is reported as one sentence that names the variable, the value
and what would be right, so that a typing mistake never shows up later as a strange failure.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rayflow_web.logs import Form

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})
DATABASE_SCHEMES = frozenset({"sqlite", "postgres", "postgresql"})
REDIS_SCHEMES = frozenset({"redis", "rediss", "unix", "redis+socket"})
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
HOST_PATTERN = re.compile(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9a-fA-F:]+\]")

BASE_PATH_PATTERN = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class ConfigurationError(ValueError):
    """An environment variable holds a value RayFlow cannot work with."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The checked configuration of one web, worker or follower process."""

    data_dir: Path
    debug: bool
    https: bool
    allowed_hosts: tuple[str, ...]
    secret_key: str
    database_url: str
    redis_url: str
    ray_address: str
    storage: str
    flows: tuple[str, ...]
    log_format: Form
    base_path: str


def read(environ: Mapping[str, str] | None = None) -> Environment:
    """Read and check the environment.

    Raises:
        ConfigurationError: a value is unusable; the message is one complete sentence.
    """
    env = os.environ if environ is None else environ
    data_dir = _data_dir(env.get("RAYFLOW_DATA_DIR") or ".rayflow")
    default_database = f"sqlite:///{data_dir / 'registry.sqlite3'}"
    return Environment(
        data_dir=data_dir,
        debug=_flag(env, "RAYFLOW_DEBUG"),
        https=_flag(env, "RAYFLOW_HTTPS"),
        allowed_hosts=_hosts(env.get("RAYFLOW_ALLOWED_HOSTS", "")),
        secret_key=_secret_key(env.get("RAYFLOW_SECRET_KEY", ""), data_dir),
        database_url=_url(env, "DATABASE_URL", default_database, schemes=DATABASE_SCHEMES),
        redis_url=_url(env, "REDIS_URL", "redis://127.0.0.1:6379/0", schemes=REDIS_SCHEMES),
        ray_address=env.get("RAY_ADDRESS") or "auto",
        storage=env.get("RAYFLOW_STORAGE") or str(data_dir / "storage"),
        flows=tuple(
            part.strip() for part in env.get("RAYFLOW_FLOWS", "").split(",") if part.strip()
        ),
        log_format=_log_format(env.get("RAYFLOW_LOG_FORMAT") or "line"),
        base_path=_base_path(env.get("RAYFLOW_BASE_PATH", "")),
    )


def _data_dir(value: str) -> Path:
    path = Path(value).expanduser().resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"RAYFLOW_DATA_DIR is {value!r}, but that folder cannot be created"
            f" ({error.strerror}); choose a folder this account may write."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"RAYFLOW_DATA_DIR is {value!r}, but this account may not write there;"
            " choose another folder or change its permissions."
        )
    return path


def _log_format(value: str) -> Form:
    if value == "json":
        return "json"
    if value == "line":
        return "line"
    raise ConfigurationError(f"RAYFLOW_LOG_FORMAT is {value!r}, but it must be line or json.")


def _base_path(value: str) -> str:
    path = value.strip().rstrip("/")
    if path and not BASE_PATH_PATTERN.fullmatch(path):
        raise ConfigurationError(
            f"RAYFLOW_BASE_PATH is {value!r}, but it must be a path such as /rayflow, of letters,"
            " digits and . _ ~ - between its slashes."
        )
    return path


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "").strip().lower()
    if value in TRUE_WORDS:
        return True
    if value in FALSE_WORDS:
        return False
    raise ConfigurationError(f"{name} is {env[name]!r}, but it must be 1 or 0.")


def _hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(part.strip() for part in value.split(",") if part.strip())
    for host in hosts:
        if not HOST_PATTERN.fullmatch(host):
            raise ConfigurationError(
                f"RAYFLOW_ALLOWED_HOSTS contains {host!r}, which is not a host name; write names"
                " without scheme or port, separated by commas, such as"
                " flows.example.org,10.0.0.7."
            )
    return hosts or LOOPBACK_HOSTS


def _url(env: Mapping[str, str], name: str, default: str, *, schemes: frozenset[str]) -> str:
    value = env.get(name) or default
    try:
        parts = urlsplit(value)
        scheme, _port = parts.scheme, parts.port
    except ValueError as error:
        # The value may hold a password, so it is never repeated in the message.
        raise ConfigurationError(f"{name} is not a valid address: {error}.") from error
    if scheme not in schemes:
        raise ConfigurationError(
            f"{name} starts with {scheme or 'no scheme'!r}, but it must be an address that"
            f" starts with one of: {', '.join(f'{each}://' for each in sorted(schemes))}."
        )
    return value


def _secret_key(value: str, data_dir: Path) -> str:
    if value:
        if len(value) < 32:
            raise ConfigurationError(
                "RAYFLOW_SECRET_KEY has fewer than 32 characters, but it signs every session;"
                " set at least 32 random characters, or unset it and one is generated."
            )
        return value
    return _generated_secret_key(data_dir / "secret-key")


def _generated_secret_key(path: Path) -> str:
    """Return the key kept in the data folder, creating it exactly once.

    Several processes start at the same moment: each writes a private file and links it to the
    final name, which succeeds for one of them only; everybody then reads the same key.
    """
    try:
        if not path.exists():
            private = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
            descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(48))
            try:
                os.link(private, path)
            except FileExistsError:
                pass  # Another process was first; its key is the one everybody uses.
            finally:
                private.unlink()
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"The secret key file {path} cannot be read or written ({error.strerror});"
            " make it readable for this account or set RAYFLOW_SECRET_KEY."
        ) from error
