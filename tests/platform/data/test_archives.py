"""Archives as publishers make them, and as someone would who means harm."""

from __future__ import annotations

import io
import os
import random
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from fuzzing import harmless, num_cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrieve.data.archives import UnpackLimits, unpack_archive
from pretrieve.errors import ImageSetError, UserError

FILES = {"birds/001.wren/a.jpg": b"wren" * 500, "birds/002.owl/b.jpg": b"owl", "birds/empty.txt": b""}
SUFFIXES = ("zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz")


def tar_bytes(members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{mode}") as archive:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_bytes(members: list[tuple[zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for info, content in members:
            archive.writestr(info, content, compress_type=method)
    return buffer.getvalue()


def archive_bytes(suffix: str, files: Mapping[str, bytes]) -> bytes:
    if suffix == "zip":
        return zip_bytes([(zipfile.ZipInfo(name), content) for name, content in files.items()])
    mode = {"tar": "", "tgz": "gz"}.get(suffix, suffix.rpartition(".")[2])
    return tar_bytes([(tarfile.TarInfo(name), content) for name, content in files.items()], mode)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write an archive beside the folder that it is unpacked to."""

    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_gives_its_files_and_nothing_else_is_left(
    suffix: str, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    archive = write(f"birds.{suffix}", archive_bytes(suffix, FILES))
    unpack_archive(archive, tmp_path / "out" / "deep")
    assert files_below(tmp_path / "out" / "deep") == FILES
    assert {path.name for path in tmp_path.iterdir()} == {archive.name, "out"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["deep"]


def test_the_kind_is_told_from_the_bytes_not_from_the_suffix(
    write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    unpack_archive(write("birds.zip", archive_bytes("tar.xz", FILES)), tmp_path / "out")
    assert files_below(tmp_path / "out") == FILES


def test_folders_may_come_twice_and_modes_are_not_taken(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    folder, file = tarfile.TarInfo("./birds/"), tarfile.TarInfo("birds/a.jpg")
    folder.type, folder.mode, file.mode = tarfile.DIRTYPE, 0o000, 0o6777
    root = tarfile.TarInfo("./")
    root.type = tarfile.DIRTYPE
    archive = write("birds.tar", tar_bytes([(root, b""), (folder, b""), (file, b"a"), (folder, b"")]))
    unpack_archive(archive, tmp_path / "out")
    assert files_below(tmp_path / "out") == {"birds/a.jpg": b"a"}
    assert not (tmp_path / "out" / "birds" / "a.jpg").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


HOSTILE_NAMES = [
    ("/etc/passwd", "absolute path"),
    ("../outside", "leads out"),
    ("a/../../outside", "leads out"),
    ("C:/windows", "absolute path"),
    ("a\\..\\outside", "without NUL and backslash"),
    ("a" * 256, "is longer"),
    ("a/" * 65 + "b", "is longer"),
    ("/".join(["a" * 200] * 6), "is longer"),
]


@pytest.mark.parametrize("suffix", ["zip", "tar"])
@pytest.mark.parametrize(("name", "message"), HOSTILE_NAMES)
def test_a_name_that_leads_elsewhere_is_an_error_and_nothing_is_unpacked(
    suffix: str, name: str, message: str, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    archive = write(f"birds.{suffix}", archive_bytes(suffix, {"good.jpg": b"good", name: b"bad"}))
    with pytest.raises(ImageSetError, match=message):
        unpack_archive(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_nul_in_a_name_is_an_error(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    content = archive_bytes("zip", {"good.jpgXa": b"good"}).replace(b"good.jpgXa", b"good.jpg\0a")
    with pytest.raises(ImageSetError, match="without NUL"):
        unpack_archive(write("birds.zip", content), tmp_path / "out")
    info = tarfile.TarInfo("short")
    info.pax_headers = {"path": "good.jpg\0a"}
    with pytest.raises(ImageSetError, match="without NUL"):
        unpack_archive(write("birds.tar", tar_bytes([(info, b"good")])), tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_in_a_tar_are_errors(
    kind: bytes, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    info = tarfile.TarInfo("birds/link")
    info.type, info.linkname = kind, "../../outside"
    with pytest.raises(ImageSetError, match=r"'birds/link' is a link, a device"):
        unpack_archive(write("birds.tar", tar_bytes([(info, b"")])), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_in_a_zip_are_errors(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ImageSetError, match="'link' is a link or a device"):
        unpack_archive(write("birds.zip", zip_bytes([(info, b"/etc/passwd")])), tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("suffix", ["zip", "tar"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "a"], "is there twice"),
        (["birds/a.jpg", "birds/a.jpg"], "is there twice"),
        (["birds/a.jpg", "./birds//a.jpg"], "is there twice"),
        (["birds/a.jpg", "birds/A.JPG"], "differs from 'birds/a.jpg' by no more"),
        (["birds/a.jpg", "Birds/b.jpg"], "differs from 'birds' by no more"),
        (["caf\u00e9.jpg", "cafe\u0301.jpg"], "by no more"),
        (["birds", "birds/a.jpg"], "as a file and as a folder"),
        (["birds/a.jpg", "birds"], "as a file and as a folder"),
    ],
)
def test_two_members_for_one_place_are_an_error(
    suffix: str, names: list[str], message: str, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    if suffix == "zip":
        content = zip_bytes([(zipfile.ZipInfo(name), b"x") for name in names])
    else:
        content = tar_bytes([(tarfile.TarInfo(name), b"x") for name in names])
    with pytest.raises(ImageSetError, match=message):
        unpack_archive(write(f"birds.{suffix}", content), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_archive_is_an_error_wherever_it_is_cut(
    suffix: str, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    noise = random.Random(0).randbytes(3000)
    content = archive_bytes(suffix, {"a.jpg": noise, "b.jpg": noise[:1024], "c.jpg": noise[1024:]})
    # After the first of the empty blocks at its end a tar has nothing to lose.
    whole = len(content.rstrip(b"\0")) + 512 if suffix == "tar" else len(content)
    for end in sorted({0, 1, 100, 511, 512, 513, 1024, whole - 1, *range(0, whole, 499)}):
        archive = write(f"birds.{suffix}", content[:end])
        with pytest.raises(ImageSetError, match=f"{archive.name} must be a whole zip or tar archive"):
            unpack_archive(archive, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_truncated_member_is_named(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    content = archive_bytes("tar", {"a.jpg": b"a" * 2000, "b.jpg": b"b" * 2000})
    with pytest.raises(ImageSetError, match=r"member 'b.jpg' cannot be read: 1,500 of its 2,000 bytes are missing"):
        unpack_archive(write("birds.tar", content[: 512 + 2048 + 512 + 500]), tmp_path / "out")


def test_a_damaged_header_in_the_middle_is_no_end(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    content = bytearray(archive_bytes("tar", {"a.jpg": b"a" * 512, "b.jpg": b"b"}))
    content[1024] ^= 1  # the name of the second member
    with pytest.raises(ImageSetError, match=r"what follows member 'a.jpg' cannot be read: a header is damaged"):
        unpack_archive(write("birds.tar", bytes(content)), tmp_path / "out")


def test_an_encrypted_zip_is_an_error(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    content = bytearray(archive_bytes("zip", {"a.jpg": b"a"}))
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(start) + offset] |= 1
    with pytest.raises(ImageSetError, match=r"free of passwords, but 'a.jpg' is encrypted"):
        unpack_archive(write("birds.zip", bytes(content)), tmp_path / "out")


def test_a_web_page_in_place_of_an_archive_is_an_error(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match="must be a whole zip or tar archive, but its first header"):
        unpack_archive(write("birds.zip", b"<!DOCTYPE html><p>Please log in" + b" " * 600), tmp_path / "out")
    with pytest.raises(ImageSetError, match=r"must be a file, but .* is not one"):
        unpack_archive(tmp_path / "none.zip", tmp_path / "out")


def test_a_zip_packed_otherwise_is_an_error(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    content = zip_bytes([(zipfile.ZipInfo("a.jpg"), b"a")], zipfile.ZIP_LZMA)
    with pytest.raises(ImageSetError, match=r"stored or deflated, but 'a.jpg' is packed by method 14"):
        unpack_archive(write("birds.zip", content), tmp_path / "out")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (UnpackLimits(max_bytes=2_000_000), "unpack to at most 2,000,000 bytes"),
        (UnpackLimits(max_members=2), "hold at most 2 members"),
        (UnpackLimits(max_ratio=20, ratio_from_bytes=1000), "unfold no member more than 20 times, but 'c' has over"),
    ],
)
def test_a_bomb_is_an_error_and_gone(
    suffix: str, limits: UnpackLimits, message: str, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    content = archive_bytes(suffix, {"a": b"a", "b": b"b", "c": bytes(3_000_000)})
    if suffix == "tar" and limits.max_ratio == 20:
        return  # a tar without compression holds what it unpacks to
    with pytest.raises(ImageSetError, match=message):
        unpack_archive(write(f"bomb.{suffix}", content), tmp_path / "out", limits=limits)
    assert [path.name for path in tmp_path.iterdir()] == [f"bomb.{suffix}"]


def test_a_zip_whose_headers_lie_about_sizes_is_an_error(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    size = 3_000_000
    content = archive_bytes("zip", {"c": bytes(size)}).replace(size.to_bytes(4, "little"), (10).to_bytes(4, "little"))
    with pytest.raises(ImageSetError, match="member 'c' cannot be read"):
        unpack_archive(write("bomb.zip", content), tmp_path / "out")


def test_a_header_of_gigabytes_is_not_read_into_memory(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 4 * 2**30
    with pytest.raises(ImageSetError, match="a header claims 4,294,967,296 bytes"):
        unpack_archive(write("bomb.tar", info.tobuf() + bytes(10240)), tmp_path / "out")


def test_progress_counts_to_the_size_of_the_archive(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        archive = write(f"birds.{suffix}", archive_bytes(suffix, FILES))
        seen: list[tuple[int, int]] = []
        unpack_archive(archive, tmp_path / suffix, progress=lambda done, total, seen=seen: seen.append((done, total)))
        assert {total for _, total in seen} == {archive.stat().st_size}
        assert seen[-1][0] == archive.stat().st_size
        assert len(seen) >= 3


def test_two_archives_share_a_folder_and_its_folders(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    unpack_archive(write("images.tar", archive_bytes("tar", {"set/images/a.jpg": b"a"})), tmp_path / "out")
    unpack_archive(write("lists.zip", archive_bytes("zip", {"set/lists/a.txt": b"l", "top": b"t"})), tmp_path / "out")
    assert files_below(tmp_path / "out") == {"set/images/a.jpg": b"a", "set/lists/a.txt": b"l", "top": b"t"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"set", "top"}


def test_nothing_is_overwritten_and_nothing_moved_when_a_name_is_taken(
    write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    (tmp_path / "out" / "set").mkdir(parents=True)
    (tmp_path / "out" / "set" / "b.jpg").write_bytes(b"mine")
    archive = write("images.tar", archive_bytes("tar", {"a": b"a", "set/b.jpg": b"theirs"}))
    with pytest.raises(ImageSetError, match=r"must not overwrite anything, but .*out/set/b.jpg exists"):
        unpack_archive(archive, tmp_path / "out")
    assert files_below(tmp_path / "out") == {"set/b.jpg": b"mine"}


def test_a_link_in_the_folder_is_not_followed(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "set").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ImageSetError, match="must not overwrite anything"):
        unpack_archive(write("images.tar", archive_bytes("tar", {"set/b.jpg": b"b"})), tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_wrong_archive_is_an_error_before_anything_is_moved(
    write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    archive = write("birds.zip", archive_bytes("zip", FILES))
    with pytest.raises(ImageSetError, match="must contain 'birds/lists', but does not"):
        unpack_archive(archive, tmp_path / "out", contains="birds/lists")
    assert not (tmp_path / "out").exists()
    unpack_archive(archive, tmp_path / "out", contains="birds/001.wren")


KILLED = """
import os, sys
from pathlib import Path
from pretrieve.data import archives
if sys.argv[3] == "unpacking":
    def die(done, total):
        os._exit(9)
    archives.unpack_archive(Path(sys.argv[1]), Path(sys.argv[2]), progress=die)
rename = Path.rename
def renames_twice(path, goal, calls=[]):
    calls.append(path)
    if len(calls) > 2:
        os._exit(9)
    return rename(path, goal)
Path.rename = renames_twice
archives.unpack_archive(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("moment", ["unpacking", "moving"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_kill_leaves_nothing_that_the_next_call_does_not_mend(
    moment: str, exists: bool, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    import subprocess
    import sys

    archive = write("birds.tar", archive_bytes("tar", {"a": b"a", "b/c": b"c", "d": b"d"}))
    out = tmp_path / "parent" / "o[u]t"
    out.mkdir(parents=True) if exists else out.parent.mkdir()
    ended = subprocess.run([sys.executable, "-c", KILLED, str(archive), str(out), moment], check=False)
    if moment == "moving" and not exists:
        assert ended.returncode == 0  # one rename, nothing between
        return
    assert ended.returncode == 9
    assert len([path for path in tmp_path.rglob(".*") if path.suffix != ".lock"]) == 1
    unpack_archive(archive, out)
    assert files_below(out) == {"a": b"a", "b/c": b"c", "d": b"d"}
    assert not list(tmp_path.rglob(".*"))


def test_the_folder_of_a_living_process_is_no_leftover(write: Callable[[str, bytes], Path], tmp_path: Path) -> None:
    archive = write("birds.tar", archive_bytes("tar", FILES))
    other = write("other.tar", archive_bytes("tar", {"x": b"x"}))
    (tmp_path / "out").mkdir()

    def meanwhile(done: int, total: int) -> None:
        if not (tmp_path / "out" / "x").exists():
            unpack_archive(other, tmp_path / "out")

    unpack_archive(archive, tmp_path / "out", progress=meanwhile)
    assert files_below(tmp_path / "out") == {**FILES, "x": b"x"}


GOOD_NAMES = st.builds("{}/{}.jpg".format, st.sampled_from(["owl", "wren", "set/owl"]), st.integers(0, 10**6))
BAD_NAMES = st.one_of(
    st.sampled_from(
        ["a", "A", "a/b", "a/B/c.jpg", "./a", "a//b", "b/", "..", "../x", "a/../../x", "/x", "C:x", "a\\b"]
    ),
    st.sampled_from(
        ["", ".", "/", "//x", "a/./../x", "x\0y", "caf\u00e9", "cafe\u0301", "\udce9", "n" * 300, "d/" * 70]
    ),
    st.text(alphabet="abA./\\\0:\u00e9\u4e2d ", max_size=12),
)
NAMES = st.integers(0, 5).flatmap(lambda draw: GOOD_NAMES if draw else BAD_NAMES)
CONTENTS = st.one_of(
    st.binary(max_size=40), st.integers(0, 3000).map(lambda size: bytes(size)), st.just(b"noise" * 300)
)
TAR_KINDS = st.sampled_from(
    [tarfile.REGTYPE] * 40
    + [tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
    + [tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, b"Z"]
)
PAX = st.dictionaries(
    st.sampled_from(["path", "size", "linkpath", "GNU.sparse.major", "GNU.sparse.size", "hdrcharset"]),
    st.sampled_from(["../x", "/x", "a\0b", "1", "-1", "999999999999", "1.0", "BINARY"]),
    max_size=2,
)


@st.composite
def tars(draw: Any) -> bytes:
    blocks = b""
    for _ in range(draw(st.integers(0, 5))):
        info, content = tarfile.TarInfo(draw(NAMES)), draw(CONTENTS)
        info.type, info.linkname = draw(TAR_KINDS), draw(st.sampled_from(["", "a", "../x", "/etc/passwd"]))
        info.size = draw(st.sampled_from([len(content)] * 25 + [0, 7, 10**10, -512]))
        info.pax_headers = draw(PAX) if draw(st.integers(0, 7)) == 0 else {}
        form = draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
        blocks += info.tobuf(form, errors="surrogateescape") + content + bytes(-len(content) % 512)
    return blocks + bytes(draw(st.sampled_from([1024] * 6 + [512, 0])))


@st.composite
def zips(draw: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for _ in range(draw(st.integers(0, 5))):
            info = zipfile.ZipInfo("x")
            info.filename = draw(NAMES).replace("\udce9", "\u00e9")
            info.external_attr = draw(st.sampled_from([0] * 20 + [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR])) << 16
            method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED] * 6 + [zipfile.ZIP_BZIP2]))
            archive.writestr(info, draw(CONTENTS), compress_type=method)
    return buffer.getvalue()


@st.composite
def damaged(draw: Any) -> tuple[bytes, bool]:
    """Make the bytes of an archive, and whether they are as they were made."""
    import bz2
    import gzip
    import lzma

    content = bytearray(draw(st.one_of(zips(), tars())))
    pack = draw(st.sampled_from([bytes] * 5 + [gzip.compress, bz2.compress, lzma.compress]))
    content = bytearray(pack(bytes(content)))
    kind = draw(st.sampled_from(["whole", "whole", "cut", "flipped", "inserted"]))
    where = draw(st.integers(0, max(0, len(content) - 1)))
    if kind == "cut":
        del content[where:]
    elif kind == "flipped" and content:
        for place in draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
            content[place] ^= 1 << draw(st.integers(0, 7))
    elif kind == "inserted":
        content[where:where] = draw(st.binary(min_size=1, max_size=20))
    return bytes(content), kind == "whole"


def expected_files(content: bytes) -> dict[str, bytes]:
    """What the standard library reads from a whole archive, by normalised name."""
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {
                os.path.normpath(info.filename): archive.read(info) for info in archive.infolist() if not info.is_dir()
            }
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {
            os.path.normpath(info.name): read.read()
            for info in archive
            if (read := archive.extractfile(info)) is not None
        }


@settings(max_examples=num_cases(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(made=damaged(), exists=st.booleans())
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_archive_writes_outside_or_ends_in_another_error(made: tuple[bytes, bool], exists: bool) -> None:
    content, is_whole = made
    base = Path(tempfile.mkdtemp(prefix="pretrieve-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        (base / "safe" / "in").mkdir(parents=True)
        archive, out = base / "safe" / "x.archive", base / "safe" / "in" / "out"
        archive.write_bytes(content)
        if exists:
            out.mkdir()
        try:
            with harmless(base):
                unpack_archive(archive, out, limits=UnpackLimits(max_bytes=2**20, max_members=4))
        except UserError as error:
            str(error).encode()  # it can be printed
            assert files_below(out) == {}
            assert out.exists() == exists
        else:
            assert not any(path.is_symlink() for path in base.rglob("*"))
            if is_whole:
                assert files_below(out) == expected_files(content)
        assert {path.name for path in base.iterdir()} == {"safe"}
        assert {path.name for path in (base / "safe").iterdir()} == {"in", "x.archive"}
        assert {path.name for path in (base / "safe" / "in").iterdir()} <= {"out"}
        assert archive.read_bytes() == content
    finally:
        shutil.rmtree(base)
