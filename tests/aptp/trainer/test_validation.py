"""Looking at a run changes nothing of it: held-out loss, pictures, trackers."""

import json
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from aptp.trainer import metrics_log, trackers
from aptp.trainer.loop import RunOptions, Training
from aptp.trainer.validation import DRAWN, FOLDER
from runtime.errors import EnvironmentMismatch, StorageError, UsageError
from tests.aptp.trainer.toys import RECIPE, Brightness, Noise

PLAIN = RunOptions(precision="no")
LOOKING = replace(PLAIN, validate_every=5, draw_every=4)


class Drawing(Brightness):
    """Draws with two models, in the shade of its own first weight."""

    drawers = 2

    def draw(self, captions):
        shade = int(self.linear.weight[0, 0].abs() * 1000) % 256
        return np.full((len(captions), 8, 8, 3), shade, np.uint8)


class Others(Noise):
    """Other pictures than those of the training."""

    def __getitem__(self, position):
        return super().__getitem__(position + 1000)


def start(folder, options=LOOKING, learner=None):
    return Training(learner or Drawing(), Noise(), RECIPE, folder, options, held_out=Others())


def lines(folder):
    timings = {"seconds", "waiting"}
    return [{k: v for k, v in line.items() if k not in timings} for line in metrics_log.read(folder)]


def weights(training):
    return torch.cat([p.detach().flatten() for p in training._parameters.values()])


def bare(found):
    return [{k: v for k, v in line.items() if not k.startswith("validation.")} for line in found]


def test_looking_changes_nothing_of_the_run(tmp_path):
    plain, looking = start(tmp_path / "plain", PLAIN), start(tmp_path / "looking")
    assert plain.run("toy")
    assert looking.run("toy")
    assert torch.equal(weights(plain), weights(looking))
    assert bare(lines(tmp_path / "looking")) == lines(tmp_path / "plain")


def test_the_held_out_loss_is_recorded_when_it_is_due_and_at_the_end(tmp_path):
    start(tmp_path).run("toy")
    found = {line["step"]: line["validation.loss"] for line in lines(tmp_path) if "validation.loss" in line}
    assert list(found) == [4, 9, 11]  # after 5, 10 and all 12 steps
    assert all(loss > 0 for loss in found.values())


def test_it_is_measured_on_the_same_rows_and_noise_with_the_averaged_weights(tmp_path):
    training = start(tmp_path)
    training.run("toy")
    with training.average.applied():
        again = [training._validation.figures(training._learner, 0)["validation.loss"] for _ in range(2)]
    assert again[0] == again[1]
    assert lines(tmp_path)[-1]["validation.loss"] == pytest.approx(again[0], rel=1e-5)


def test_a_run_in_legs_looks_as_an_unbroken_one_does(tmp_path):
    start(tmp_path / "unbroken").run("toy")
    while not start(tmp_path / "legs", replace(LOOKING, minutes=0)).run("toy"):
        pass
    assert lines(tmp_path / "legs") == lines(tmp_path / "unbroken")
    for name in ("step-0000004.png", "step-0000012.png"):
        one, other = ((tmp_path / kind / FOLDER / name).read_bytes() for kind in ("unbroken", "legs"))
        assert one == other


def test_pictures_are_sheets_with_a_row_for_each_model(tmp_path):
    start(tmp_path).run("toy")
    names = sorted(path.name for path in (tmp_path / FOLDER).iterdir())
    assert names == ["captions.json", "step-0000004.png", "step-0000008.png", "step-0000012.png"]
    with Image.open(tmp_path / FOLDER / names[1]) as sheet:
        assert sheet.size == (8 * DRAWN, 8 * 2)
    captions = json.loads((tmp_path / FOLDER / "captions.json").read_text())
    assert captions == [str(1000 + n) for n in (0, 2, 4, 6, 1, 3, 5, 7)]  # samples take turns


def test_a_learner_that_cannot_draw_draws_nothing(tmp_path):
    start(tmp_path, learner=Brightness()).run("toy")
    assert not (tmp_path / FOLDER).exists()


def test_a_place_that_takes_no_pictures_is_named(tmp_path):
    training = start(tmp_path)
    (tmp_path / FOLDER).write_text("in the way")
    with pytest.raises(StorageError, match="pictures cannot be written to .*pictures"):
        training.run("toy")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": -1}, "--workers is -1; it must be 0 or more"),
        ({"validate_every": -1}, "--validate-every is -1"),
        ({"draw_every": -1}, "--draw-every is -1"),
        ({"minutes": float("nan")}, "--minutes is nan"),
        ({"save_every": float("nan")}, "--save-every is nan"),
        (
            {"precision": "f16"},
            r"--mixed-precision 'f16' \(did you mean 'fp16'\?\): use one of no, bf16, fp16",
        ),
    ],
)
def test_nonsense_is_refused_by_the_option_s_name(wrong, message):
    with pytest.raises(UsageError, match=message):
        RunOptions(**wrong)


def test_an_unknown_tracker_is_refused_by_name():
    with pytest.raises(UsageError, match=r"no tracker named 'tensorbord' \(did you mean 'tensorboard'"):
        RunOptions(trackers=("tensorbord",))


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_refused_by_name(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / name).mkdir()  # as W&B leaves one, which Python takes for a package
    with pytest.raises(
        EnvironmentMismatch, match=f"--tracker {name} needs {name}; install with `pip install"
    ):
        RunOptions(trackers=(name,))


class Recorder(ModuleType):
    """Stands in for wandb and trackio: it keeps what it was told."""

    def __init__(self, name):
        super().__init__(name)
        self.begun, self.told, self.ended = [], [], 0

    def init(self, **settings):
        self.begun.append(settings)
        return self

    def log(self, values, step=None):
        self.told.append((step, values))

    def finish(self):
        self.ended += 1

    def Image(self, picture):
        return picture.shape


@pytest.fixture(params=["wandb", "trackio"])
def recorder(request, monkeypatch):
    found = Recorder(request.param)
    monkeypatch.setitem(sys.modules, request.param, found)
    monkeypatch.setattr(trackers, "find_spec", lambda name: ModuleSpec(name, None, origin="here"))
    return found


def tracked(recorder, folder, minutes=0.0):
    return start(folder, replace(LOOKING, trackers=(recorder.__name__,), minutes=minutes)).run("toy")


def test_what_trackers_are_told(recorder, tmp_path):
    folder = tmp_path / "my run"
    for _ in range(2):
        tracked(recorder, folder)
    assert [(told["project"], told["name"][:6], told["resume"]) for told in recorder.begun] == [
        ("aptp", "my run", "allow")
    ] * 2
    assert recorder.begun[0] == recorder.begun[1]  # the second leg goes on in the same place
    assert [step for step, values in recorder.told if "loss" in values] == [0, 1]
    assert recorder.ended == 2
    tracked(recorder, folder, np.inf)
    assert any("validation.loss" in values for _, values in recorder.told)
    shown = [values["pictures"] for _, values in recorder.told if "pictures" in values]
    assert shown == ([[(8, 8, 3)] * 8] * 3 if recorder.__name__ == "wandb" else [])


def test_folders_of_one_name_are_runs_of_their_own(recorder, tmp_path):
    for place in ("one", "other"):
        tracked(recorder, tmp_path / place / "tuned.run")
    key = "id" if recorder.__name__ == "wandb" else "name"
    assert len({told[key] for told in recorder.begun}) == 2


def failing(*_, **__):
    raise ConnectionError("no way out\nat all")


def test_a_tracker_that_cannot_begin_is_refused_by_name(recorder, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "init", failing)
    with pytest.raises(
        EnvironmentMismatch, match=rf"--tracker {recorder.__name__} cannot begin \(no way out\): .*or leave"
    ):
        tracked(recorder, tmp_path)


@pytest.mark.parametrize("call", ["log", "Image", "finish"])
def test_a_tracker_that_fails_ends_no_training(recorder, call, tmp_path, monkeypatch, capsys):
    if (recorder.__name__, call) == ("trackio", "Image"):
        pytest.skip("it is shown no pictures")
    monkeypatch.setattr(recorder, call, failing)
    assert tracked(recorder, tmp_path, np.inf)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count(f"--tracker {recorder.__name__} failed (no way out): this session goes on") == 1
    assert len(lines(tmp_path)) == RECIPE.steps
