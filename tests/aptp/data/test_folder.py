"""A folder of pictures with captions beside them or in tables, in every form that others make."""

import json
import unicodedata

import pyarrow as pa
import pytest
from pyarrow import parquet

from aptp.data.sources import open_source
from runtime.errors import DataError
from tests.aptp.data.datasets import folder, number_of, picture, put


def everything(root):
    found = []
    for split in ("train", "test"):
        source = open_source(f"folder:{root}", size=(8, 8), split=split)
        for i in range(source.about["pairs"]):
            found.append((source[i].caption, number_of(source[i].image[4, 4])))
    return sorted(found)


def left_out(root):
    return open_source(f"folder:{root}").about["left_out"]


EXPECTED = [(f"picture number {i}", i) for i in range(6)]


def lines(*entries):
    return "".join(json.dumps(entry) + "\n" for entry in entries)


@pytest.mark.parametrize("name", ["text", "caption"])
def test_json_lines(tmp_path, name):
    folder(tmp_path)
    entries = [{"file_name": f"some/{i:03d}.jpg", name: f"picture number {i}"} for i in range(6)]
    put(tmp_path / "metadata.jsonl", lines(*entries))
    for path in (tmp_path / "some").glob("*.txt"):
        path.unlink()
    assert everything(tmp_path) == EXPECTED


def test_a_table(tmp_path):
    folder(tmp_path)
    put(tmp_path / "captions.tsv", "".join(f"some/{i:03d}.jpg\ta {i}\n" for i in range(6)))
    assert everything(tmp_path) == [(f"a {i}", i) for i in range(6)]


def test_texts_beside_pictures(tmp_path):
    folder(tmp_path)
    put(tmp_path / ".cache" / "hidden.jpg", picture(9))
    assert everything(tmp_path) == EXPECTED


def test_what_is_left_out(tmp_path):
    folder(tmp_path)
    (tmp_path / "some" / "001.txt").unlink()
    put(tmp_path / "some" / "002.txt", "\n")
    assert left_out(tmp_path) == {"without a caption": 2}
    texts = (5, None, "a star", "a ring")
    entries = [{"file_name": f"some/{i:03d}.jpg", "text": text} for i, text in enumerate(texts)]
    put(tmp_path / "metadata.jsonl", lines(*entries))
    assert left_out(tmp_path) == {"without a caption": 2}
    (tmp_path / "metadata.jsonl").unlink()
    put(tmp_path / "captions.tsv", "some/003.jpg\ta star\nsome/004.jpg\ta ring\nsome/none.jpg\tnothing\n")
    assert left_out(tmp_path) == {"without a picture": 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file_name": "some/001.jpg"}', "has neither 'text' nor 'caption'; say which columns .*captions=A"),
        ('{"text": "a star", "filename": 1}', r"has no 'file_name' \(did you mean 'filename'"),
        ('{"text": "a star", "file_name": 5}', "'file_name' is 5, and should be a path"),
        ("[]", "is no JSON object"),
        ("{", "is no JSON object"),
        ('"file_name text"', "is no JSON object"),
        ("1", "is no JSON object"),
        ("[" * 100_000, "is no JSON object"),
    ],
)
def test_lines_that_lack_something(tmp_path, line, message):
    folder(tmp_path)
    put(tmp_path / "metadata.jsonl", lines({"file_name": "some/000.jpg", "text": "a star"}) + line)
    with pytest.raises(DataError, match=f"metadata.jsonl, line 2:? {message}"):
        left_out(tmp_path)


def test_a_table_that_lacks_a_column(tmp_path):
    folder(tmp_path)
    put(tmp_path / "captions.tsv", "some/000.jpg\n")
    with pytest.raises(
        DataError, match="captions.tsv, line 1 has 1 columns; it should have two, file and caption"
    ):
        left_out(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="nothing is left of folder to use; it holds no pairs"):
        left_out(tmp_path)


def entries(names, caption="picture number {}", column="text"):
    return [{"file_name": name, column: caption.format(i)} for i, name in enumerate(names)]


def put_table(path, rows):
    """Write rows as CSV, JSON lines or parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        quoted = [",".join(f'"{value}"' for value in row.values()) for row in rows]
        put(path, "\r\n".join([",".join(rows[0]), *quoted, ""]))
    else:
        put(path, lines(*rows))


def pictures(root, names):
    for i, name in enumerate(names):
        put(root / name, picture(i))


NAMES = [f"{i}.jpg" for i in range(6)]
TABLES = ["metadata.csv", "metadata.jsonl", "metadata.parquet"]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("column", ["text", "caption"])
def test_tables_with_named_columns(tmp_path, table, column):
    pictures(tmp_path, NAMES)
    put_table(tmp_path / table, entries(NAMES, column=column))
    assert everything(tmp_path) == EXPECTED


@pytest.mark.parametrize("table", [*TABLES, "captions.tsv"])
def test_names_in_a_table_are_relative_to_its_folder(tmp_path, table):
    pictures(tmp_path / "a" / "b", NAMES)
    if table == "captions.tsv":
        put(
            tmp_path / "a" / table, "".join(f"b/{name}\tpicture number {i}\n" for i, name in enumerate(NAMES))
        )
    else:
        put_table(tmp_path / "a" / table, entries([f"b/{name}" for name in NAMES]))
    assert everything(tmp_path) == EXPECTED


def test_tables_and_texts_in_one_set(tmp_path):
    pictures(tmp_path / "one", NAMES)
    put_table(tmp_path / "one" / "metadata.csv", entries(NAMES))
    put(tmp_path / "other" / "6.jpg", picture(6))
    put(tmp_path / "other" / "6.txt", "picture number 6\n")
    put(tmp_path / "one" / "0.txt", "not this one, for its folder has a table")
    assert everything(tmp_path) == [*EXPECTED, ("picture number 6", 6)]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (NAMES, [f"./{name}" for name in NAMES]),
        ([f"a/{name}" for name in NAMES], [f"a\\{name}" for name in NAMES]),
        ([f"a/{name}" for name in NAMES], [f"b/../a//{name}" for name in NAMES]),
        (
            [unicodedata.normalize("NFD", f"caf\u00e9{i}.jpg") for i in range(6)],
            [f"caf\u00e9{i}.jpg" for i in range(6)],
        ),
        (
            [f"caf\u00e9{i}.jpg" for i in range(6)],
            [unicodedata.normalize("NFD", f"caf\u00e9{i}.jpg") for i in range(6)],
        ),
    ],
    ids=["dot", "backslash", "detour", "decomposed on disk", "decomposed in the table"],
)
def test_names_that_programs_write_differently(tmp_path, names, told):
    pictures(tmp_path, names)
    put_table(tmp_path / "metadata.jsonl", entries(told))
    assert everything(tmp_path) == EXPECTED


@pytest.mark.parametrize("outside", ["/etc/passwd", "../0.jpg", "some", ""])
def test_names_outside_the_folder_have_no_picture(tmp_path, outside):
    pictures(tmp_path, NAMES)
    put_table(tmp_path / "metadata.jsonl", [*entries(NAMES), {"file_name": outside, "text": "a star"}])
    assert left_out(tmp_path) == {"without a picture": 1}


def test_blank_lines_and_byte_order_marks_change_nothing(tmp_path):
    pictures(tmp_path, NAMES)
    put(tmp_path / "metadata.jsonl", "\ufeff" + lines(*entries(NAMES)).replace("\n", "\r\n\n") + "\n")
    assert everything(tmp_path) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("table", ["metadata.csv", "metadata.jsonl", "captions.tsv", None])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding, table):
    pictures(tmp_path, NAMES)
    rows = entries(NAMES, "une \u00e9toile {}")
    if table is None:
        for name, row in zip(NAMES, rows, strict=True):
            put(tmp_path / name.replace("jpg", "txt"), row["text"].encode(encoding))
    elif table == "captions.tsv":
        put(
            tmp_path / table, "".join(f"{row['file_name']}\t{row['text']}\n" for row in rows).encode(encoding)
        )
    else:
        put_table(tmp_path / table, rows)
        put(tmp_path / table, (tmp_path / table).read_text("utf-8").encode(encoding))
    assert everything(tmp_path) == [(f"une \u00e9toile {i}", i) for i in range(6)]


@pytest.mark.parametrize(
    ("table", "body", "line"),
    [
        ("metadata.csv", "file_name,text\n0.jpg,a star\n1.jpg,une \u00e9toile\n", 3),
        ("metadata.jsonl", '{"file_name": "0.jpg", "text": "une \u00e9toile"}\n', 1),
        ("captions.tsv", "0.jpg\ta star\n1.jpg\tune \u00e9toile\n", 2),
        ("0.txt", "une\n\u00e9toile\n", 2),
    ],
)
def test_captions_that_are_not_utf8_are_refused_by_line(tmp_path, table, body, line):
    pictures(tmp_path, NAMES)
    put(tmp_path / table, body.encode("latin-1"))
    with pytest.raises(
        DataError, match=f"{table}, line {line} is not UTF-8; convert the file, such as by `iconv"
    ):
        left_out(tmp_path)


def of_split(root, split):
    source = open_source(f"folder:{root}", size=(8, 8), split=split)
    return sorted(number_of(source[i].image[4, 4]) for i in range(source.about["pairs"]))


@pytest.mark.parametrize(
    ("folders", "split"),
    [
        (("train", "test"), ([0, 1], [2, 3])),
        (("training", "val"), ([0, 1], [2, 3])),
        (("Train", "validation"), ([0, 1], [2, 3])),
        (("train", "validation", "test"), ([0, 1], [4, 5])),
    ],
)
def test_splits_that_folders_are_named_after(tmp_path, folders, split):
    for number, name in enumerate(folders):
        for i in (0, 1):
            put(tmp_path / name / f"{i}.jpg", picture(2 * number + i))
        put_table(tmp_path / name / "metadata.jsonl", entries(["0.jpg", "1.jpg"]))
    assert (of_split(tmp_path, "train"), of_split(tmp_path, "test")) == split


def test_a_training_folder_alone_is_split_by_hash(tmp_path):
    pictures(tmp_path / "train", NAMES)
    put(tmp_path / "extra" / "6.jpg", picture(6))
    rows = entries([*(f"train/{name}" for name in NAMES), "extra/6.jpg"])
    put_table(tmp_path / "metadata.parquet", rows)
    assert sorted(of_split(tmp_path, "train") + of_split(tmp_path, "test")) == list(range(6))
    assert len(of_split(tmp_path, "test")) == 1
    assert left_out(tmp_path) == {"outside the folders of the splits": 1}


def test_of_several_captions_one_is_drawn(tmp_path):
    pictures(tmp_path, NAMES)
    rows = [
        {"file_name": name, "text": [f"one {i}", f"two {i}"], "alt": f"alt {i}"}
        for i, name in enumerate(NAMES)
    ]
    put_table(tmp_path / "metadata.parquet", rows)
    source = open_source(f"folder:{tmp_path}?captions=text+alt")
    seen = [source[i].caption.split()[0] for i in range(60)]
    assert set(seen) == {"one", "two", "alt"}
    assert [
        open_source(f"folder:{tmp_path}?captions=text+alt")[i].caption.split()[0] for i in range(60)
    ] == seen
    assert {open_source(f"folder:{tmp_path}?captions=alt")[i].caption.split()[0] for i in range(9)} == {"alt"}


@pytest.mark.parametrize(
    ("table", "body", "message"),
    [
        ("metadata.csv", "file_name,text\n0.jpg\n", "line 2 has not the 2 values that the heading names"),
        ("metadata.csv", "file_name,text\n0.jpg,a,b\n", "line 2 has not the 2 values"),
        ("metadata.csv", "file_name;text\n0.jpg;a\n", "line 2 has no 'file_name'"),
        (
            "metadata.csv",
            'file_name,text\n0.jpg,"a',
            "is no table of comma-separated values .*; fetch it again",
        ),
        ("metadata.csv", "file_name,text\n0.jpg," + "a" * 200_000, "field larger than field limit"),
        ("metadata.parquet", "no parquet", "is no whole parquet file .*; fetch it again or remove it"),
        ("metadata.jsonl", "\0" * 100, "line 1 is no JSON object"),
    ],
)
def test_tables_that_are_none(tmp_path, table, body, message):
    pictures(tmp_path, NAMES)
    put(tmp_path / table, body)
    with pytest.raises(DataError, match=f"{table}.*{message}"):
        left_out(tmp_path)


def test_columns_that_are_not_there(tmp_path):
    pictures(tmp_path, NAMES)
    put_table(tmp_path / "metadata.csv", entries(NAMES))
    with pytest.raises(DataError, match=r"metadata.csv, line 2 has no 'texts' \(did you mean 'text'"):
        open_source(f"folder:{tmp_path}?captions=texts")


def test_two_tables_in_one_folder(tmp_path):
    pictures(tmp_path, NAMES)
    for table in TABLES[:2]:
        put_table(tmp_path / table, entries(NAMES))
    with pytest.raises(DataError, match=r"has both metadata\.csv and metadata\.jsonl; remove one of them"):
        left_out(tmp_path)


def test_shards_have_a_reader_of_their_own(tmp_path):
    put(tmp_path / "00000.tar", b"")
    with pytest.raises(DataError, match=r"holds shards \(\*.tar\) and no pictures; read them as webdataset:"):
        left_out(tmp_path)


def test_what_other_programs_leave_is_passed_over(tmp_path):
    folder(tmp_path)
    for name in ("._000.jpg", "__MACOSX/000.jpg", "@eaDir/000.jpg", "PaxHeaders.12/000.jpg"):
        put(tmp_path / "some" / name, b"\0\5\x16\7")
    assert everything(tmp_path) == EXPECTED
    assert left_out(tmp_path) == {}


def test_links_that_lead_back_are_refused(tmp_path):
    folder(tmp_path)
    (tmp_path / "some" / "again").symlink_to(tmp_path)
    with pytest.raises(DataError, match="some/again cannot be listed: its links lead back to it"):
        left_out(tmp_path)


def test_names_that_are_no_text(tmp_path):
    folder(tmp_path)
    for ending in ("jpg", "txt"):
        (tmp_path / f"some/001.{ending}").rename(tmp_path / f"some/\udcff.{ending}")
    assert everything(tmp_path) == EXPECTED
    put(tmp_path / "some/\udcff.jpg", b"no picture")
    told = [open_source(f"folder:{tmp_path}", size=(8, 8), split=split) for split in ("train", "test")]
    skipped = [line for source in told for i in range(2) for line in source[i].metadata["skipped"]]
    assert all(place.isascii() for place, _ in skipped)
