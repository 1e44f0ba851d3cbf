"""What the stage of the image sets leaves in the study's folder."""

from __future__ import annotations

import json
from collections.abc import Callable

from smaller_sets import coloured_set

from pretrieve.data.registry import register_target
from pretrieve.stages.context import walking
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.settings import StudySettings


def test_a_source_and_a_target_of_one_name_have_a_card_each(make_settings: Callable[..., StudySettings]) -> None:
    register_target("twins")(lambda: coloured_set("twins", 3, per_class=10, num_test=6, seed=5))
    settings = make_settings(source={"registered": "tiny-source", "name": "twins"}, targets=["twins", "tiny-a"])
    with walking(settings, StudyObserver()) as context:
        context.get(ImageSetsStage)
    cards = {path.stem: json.loads(path.read_text()) for path in (settings.folder / "cards").glob("*.json")}
    assert {name: len(card["class_names"]) for name, card in cards.items()} == {
        "twins": 3,
        "twins (source)": 6,
        "tiny-a": 3,
    }
    assert {path.stem for path in (settings.folder / "cards").glob("*.md")} == set(cards)
