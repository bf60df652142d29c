"""Addresses of storage roots: what is accepted, what identifies a root, what is never shown."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from rayflow.errors import StorageError
from rayflow.storage.address import name_of, parse, redact
from rayflow.storage.local import LocalStore
from rayflow.storage.objects import ObjectStore
from rayflow.storage.root import open_store

SECRET = "wJalrXUtnFEMI+bPxRfiCY"
ENCODED = SECRET.replace("+", "%2B")
S3 = "endpoint_override=127.0.0.1:9000&scheme=http&region=us-east-1"


def s3_object(secret: str = SECRET) -> fs.S3FileSystem:
    return fs.S3FileSystem(
        access_key="AKIAEXAMPLE",
        secret_key=secret,
        endpoint_override="127.0.0.1:9000",
        scheme="http",
        region="us-east-1",
    )


SPELLINGS: dict[str, Any] = {
    "user-info": f"s3://AKIAEXAMPLE:{ENCODED}@bucket/a?{S3}",
    "trailing slash": f"s3://bucket/a/?{S3}",
    "query": f"s3://bucket/a?access_key=AKIAEXAMPLE&secret_key={ENCODED}&{S3}",
    "environment": f"s3://bucket/a?{S3}",
    "object": (s3_object(), "bucket/a"),
    "part of an object": (fs.SubTreeFileSystem("bucket", s3_object()), "a"),
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_a_root_has_one_name_however_its_credentials_are_given(how: str) -> None:
    store = open_store(SPELLINGS[how])
    assert store.uri == "s3://bucket/a?endpoint_override=127.0.0.1:9000"
    assert name_of(parse(SPELLINGS[how])) == store.uri
    assert pickle.loads(pickle.dumps(store)).uri == store.uri


def test_roots_of_other_buckets_paths_or_servers_have_other_names() -> None:
    roots = ["s3://b/a", "s3://b/c", "s3://c/a", f"s3://b/a?{S3}", "gs://b/a", "/b/a", "hdfs://b/a"]
    assert len({name_of(parse(root)) for root in roots}) == len(roots)


def test_an_address_is_parsed_to_itself() -> None:
    for given in (*SPELLINGS.values(), "relative/path", "custom://module.factory/path"):
        assert parse(parse(given)) == parse(given)


def test_local_folders_are_paths_however_they_are_spelled(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    uri = f"file://{str(folder).replace(' ', '%20')}"
    subtree = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    given: list[Any] = [folder, str(folder), uri, (fs.LocalFileSystem(), str(folder))]
    for each in [*given, os.path.relpath(folder), (subtree, "with space")]:
        assert parse(each) == str(folder)
        assert isinstance(open_store(each), LocalStore)


def test_google_and_hadoop_addresses_go_to_their_file_systems() -> None:
    store = open_store("gs://anonymous@bucket/path")
    assert isinstance(store, ObjectStore)
    assert store.uri == "gs://bucket/path"
    assert name_of(parse("hdfs://user@namenode:9000/path")) == "hdfs://namenode:9000/path"
    assert open_store((fs.GcsFileSystem(anonymous=True), "bucket/path")).uri == "gs://bucket/path"


@pytest.mark.parametrize("given", [3, b"s3://b", ("a", "b"), (fs.LocalFileSystem(),), [], None])
def test_what_is_no_storage_is_a_type_error(given: object) -> None:
    with pytest.raises(TypeError, match=r"must be a path, a URI .* not \w+"):
        parse(given)


@pytest.mark.parametrize(
    "given", ["", "  ", (fs.LocalFileSystem(), "")], ids=["empty", "blank", "no path"]
)
def test_an_empty_storage_is_a_value_error(given: object) -> None:
    with pytest.raises(ValueError, match="is empty"):
        parse(given)


@pytest.mark.parametrize(
    "uri",
    [
        f"nonsense://user:{ENCODED}@bucket/path",
        f"s3://key:{ENCODED}@bucket/path?colour=red",
        f"s3://bucket/path?access_key=key&secret_key={ENCODED}&colour=red",
        f"s3://key:{ENCODED}@buc ket/path",
        f"s3://key:{SECRET}/more@bucket/path",
        f"s3://bucket/path?session_token={ENCODED}",
    ],
)
def test_a_refused_address_is_named_without_its_secrets(uri: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_store(uri)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        assert ENCODED not in str(error)
        error = None if error.__suppress_context__ else error.__context__
    assert uri.split(":", maxsplit=1)[0] in str(caught.value)


def test_messages_of_others_are_shown_without_secrets_and_in_one_line() -> None:
    address = parse(SPELLINGS["user-info"])
    shown = redact(f"bad {address} or {SECRET} or {ENCODED}\nand more", address)
    assert shown == "bad s3://bucket/a?endpoint_override=127.0.0.1:9000 or *** or ***"
    address = parse(SPELLINGS["object"])
    assert redact(f"{SECRET} {address}", address) == f"*** {name_of(address)}"


def test_a_file_system_that_cannot_travel_is_refused() -> None:
    handler = fs.FSSpecHandler(n for n in "x")
    with pytest.raises(StorageError, match="cannot be pickled"):
        parse((fs.PyFileSystem(handler), "path"))


def factory_of_file_systems(path: str) -> fs.FileSystem:
    return fs.SubTreeFileSystem("/nowhere", fs.LocalFileSystem())


def factory_of_pairs(path: str) -> tuple[fs.FileSystem, str]:
    return s3_object(), f"bucket{path}"


def factory_of_stores(path: str) -> LocalStore:
    return LocalStore(path)


def factory_of_nonsense(path: str) -> int:
    return len(path)


def broken_factory(path: str) -> None:
    raise RuntimeError("no luck")


HERE = "custom://tests.unit.test_addresses"


def test_a_custom_factory_makes_a_store_or_a_file_system() -> None:
    assert (
        open_store(f"{HERE}.factory_of_file_systems/a").uri == f"{HERE}.factory_of_file_systems/a"
    )
    assert isinstance(open_store(f"{HERE}.factory_of_pairs/a"), ObjectStore)
    assert open_store(f"{HERE}.factory_of_stores/some/path").uri == "/some/path"


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("factory_of_nonsense", "returned int"),
        ("broken_factory", "RuntimeError: no luck"),
        ("missing", "AttributeError"),
    ],
)
def test_a_factory_that_does_not_work_is_named_with_the_reason(factory: str, reason: str) -> None:
    with pytest.raises(StorageError, match=rf"{factory}.*{reason}"):
        open_store(f"{HERE}.{factory}/a")
    with pytest.raises(StorageError, match="ModuleNotFoundError"):
        open_store("custom://no_such_module.factory/a")
