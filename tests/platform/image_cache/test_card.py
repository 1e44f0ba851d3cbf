import re
import zlib

import numpy as np
import pytest

from pretrieve.image_cache import store
from pretrieve.image_cache.card import DamagedEntryError, read_card, verify_entry
from pretrieve.image_cache.store import CachedImages, write_entry


@pytest.fixture
def entry(make_entry, tmp_path, monkeypatch):
    """A finished entry of two parts."""
    monkeypatch.setattr(store, "IMAGES_PER_PART", 3)
    write_entry(make_entry("a", 5, broken=(4,), shape=(8, 16), layout="whole"), tmp_path / "a")
    return tmp_path / "a"


def test_the_card_tells_what_the_entry_holds_and_every_file(entry):
    card = verify_entry(entry, checksums=True)
    assert (card.num_images, card.layout, card.size) == (4, "whole", 8)
    assert [reason.split(":")[0] for reason in card.broken] == ["a/4"]
    assert card.parts == ("rows-00000000-00000003", "rows-00000003-00000005")
    files = {path.relative_to(entry).as_posix() for path in entry.rglob("*.npy")}
    assert {file.name for file in card.files} == files
    for file in card.files:
        content = (entry / file.name).read_bytes()
        assert (file.num_bytes, file.crc32) == (len(content), zlib.crc32(content))
    assert read_card(entry) == card


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "aspects.npy"])
def test_a_file_of_another_size_is_refused_when_opened_with_its_name_and_the_remedy(entry, change, name):
    path = entry / "rows-00000003-00000005" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] if change < 0 else content + b"x")
    expected = rf"must have the {len(content)} bytes .*{re.escape(str(path))} has {len(content) + change}; remove the"
    for open_entry in (verify_entry, lambda folder: CachedImages([folder])):
        with pytest.raises(DamagedEntryError, match=expected):
            open_entry(entry)


def test_an_absent_file_is_refused_when_opened(entry):
    path = entry / "rows-00000000-00000003" / "images.npy"
    path.unlink()
    with pytest.raises(DamagedEntryError, match=rf"{re.escape(str(path))} does not; remove the folder {entry} and run"):
        CachedImages([entry])


def test_a_changed_byte_is_found_where_checksums_are_asked_for(entry):
    path = entry / "rows-00000000-00000003" / "images.npy"
    pixels = np.lib.format.open_memmap(path, mode="r+")
    pixels[1, 2, 3, 0] ^= 1
    pixels.flush()
    verify_entry(entry)
    with pytest.raises(DamagedEntryError, match=rf"the checksum of {re.escape(str(path))} is not"):
        verify_entry(entry, checksums=True)


@pytest.mark.parametrize("content", ["", "[]", '{"num_images": 3}', '{"num_images"', "\x00"])
def test_a_card_that_is_no_card_is_refused(entry, content):
    (entry / "card.json").write_text(content, encoding="utf-8")
    with pytest.raises(DamagedEntryError, match=r"card\.json is not .*; remove the folder"):
        read_card(entry)


def test_an_entry_without_a_card_is_not_finished(entry):
    (entry / "card.json").unlink()
    assert read_card(entry) is None
    with pytest.raises(FileNotFoundError, match=r"a has no card\.json; run the study again"):
        verify_entry(entry)
