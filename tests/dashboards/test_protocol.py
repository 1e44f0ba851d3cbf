from dataclasses import replace

from pretrieve.components import VIEWS
from pretrieve.records import TargetRecord
from pretrieve.study.settings import StudySettings
from pretrieve_dashboards import deviations


def paper_study(finished_study, **changes):
    """The settings as a study file gets them where it says nothing but data and backbone."""
    settings = StudySettings(
        name="paper",
        recipe="paper2022",
        source={"imagenet": "."},
        targets=[{"folder": "."}],
        backbone="resnet18",
        **changes,
    ).model_dump(mode="json")
    settings["targets"] = [{"published": "cub", "regime": {"fraction": None}}]
    target = TargetRecord("cub", "top1", 200, {"train": 4_796, "val": 1_198, "test": 5_794})
    return replace(
        finished_study, backbone="resnet18", settings=settings, targets=(target,), methods=("finetune", "uot")
    )


def test_default_settings_are_the_papers_but_for_the_ratio_of_rates_and_the_seeds(finished_study):
    found = deviations(paper_study(finished_study))
    assert [(each.part, each.paper, each.here) for each in found] == [
        ("grid", "10, 1, 0.1", "10"),
        ("seeds", "not stated, no interval", "2"),
    ]


def test_each_departure_is_named_beside_what_the_paper_says(finished_study):
    changes = {
        "training": {
            "epochs": 4,
            "batch_size": 16,
            "augmentation": {"flip": False},
            "optimizer": "adamw",
            "optimizer_settings": {"layer_decay": 0.7},
        },
        "selection": {"top_k": 20, "cost_scale": 0.1},
        "grid": {"lr": [0.01]},
        "search": "asha",
    }
    study = paper_study(finished_study, **changes)
    departures = {
        each.what: (each.paper, each.here) for each in deviations(replace(study, methods=("finetune", "nearest")))
    }
    assert departures == {
        "epochs": ("100", "4"),
        "target images a step": ("256", "16"),
        "optimizer": ("SGD with Nesterov momentum", "adamw"),
        "settings of the optimizer": ("none", "layer_decay 0.7"),
        "mirrored images": ("yes", "no"),
        "cost scale ε_c": ("0.01", "0.1"),
        "classes chosen": ("100", "20"),
        "learning rates": ("0.1, 0.03, 0.01, 0.003, 0.001", "0.01"),
        "search": ("every point, to its end", "asha"),
        "head over backbone rate": ("10, 1, 0.1", "10"),
        "refits of each cell": ("not stated, no interval", "2"),
        "rows of the table": ("not in the paper", "nearest"),
    }


def test_own_data_backbone_and_regime_are_departures(finished_study):
    study = paper_study(finished_study)
    settings = {
        **study.settings,
        "source": {"name": "imagenet200", "folder": "/data"},
        "targets": [{"folder": "/data/birds", "regime": {"images_per_class": 5, "fraction": None}}],
        "backbone": {"name": "efficientnet_lite0", "image_size": 96},
    }
    found = deviations(replace(study, settings=settings, backbone="efficientnet_lite0@96/96"))
    departures = {each.what: each.here for each in found if each.part in ("data", "backbone")}
    assert departures == {
        "source": "imagenet200",
        "target cub": "own data: 200 classes, 4796 images to train on",
        "images of cub": "images per class 5",
        "network": "efficientnet_lite0@96/96",
        "image size": "96 px",
    }


def test_clusters_are_counted_as_the_paper_counts_them(finished_study):
    clusters = paper_study(finished_study, selection={"unit": "cluster", "top_k": 200, "num_clusters": 1000})
    departures = {each.what: (each.paper, each.here) for each in deviations(clusters) if each.part == "selection"}
    assert departures == {"clusters": ("2000", "1000")}


def test_another_network_that_selects_is_a_departure(finished_study):
    study = paper_study(finished_study, selection={"backbone": "resnet50"})
    departures = {each.what: each.here for each in deviations(study) if each.part == "selection"}
    assert departures == {"network whose features select": "resnet50"}


def test_settings_that_say_little_are_compared_in_what_they_say(unfinished_study):
    record = replace(unfinished_study, settings={"training": {"epochs": 2}})
    found = deviations(record)
    assert [(each.part, each.here) for each in found] == [("backbone", "small_resnet"), ("training", "2")]
    assert VIEWS.build("protocol", {}).table(record).texts()[1] == ["training", "epochs", "100", "2"]
