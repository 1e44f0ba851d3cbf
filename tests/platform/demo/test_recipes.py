from dataclasses import replace

import numpy as np
import pytest

from pretrieve.demo.fonts import HELD_OUT_FONTS, SOURCE_FONTS, draw_glyph, fonts_that_draw
from pretrieve.demo.recipes import (
    DIGITS,
    render,
    render_source,
    render_target,
    source_recipe,
    target_names,
    target_recipes,
)
from pretrieve.errors import ImageSetError

RECIPES = {"source": source_recipe(), **target_recipes()}


def _distinct(images):
    return {image.tobytes() for image in images}


def test_the_source_has_over_two_hundred_classes_of_a_hundred_images_in_the_source_fonts():
    recipe = source_recipe()
    assert len(recipe.characters) >= 200
    assert (recipe.num_train, recipe.fonts) == (100, SOURCE_FONTS)


def test_there_are_eight_targets_of_usual_size_in_held_out_fonts():
    assert len(set(target_names())) == 8
    assert set(target_names()) == {DIGITS, *target_recipes()}
    for recipe in target_recipes().values():
        assert 15 <= len(recipe.characters) <= 36
        assert (recipe.num_train, recipe.num_test, recipe.fonts) == (10, 30, HELD_OUT_FONTS)


def test_some_targets_share_characters_with_the_source_and_some_share_none():
    source = set(source_recipe().characters)
    shared = {name: len(source & set(recipe.characters)) for name, recipe in target_recipes().items()}
    assert 0 < shared["greek"] < len(target_recipes()["greek"].characters)
    assert 0 < shared["symbols"] < len(target_recipes()["symbols"].characters)
    assert shared["armenian"] == shared["georgian"] == shared["accented"] == 0


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_character_has_a_glyph_with_ink_in_a_font_of_its_recipe(recipe):
    for character in recipe.characters:
        font = fonts_that_draw(character, recipe.fonts)[0]
        assert (draw_glyph(font, character, canvas_size=64, longest_side=40) > 127).sum() > 20


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_class_names_differ_in_more_than_case_and_are_safe_folder_names(recipe):
    names = recipe.class_names
    assert len({name.casefold() for name in names}) == len(names) == len(recipe.characters)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789 -") for name in names)
    assert all(name == name.strip() for name in names)


def test_seeds_of_all_splits_differ():
    seeds = [seed for recipe in RECIPES.values() for seed in (recipe.seed, recipe.seed + 1)]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("name", target_recipes())
def test_a_rendered_target_has_ten_train_and_thirty_test_images_a_class_and_shares_none(name):
    train, test = render_target(name, "train"), render_target(name, "test")
    num_classes = len(target_recipes()[name].characters)
    assert np.bincount(train.labels).tolist() == [10] * num_classes
    assert np.bincount(test.labels).tolist() == [30] * num_classes
    assert train.class_names == test.class_names == target_recipes()[name].class_names
    assert train.images.shape == (10 * num_classes, 32, 32)
    assert train.images.dtype == np.uint8
    assert train.labels.dtype == np.int64
    assert not _distinct(train.images) & _distinct(test.images)


def test_the_digits_are_the_real_ones_ten_a_class_for_training_and_all_others_for_the_test():
    train, test = render_target(DIGITS, "train"), render_target(DIGITS, "test")
    assert np.bincount(train.labels).tolist() == [10] * 10
    assert len(train.labels) + len(test.labels) == 1797
    assert train.class_names == test.class_names
    assert len(train.class_names) == 10
    assert train.images.shape == (100, 32, 32)
    assert train.images.dtype == test.images.dtype == np.uint8
    assert train.labels.dtype == np.int64
    assert (np.diff(test.labels) >= 0).all()
    assert not _distinct(train.images) & _distinct(test.images)
    assert train.images.tobytes() == render_target(DIGITS, "train").images.tobytes()


def test_the_source_renders_alike_from_its_recipe_cut_to_two_characters():
    small = replace(source_recipe(), characters=source_recipe().characters[7:9], num_train=3, num_test=3)
    train, test = render(small, "train"), render(small, "test")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert not _distinct(train.images) & _distinct(test.images)


def test_the_sources_test_split_has_ten_images_of_every_class():
    held_out = render_source("test")
    assert np.bincount(held_out.labels).tolist() == [10] * len(source_recipe().characters)


def test_an_unknown_target_is_refused_with_the_nearest_name():
    with pytest.raises(ImageSetError, match=r"but is 'armenia'.*Did you mean 'armenian'"):
        render_target("armenia", "train")
