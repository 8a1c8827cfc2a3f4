"""Features kept by content: encoded once, after a kill as well, and never taken from a damaged file."""

import numpy as np
import pytest

from aptp.score.features import FeatureStore, key_of, picture_features
from aptp.score.pictures import PictureSet
from runtime.errors import CacheFailure, DataError
from tests.aptp.score.conftest import Grey
from tests.aptp.score.made_up import pictures, write_pictures


@pytest.fixture
def drawn(tmp_path):
    return PictureSet.open("drawn", write_pictures(tmp_path / "drawn", pictures(40)))


def features(encoder, drawn, store):
    return picture_features(encoder, drawn, store, batch=2)


def test_a_killed_run_is_gone_on_with(drawn, tmp_path):
    wanted = features(Grey(), drawn, FeatureStore(None))
    store, killed, second, third = FeatureStore(tmp_path / "store"), Grey(until=20), Grey(), Grey()
    with pytest.raises(KeyboardInterrupt):
        features(killed, drawn, store)
    assert np.array_equal(features(second, drawn, store), wanted)
    assert second.seen == 40 - 16  # eight batches of two were kept
    assert np.array_equal(features(third, drawn, store), wanted)
    assert third.seen == 0


def test_content_decides_and_not_the_name(drawn, tmp_path):
    store, again = FeatureStore(tmp_path / "store"), Grey()
    wanted = features(Grey(), drawn, store)
    for each in drawn.pictures:
        each.path.rename(each.path.with_name("x" + each.path.name))
    moved = PictureSet.open("moved", drawn.folder)
    assert np.array_equal(features(again, moved, store), wanted)
    assert again.seen == 0


def test_equal_pictures_are_encoded_once(tmp_path):
    twice = np.concatenate([pictures(3), pictures(3)])
    drawn, encoder = PictureSet.open("drawn", write_pictures(tmp_path / "drawn", twice)), Grey()
    found = features(encoder, drawn, FeatureStore(tmp_path / "store"))
    assert encoder.seen == 3
    assert np.array_equal(found[:3], found[3:])


def test_what_features_depend_on_is_in_their_name():
    names = {key_of("w", "p"), key_of("v", "p"), key_of("w", "q"), key_of("w", "p", 256)}
    assert len(names) == 4


def test_a_damaged_file_is_passed_over(drawn, tmp_path):
    store, again = FeatureStore(tmp_path / "store"), Grey()
    wanted = features(Grey(), drawn, store)
    path = next((tmp_path / "store").glob("*/*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="is passed over .its bytes have changed"):
        assert np.array_equal(features(again, drawn, store), wanted)
    assert again.seen == 16 or again.seen == 8  # those of one file


def test_a_store_that_others_can_write_to(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o777)
    with pytest.raises(CacheFailure, match="can be written by every user"):
        FeatureStore(tmp_path / "store")


def test_a_store_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CacheFailure, match="cannot be made"):
        FeatureStore(tmp_path / "file" / "store")


def test_a_picture_that_cannot_be_read_is_named(drawn):
    drawn.pictures[7].path.write_bytes(drawn.pictures[7].path.read_bytes()[:200])
    with pytest.raises(DataError, match="007-a-picture-seed7.png is no picture that can be read"):
        features(Grey(), drawn, FeatureStore(None))
