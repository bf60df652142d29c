"""A store in a folder of the local (or a shared POSIX) file system."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

from rayflow.errors import DataLoadError, DataSaveError
from rayflow.storage import layout
from rayflow.storage.redo import Redo, sync_data
from rayflow.storage.store import Appender, Buffer, Store

_TEMPORARY = ".tmp-"
_SWEEP_SECONDS = 0.01  # at a time
_RESTS = 9  # times as long as it has worked


class LocalStore(Store):
    """Files below ``root``. Every write is on disk when it returns, with the folders that it lies in."""

    appends = True

    def __init__(self, root: str) -> None:
        self.uri = os.path.abspath(root)
        self._root = Path(self.uri)
        self._redo: Redo | None = None

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
            found = os.stat(self._name(key))
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
            is_new = self._make_folder(str(path.parent))
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
            if is_new:
                self._sync_folders(path.parent)
            else:
                _sync(path.parent)

    def append(self, key: str, offset: int, data: Buffer) -> None:
        path = self._name(key)
        with self._saving(key):
            if offset == 0:
                self._make_folder(os.path.dirname(path))
            descriptor = _put(path, key, offset, data)
            try:
                sync_data(descriptor)
            except OSError:
                if offset == 0:
                    os.unlink(path)  # so that it can be created by another try
                raise
            finally:
                os.close(descriptor)
            if offset == 0:
                self._sync_folders(os.path.dirname(path))

    def own(self, engine: int = 0) -> None:
        redo = Redo(LocalStore(self.uri), self, layout.of_engine(layout.REDO, engine))
        redo.take_over()
        self._redo = redo

    def together(self) -> AbstractContextManager[Appender]:
        return super().together() if self._redo is None else self._redo.group()

    def put(self, key: str, offset: int, data: Buffer, *, may_exist: bool = False) -> int:
        """See :class:`rayflow.storage.redo.Files`."""
        path = self._name(key)
        with self._saving(key):
            if offset == 0:
                self._make_folder(os.path.dirname(path))
            return _put(path, key, offset, data, may_exist=may_exist)

    def restore(self, key: str, offset: int, data: Buffer) -> None:
        """See :class:`rayflow.storage.redo.Files`."""
        path = self._name(key)
        with self._saving(key):
            if offset == 0:
                self._make_folder(os.path.dirname(path))
            try:
                descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if offset == 0 else 0), 0o644)
            except (FileNotFoundError, NotADirectoryError):
                return  # it was deleted
            with open(descriptor, "r+b", buffering=0) as file:
                file.seek(offset)
                if file.read(len(data)) != data:
                    file.seek(offset)
                    _write_all(descriptor, data)

    def sync_folders(self, key: str) -> None:
        """See :class:`rayflow.storage.redo.Files`."""
        with self._saving(key):
            self._sync_folders(os.path.dirname(self._name(key)))

    def sync(self) -> None:
        """See :class:`rayflow.storage.redo.Files`."""
        with self._saving(""):
            _sync_filesystem(self.uri)

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
        if self._redo is not None:
            self._redo.forget(prefix)
        with self._saving(prefix):
            if path.is_dir():
                # Out of sight first, in one step: a crash in the middle leaves no half workflow.
                gone = path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
                os.utime(path)  # young, so that nobody sweeps it while it is being removed
                path.rename(gone)
                _sync(path.parent)
                shutil.rmtree(gone)
            elif path.exists():
                path.unlink()
                _sync(path.parent)

    def sweep(self, older_than: float) -> int:
        """Remove leftovers below the root that nobody has changed for ``older_than`` seconds.

        A write under way changes its file all the time; one that does not is no writer's any more. Nobody
        waits for this, so it rests for most of the time.
        """
        count, before = 0, time.time() - older_than
        begun = time.monotonic()
        with self._saving(""):
            for folder, folders, files in os.walk(self._root):
                for name in [n for n in (*folders, *files) if n.startswith(_TEMPORARY)]:
                    if _remove_if_older(Path(folder, name), before):
                        count += 1
                folders[:] = [name for name in folders if not name.startswith(_TEMPORARY)]
                if (worked := time.monotonic() - begun) > _SWEEP_SECONDS:
                    time.sleep(_RESTS * worked)
                    begun = time.monotonic()
        return count

    def _name(self, key: str) -> str:
        return f"{self.uri}/{key}"

    def _path(self, key: str) -> Path:
        return self._root / key

    def _make_folder(self, folder: str) -> bool:
        """Create ``folder``, and return whether there was none; nothing is on disk then."""
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for new in reversed(missing):
            try:
                os.mkdir(new)
            except FileExistsError:
                if not os.path.isdir(new):  # else others have made it as well
                    reason = "a file where a folder is needed"
                    raise NotADirectoryError(errno.ENOTDIR, reason, new) from None
        if self.uri in missing:
            for new in missing[missing.index(self.uri) :]:
                _sync(os.path.dirname(new))
        return bool(missing)

    def _sync_folders(self, folder: str | Path) -> None:
        """Have ``folder`` and all above it on disk: who has made them may not have waited for that."""
        above = [Path(folder), *Path(folder).parents]
        for each in reversed(above[: above.index(self._root) + 1]):
            _sync(each)

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


def _put(path: str, key: str, offset: int, data: Buffer, *, may_exist: bool = False) -> int:
    """Let the file end with ``data`` at ``offset``; it is left open, and is not on disk yet."""
    creating = os.O_CREAT | (0 if may_exist else os.O_EXCL)
    try:
        descriptor = os.open(path, os.O_WRONLY | (creating if offset == 0 else 0), 0o644)
    except FileNotFoundError:
        raise KeyError(key) from None
    try:
        _write_at(descriptor, offset, data)
    except OSError:
        os.close(descriptor)
        if offset == 0:
            os.unlink(path)  # so that it can be created by another try
        raise
    return descriptor


def _write_at(descriptor: int, offset: int, data: Buffer) -> None:
    size = os.fstat(descriptor).st_size
    if size < offset:  # never fill the gap with zeros
        raise OSError(errno.EIO, f"the file has lost its end: {size} bytes instead of {offset}")
    os.lseek(descriptor, offset, os.SEEK_SET)
    _write_all(descriptor, data)
    # What a failed append has left behind goes last: if it was all there, somebody may have counted it,
    # and the same bytes are written once more over it, so that it is there at every moment.
    if size > offset + len(data):
        os.ftruncate(descriptor, offset + len(data))


def _write_all(descriptor: int, data: Buffer) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


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


def _sync(folder: str | Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_filesystem(folder: str) -> None:
    """Bring all files of the file system that ``folder`` lies in to disk."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # only Linux has it
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
    finally:
        os.close(descriptor)
