"""The measure of the judge itself, and its command line."""

from dataclasses import replace

import pytest

from aptp.data.sample import Sample
from aptp.data.scenes.compose import Layout, Mark
from aptp.data.scenes.render import render
from aptp.data.scenes.scene import Background
from aptp.evaluate.detections import Detection, Lettering, Reading
from aptp.evaluate.judge import training
from aptp.evaluate.judge.__main__ import main
from aptp.evaluate.judge.accuracy import accuracy, examinations, missed, table
from aptp.evaluate.judge.network import JudgeNetwork
from aptp.score.intervals import Rate
from runtime.errors import UsageError

PLAIN = Background("grey", "plain")
LAYOUT = Layout(PLAIN, (Mark("star", "red", "small", 20, 50),), "moon", "pink", 32, 13)
RIGHT = Reading(PLAIN, (Detection("star", "red", "small", 21, 49),), Lettering("moon", "pink", "at the top"))


class Said:
    """A judge that says what it is told to."""

    def __init__(self, reading):
        self._reading = reading

    def read(self, pictures):
        return [self._reading] * len(pictures)


class One:
    """A source of one picture."""

    def __getitem__(self, position):
        return Sample("", render(LAYOUT), {"layout": LAYOUT})


@pytest.mark.parametrize(
    ("reading", "wrong"),
    [
        (RIGHT, {}),
        (replace(RIGHT, background=Background("white", "plain")), {"background": 0}),
        (replace(RIGHT, detections=()), {"things": 0, "shape": 0, "colour": 0, "size": 0}),
        (replace(RIGHT, detections=RIGHT.detections * 2), {"things": 0}),
        (
            replace(RIGHT, detections=(replace(RIGHT.detections[0], x=28),)),
            {"things": 0, "shape": 0, "colour": 0, "size": 0},
        ),
        (replace(RIGHT, lettering=Lettering("mon", "pink", "at the top")), {"letters": 0.5, "word": 0}),
        (
            replace(RIGHT, lettering=None),
            {"written": 0, "letters": 0, "word": 0, "word colour": 0, "row": 0},
        ),
    ],
)
def test_each_fault_is_counted(reading, wrong):
    found = accuracy(Said(reading), One(), 3)
    assert found["letters"].count == 12
    assert {question: rate.share for question, rate in found.items() if rate.share < 1} == wrong


def test_what_is_measured_on_was_not_learned_from():
    sources = examinations(20, seed=1)
    assert {source[0].metadata["layout"].word != "" for source in (sources["words"], sources["strings"])} == {
        True
    }
    assert sources["strings"][0].caption not in {sources["words"][i].caption for i in range(20)}


def test_goals_are_named_where_they_are_missed():
    rates = {"scenes": {"shape": Rate(98, 100), "colour": Rate(100, 100), "letters": Rate(98, 100)}}
    assert missed(rates) == ["scenes: shape is 0.9800, the goal is 0.99"]
    assert "| shape | 0.9800 of 100 |" in table(rates).splitlines()


def test_the_command_measures_and_trains(tmp_path, monkeypatch, capsys):
    assert main(["--pictures", "20"]) in (0, 1)
    assert capsys.readouterr().out.startswith("| read right | scenes | words | strings | jumbles |")
    monkeypatch.setattr(training, "train", lambda steps, seed, progress: JudgeNetwork())
    assert main(["--pictures", "5", "--out", str(tmp_path / "judge.safetensors")]) == 1
    captured = capsys.readouterr()
    assert "the goal is 0.99" in captured.err
    assert (tmp_path / "judge.safetensors").exists()


@pytest.mark.parametrize("option", ["--train-steps", "--pictures"])
def test_bad_options(option):
    with pytest.raises(UsageError, match=f"{option} 0: give at least 1"):
        main([option, "0"])


def test_a_place_that_is_not_there_is_found_out_before_training(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        main(["--out", str(tmp_path / "nowhere" / "judge.safetensors")])
