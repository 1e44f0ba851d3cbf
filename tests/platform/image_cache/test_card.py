import re

import pytest

from pretrieve.errors import DamagedArtifactError
from pretrieve.image_cache import entries
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.image_cache.card import read_card, verify_entry
from pretrieve.image_cache.entries import write_entry


@pytest.fixture
def entry(make_entry, tmp_path, monkeypatch):
    """A finished entry of two parts."""
    monkeypatch.setattr(entries, "IMAGES_PER_PART", 3)
    write_entry(make_entry("a", 5, broken=(4,), shape=(8, 16), layout="whole"), tmp_path / "a")
    return tmp_path / "a"


def test_the_card_says_what_the_entry_holds(entry):
    card = verify_entry(entry, pixels=True)
    assert (card.num_images, card.layout, card.size) == (4, "whole", 8)
    assert card.num_bytes == 4 * 8 * 8 * 3
    assert [reason.split(":")[0] for reason in card.broken] == ["a/4"]
    assert card.parts == ("rows-00000000-00000003", "rows-00000003-00000005")
    assert read_card(entry) == card


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "aspects.npy"])
def test_a_file_of_another_size_is_refused_when_opened_with_its_name_and_the_remedy(entry, change, name):
    path = entry / "rows-00000003-00000005" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] if change < 0 else content + b"x")
    expected = rf"must hold the bytes .* {re.escape(str(path))} was cut or changed.*; run the study again"
    for open_entry in (verify_entry, lambda folder: CachedImages([folder])):
        with pytest.raises(DamagedArtifactError, match=expected):
            open_entry(entry)


def test_an_absent_file_is_refused_when_opened(entry):
    path = entry / "rows-00000000-00000003" / "images.npy"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(path))):
        CachedImages([entry])


@pytest.mark.parametrize("name", ["labels.npy", "aspects.npy"])
def test_a_changed_label_is_found_when_the_entry_is_opened(entry, name):
    flip(entry / "rows-00000000-00000003" / name, 130)
    with pytest.raises(DamagedArtifactError, match="was changed between bytes 0 and"):
        verify_entry(entry)


def test_a_changed_pixel_is_found_where_pixels_are_asked_for(entry):
    path = entry / "rows-00000000-00000003" / "images.npy"
    flip(path, 128 + 200)
    verify_entry(entry)
    with pytest.raises(DamagedArtifactError, match=rf"{re.escape(str(path))} was changed between bytes 0 and"):
        verify_entry(entry, pixels=True)


@pytest.mark.parametrize("content", ["", "[]", '{"num_images": 3}', "\x00"])
def test_a_card_that_is_no_card_is_refused(entry, content):
    (entry / "card.json").write_text(content, encoding="utf-8")
    with pytest.raises(DamagedArtifactError, match=r"card\.json"):
        read_card(entry)


def test_an_entry_without_a_card_is_not_finished(entry):
    (entry / "card.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"card\.json"):
        verify_entry(entry)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
