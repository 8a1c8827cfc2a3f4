"""Pairs: order, splits, and what becomes of broken pictures, with loading processes and without."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aptp.data import pairs, storage
from aptp.data.batches import batches
from aptp.data.pairs import Lister, Pairs, View
from aptp.data.sources import open_source
from runtime.errors import DataError
from tests.aptp.data.datasets import NOT_A_PICTURE, folder, number_of, picture, put


def source(root, count, *, broken=(), size=(8, 8), **view):
    """All of a folder of pairs, of which some are broken."""
    folder(root, count)
    lister = Lister()
    for i in range(count):
        if i in broken:
            put(root / f"some/{i:03d}.jpg", NOT_A_PICTURE)
        lister.add(f"picture number {i}", f"some/{i:03d}.jpg")
    return Pairs("folder", root, lister.listing(), View(size=size, **view))


def numbers(found, positions):
    return [int(found[position].caption.split()[-1]) for position in positions]


def test_a_pass_shows_every_pair_once_and_the_next_in_another_order(tmp_path):
    found = source(tmp_path, 12)
    first, second = numbers(found, range(12)), numbers(found, range(12, 24))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_pictures_belong_to_their_captions(tmp_path):
    found = source(tmp_path, 12)
    for position in range(30):
        sample = found[position]
        assert number_of(sample.image[4, 4]) == int(sample.caption.split()[-1])
        assert sample.metadata["place"] == f"some/{int(sample.caption.split()[-1]):03d}.jpg"


def test_a_position_is_the_same_in_every_opening(tmp_path):
    folder(tmp_path, 20)
    one, other = (open_source(f"folder:{tmp_path}", seed=4, size=(9, 7)) for _ in range(2))
    for position in (0, 5, 10**9):
        assert one[position].caption == other[position].caption
        assert np.array_equal(one[position].image, other[position].image)
    assert one.about == other.about


def test_seeds_change_order_and_parts(tmp_path):
    one, other = source(tmp_path, 12), source(tmp_path, 12, seed=1)
    assert numbers(one, range(12)) != numbers(other, range(12))


def test_the_test_split_shows_the_middle(tmp_path):
    gradient = np.arange(64, dtype=np.uint8)[None, :, None].repeat(16, 0).repeat(3, 2)
    Image.fromarray(gradient).save(tmp_path / "wide.png")
    lister = Lister()
    lister.add("wide", "wide.png")
    still = Pairs("folder", tmp_path, lister.listing(), View(size=(16, 16), still=True))
    moving = Pairs("folder", tmp_path, lister.listing(), View(size=(16, 16)))
    assert all(np.array_equal(still[i].image, gradient[:, 24:40]) for i in range(5))
    assert len({moving[i].image.tobytes() for i in range(10)}) > 5


def test_captions_alone_need_no_pictures(tmp_path):
    found = source(tmp_path, 8, broken=range(8), size=None)
    assert sorted(numbers(found, range(8))) == list(range(8))
    assert found[0].image.shape == (0, 0, 3)


def test_long_captions_are_shortened(tmp_path):
    lister = Lister()
    lister.add("One two. Three four. Five six.", "a.jpg")
    found = Pairs("folder", tmp_path, lister.listing(), View(fits=lambda text: len(text) < 21))
    assert found[0].caption == "One two. Three four."


def several(still):
    lister = Lister()
    lister.add(["one", "two\nlines", " ", None, "one"], "a.jpg")
    lister.add("alone", "b.jpg")
    found = Pairs("folder", Path("nowhere"), lister.listing(), View(still=still))
    return [found[i].caption for i in range(40)], [found.captions()[i].caption for i in range(40)]


def test_of_several_captions_one_is_drawn_by_position():
    seen, again = several(still=False)
    assert set(seen) == {"one", "two lines", "alone"}
    assert seen == again == several(still=False)[0]


def test_the_test_split_shows_the_first_of_several_captions():
    assert set(several(still=True)[0]) == {"one", "alone"}


def test_some_pairs_keep_the_captions_that_they_have_in_the_first_pass():
    lister = Lister()
    for number in range(9):
        lister.add([f"{number} {word}" for word in ("a", "b", "c")], f"{number}.jpg")
    captions = Pairs("folder", Path("nowhere"), lister.listing(), View(seed=1)).captions()
    positions = torch.tensor([8, 2, 5, 3])
    wanted = {captions[int(position)].caption for position in positions}
    some = captions.only(positions)
    assert some.count == 4
    passes = [[some[4 * turn + i].caption for i in range(4)] for turn in range(6)]
    assert all(set(shown) == wanted for shown in passes)
    assert len(set(map(tuple, passes))) > 1


def test_no_captions_among_several():
    lister = Lister()
    lister.add([None, " ", 3], "a.jpg")
    assert lister.listing().left_out == {"without a caption": 1}


def test_a_member_too_large_to_be_a_picture_is_skipped(tmp_path):
    (tmp_path / "00000.tar").write_bytes(b"")
    lister = Lister()
    lister.add("a caption", storage.member("00000.tar", 0, 1 << 40, "a.jpg"))
    found = Pairs("webdataset", tmp_path, lister.listing(), View(size=(8, 8)))
    with pytest.raises(DataError, match="the last was 00000.tar/a.jpg: it has more than 1,073,741,824 bytes"):
        found[0]


def test_no_picture_is_in_both_splits():
    lister = Lister()
    for i in range(3000):
        for j in range(2):
            lister.add(f"caption {j}", f"{i}.jpg")
    train, test = (lister.listing(split) for split in ("train", "test"))
    places = [{made.places[row] for row in made.rows.tolist()} for made in (train, test)]
    assert not places[0] & places[1]
    assert len(train.rows) + len(test.rows) == 6000
    assert len(test.rows) / 6000 == pytest.approx(1 / 64, abs=0.006)


def test_a_picture_stays_on_its_side_when_others_come():
    few, many = Lister(), Lister()
    for i in range(2000):
        many.add("a caption", f"{i}.jpg")
        if i % 2:
            few.add("a caption", f"{i}.jpg")

    def held_out(lister):
        made = lister.listing("test")
        return {made.places[row] for row in made.rows.tolist()}

    assert held_out(few) == {place for place in held_out(many) if int(place[:-4]) % 2}


def test_of_few_pictures_one_is_held_out():
    lister = Lister()
    for i in range(5):
        lister.add("a caption", f"{i}.jpg")
    assert (len(lister.listing("train").rows), len(lister.listing("test").rows)) == (4, 1)


BROKEN = frozenset({3, 77, 150})
MANY = 200


def test_broken_pictures_give_way_to_the_next_whole_one_of_the_pass(tmp_path):
    found = source(tmp_path, MANY, broken=BROKEN)
    whole = [(found[position], position) for position in range(MANY)]
    order = numbers(source(tmp_path / "whole", MANY), range(MANY))
    skipped = Counter(line for sample, _ in whole for line in sample.metadata["skipped"])
    assert skipped == {
        (f"some/{i:03d}.jpg", "it is none of JPEG, PNG, WEBP, GIF, BMP, TIFF"): 1 for i in BROKEN
    }
    for sample, position in whole:
        expected = next(n for n in order[position:] + order[:position] if n not in BROKEN)
        assert number_of(sample.image[4, 4]) == int(sample.caption.split()[-1]) == expected


def test_a_run_through_one_percent_of_broken_rows_is_the_same_with_workers(tmp_path):
    found = source(tmp_path, MANY, broken=BROKEN)
    alone = list(islice(batches(found, 16), 14))
    helped = list(islice(batches(found, 16, workers=2), 14))
    shared = [list(islice(batches(found, 8, share=(i, 2)), 14)) for i in range(2)]
    for one, other, *halves in zip(alone, helped, *shared, strict=True):
        assert one.captions == other.captions == halves[0].captions + halves[1].captions
        assert one.metadata == other.metadata
        assert bool((one.images == other.images).all())
    assert sum(len(sample["skipped"]) for batch in alone for sample in batch.metadata) >= len(BROKEN)


def test_where_nothing_is_left(tmp_path):
    found = source(tmp_path, 4, broken=range(4))
    with pytest.raises(
        DataError, match=r"no picture of 4 in a row can be used; the last was some/00\d.jpg: it is"
    ):
        found[0]


def test_one_of_many_is_found(tmp_path):
    found = source(tmp_path, 9, broken=set(range(9)) - {4})
    assert set(numbers(found, range(40))) == {4}
    assert max(len(found[i].metadata["skipped"]) for i in range(9)) == 8


def test_too_many_in_a_row_are_no_accident(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "IN_A_ROW", 5)
    found = source(tmp_path, 9, broken=set(range(9)) - {4})
    with pytest.raises(DataError, match="no picture of 5 in a row"):
        numbers(found, range(9))


def test_an_empty_listing_says_what_was_left_out(tmp_path):
    lister = Lister()
    lister.add(" \n", "a.jpg")
    lister.leave_out("without a picture", 3)
    with pytest.raises(
        DataError, match="nothing is left of folder to use; 1 without a caption; 3 without a pict"
    ):
        Pairs("folder", tmp_path, lister.listing(), View())


def test_what_it_is_about(tmp_path):
    lister = Lister()
    lister.add("a caption", "a.jpg")
    lister.add(None, "b.jpg")
    one = Pairs("folder", tmp_path, lister.listing(), View())
    assert {key: one.about[key] for key in ("name", "pairs", "left_out")} == {
        "name": "folder",
        "pairs": 1,
        "left_out": {"without a caption": 1},
    }
    lister.add("another", "c.jpg")
    assert Pairs("folder", tmp_path, lister.listing(), View()).about["sha256"] != one.about["sha256"]
    assert str(tmp_path) not in str(one.about)


def test_a_picture_that_vanished_is_skipped(tmp_path):
    found = source(tmp_path, 6)
    (tmp_path / "some/002.jpg").unlink()
    assert 2 not in numbers(found, range(6))
    assert any(("some/002.jpg", "it is gone") in found[i].metadata["skipped"] for i in range(6))


def test_a_disk_that_does_not_answer_is_no_broken_picture(tmp_path):
    found = source(tmp_path, 3)
    for i in range(3):
        (tmp_path / f"some/{i:03d}.jpg").unlink()
        (tmp_path / f"some/{i:03d}.jpg").mkdir()
    with pytest.raises(DataError, match=r"00\d.jpg cannot be read: it is not a regular file"):
        found[0]


def test_pictures_of_any_size_become_the_size_asked_for(tmp_path):
    found = source(tmp_path, 3, size=(24, 16))
    put(tmp_path / "some/001.jpg", picture(1, (300, 17)))
    assert {found[i].image.shape for i in range(3)} == {(24, 16, 3)}
