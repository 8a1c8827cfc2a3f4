"""The loop: it learns, it resumes at any step as if nothing had happened, it stops where it must."""

import os
import signal
from dataclasses import replace

import pytest
import torch

from aptp.trainer import metrics_log
from aptp.trainer.loop import RunOptions, Training
from runtime.errors import IntegrityError, LockedError, StorageError, TrainingError, UsageError
from tests.aptp.trainer.toys import RECIPE, Brightness, Exploding, Noise

PLAIN = RunOptions(precision="no")


def start(folder, learner=None, recipe=RECIPE, options=PLAIN, **rest):
    return Training(learner or Brightness(), Noise(), recipe, folder, options, **rest)


def outcome(training, folder):
    """Everything that must not depend on interruptions."""
    timings = {"seconds", "waiting"}
    steps = [{k: v for k, v in line.items() if k not in timings} for line in metrics_log.read(folder)]
    weights = {name: p.detach().clone() for name, p in training._parameters.items()}
    return steps, weights, training.average.values


def assert_same(one, other):
    assert one[0] == other[0]
    for a, b in zip(one[1:], other[1:], strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def unbroken(tmp_path):
    training = start(tmp_path / "unbroken")
    assert training.run("toy")
    return outcome(training, tmp_path / "unbroken")


def test_it_learns(tmp_path):
    recipe = replace(RECIPE, steps=150)
    start(tmp_path, recipe=recipe).run("toy")
    losses = [line["loss"] for line in metrics_log.read(tmp_path)]
    assert sum(losses[-10:]) < 0.2 * sum(losses[:10])


def test_what_is_frozen_stays(tmp_path):
    learner = Brightness()
    before = learner.frozen.weight.clone()
    start(tmp_path, learner).run("toy")
    assert torch.equal(learner.frozen.weight, before)


def test_a_run_in_legs_of_one_step_equals_an_unbroken_one(tmp_path, unbroken):
    for expected in range(1, RECIPE.steps + 1):
        training = start(tmp_path / "sessions", options=replace(PLAIN, minutes=0))
        assert training.run("toy") == (expected == RECIPE.steps)
        assert training.done == expected
    assert_same(outcome(training, tmp_path / "sessions"), unbroken)


@pytest.mark.parametrize("step", [1, 5, 11])
def test_a_crash_loses_only_what_was_not_saved_and_changes_nothing(tmp_path, unbroken, step):
    class Crash(Exception):
        pass

    def crash(done):
        if done == step:
            raise Crash

    folder = tmp_path / "crashed"
    with pytest.raises(Crash):
        start(folder, options=replace(PLAIN, save_every=0.001)).run("toy", watch=crash)
    resumed = start(folder)
    assert resumed.done < step
    assert resumed.run("toy")
    assert_same(outcome(resumed, folder), unbroken)


def test_a_half_written_line_is_cut_from_the_record(tmp_path, unbroken):
    folder = tmp_path / "torn"
    start(folder, options=replace(PLAIN, minutes=0)).run("toy")
    with (folder / metrics_log.NAME).open("a") as file:
        file.write('{"step": 1, "lo')
    resumed = start(folder)
    resumed.run("toy")
    assert_same(outcome(resumed, folder), unbroken)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_leg_after_the_step_and_saves(tmp_path, unbroken, number):
    folder = tmp_path / "signalled"
    handler = signal.getsignal(number)

    def stop(done):
        if done == 4:
            os.kill(os.getpid(), number)

    assert start(folder).run("toy", watch=stop) is False
    assert signal.getsignal(number) is handler
    resumed = start(folder)
    assert resumed.done == 4
    resumed.run("toy")
    assert_same(outcome(resumed, folder), unbroken)


def test_a_finished_run_is_not_run_again(tmp_path, unbroken):
    start(tmp_path / "once").run("toy")
    again = start(tmp_path / "once")
    assert again.finished
    assert again.run("toy")
    assert_same(outcome(again, tmp_path / "once"), unbroken)


def test_a_run_can_be_made_longer(tmp_path):
    start(tmp_path).run("toy")
    longer = start(tmp_path, recipe=replace(RECIPE, steps=20))
    assert longer.done == RECIPE.steps
    assert longer.run("toy")
    assert [line["step"] for line in metrics_log.read(tmp_path)] == list(range(20))


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_state(tmp_path):
    with pytest.raises(TrainingError, match=r"loss is nan at step 6 .*lower the learning rate"):
        start(tmp_path, Exploding(at=6), options=replace(PLAIN, save_every=0.0)).run("toy")
    resumed = start(tmp_path)
    assert resumed.done == 6
    assert all(torch.isfinite(p).all() for p in resumed._parameters.values())


def test_another_runs_folder_is_refused_by_what_differs(tmp_path):
    start(tmp_path, identity={"stage": "one"}).run("toy")
    with pytest.raises(UsageError, match=r"batch was 4 and is now 8; stage was 'one' and is now 'two'"):
        start(tmp_path, recipe=replace(RECIPE, batch=8), identity={"stage": "two"})


def states(folder):
    return sorted(folder.glob("state-*.safetensors"))


def test_a_damaged_state_is_refused_by_name_and_the_one_before_goes_on(tmp_path, unbroken):
    folder = tmp_path / "damaged"
    for _ in range(4):
        start(folder, options=replace(PLAIN, minutes=0)).run("toy")
    older, newest = states(folder)
    data = bytearray(newest.read_bytes())
    data[-3] ^= 1
    newest.write_bytes(data)
    with pytest.raises(IntegrityError, match=rf"{newest.name} is damaged .*go on from {older.name}"):
        start(folder)
    newest.unlink()
    resumed = start(folder)
    assert resumed.done == 3
    resumed.run("toy")
    assert_same(outcome(resumed, folder), unbroken)


def test_as_many_states_stay_as_were_asked_for(tmp_path):
    start(tmp_path, options=replace(PLAIN, save_every=0.0, keep_states=3)).run("toy")
    assert [path.name[6:14] for path in states(tmp_path)] == ["00000010", "00000011", "00000012"]
    with pytest.raises(UsageError, match="--keep-states 0: give an integer of at least 1"):
        replace(PLAIN, keep_states=0)


def test_a_state_of_another_model_is_refused(tmp_path):
    start(tmp_path).run("toy")
    learner = Brightness()
    learner.linear = torch.nn.Linear(12, 2)
    with pytest.raises(UsageError, match=r"is of another model: 2 of its parameters differ"):
        start(tmp_path, learner)


def test_a_second_training_in_the_same_folder_is_refused_by_name(tmp_path, unbroken):
    folder = tmp_path / "shared"
    seen = []

    def intrude(done):
        with pytest.raises(
            LockedError, match=r"training.lock: locked by pid \d+; wait for that training"
        ) as caught:
            start(folder)
        seen.append(caught.value.pid)

    training = start(folder)
    training.run("toy", watch=intrude)
    assert seen == [os.getpid()] * RECIPE.steps
    assert_same(outcome(training, folder), unbroken)
    assert start(folder).finished


def test_a_refused_training_lets_go_of_the_folder(tmp_path):
    start(tmp_path).run("toy")
    with pytest.raises(UsageError) as kept:
        start(tmp_path, recipe=replace(RECIPE, batch=8))
    assert start(tmp_path).finished, kept


def test_a_folder_that_cannot_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file.*see to its place and rights"):
        start(tmp_path / "file" / "run")


def test_a_record_for_tensorboard_on_request(tmp_path):
    start(tmp_path, options=replace(PLAIN, trackers=("tensorboard",))).run("toy")
    assert list((tmp_path / "tensorboard").iterdir())
