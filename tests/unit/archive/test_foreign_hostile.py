"""Archives that somebody made to do harm, or that are broken."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.archive import samples

from kubently import archive
from kubently.archive import answers
from kubently.archive.foreign import source, tarball
from kubently.errors import ConfigError

NODES = "bundle/cluster-resources/nodes.json"
PODS = "bundle/cluster-resources/pods/shop.json"
ONE_POD = json.dumps([{"metadata": {"name": "web", "namespace": "shop"}}]).encode()


def tar(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo, level: int = 1) -> Path:
    """Write a .tar.gz of files, after other members without content."""
    with tarfile.open(path, "w:gz", compresslevel=level) as packed:
        for member in others:
            packed.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    return found


def test_links_and_devices_are_neither_followed_nor_made(tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text('[{"metadata": {"name": "stolen"}}]')
    others = [
        member("bundle/cluster-resources/pvs.json", tarfile.SYMTYPE, str(tmp_path / "outside.json")),
        member("bundle/cluster-resources/pods/a.json", tarfile.SYMTYPE, "../../../outside.json"),
        member("bundle/cluster-resources/pods/b.json", tarfile.LNKTYPE, "../outside.json"),
        member("bundle/cluster-resources/pods/c.json", tarfile.FIFOTYPE),
        member("bundle/cluster-resources/pods/d.json", tarfile.CHRTYPE),
    ]

    found = archive.read(tar(tmp_path / "x.tar.gz", {NODES: b"[]", PODS: ONE_POD}, *others))

    assert found.left_out_count == 5
    assert "stolen" not in repr(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside.json", "x.tar.gz"]


def test_a_second_name_of_a_file_is_no_loss(tmp_path: Path) -> None:
    links = [
        member("bundle/app/web.json", tarfile.SYMTYPE, "../cluster-resources/pods/shop.json"),
        member("bundle/hard.json", tarfile.LNKTYPE, PODS),
    ]

    assert archive.read(tar(tmp_path / "x.tgz", {NODES: b"[]", PODS: ONE_POD}, *links)).left_out_count == 0


@pytest.mark.parametrize(
    "name",
    [
        "../bundle/cluster-resources/pvs.json",
        "/bundle/cluster-resources/pvs.json",
        "bundle/cluster-resources/../../../etc/pvs.json",
        "bundle//cluster-resources/pvs.json",
        "bundle/cluster-resources/./pvs.json",
        "bundle\\cluster-resources\\pvs.json",
        "bundle/cluster-resources/p\x1bvs.json",
        "bundle/cluster-resources/" + "x" * 5000 + ".json",
        "a/" * 30 + "pvs.json",
    ],
)
def test_names_that_lead_elsewhere_are_not_used(name: str, tmp_path: Path) -> None:
    found = archive.read(tar(tmp_path / "x.tar.gz", {NODES: b"[]", PODS: ONE_POD, name: b"[]"}))

    assert found.left_out_count == 1
    assert all(reason.isprintable() and len(reason) < 500 for reason in found.left_out)
    assert ("", "persistentvolumes") not in (found.held or {})


def test_the_links_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "shop.json").write_bytes(ONE_POD)
    kinds = tmp_path / "inside" / "cluster-resources"
    kinds.mkdir(parents=True)
    (kinds / "nodes.json").write_text("[]")
    (kinds / "pvs.json").symlink_to(tmp_path / "outside" / "shop.json")
    (kinds / "pods").symlink_to(tmp_path / "outside")
    (kinds / "pvcs").symlink_to(kinds)
    os.mkfifo(kinds / "priorityclasses.json")

    found = archive.read(tmp_path / "inside")

    assert found.by_type == {}
    assert found.left_out == ("cluster-resources/pvs.json: it is a link to what is not in the archive, or is no file",)


# ---- too much of it


def bomb(path: Path) -> Path:
    """A tar with one member of a GiB of zeros, in a MiB."""
    header = tarfile.TarInfo(NODES)
    header.size = 1024**3
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.write(header.tobuf())
        for _ in range(256):
            packed.write(bytes(1024**2))
    return path


def test_what_unpacks_to_far_more_than_it_is_is_given_up(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.tar.gz")
    assert path.stat().st_size < 2 * 1024**2

    with pytest.raises(ConfigError, match="unpacks to far more than it is"):
        archive.read(path)


def test_a_million_members_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of a million headers decide; the rest is not read."""
    header = member("bundle/x.json").tobuf()
    path = tmp_path / "many.tar.gz"
    path.write_bytes(gzip.compress(header * 20_000, 1) * 50)
    monkeypatch.setattr(source, "MAX_FILES", 5_000)

    with pytest.raises(ConfigError, match="more than 5000 files"):
        archive.read(path)


def test_many_files_in_a_folder_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(11):
        (tmp_path / f"{number}.json").touch()
    monkeypatch.setattr(source, "MAX_FILES", 10)

    with pytest.raises(ConfigError, match="more than 10 files"):
        archive.read(tmp_path)


def endless_name() -> bytes:
    header = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    header.size = 3 * 1024**2
    return header.tobuf(tarfile.GNU_FORMAT) + b"x" * header.size


def endless_attributes() -> bytes:
    header = member("x", tarfile.XHDTYPE)
    header.size = 3 * 1024**2
    return header.tobuf() + b"\n" * header.size


def endless_headers() -> bytes:
    """Each says that the next is about the one behind it."""
    header = member("x", tarfile.XHDTYPE)
    header.size = 10
    return (header.tobuf() + b"10 a=bcde\n".ljust(512, b"\0")) * 3000


def endless_sparse_map() -> bytes:
    header = bytearray(member("x", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    more = b"00000000001\0" * 42 + b"\x01" + bytes(7)
    return bytes(header) + more * 3000


@pytest.mark.parametrize("make", [endless_name, endless_attributes, endless_headers, endless_sparse_map])
def test_headers_without_an_end_are_given_up(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(make(), 1))

    with pytest.raises(ConfigError, match=r"endless headers|not a whole \.tar\.gz"):
        archive.read(path)


def test_a_file_that_is_too_large_is_left_out_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 200)
    log = "bundle/cluster-resources/pods/logs/shop/web/main.log"
    monkeypatch.setattr(source, "MAX_LOG_BYTES", 6)
    files = {NODES: b"[" + b" " * 300 + b"]", PODS: ONE_POD, log: b"first\nlast!\n"}
    packed = tar(tmp_path / "x.tar.gz", files)
    with tarfile.open(packed) as members:
        members.extractall(tmp_path / "x", filter="data")

    for found in (archive.read(packed), archive.read(tmp_path / "x")):
        assert ("", "nodes") not in (found.held or {})
        assert found.by_type["", "pods"]
        assert list(found.logs.values()) == [b"last!\n"]
        assert found.left_out_count == 2


def test_all_files_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_TOTAL_BYTES", len(ONE_POD) + 1)

    found = archive.read(tar(tmp_path / "x.tar.gz", {PODS: ONE_POD, NODES: b"[ ]"}))

    assert found.left_out == (f"{NODES}: all files together are larger than {len(ONE_POD) + 1} bytes",)


def test_the_reasons_are_bounded_and_their_number_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_REASONS", 3)
    items = [{"metadata": {"name": "/" * 5000}}] * 10

    found = archive.read(tar(tmp_path / "x.tar.gz", {NODES: b"[]", PODS: json.dumps(items).encode()}))

    assert (len(found.left_out), found.left_out_count) == (3, 10)
    assert all(len(reason) <= source.MAX_REASON + 2 for reason in found.left_out)


# ---- broken


@pytest.mark.parametrize("cut", [0, 1, 100, 3000])
def test_half_a_file_is_no_archive(cut: int, tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar.gz", {NODES: b"[]", PODS: os.urandom(3000)}, level=0)
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(ConfigError):
        archive.read(path)


# A packed content holds the instant it was made at: as an id of its own it would differ between processes.
@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04", b"no archive", gzip.compress(b"no tar" * 100), gzip.compress(b"")],
    ids=["zip", "text", "packed text", "packed nothing"],
)
def test_another_file_is_no_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(ConfigError):
        archive.read(tmp_path / "x")


def test_a_name_that_is_there_twice_is_taken_once(tmp_path: Path) -> None:
    other = ONE_POD.replace(b"web", b"bad")
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        for name, content in ((NODES, b"[]"), (PODS, ONE_POD), (PODS, other)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))

    found = archive.read(path)

    assert "bad" not in repr(found.by_type)
    assert found.left_out_count == 1


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
WORDS = st.sampled_from(
    ["metadata", "name", "namespace", "items", "kind", "PodList", "apiVersion", "v1", "spec", "status", "annotations"]
)
DOCUMENTS = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
NAMES = {
    "support_bundle": (
        NODES,
        PODS,
        "bundle/cluster-resources/namespaces.json",
        "bundle/cluster-resources/custom-resource-definitions.json",
        "bundle/cluster-resources/custom-resources/things.example.com/shop.json",
        "bundle/cluster-resources/pods-errors.json",
        "bundle/cluster-info/cluster_version.json",
        "bundle/cluster-resources/leases/shop.json",
    ),
    "must_gather": (
        "image/namespaces/shop/core/pods.yaml",
        "image/namespaces/shop/shop.yaml",
        "image/namespaces/shop/pods/web/web.yaml",
        "image/namespaces/all/core/events.yaml",
        "image/cluster-scoped-resources/core/nodes/n1.yaml",
        "image/timestamp",
    ),
    "cluster_info": ("nodes.json", "shop/pods.json", "shop/events.yaml", "shop/web/logs.txt"),
}


class Memory:
    """Files in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.left_out = source.LeftOut()
        self.taken: set[str] = set()
        self._files = files

    def names(self) -> list[str]:
        return list(self._files)

    def read(self, name: str) -> bytes | None:
        return self._files.get(name)


@pytest.mark.parametrize("layout", NAMES)
@settings(max_examples=30)
@given(data=st.data())
def test_whatever_the_files_hold_is_served_or_left_out(layout: str, data: st.DataObject) -> None:
    reader = getattr(archive.foreign, layout)
    files = data.draw(st.dictionaries(st.sampled_from(NAMES[layout]), DOCUMENTS, min_size=1, max_size=4))
    from_memory = Memory({name: json.dumps(content).encode() for name, content in files.items()})

    found = archive.foreign.build.build(reader.read(from_memory, "bundle/" if layout == "support_bundle" else ""), "x")

    for path in ("/api/v1/pods", "/api/v1/nodes", "/apis", "/api/v1/events", "/openapi/v3", "/version"):
        try:
            assert samples.get(found, path).status == 200
        except answers.RefusedError as refused:
            assert refused.code == 403


def test_bounds_are_what_the_documentation_says() -> None:
    assert (source.MAX_FILES, source.MAX_FILE_BYTES, source.MAX_TOTAL_BYTES) == (200_000, 64 * 2**20, 512 * 2**20)
    assert (source.MAX_LOG_BYTES, tarball.MAX_RATIO, tarball.MAX_UNPACKED) == (8 * 2**20, 200, 8 * 2**30)
