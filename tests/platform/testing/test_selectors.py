"""The contract suite accepts selectors of every kind, and names what is wrong with a broken one."""

import numpy as np
import pytest
from own_selectors import OfFeatures, OfMoments, OfNames, Sound

from pretrieve.testing.selectors import check_selector
from pretrieve_selection import ImageScores, Selection


class OfImages(Sound):
    units = ("image",)

    def score_images(self, source_features, target_features, *, settings, rng, num_threads=1):
        return ImageScores(np.asarray(source_features)[:, 0].copy())


class Drawing(Sound):
    needs = ()

    def score(self, problem):
        return self.rng.random(problem.source.num_groups)

    def _select(self, problem, *, top_k, settings, rng):
        self.rng = rng
        return super()._select(problem, top_k=top_k, settings=settings, rng=rng)


@pytest.mark.parametrize("cls", [Sound, OfMoments, OfFeatures, OfNames, OfImages, Drawing])
def test_a_sound_selector_is_accepted(cls):
    check_selector(cls())


class Nameless(Sound):
    name = ""


class OfPatches(Sound):
    units = ("patch",)


class OfNothing(Sound):
    units = ()


class NamesClusters(OfNames):
    units = ("class", "cluster")


class OtherName(Sound):
    def _select(self, problem, *, top_k, settings, rng):
        return Selection.from_scores("uot", self.score(problem), top_k=top_k)


class TooFewScores(Sound):
    def _select(self, problem, *, top_k, settings, rng):
        return Selection.from_scores(self.name, self.score(problem)[:-1], top_k=min(top_k, 7))


class NotFinite(Sound):
    def score(self, problem):
        return np.full(problem.source.num_groups, np.nan)


class LowerIsBetter(Sound):
    def _select(self, problem, *, top_k, settings, rng):
        found = Selection.from_scores(self.name, -self.score(problem), top_k=top_k)
        return Selection(self.name, found.groups, -found.scores, found.margin, True, 0)


class TiesToTheHigherIndex(Sound):
    def _select(self, problem, *, top_k, settings, rng):
        scores = self.score(problem)
        groups = tuple(np.lexsort((-np.arange(len(scores)), -scores))[:top_k].tolist())
        margin = Selection.from_scores(self.name, scores, top_k=top_k).margin
        return Selection(self.name, groups, scores, margin, True, 0)


class WrongMargin(Sound):
    def _select(self, problem, *, top_k, settings, rng):
        found = super()._select(problem, top_k=top_k, settings=settings, rng=rng)
        return Selection(self.name, found.groups, found.scores, 0.125, True, 0)


class OtherRankingForEachTopK(Sound):
    def _select(self, problem, *, top_k, settings, rng):
        scores = self.score(problem) * (-1) ** top_k
        return Selection.from_scores(self.name, scores, top_k=top_k)


class DrawsFromElsewhere(Sound):
    def score(self, problem):
        return problem.source.centroids[:, 0] + np.random.default_rng().random(problem.source.num_groups)


class KeepsState(Sound):
    """Remember the first problem; the selection is right until another one has been selected from."""

    last, number = None, 0

    def score(self, problem):
        if self.last is None or not np.array_equal(self.last, problem.source.centroids):
            self.last, self.number = problem.source.centroids, self.number + 1
        return problem.source.centroids[:, 0] + self.number * problem.source.centroids[:, 1]


class WritesToItsInputs(Sound):
    def score(self, problem):
        scores = problem.source.centroids[:, 0].copy()
        problem.source.centroids[:] = 0
        return scores


class WritesToFeatures(OfFeatures):
    def score(self, problem):
        scores = super().score(problem)
        problem.target.features[0] += 1
        return scores


class ByIndex(Sound):
    needs = ()

    def score(self, problem):
        return np.arange(problem.source.num_groups)


class ReadsMoreThanItLists(OfMoments):
    needs = ("centroids",)


class ListsMoreThanItReads(Sound):
    needs = ("centroids", "features")


class ScoresNoImages(Sound):
    units = ("class", "image")


class ScoresTooFewImages(OfImages):
    def score_images(self, source_features, target_features, *, settings, rng, num_threads=1):
        return ImageScores(np.ones(3))


class ScoresOnlyArrays(OfImages):
    def score_images(self, source_features, target_features, *, settings, rng, num_threads=1):
        return ImageScores(source_features.astype(np.float64)[:, 0])


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Nameless, "a selector must have a name, but Nameless.name is ''"),
        (OfPatches, r"units of the selector 'sound' must be a tuple of class, cluster, image, but is \('patch',\)"),
        (OfNothing, "must have at least one unit"),
        (NamesClusters, "must be 'class' alone, as it needs names, .* but are class, cluster"),
        (OtherName, "must carry the name of its selector, 'sound', but has 'uot'"),
        (TooFewScores, r"scores must be 8, one for each group, but those .* with top_k 1 have shape \(7,\)"),
        (NotFinite, "raises SelectionInputError: scores must be finite"),
        (LowerIsBetter, "must be at most top_k of the highest scores, best first"),
        (TiesToTheHigherIndex, r"equal scores by ascending index, but those .* are \(7,\)"),
        (WrongMargin, "margin must be the score of the last group minus that of the next"),
        (OtherRankingForEachTopK, "a smaller top_k must select the beginning of a larger one"),
        (DrawsFromElsewhere, "same inputs and seed must give the same scores, .* draw from rng alone"),
        (KeepsState, "same inputs and seed must give the same scores, .* keep no state"),
        (WritesToItsInputs, "inputs must stay as they were, but the selector 'sound' changes source_centroids"),
        (WritesToFeatures, "inputs must stay as they were, but the selector 'of_features' changes target_features"),
        (ByIndex, "permuting the groups must permute the scores"),
        (ReadsMoreThanItLists, "must list what it reads in `needs`, but reads moments of the source"),
        (ListsMoreThanItReads, "'sound' does not read 'features'"),
        (ScoresNoImages, "must score single images, as it lists 'image' in `units`, but raises .* define score_images"),
        (ScoresTooFewImages, "must be an array of 20 finite numbers"),
        (ScoresOnlyArrays, "must score single images, .* but raises AttributeError"),
    ],
)
def test_a_broken_selector_is_an_error_that_names_the_rule(cls, message):
    with pytest.raises(AssertionError, match=message):
        check_selector(cls())
