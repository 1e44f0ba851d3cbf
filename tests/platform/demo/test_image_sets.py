from __future__ import annotations

from pathlib import Path

import pytest

from pretrieve.data.registry import find_image_set
from pretrieve.demo import image_sets
from pretrieve.demo.recipes import target_names


def test_the_digits_are_scikit_learns_real_ones_found_by_name_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = find_image_set("digits", cache=tmp_path)
    assert digits.class_names[:2] == ("0", "1") or digits.num_classes == 10
    assert digits.num_images("train") + digits.num_images("test") == 1797
    monkeypatch.setattr(image_sets, "render_target", None)
    again = find_image_set("digits", cache=tmp_path)
    assert again.fingerprints == digits.fingerprints


def test_the_source_has_at_least_two_hundred_classes_of_about_a_hundred_images(tmp_path: Path) -> None:
    source = find_image_set("characters", cache=tmp_path)
    assert source.num_classes >= 200
    assert source.num_images("train") == 100 * source.num_classes


@pytest.mark.parametrize("name", target_names())
def test_every_target_has_an_entry_point(name: str) -> None:
    assert callable(getattr(image_sets, name))


def test_the_demo_has_no_other_target() -> None:
    with pytest.raises(AttributeError, match="klingon"):
        image_sets.klingon  # noqa: B018
