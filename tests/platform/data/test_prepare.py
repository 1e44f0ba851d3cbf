"""A set of three archives, one of them served, brought onto a disk step by step."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pretrieve.data.folder_tree import load_folder_tree
from pretrieve.data.image_set import ImageSet
from pretrieve.data.prepare import prepare
from pretrieve.data.published._base import Archive, PublishedFacts, PublishedSet
from pretrieve.errors import ImageSetError, UserError


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), number, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


TREE = {
    f"{split}/{name}/{number}.png": picture(17 * number + 3 * len(split) + len(name))
    for split, count in (("train", 3), ("test", 2))
    for name in ("owl", "sparrow")
    for number in range(count)
}


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def part(split: str) -> dict[str, bytes]:
    return {name: content for name, content in TREE.items() if name.startswith(split)}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


TRAIN, TEST = packed(part("train")), packed(part("test"))


class Birds(PublishedSet):
    """Two classes in archives as a test says."""

    name = "birds"

    def __init__(self, *archives: Archive, num_train: int = 6) -> None:
        self.facts = PublishedFacts(
            title="Two Birds",
            num_classes=2,
            num_images={"train": num_train, "test": 4},
            metric="top1",
            split="official",
            licence="for research",
            page="https://birds.example",
            archives=archives,
        )

    def read(self, root: Path, *, name: str, seed: int) -> ImageSet:
        return load_folder_tree(root / "set", name=name)


def by_hand(file: str, content: bytes, contains: str, folder: str = "set") -> Archive:
    return Archive(file=file, url=None, md5=md5(content), folder=folder, contains=contains)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Serve what lies in tmp_path/served, and say where."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    (tmp_path / "served").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    thread.join()
    listening.server_close()


BOTH = (by_hand("train.tar", TRAIN, "set/train"), by_hand("test.tar", TEST, "set/test"))


def test_files_are_downloaded_verified_unpacked_and_counted(served: str, tmp_path: Path) -> None:
    (tmp_path / "served" / "train.tar").write_bytes(TRAIN)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "test.tar").write_bytes(TEST)
    birds = Birds(Archive("train.tar", f"{served}/train.tar", md5(TRAIN), "set", "set/train"), BOTH[1])
    steps: list[tuple[str, str]] = []
    ends: dict[tuple[str, str], tuple[int, int | None]] = {}

    def progress(step: str, file: str, done: int, total: int | None) -> None:
        steps.append((step, file))
        ends[step, file] = (done, total)

    image_set = prepare(birds, tmp_path / "root", progress=progress)
    assert {split: image_set.num_images(split) for split in image_set.splits} == {"train": 6, "test": 4}
    assert list(dict.fromkeys(steps)) == [
        ("download", "train.tar"),
        ("unpack", "train.tar"),
        ("verify", "test.tar"),
        ("unpack", "test.tar"),
    ]
    assert ends["download", "train.tar"] == (len(TRAIN), len(TRAIN))
    assert ends["verify", "test.tar"] == ends["unpack", "test.tar"] == (len(TEST), len(TEST))


def test_a_second_run_does_nothing_but_count_even_without_the_archives(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(TRAIN)
    (tmp_path / "test.tar").write_bytes(TEST)
    first = prepare(Birds(*BOTH), tmp_path)
    (tmp_path / "train.tar").unlink()
    (tmp_path / "test.tar").unlink()

    def progress(step: str, file: str, done: int, total: int | None) -> None:
        raise AssertionError(f"{step} {file}")

    assert prepare(Birds(*BOTH), tmp_path, progress=progress).fingerprints == first.fingerprints


def test_all_files_to_fetch_are_named_at_once_before_anything_is_downloaded(served: str, tmp_path: Path) -> None:
    served_one = Archive("big.tar", f"{served}/big.tar", None, "set", "set/big")
    with pytest.raises(UserError) as caught:
        prepare(Birds(served_one, *BOTH), tmp_path / "root")
    assert str(caught.value).splitlines() == [
        "Two Birds needs 2 files that cannot be downloaded by this command; fetch by hand and save as:",
        f"  - {tmp_path}/root/train.tar  (MD5 {md5(TRAIN)})",
        f"  - {tmp_path}/root/test.tar  (MD5 {md5(TEST)})",
        "from https://birds.example",
        "licence: for research",
        "then run the same again",
    ]
    (tmp_path / "root" / "train.tar").write_bytes(TRAIN)
    with pytest.raises(UserError, match=r"needs 1 file that"):
        prepare(Birds(served_one, *BOTH), tmp_path / "root")


def test_a_file_that_its_publisher_moved_is_named_with_its_place_and_page(served: str, tmp_path: Path) -> None:
    moved = Archive("train.tar", f"{served}/train.tar", None, "set", "set/train")
    with pytest.raises(
        UserError, match=r"answers 404[^\n]*\nto fetch it by hand, save it as .*train.tar, from https://birds"
    ):
        prepare(Birds(moved), tmp_path / "root")


def test_a_file_with_another_checksum_is_named_and_kept(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(TRAIN[:-512])
    (tmp_path / "test.tar").write_bytes(TEST)
    with pytest.raises(ImageSetError, match=rf"train.tar must have the MD5 {md5(TRAIN)} .* but has .* fetch it again"):
        prepare(Birds(*BOTH), tmp_path)
    assert (tmp_path / "train.tar").exists()
    assert not (tmp_path / "set").exists()


def test_an_archive_inside_another_is_unpacked_after_it(tmp_path: Path) -> None:
    outer = zipped({"deep/train.tar": TRAIN, "deep/test.tar": TEST, "__MACOSX/x": b""})
    (tmp_path / "outer.zip").write_bytes(outer)
    birds = Birds(
        by_hand("outer.zip", outer, "deep", folder="."),
        by_hand("deep/train.tar", TRAIN, "set/train"),
        by_hand("deep/test.tar", TEST, "set/test"),
    )
    assert prepare(birds, tmp_path).num_images("train") == 6
    (tmp_path / "outer.zip").unlink()
    (tmp_path / "deep" / "train.tar").unlink()
    assert prepare(birds, tmp_path).num_images("test") == 4


def test_an_archive_that_only_brought_another_is_not_asked_for_again(tmp_path: Path) -> None:
    inner = packed(TREE)
    outer = zipped({"deep/all.tar": inner})
    (tmp_path / "outer.zip").write_bytes(outer)
    birds = Birds(by_hand("outer.zip", outer, "deep/all.tar", folder="."), by_hand("deep/all.tar", inner, "set/train"))
    assert prepare(birds, tmp_path).num_images("train") == 6
    (tmp_path / "outer.zip").unlink()
    (tmp_path / "deep" / "all.tar").unlink()
    assert prepare(birds, tmp_path).num_images("train") == 6


def test_a_plain_file_is_verified_and_left_as_it_is(served: str, tmp_path: Path) -> None:
    (tmp_path / "served" / "labels.mat").write_bytes(b"labels")
    (tmp_path / "train.tar").write_bytes(TRAIN)
    (tmp_path / "test.tar").write_bytes(TEST)
    labels = Archive("labels.mat", f"{served}/labels.mat", md5(b"labels"), ".", "labels.mat")
    prepare(Birds(*BOTH, labels), tmp_path)
    assert (tmp_path / "labels.mat").read_bytes() == b"labels"
    prepare(Birds(*BOTH, labels), tmp_path)
    (tmp_path / "labels.mat").write_bytes(b"others")
    with pytest.raises(ImageSetError, match=r"labels.mat must have the MD5"):
        prepare(Birds(*BOTH, labels), tmp_path)


def test_the_wrong_archive_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(TEST)
    with pytest.raises(ImageSetError, match="must contain 'train', but does not"):
        prepare(Birds(Archive("train.tar", None, None, "set", "set/train")), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"train.tar", ".prepare.lock"}


def test_a_move_cut_by_a_kill_is_finished_though_what_it_contains_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = packed(TREE)
    (tmp_path / "all.tar").write_bytes(whole)
    (tmp_path / "set").mkdir()
    birds = Birds(by_hand("all.tar", whole, "set/test"))
    rename, moved = Path.rename, []

    def rename_until_killed(path: Path, goal: Path) -> Path:
        if moved and moved[-1].name == "test":
            raise KeyboardInterrupt
        moved.append(path)
        return rename(path, goal)

    monkeypatch.setattr(Path, "rename", rename_until_killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(birds, tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "set" / "test").exists()
    assert not (tmp_path / "set" / "train").exists()
    assert prepare(birds, tmp_path).num_images("train") == 6


def test_counts_other_than_published_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(TRAIN)
    (tmp_path / "test.tar").write_bytes(TEST)
    with pytest.raises(ImageSetError, match=r"Two Birds must have 2 classes \(train 7, test 4\)"):
        prepare(Birds(*BOTH, num_train=7), tmp_path)


def test_two_processes_do_not_prepare_one_folder(tmp_path: Path) -> None:
    (tmp_path / "train.tar").write_bytes(TRAIN)
    (tmp_path / "test.tar").write_bytes(TEST)
    tried = []

    def meanwhile(step: str, file: str, done: int, total: int | None) -> None:
        if not tried:
            tried.append(step)
            with pytest.raises(UserError, match="one process at a time may prepare"):
                prepare(Birds(*BOTH), tmp_path)

    assert prepare(Birds(*BOTH), tmp_path, progress=meanwhile).num_classes == 2
    assert tried
