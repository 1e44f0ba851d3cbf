import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from pretrieve.data.decode import decode_square, decode_whole, encode_png
from pretrieve.data.image_table import table_of_contents, table_of_files
from pretrieve.image_cache import entries
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.image_cache.card import read_card, verify_entry, write_card
from pretrieve.image_cache.entries import CacheEntry, is_finished, write_entry


def _visible(folder):
    return list(folder.iterdir())


def _decoded(entry):
    return np.stack([decode_square(content, entry.size) for content in entry.table["content"].to_pylist()])


def test_an_entry_gives_back_its_images_and_labels_in_order(make_entry, tmp_path):
    entry = make_entry("a", 5, seed=3)
    write_entry(entry, tmp_path / "cache" / "a")
    images = CachedImages([tmp_path / "cache" / "a"])
    assert len(images) == 5
    assert images.labels.tolist() == [3, 4, 5, 6, 7]
    np.testing.assert_array_equal(images.gather(torch.arange(5)).numpy(), _decoded(entry))
    card = read_card(tmp_path / "cache" / "a")
    assert (card.num_images, card.broken, card.size, card.layout) == (5, (), 8, "square")


@pytest.mark.parametrize("shape", [(8, 24), (30, 20), (8, 8)])
def test_a_whole_image_is_squeezed_and_its_proportions_kept_beside_it(make_entry, tmp_path, shape):
    entry = make_entry("a", 3, shape=shape, layout="whole")
    write_entry(entry, tmp_path / "a")
    images = CachedImages([tmp_path / "a"])
    expected = np.stack([decode_whole(content, 8)[0] for content in entry.table["content"].to_pylist()])
    np.testing.assert_array_equal(images.gather(torch.arange(3)).numpy(), expected)
    assert images.aspects.dtype == torch.float32
    assert images.aspects.tolist() == pytest.approx([shape[1] / shape[0]] * 3)
    assert read_card(tmp_path / "a").layout == "whole"


def test_a_centre_square_has_the_proportions_of_a_square(make_entry, tmp_path):
    write_entry(make_entry("a", 2, shape=(8, 24)), tmp_path / "a")
    assert CachedImages([tmp_path / "a"]).aspects.tolist() == [1, 1]


def test_a_large_entry_is_written_in_parts_and_read_as_one(make_entry, tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "IMAGES_PER_PART", 3)
    entry = make_entry("a", 8, broken=(2, 3, 4, 5), seed=1)
    write_entry(entry, tmp_path / "a")
    assert len(verify_entry(tmp_path / "a").parts) == 3
    images = CachedImages([tmp_path / "a"])
    assert images.labels.tolist() == [1, 2, 7, 8]
    kept = entry.table["content"].take([0, 1, 6, 7]).to_pylist()
    expected = np.stack([decode_square(content, 8) for content in kept])
    np.testing.assert_array_equal(images.gather(torch.arange(4)).numpy(), expected)


def test_parts_that_are_there_are_not_written_again_and_damaged_ones_are(make_entry, tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "IMAGES_PER_PART", 3)
    entry = make_entry("a", 8)
    write_entry(entry, tmp_path / "a")
    images = [tmp_path / "a" / part.name / "images.npy" for part in entry.parts()]
    written = [path.stat().st_mtime_ns for path in images]
    content = images[1].read_bytes()
    images[1].write_bytes(content[:-5])
    (tmp_path / "a" / "card.json").unlink()
    write_entry(entry, tmp_path / "a")
    stayed = [path.stat().st_mtime_ns == before for path, before in zip(images, written, strict=True)]
    assert stayed == [True, False, True]
    assert images[1].read_bytes() == content
    assert _visible(tmp_path) == [tmp_path / "a"]


def test_an_entry_without_rows_is_finished_and_empty(make_entry, tmp_path):
    write_entry(make_entry("a", 0), tmp_path / "a")
    assert len(CachedImages([tmp_path / "a"])) == 0


def test_writing_an_entry_takes_the_memory_of_few_images(rng, tmp_path):
    side, count = 128, 200
    content = encode_png(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    table = table_of_contents([str(row) for row in range(count)], [content] * count, [0] * count)
    tracemalloc.start()
    try:
        write_entry(CacheEntry("a", table, side), tmp_path / "a")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    num_bytes = verify_entry(tmp_path / "a").num_bytes
    assert num_bytes == count * side * side * 3
    # The checksum reads the file in pieces, none of them as long as this entry.
    assert peak < num_bytes / 4


def test_images_are_cached_at_the_size_of_the_entry(make_entry, tmp_path):
    entry = replace(make_entry("a", 2), size=4)
    write_entry(entry, tmp_path / "a")
    np.testing.assert_array_equal(CachedImages([tmp_path / "a"]).gather(torch.arange(2)).numpy(), _decoded(entry))


def test_a_file_that_cannot_be_read_ends_the_entry_and_leaves_nothing(tmp_path):
    entry = CacheEntry("a", table_of_files([tmp_path / "gone.png"], [0]), 8)
    with pytest.raises(FileNotFoundError, match="gone"):
        write_entry(entry, tmp_path / "a")
    assert _visible(tmp_path) == []


def test_broken_images_are_left_out_and_named(make_entry, tmp_path):
    files = [tmp_path / f"{row}.png" for row in range(4)]
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    for file, image in zip(files, pixels, strict=True):
        file.write_bytes(encode_png(image))
    files[0].write_bytes(b"broken")
    files[2].write_bytes(b"")
    write_entry(CacheEntry("a", table_of_files(files, [5, 6, 7, 8]), 8), tmp_path / "a")
    images = CachedImages([tmp_path / "a"])
    assert images.labels.tolist() == [6, 8]
    np.testing.assert_array_equal(images.gather(torch.arange(2)).numpy(), pixels[[1, 3]])
    card = read_card(tmp_path / "a")
    assert card.num_images == 2
    assert card.broken[0].startswith(f"{files[0]}: an image must decode, but Pillow says: ")
    assert card.broken[1].startswith(f"{files[2]}: ")
    assert len(card.broken) == 2


def test_of_two_writers_the_first_stays(make_entry, tmp_path):
    first = make_entry("a", 3, seed=1)
    write_entry(first, tmp_path / "a")
    write_entry(make_entry("a", 4, seed=2), tmp_path / "a")
    np.testing.assert_array_equal(CachedImages([tmp_path / "a"]).gather(torch.arange(3)).numpy(), _decoded(first))
    assert _visible(tmp_path) == [tmp_path / "a"]


def test_of_two_writers_of_a_part_at_a_time_the_first_stays(make_entry, tmp_path, monkeypatch):
    first = make_entry("a", 3, seed=1)
    decode = entries._decode_into

    def decode_after_another(*arguments):
        monkeypatch.setattr(entries, "_decode_into", decode)
        write_entry(first, tmp_path / "a")
        return decode(*arguments)

    monkeypatch.setattr(entries, "_decode_into", decode_after_another)
    write_entry(make_entry("a", 3, seed=2), tmp_path / "a")
    np.testing.assert_array_equal(CachedImages([tmp_path / "a"]).gather(torch.arange(3)).numpy(), _decoded(first))
    assert _visible(tmp_path) == [tmp_path / "a"]


def test_an_entry_that_could_not_be_written_is_absent(make_entry, tmp_path, monkeypatch):
    def disk_full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(entries, "write_card", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_entry(make_entry("a", 3), tmp_path / "a")
    assert _visible(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        read_card(tmp_path / "a")


def test_a_cache_that_cannot_be_written_to_says_so(make_entry, tmp_path):
    (tmp_path / "a file").touch()
    with pytest.raises(OSError, match="a file"):
        write_entry(make_entry("a", 1), tmp_path / "a file" / "a")


def test_an_entry_that_cannot_be_moved_into_place_says_so(make_entry, tmp_path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(entries.Path, "rename", refuse)
    with pytest.raises(PermissionError, match="Permission denied"):
        write_entry(make_entry("a", 1), tmp_path / "a")
    assert list((tmp_path / "a").iterdir()) == []
    assert _visible(tmp_path) == [tmp_path / "a"]


@pytest.fixture
def several(make_entry, tmp_path):
    """Entries of 4, 0, 1 and 6 images, one of them wholly broken, and their images end to end."""
    entries = [
        make_entry("a", 4, seed=0),
        make_entry("b", 2, seed=10, broken=(0, 1)),
        make_entry("c", 1, seed=20),
        make_entry("d", 6, seed=30),
    ]
    for entry in entries:
        write_entry(entry, tmp_path / entry.key)
    images = np.concatenate([_decoded(entry) for entry in entries if entry.key != "b"])
    return CachedImages([tmp_path / entry.key for entry in entries]), images


def test_several_entries_are_one_set_in_their_order(several):
    cached, images = several
    assert len(cached) == len(images) == 11
    assert cached.labels.tolist() == [0, 1, 2, 3, 20, 30, 31, 32, 33, 34, 35]
    assert cached.labels.dtype == torch.int64
    assert torch.equal(cached.aspects, torch.ones(11))


@pytest.mark.parametrize("indices", [[10, 0, 4, 3, 5], [7, 7, 0, 7, 0], [4], []])
def test_images_are_gathered_in_any_order_with_repetitions(several, indices):
    cached, images = several
    gathered = cached.gather(torch.tensor(indices, dtype=torch.int64))
    assert gathered.dtype == torch.uint8
    assert gathered.shape == (len(indices), 8, 8, 3)
    np.testing.assert_array_equal(gathered.numpy(), images[np.array(indices, dtype=int)])


def test_gathered_images_can_be_changed_without_changing_the_cache(several):
    cached, images = several
    cached.gather(torch.tensor([0, 4])).zero_()
    np.testing.assert_array_equal(cached.gather(torch.tensor([0, 4])).numpy(), images[[0, 4]])


@pytest.mark.parametrize("index", [11, -1])
def test_an_index_outside_the_set_is_no_image(several, index):
    cached, _ = several
    with pytest.raises(IndexError, match=rf"rows must lie in 0 … 10, but .*{index}"):
        cached.gather(torch.tensor([0, index]))


def test_an_absent_entry_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        CachedImages([tmp_path / "absent"])


def test_rows_of_the_tables_joined_are_a_set_of_their_own_without_broken_images(make_entry, tmp_path):
    entries = [make_entry("a", 4, broken=(1,)), make_entry("b", 5, seed=10, broken=(0, 4))]
    for entry in entries:
        write_entry(entry, tmp_path / entry.key)
    cached = CachedImages([tmp_path / entry.key for entry in entries])
    # Rows 0 … 3 are of the first table, 4 … 8 of the second; 1, 4 and 8 do not decode.
    chosen = cached.at_rows(np.array([8, 5, 1, 3, 0, 7]))
    assert chosen.labels.tolist() == [11, 3, 0, 13]
    assert len(chosen) == len(chosen.aspects) == 4
    all_images = cached.gather(torch.arange(len(cached)))
    positions = {label: position for position, label in enumerate(cached.labels.tolist())}
    expected = all_images[[positions[label] for label in (13, 11, 0)]]
    assert torch.equal(chosen.gather(torch.tensor([3, 0, 2])), expected)
    assert len(cached.at_rows(np.array([1, 4, 8]))) == 0
    with pytest.raises(IndexError, match=r"rows must lie in 0 … 8, but 2 … 9 "):
        cached.at_rows(np.array([2, 9]))


def test_broken_rows_are_counted_over_the_parts_of_an_entry(make_entry, tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "IMAGES_PER_PART", 3)
    write_entry(make_entry("a", 8, broken=(1, 3, 7)), tmp_path / "a")
    assert read_card(tmp_path / "a").broken_rows == (1, 3, 7)
    assert CachedImages([tmp_path / "a"]).at_rows(np.arange(8)[::-1]).labels.tolist() == [6, 5, 4, 2, 0]


def test_a_card_that_does_not_say_which_rows_are_broken_is_made_again(make_entry, tmp_path):
    entry = make_entry("a", 4, broken=(2,))
    write_entry(entry, tmp_path / "a")
    write_card(tmp_path / "a", replace(read_card(tmp_path / "a"), broken_rows=()))
    assert not is_finished(tmp_path / "a")
    write_entry(entry, tmp_path / "a")
    assert read_card(tmp_path / "a").broken_rows == (2,)
