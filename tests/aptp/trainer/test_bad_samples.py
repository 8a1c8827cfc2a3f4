"""The samples a session passed over: in every step's record, and in words at its end."""

from dataclasses import replace

import pytest
import torch

from aptp.data.batches import Batch
from aptp.data.sources import open_source
from aptp.trainer import metrics_log
from aptp.trainer.bad_samples import BadSamples
from aptp.trainer.loop import RunOptions, Training
from tests.aptp.data.datasets import NOT_A_PICTURE, folder, put
from tests.aptp.trainer.toys import RECIPE, Brightness

BROKEN = {3, 77}
CPU = torch.device("cpu")


def batch(*skipped):
    return Batch(("a",) * len(skipped), torch.zeros(1), tuple({"skipped": each} for each in skipped))


def test_a_source_that_skips_nothing_is_not_asked():
    skips = BadSamples(None, CPU)
    assert skips.figures(Batch(("a",), torch.zeros(1), ({"scene": 1},))) == {}
    assert skips.lines() == []


def test_nothing_was_broken():
    skips = BadSamples({"name": "folder", "pairs": 3, "left_out": {}}, CPU)
    assert skips.figures(batch((), ())) == {"skipped": 0}
    assert skips.lines() == []


def test_what_was_broken_is_counted_and_the_first_named():
    skips = BadSamples({"name": "coco", "pairs": 3, "left_out": {"without a picture": 2}}, CPU)
    assert skips.figures(batch((("a.jpg", "it is gone"),), ())) == {"skipped": 1}
    assert skips.figures(batch((("b.jpg", "it is cut"), ("c.jpg", "it is gone")), ())) == {"skipped": 2}
    assert skips.lines() == [
        "coco: 3 pairs; left out: 2 without a picture",
        "broken pictures passed over: 3 in 4 samples "
        "(2 because it is gone, 1 because it is cut; the first is a.jpg: it is gone)",
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_through_one_percent_of_broken_rows(tmp_path, capsys, workers):
    root = tmp_path / "pictures"
    folder(root, 200)
    (root / "some" / "005.txt").unlink()
    for i in BROKEN:
        put(root / f"some/{i:03d}.jpg", NOT_A_PICTURE)
    source = open_source(f"folder:{root}", size=(2, 2))
    recipe, options = replace(RECIPE, steps=49), RunOptions(precision="no", workers=workers)
    training = Training(
        Brightness(), source, recipe, tmp_path / "run", options, identity={"data": source.about}
    )
    assert training.run("toy")
    told = [line["skipped"] for line in metrics_log.read(tmp_path / "run")]
    expected = [sum(len(source[4 * step + i].metadata["skipped"]) for i in range(4)) for step in range(49)]
    assert told == expected
    said = " ".join(capsys.readouterr().err.split())
    assert "left out: 1 without a caption" in said
    assert sum(expected) == len(BROKEN)
    assert f"broken pictures passed over: {len(BROKEN)} in 196 samples" in said
