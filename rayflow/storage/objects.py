"""A store on any ``pyarrow.fs`` file system: S3, GCS, HDFS, ... One immutable object a write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from pyarrow import fs

from rayflow.errors import DataLoadError, DataSaveError
from rayflow.storage.address import name_of, redact
from rayflow.storage.filesystems import open_filesystem
from rayflow.storage.store import Buffer, Store


class ObjectStore(Store):
    """Objects below the base path of a file system.

    ``pyarrow.fs`` has no create-if-absent: ``if_absent`` looks first and then writes, so two owners
    that start in the same instant are not told apart (``docs/guarantees.md``).
    """

    appends = False

    def __init__(
        self, address: str, filesystem: fs.FileSystem | None = None, base: str = ""
    ) -> None:
        self.uri, self._address = name_of(address), address
        if filesystem is None:
            filesystem, base = open_filesystem(address)
        self._fs, self._base = filesystem, base.rstrip("/")

    def __reduce__(self) -> tuple[type[ObjectStore], tuple[str, fs.FileSystem, str]]:
        return ObjectStore, (self._address, self._fs, self._base)

    def read(self, key: str, offset: int = 0) -> bytes:
        with self._loading(key), self._fs.open_input_file(self._path(key)) as file:
            file.seek(offset)
            return bytes(file.read())

    def read_part(self, key: str, offset: int, length: int) -> bytes:
        with self._loading(key), self._fs.open_input_file(self._path(key)) as file:
            file.seek(offset)
            return bytes(file.read(length))

    def size(self, key: str) -> int | None:
        with self._loading(key):
            info = self._fs.get_file_info(self._path(key))
        return info.size if info.type == fs.FileType.File else None

    def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        if if_absent and self.size(key) is not None:
            raise FileExistsError(key)
        path = self._path(key)
        try:
            if self._fs.type_name == "hdfs":
                self._fs.create_dir(path.rsplit("/", 1)[0], recursive=True)
            with self._fs.open_output_stream(path) as stream:
                for part in parts:
                    stream.write(part)
        except OSError as error:
            raise DataSaveError(f"Cannot write '{key}' to {self._why(error)}") from error

    def append(self, key: str, offset: int, data: Buffer) -> None:
        raise DataSaveError(f"Cannot append to '{key}': objects in {self._base} are written whole.")

    def list(self, prefix: str) -> list[tuple[str, Literal["file", "folder"]]]:
        selector = fs.FileSelector(self._path(prefix), allow_not_found=True)
        with self._loading(prefix):
            infos = self._fs.get_file_info(selector)
        return sorted(
            (info.base_name, "folder" if info.type == fs.FileType.Directory else "file")
            for info in infos
        )

    def delete(self, prefix: str) -> None:
        path = self._path(prefix)
        try:
            info = self._fs.get_file_info(path)
            if info.type == fs.FileType.File:
                self._fs.delete_file(path)
            elif info.type == fs.FileType.Directory:
                self._fs.delete_dir(path)
        except OSError as error:
            raise DataSaveError(f"Cannot delete '{prefix}' of {self._why(error)}") from error

    def _why(self, error: OSError) -> str:
        return f"{self.uri}: {redact(error, self._address)}."

    def _path(self, key: str) -> str:
        return f"{self._base}/{key}"

    @contextmanager
    def _loading(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise KeyError(key) from None
        except OSError as error:
            raise DataLoadError(f"Cannot read '{key}' of {self._why(error)}") from error
