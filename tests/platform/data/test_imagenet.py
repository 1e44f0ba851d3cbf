import json
import shutil
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pretrieve.data.decode import read_content
from pretrieve.data.forms import parquet_tables
from pretrieve.data.group_lists import read_group_list
from pretrieve.data.imagenet import load_imagenet, names_of_classes
from pretrieve.errors import ImageSetError

TENCH, FISH, SHARK = "n01440764", "n01443537", "n01484850"
TREE = (f"train/{FISH}/b.JPEG", f"train/{FISH}/a.JPEG", f"train/{TENCH}/c.JPEG")
MAPPING = f"{TENCH} tench, Tinca tinca\n{FISH} goldfish, Carassius auratus\n"


def _named(image_set, split="train"):
    table = image_set.splits[split]
    pairs = zip(table["path"].to_pylist(), table["label"].to_pylist(), strict=True)
    return [f"{image_set.class_names[label]}={path.rpartition('/')[2]}" for path, label in pairs]


@pytest.mark.parametrize("inner", ["", "ILSVRC/Data/CLS-LOC/"])
def test_folders_of_wordnet_ids_are_classes_in_their_order(make_tree, inner):
    root = make_tree(*(inner + path for path in TREE), f"{inner}val/{FISH}/v.JPEG")
    made = load_imagenet(root)
    assert made.name == "imagenet"
    assert _named(made) == [f"{TENCH}=c.JPEG", f"{FISH}=a.JPEG", f"{FISH}=b.JPEG"]
    assert _named(made, "val") == [f"{FISH}=v.JPEG"]
    assert load_imagenet(root / inner / "train").fingerprints["train"] == made.fingerprints["train"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("LOC_synset_mapping.txt", MAPPING),
        ("imagenet_class_index.json", json.dumps({"0": [TENCH, "tench"], "1": [FISH, "goldfish"]})),
        ("words.txt", f"n00001740\tentity\n{TENCH}\ttench, Tinca tinca\n{FISH}\tgoldfish\n"),
    ],
)
def test_names_come_from_the_list_beside_the_data_and_groups_are_found_by_either_word(make_tree, file, text):
    root = make_tree(*(f"ILSVRC/Data/CLS-LOC/{path}" for path in TREE))
    (root / file).write_text(text)
    made = load_imagenet(root)
    assert made.class_names == (f"{TENCH} tench", f"{FISH} goldfish")
    assert read_group_list([FISH, f"{TENCH} tench"], made.class_names) == [1, 0]


def test_torchvisions_names_are_used_for_exactly_the_thousand_classes(shared):
    known = np.load(shared / "class_means/resnet18_supervised/imagenet.npz")["names"].tolist()
    wnids = [name.split()[0] for name in known]
    found = names_of_classes(wnids, [])
    # torchvision tells the two cranes and the two maillots apart; the list beside the centroids does not.
    differ = [(name, listed) for name, listed in zip(found, known, strict=True) if name != listed]
    assert [name.split()[1] for name, _ in differ] == ["crane", "maillot"]
    assert all(name.startswith(listed) for name, listed in differ)
    other = [*wnids[:-1], "n99999999"]
    assert names_of_classes(other, []) == other


def test_flat_validation_images_get_the_labels_of_kaggles_solution(make_tree):
    root = make_tree(*(f"ILSVRC/Data/CLS-LOC/{path}" for path in (*TREE, "val/v1.JPEG", "val/v2.JPEG", "val/v3.JPEG")))
    assert sorted(load_imagenet(root).splits) == ["train"]
    lines = [
        "ImageId,PredictionString",
        f"v2,{TENCH} 1 2 3 4 {TENCH} 5 6 7 8 ",
        f"v1,{FISH} 1 2 3 4",
        f"v3,{SHARK} 1 2 3 4",
    ]
    (root / "LOC_val_solution.csv").write_text("\n".join(lines))
    assert _named(load_imagenet(root), "val") == [f"{FISH}=v1.JPEG", f"{TENCH}=v2.JPEG"]
    (root / "LOC_val_solution.csv").write_text("\n".join(lines[:2]))
    with pytest.raises(ImageSetError, match=r"must have a line for each image of .*, but has none for .*v1\.JPEG"):
        load_imagenet(root)


@pytest.mark.parametrize("holding", ["held", "referred"])
def test_parquet_shards_have_labels_in_the_order_of_the_ids_and_no_test_split(tmp_path, monkeypatch, holding):
    if holding == "referred":
        monkeypatch.setattr(parquet_tables, "HELD_TABLES_LIMIT", 0)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    (tmp_path / "data").mkdir()
    for split, labels in (("train", [1, 0, 1]), ("validation", [0]), ("test", [-1])):
        images = pa.array([{"bytes": f"{split} {k}".encode(), "path": None} for k in range(len(labels))], kind)
        pq.write_table(
            pa.table({"image": images, "label": labels}),
            tmp_path / f"data/{split}-00000-of-00001.parquet",
            row_group_size=2,
        )
    (tmp_path / "LOC_synset_mapping.txt").write_text(MAPPING)
    made = load_imagenet(tmp_path)
    assert made.class_names == (f"{TENCH} tench", f"{FISH} goldfish")
    train = made.splits["train"]
    assert train["label"].to_pylist() == [1, 0, 1]
    contents = map(read_content, train["path"].to_pylist(), train["content"].to_pylist())
    assert list(contents) == [b"train 0", b"train 1", b"train 2"]
    assert sorted(made.splits) == ["train", "val"]


def test_real_photographs_in_the_published_layout_are_read_whole(tmp_path, shared):
    spec = spec_from_file_location("photos", shared / "photos" / "photos.py")
    photos = module_from_spec(spec)
    spec.loader.exec_module(photos)
    loaded = photos.load(shared / "photos" / "px32" / "source_tinyimagenet200.npz")
    names = loaded["class_names"][:3]
    lines = []
    for label, name in enumerate(names):
        wnid, _, words = name.partition(" ")
        lines.append(f"{wnid}\t{words}, something else")
        for row in np.flatnonzero(loaded["labels"] == label)[:8]:
            file = tmp_path / "train" / wnid / "images" / f"{wnid}_{row}.JPEG"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(loaded["images"][row]).save(file)
    (tmp_path / "words.txt").write_text("\n".join(lines))
    made = load_imagenet(tmp_path, test_fraction=0.25)
    assert made.class_names == tuple(names)
    assert (made.num_images("train"), made.num_images("test")) == (18, 6)
    for line in _named(made) + _named(made, "test"):
        name, _, file = line.partition("=")
        assert file.startswith(name.split()[0])


def test_a_moved_tree_keeps_its_fingerprint(make_tree, tmp_path):
    before = load_imagenet(make_tree(*TREE)).fingerprints
    shutil.move(tmp_path / "tree", tmp_path / "elsewhere")
    assert load_imagenet(tmp_path / "elsewhere").fingerprints == before


def test_what_is_no_imagenet_is_refused(make_tree, tmp_path):
    with pytest.raises(ImageSetError, match=r"must exist, but .*nowhere does not"):
        load_imagenet(tmp_path / "nowhere")
    with pytest.raises(ImageSetError, match=r"must hold train/<wnid>/ folders, .* unpack ILSVRC2012_img_train\.tar"):
        load_imagenet(make_tree("train/cat/1.JPEG", root="cats"))
    with pytest.raises(ImageSetError, match=r"must be WordNet ids such as n01440764, but 1 are not: cat; move"):
        load_imagenet(make_tree(*TREE, "train/cat/1.JPEG", root="mixed"))
    empty = make_tree(*TREE, root="empty")
    (empty / "train" / SHARK).mkdir()
    with pytest.raises(ImageSetError, match=rf"must have a training image, but 1 have none: {SHARK}"):
        load_imagenet(empty)


def test_two_files_of_a_class_that_differ_in_case_alone_are_refused(make_tree):
    with pytest.raises(ImageSetError, match=r"two files of a folder must not differ by upper and lower case alone"):
        load_imagenet(make_tree(*TREE, f"train/{FISH}/A.JPEG"))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("imagenet_class_index.json", b"[1, 2]"),
        ("imagenet_class_index.json", b'{"0": ["n014'),
        ("LOC_synset_mapping.txt", f"{TENCH} t\u00eanch\n".encode("latin-1")),
    ],
)
def test_a_list_of_names_that_is_broken_is_one_message(make_tree, file, content):
    root = make_tree(*TREE)
    (root / file).write_bytes(content)
    with pytest.raises(ImageSetError, match=rf"{file} must hold UTF-8 text: .*fetch it again"):
        load_imagenet(root)


def test_a_broken_solution_is_one_message_and_a_mark_before_it_no_fault(make_tree):
    root = make_tree(*TREE, "val/v1.JPEG")
    solution = root / "LOC_val_solution.csv"
    solution.write_text(f"ImageId,PredictionString\nv1,{TENCH} 1 2 3 4\n", encoding="utf-8-sig")
    assert _named(load_imagenet(root), "val") == [f"{TENCH}=v1.JPEG"]
    solution.write_text("ImageId,PredictionString\nv1,\n")
    with pytest.raises(ImageSetError, match=r"LOC_val_solution\.csv must hold lines with an ImageId"):
        load_imagenet(root)


def test_archives_that_were_not_unpacked_are_told(make_tree):
    root = make_tree(*TREE)
    (root / "train" / f"{SHARK}.tar").write_bytes(b"")
    with pytest.raises(ImageSetError, match=rf"archives of .* must be unpacked, .*1 are not: {SHARK}\.tar"):
        load_imagenet(root)
