"""A profile is made piece by piece, goes on where it stopped, and never mixes two."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from aptp.space.architecture import Architecture, full
from aptp.space.measured_cost import curve, table_cost
from aptp.space.profile import FIXED
from aptp.space.profile_file import read, read_unfinished
from export.profile.measurement import WHOLES
from export.profile.timing import Patience
from runtime.errors import TableError, UsageError

CONSOLE = Console(quiet=True)


def made(measurement):
    return measurement.run(CONSOLE, measurement.found())


def interrupted(measurement, life):
    measurement.engine.life = life
    with pytest.raises(KeyboardInterrupt):
        made(measurement)
    measurement.engine.life = 10**6
    return read_unfinished(measurement.out)


def test_every_module_of_the_space_is_in_it(measurement, subject, engine):
    found = made(measurement)
    assert read(measurement.out) == found
    for group in subject.space.widths:
        part = found.by_module[group.module, True]
        assert (part.kind, part.gates, part.chunk) == (group.kind, group.gates, group.chunk)
        assert {1, group.gates} <= part.samples.keys()
    assert ("conv_in", False) in found.by_module
    assert len(engine.opened) == sum(len(part.samples) for part in found.parts) + len(found.wholes)


def test_it_makes_a_cost_model(measurement, subject):
    found = made(measurement)
    cost = table_cost(found, subject.space, *subject.latent, subject.tokens)
    spent = sum(curve(part.seconds, part.gates)[-1] * len(part.modules) for part in found.parts)
    assert cost.dense == pytest.approx(spent)
    assert 0 < cost.base < cost.dense


def test_it_says_what_was_measured_and_where(measurement, subject):
    found = made(measurement)
    setting = found.setting
    assert (setting.engine, setting.precision, setting.threads) == ("fake 1.0", "float32", 2)
    assert (setting.rows, setting.latent, setting.tokens) == (2, (16, 16), 77)
    assert {"command", "processor", "cores", "software"} <= found.environment.keys()
    assert all(part.pace > 0 for part in found.parts)


def test_the_whole_unet_is_measured_dense_and_pruned(measurement, subject):
    dense, pruned = made(measurement).wholes
    assert Architecture.from_json(subject.space, dense.architecture) == full(subject.space)
    assert dense.share == 1
    assert pruned.share == pytest.approx(0.6, abs=0.1)
    assert Architecture.from_json(subject.space, pruned.architecture) != full(subject.space)


def test_an_interrupted_run_goes_on(measurement, engine):
    first = interrupted(measurement, 7)
    assert not first.complete
    assert 0 < sum(len(part.samples) for part in first.parts) <= 7
    engine.opened.clear()
    whole = made(measurement)
    assert whole.parts[: len(first.parts)] == first.parts
    opened = sum(len(part.samples) for part in whole.parts[len(first.parts) :]) + len(whole.wholes)
    assert len(engine.opened) == opened
    engine.opened.clear()
    assert made(measurement) == whole
    assert engine.opened == []


def test_what_is_left_to_do_is_named_with_a_forecast(measurement):
    tasks = measurement.tasks(measurement.found())
    assert tasks[-1].name == WHOLES
    assert all(task.effort > 0 for task in tasks)
    first = interrupted(measurement, 7)
    assert [task.name for task in measurement.tasks(first)] == [task.name for task in tasks][
        len(first.parts) :
    ]
    assert measurement.tasks(made(measurement)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threads": 1}, "holds another profile: threads was 2, is 1"),
        ({"divisions": 4}, "of another UNet or of other --widths: see"),
    ],
)
def test_another_profile_is_not_gone_on_with(measurement, change, message):
    interrupted(measurement, 12)
    with pytest.raises(UsageError, match=message):
        replace(measurement, **change).found()


def test_another_machine_s_profile_is_not_gone_on_with(measurement):
    made(measurement)
    body = json.loads(measurement.out.read_text())
    body["environment"].update(processor="abacus", command="another")
    measurement.out.write_text(json.dumps(body))
    with pytest.raises(UsageError, match="processor was abacus, is"):
        measurement.found()


def test_more_patience_is_no_other_profile(measurement):
    first = interrupted(measurement, 7)
    assert replace(measurement, patience=Patience(9, 1)).found() == first


def test_a_file_that_is_no_profile_is_left_alone(measurement):
    measurement.out.write_text("notes")
    with pytest.raises(TableError, match=r"profile\.json: not UTF-8 JSON"):
        made(measurement)
    assert measurement.out.read_text() == "notes"


def test_pieces_are_measured_in_the_order_of_a_call(measurement):
    parts = made(measurement).parts
    assert parts[0].kind == FIXED
    assert parts[-1].modules == ("conv_out",)
