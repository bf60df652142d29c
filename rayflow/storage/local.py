"""A store in a folder of the local (or a shared POSIX) file system."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rayflow.errors import DataLoadError, DataSaveError
from rayflow.storage.store import Buffer, Store

_TEMPORARY = ".tmp-"


class LocalStore(Store):
    """Files below ``root``. Every write is on disk (fsync of file and folder) when it returns."""

    appends = True

    def __init__(self, root: str) -> None:
        self.uri = os.path.abspath(root)
        self._root = Path(self.uri)

    def __reduce__(self) -> tuple[type[LocalStore], tuple[str]]:
        return LocalStore, (self.uri,)

    def read(self, key: str, offset: int = 0) -> bytes:
        with self._loading(key), open(self._path(key), "rb") as file:
            file.seek(offset)
            return file.read()

    def read_part(self, key: str, offset: int, length: int) -> bytes:
        with self._loading(key), open(self._path(key), "rb") as file:
            file.seek(offset)
            return file.read(length)

    def view(self, key: str) -> Buffer:
        with self._loading(key), open(self._path(key), "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return b""  # which cannot be mapped
            # Keeps its own descriptor: the file may be unlinked, and the pages live on.
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def size(self, key: str) -> int | None:
        try:
            found = os.stat(self._path(key))
            return found.st_size if stat.S_ISREG(found.st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DataLoadError(f"Cannot look up '{key}' below {self.uri}: {error}.") from error

    def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        path = self._path(key)
        # Beside the target, never in the system's temporary folder: a rename must not cross devices.
        temporary = path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
        with self._saving(key):
            self._make_folder(path.parent)
            try:
                with open(temporary, "xb") as file:
                    for part in parts:
                        file.write(part)
                    file.flush()
                    os.fsync(file.fileno())
                if if_absent:
                    os.link(temporary, path)  # unlike rename, refuses to replace
                else:
                    os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(path.parent)

    def append(self, key: str, offset: int, data: Buffer) -> None:
        path = self._path(key)
        with self._saving(key):
            if offset == 0:
                self._make_folder(path.parent)
            flags = os.O_WRONLY | (os.O_CREAT | os.O_EXCL if offset == 0 else 0)
            try:
                descriptor = os.open(path, flags, 0o644)
            except FileNotFoundError:
                raise KeyError(key) from None
            try:
                _write_at(descriptor, offset, data)
            except OSError:
                if offset == 0:
                    path.unlink()  # so that it can be created by another try
                raise
            finally:
                os.close(descriptor)
            if offset == 0:
                _sync_folder(path.parent)

    def list(self, prefix: str) -> list[tuple[str, Literal["file", "folder"]]]:
        try:
            with os.scandir(self._path(prefix)) as entries:
                found: list[tuple[str, Literal["file", "folder"]]] = [
                    (entry.name, "folder" if entry.is_dir() else "file")
                    for entry in entries
                    if not entry.name.startswith(_TEMPORARY)
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise DataLoadError(f"Cannot list '{prefix}' below {self.uri}: {error}.") from error
        return sorted(found)

    def delete(self, prefix: str) -> None:
        path = self._path(prefix)
        with self._saving(prefix):
            if path.is_dir():
                # Out of sight first, in one step: a crash in the middle leaves no half workflow.
                gone = path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
                os.utime(path)  # young, so that nobody sweeps it while it is being removed
                path.rename(gone)
                _sync_folder(path.parent)
                shutil.rmtree(gone)
            elif path.exists():
                path.unlink()
                _sync_folder(path.parent)

    def sweep(self, older_than: float) -> int:
        """Remove leftovers below the root that nobody has changed for ``older_than`` seconds.

        A write under way changes its file all the time; one that does not is no writer's any more.
        """
        count, before = 0, time.time() - older_than
        with self._saving(""):
            for folder, folders, files in os.walk(self._root):
                for name in [n for n in (*folders, *files) if n.startswith(_TEMPORARY)]:
                    if _remove_if_older(Path(folder, name), before):
                        count += 1
                folders[:] = [name for name in folders if not name.startswith(_TEMPORARY)]
        return count

    def _path(self, key: str) -> Path:
        return self._root / key

    def _make_folder(self, folder: Path) -> None:
        """Create ``folder`` and make every new level durable in its parent."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            try:
                new.mkdir(exist_ok=True)
            except FileExistsError:  # no folder, even now: others may be making it as well
                reason = "a file where a folder is needed"
                raise NotADirectoryError(errno.ENOTDIR, reason, str(new)) from None
            _sync_folder(new.parent)

    @contextmanager
    def _loading(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyError(key) from None
        except OSError as error:
            raise DataLoadError(f"Cannot read '{key}' below {self.uri}: {error}.") from error

    @contextmanager
    def _saving(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            raise DataSaveError(
                f"Cannot write '{key}' below {self.uri}: {error}. Nothing was changed; "
                "free space or mend the permissions, then try again."
            ) from error


def _write_at(descriptor: int, offset: int, data: Buffer) -> None:
    """Let the file end with ``data`` at ``offset``, on disk."""
    size = os.fstat(descriptor).st_size
    if size < offset:  # never fill the gap with zeros
        raise OSError(errno.EIO, f"the file has lost its end: {size} bytes instead of {offset}")
    os.lseek(descriptor, offset, os.SEEK_SET)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    # What a failed append has left behind goes last: if it was all there, somebody may have counted it,
    # and the same bytes are written once more over it, so that it is there at every moment.
    if size > offset + len(data):
        os.ftruncate(descriptor, offset + len(data))
    _sync_data(descriptor)


def _remove_if_older(path: Path, before: float) -> bool:
    try:
        if path.lstat().st_mtime >= before:
            return False
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    except FileNotFoundError:  # its writer was quicker
        return False
    return True


# The data and the length, without times that nobody reads.
_sync_data = getattr(os, "fdatasync", os.fsync)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
