import os
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from pretrieve.data import image_table, table_file
from pretrieve.data.decode import read_content
from pretrieve.data.image_table import table_fingerprint
from pretrieve.data.table_file import TableReference, parse_reference, read_reference
from pretrieve.errors import ImageSetError

CONTENTS = [f"image {number}".encode() * 20 for number in range(300)]


def _table(contents=CONTENTS, *, struct=True):
    plain = pa.array(contents, pa.binary())
    column = (
        pa.StructArray.from_arrays([plain, pa.array(["x"] * len(contents))], ["bytes", "path"]) if struct else plain
    )
    return pa.table({"label": range(len(contents)), "an image/#1": column})


def _write_stream(table, path):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)


WRITERS = {
    "parquet": lambda table, path: pq.write_table(table, path, row_group_size=100),
    "feather": lambda table, path: feather.write_feather(table, path, chunksize=100),
    "arrow stream": _write_stream,
}


def _references(path, num_rows=300):
    return [str(TableReference(path, row // 100, row % 100, "an image/#1")) for row in range(num_rows)]


@pytest.fixture(params=list(WRITERS))
def written(request, tmp_path):
    path = tmp_path / "a folder#2" / "train.table"
    path.parent.mkdir()
    WRITERS[request.param](_table(), path)
    return path


def test_a_reference_survives_its_text(tmp_path):
    reference = TableReference(tmp_path / "a#1/b c.parquet", 3, 17, "an image/#1")
    assert parse_reference(str(reference)) == reference
    with pytest.raises(
        ImageSetError, match=r"a reference must read parquet:<file>#.*, but is 'parquet:/x\.parquet'; load"
    ):
        parse_reference("parquet:/x.parquet")


@pytest.mark.parametrize("struct", [True, False], ids=["structs", "bytes"])
@pytest.mark.parametrize("form", list(WRITERS))
def test_every_row_is_read_in_order_backwards_and_across_groups(tmp_path, form, struct, rng):
    path = tmp_path / "train.table"
    WRITERS[form](_table(struct=struct), path)
    references = _references(path)
    for order in (range(300), reversed(range(300)), rng.permutation(300)[:60]):
        for row in order:
            assert read_content(references[row], None) == CONTENTS[row]


def test_threads_that_read_many_groups_get_their_own_rows(tmp_path):
    files = [tmp_path / f"{number}.parquet" for number in range(6)]
    for number, file in enumerate(files):
        WRITERS["parquet"](_table([b"%d " % number + content for content in CONTENTS]), file)
    wanted = [(number, row) for row in range(0, 300, 7) for number in range(6)]
    references = [_references(file) for file in files]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda place: read_reference(references[place[0]][place[1]]), wanted))
    assert read == [b"%d " % number + CONTENTS[row] for number, row in wanted]
    assert len(table_file._groups) <= table_file.MAX_OPEN_GROUPS


def test_reading_in_order_opens_a_group_once(written, monkeypatch):
    opened = []
    original = table_file.read_image_blocks
    monkeypatch.setattr(table_file, "read_image_blocks", lambda *place: opened.append(place) or original(*place))
    for reference in _references(written):
        read_reference(reference)
    assert [group for _, group, _ in opened] == [0, 1, 2]


def test_reading_nearly_in_order_as_threads_do_opens_a_group_once(tmp_path, monkeypatch):
    path = tmp_path / "train.parquet"
    pq.write_table(_table(), path, row_group_size=300)
    opened = []
    original = table_file.read_image_blocks
    monkeypatch.setattr(table_file, "read_image_blocks", lambda *place: opened.append(place) or original(*place))
    swapped = [row for first in range(0, 300, 10) for row in reversed(range(first, first + 10))]
    for row in swapped:
        assert read_reference(str(TableReference(path, 0, row, "an image/#1"))) == CONTENTS[row]
    assert len(opened) == 1


def test_a_row_group_larger_than_memory_should_be_is_read_through_a_small_window(tmp_path):
    contents = [os.urandom(50_000) for _ in range(1200)]
    path = tmp_path / "one-group.parquet"
    pq.write_table(_table(contents), path, row_group_size=1200, compression="none", use_dictionary=False)
    contents, expected = None, contents[1199]
    before = pa.total_allocated_bytes()
    pool = pa.default_memory_pool()
    highest = 0
    for row in (0, 400, 800, 1199):
        content = read_reference(str(TableReference(path, 0, row, "an image/#1")))
        highest = max(highest, pool.bytes_allocated() - before)
    assert content == expected
    assert highest < 20_000_000 < path.stat().st_size


def test_a_file_written_anew_is_read_anew(tmp_path):
    path = tmp_path / "train.parquet"
    for word in (b"old", b"newer"):
        WRITERS["parquet"](_table([word]), path)
        assert read_reference(_references(path)[0]) == word


def test_what_is_gone_or_broken_is_no_word_about_the_image(written, tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        read_reference(str(TableReference(tmp_path / "gone.parquet", 0, 0, "image")))
    for place in ((9, 0, "an image/#1"), (0, 500, "an image/#1"), (0, 0, "no such column")):
        with pytest.raises(OSError, match=r"train\.table"):
            read_reference(str(TableReference(written, *place)))
    written.write_bytes(written.read_bytes()[:2000])
    with pytest.raises(OSError, match=r"must be a whole Parquet or Arrow file, but .*train\.table is not"):
        read_reference(_references(written)[299])


def test_a_row_without_an_image_is_a_broken_image(tmp_path):
    path = tmp_path / "train.parquet"
    WRITERS["parquet"](_table([b"x", None]), path)
    with pytest.raises(ImageSetError, match=r"must hold an image, but parquet:.*#0/1/.* holds none; leave the row out"):
        read_reference(_references(path)[1])


@pytest.mark.parametrize("limit", [None, 0], ids=["hashed whole", "hashed at its ends"])
def test_file_labels_and_rows_decide_the_fingerprint_and_the_folder_does_not(tmp_path, monkeypatch, limit):
    if limit is not None:
        monkeypatch.setattr(image_table, "HASHED_BYTES_LIMIT", limit)

    def fingerprint(folder, contents, labels, rows=(0, 1)):
        path = tmp_path / folder / "train.parquet"
        path.parent.mkdir(exist_ok=True)
        WRITERS["parquet"](_table(contents), path)
        references = [_references(path)[row] for row in rows]
        columns = [range(2), references, pa.nulls(2, pa.binary()), labels]
        return table_fingerprint(pa.table(columns, schema=image_table.SCHEMA), path.parent)

    first = fingerprint("a", [b"1", b"2"], [0, 1])
    assert fingerprint("b", [b"1", b"2"], [0, 1]) == first
    others = [
        fingerprint("b", [b"1", b"3"], [0, 1]),
        fingerprint("b", [b"1", b"2"], [1, 1]),
        fingerprint("b", [b"1", b"2"], [0, 1], rows=(1, 0)),
    ]
    assert len({first, *others}) == 4
