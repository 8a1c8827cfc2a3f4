"""The samples of tuned codes: each code's own, whatever else is tuned, wherever a run was stopped."""

import numpy as np
import pytest
import torch
from PIL import Image

from aptp.data.sample import Sample
from aptp.data.scenes.source import Chosen
from aptp.data.sources import open_source
from aptp.finetune import routes as kept
from aptp.finetune.routes import AT_ONCE, Routes
from aptp.finetune.turns import LOOKED, turns
from runtime.errors import DataError, UsageError

IDENTITY = {"checkpoint": "c", "data": {"name": "numbers"}, "seed": 0}


class Numbers:
    """Endless samples, each captioned with its position."""

    count = None

    def __getitem__(self, position):
        return Sample(str(position), np.empty((0, 0, 3), np.uint8))

    def only(self, positions):
        return Chosen(self, positions)


class Modulo:
    """Routes a number by its remainder, and counts what it was asked."""

    def __init__(self, codes=3):
        self.codes, self.asked = codes, []

    def __call__(self, captions):
        self.asked += captions
        return torch.tensor([int(caption) % self.codes for caption in captions])


def routes(folder, classify, identity=IDENTITY):
    return Routes(Numbers(), classify, folder / kept.NAME, identity)


def captions(source, count):
    return [source[position].caption for position in range(count)]


def test_codes_take_turns_and_each_has_its_own_samples(tmp_path):
    made = turns(Numbers(), routes(tmp_path, Modulo()), (1, 2), 8)
    assert captions(made, 8) == ["1", "2", "4", "5", "7", "8", "10", "11"]


def test_the_samples_of_a_code_do_not_depend_on_other_codes(tmp_path):
    alone = turns(Numbers(), routes(tmp_path / "a", Modulo()), (2,), 8)
    together = turns(Numbers(), routes(tmp_path / "b", Modulo()), (0, 1, 2), 8)
    assert captions(alone, 8) == captions(together, 24)[2::3]


def test_captions_are_routed_once(tmp_path):
    first, second = Modulo(), Modulo()
    before = captions(turns(Numbers(), routes(tmp_path, first), (1,), 8), 8)
    assert captions(turns(Numbers(), routes(tmp_path, second), (1,), 8), 8) == before
    assert len(first.asked) == len(set(first.asked)) > 0
    assert second.asked == []


def test_routing_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "KEEP_EVERY", 0.0)

    class Stops(Modulo):
        def __call__(self, captions):
            if len(self.asked) == 4 * AT_ONCE:
                raise KeyboardInterrupt
            return super().__call__(captions)

    with pytest.raises(KeyboardInterrupt):
        routes(tmp_path, Stops()).first(10 * AT_ONCE)
    rest = Modulo()
    assert (routes(tmp_path, rest).first(10 * AT_ONCE) == torch.arange(10 * AT_ONCE) % 3).all()
    assert rest.asked == [str(i) for i in range(4 * AT_ONCE, 10 * AT_ONCE)]


def test_more_captions_are_routed_where_a_code_is_rare(tmp_path):
    asked = Modulo(1000)
    made = turns(Numbers(), routes(tmp_path, asked), (7,), 30)
    assert captions(made, 30) == [str(7 + 1000 * i) for i in range(30)]
    assert len(asked.asked) == len(set(asked.asked)) > LOOKED


@pytest.mark.parametrize("damaged", [lambda data: b"torn", lambda data: data[:-1] + b"\xff"])
def test_a_damaged_file_is_named_and_routed_anew(tmp_path, capsys, damaged):
    routes(tmp_path, Modulo()).first(AT_ONCE)
    path = tmp_path / kept.NAME
    path.write_bytes(damaged(path.read_bytes()))
    assert (routes(tmp_path, Modulo()).first(9) == torch.arange(9) % 3).all()
    assert f"{path} is damaged (" in capsys.readouterr().err


def test_the_routes_of_another_run_are_refused_by_name(tmp_path):
    routes(tmp_path, Modulo()).first(AT_ONCE)
    with pytest.raises(
        UsageError, match=r"routes\.safetensors belongs to another run: seed was 0 and is now 1"
    ):
        routes(tmp_path, Modulo(), {**IDENTITY, "seed": 1})


def test_a_code_without_captions_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"none of 16384 captions to code 5: leave it out of --codes"):
        turns(Numbers(), routes(tmp_path, Modulo()), (0, 5), 8)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(200):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(str(number))
    return f"folder:{folder}"


def test_a_pass_over_a_folder_shows_each_of_the_codes_pairs_once_in_a_new_order(pictures, tmp_path):
    source = open_source(pictures, size=(16, 16))
    known = Routes(source.captions(), Modulo(), tmp_path / kept.NAME, IDENTITY)
    made = turns(source, known, (1,), 1000)
    everything = {str(number) for number in range(200) if number % 3 == 1} & set(
        captions(source, source.count)
    )
    count = len(everything)
    shown = captions(made, 2 * count)
    assert set(shown[:count]) == set(shown[count:]) == everything
    assert shown[:count] != shown[count:]
    assert len(known) < source.count + AT_ONCE


def test_which_pairs_are_a_codes_does_not_depend_on_the_order_they_were_routed_in(pictures, tmp_path):
    one, other = (open_source(pictures, size=(16, 16), seed=seed) for seed in (0, 1))
    found = []
    for number, source in enumerate((one, other)):
        known = Routes(source.captions(), Modulo(), tmp_path / str(number) / kept.NAME, IDENTITY)
        found.append(set(captions(turns(source, known, (0,), 8), 200)))
    assert found[0] == found[1]
