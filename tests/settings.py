"""Settings of the test run: the real ones, on a data folder and a Redis port of its own.

DATABASE_URL may name a PostgreSQL server to run the same tests there.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


_data_dir = tempfile.mkdtemp(prefix="rayflow-tests-")
atexit.register(shutil.rmtree, _data_dir, ignore_errors=True)
os.environ["RAYFLOW_DATA_DIR"] = _data_dir
os.environ["REDIS_URL"] = f"redis://127.0.0.1:{_free_port()}/0"
os.environ["RAYFLOW_STORAGE"] = f"{_data_dir}/storage"
for _name in ("RAYFLOW_DEBUG", "RAYFLOW_HTTPS", "RAYFLOW_ALLOWED_HOSTS", "RAYFLOW_SECRET_KEY"):
    os.environ.pop(_name, None)

from rayflow_web.settings import *  # noqa: E402, F403
from rayflow_web.settings import DATABASES  # noqa: E402

# A file, not memory: threads, WAL and locks behave as they do in use.
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["TEST"] = {"NAME": f"{_data_dir}/test-registry.sqlite3"}
DATABASES["default"]["CONN_MAX_AGE"] = 0
# The tests hash many passwords; the strength of the hash is Django's own affair.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
