from dataclasses import replace

from runtime.bench.memory_groups import does_not_fit, fewer_steps, files, line_ups
from runtime.bench.spec import Contender
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Compiled, Range
from tests.runtime.bench.conftest import SpecOf

SIZE = 4 * 1000  # every expert of the synthetic bundle claims 1,000 parameters


def names(spec_of: SpecOf, bundle: Bundle, **changes: object) -> list[list[str]]:
    return [[rival.name for rival in group] for group in line_ups(spec_of(**changes), bundle.manifest)]


def test_everyone_together_where_there_is_room(spec_of: SpecOf, bundle: Bundle) -> None:
    assert names(spec_of, bundle) == [["dense", "expert 0", "expert 1"]]


def test_the_first_is_in_every_group(spec_of: SpecOf, bundle: Bundle) -> None:
    assert names(spec_of, bundle, memory=2 * SIZE) == [["dense", "expert 0"], ["dense", "expert 1"]]


def test_a_pair_that_does_not_fit_is_compared_and_told(spec_of: SpecOf, bundle: Bundle) -> None:
    spec = spec_of(memory=SIZE)
    groups = line_ups(spec, bundle.manifest)
    assert [len(group) for group in groups] == [2, 2]
    assert all(does_not_fit(group, spec) for group in groups)
    assert not does_not_fit(groups[0], spec_of(memory=2 * SIZE))


def test_a_peer_is_taken_to_hold_several_times_its_weights(spec_of: SpecOf, bundle: Bundle) -> None:
    groups = names(spec_of, bundle, peers=("openvino", "optimum"), levels=("step",), memory=5 * SIZE)
    assert groups == [["dense", "expert 0", "expert 1"], ["dense", "openvino"], ["dense", "optimum"]]


def test_an_engine_is_as_large_as_the_files_it_opens(bundle: Bundle) -> None:
    manifest = bundle.manifest
    graph, package = (Contender("expert 0", "0", engine) for engine in ("cpu", "aoti"))
    assert files(graph, manifest) == list(manifest.experts["0"].model.paths)
    shape = {axis: Range(1, 2, 4) for axis in ("batch", "height", "width")}
    entry = Compiled("aoti", graph_file := files(graph, manifest)[0], "float32", shape, {}, "0" * 64)
    experts = {**manifest.experts, "0": replace(manifest.experts["0"], compiled=(entry,))}
    assert files(package, replace(manifest, experts=experts)) == [graph_file]


def test_one_alone_is_a_group(spec_of: SpecOf, bundle: Bundle) -> None:
    assert names(spec_of, bundle, experts=("1",), memory=1) == [["expert 1"]]


def test_several_engines_are_named(spec_of: SpecOf, bundle: Bundle) -> None:
    spec = spec_of(experts=("dense", "0"), engines=("openvino", "cpu"))
    assert [one.name for one in spec.contenders] == [
        *("dense on openvino", "expert 0 on openvino"),
        *("dense on cpu", "expert 0 on cpu"),
    ]


def test_peers_bring_dense_in_fewer_steps(spec_of: SpecOf, bundle: Bundle) -> None:
    (group,) = names(spec_of, bundle, peers=("openvino",))
    assert group == ["dense", "expert 0", "expert 1", "dense in 2 steps", "openvino"]
    assert "dense in 2 steps" not in names(spec_of, bundle, peers=("openvino",), levels=("step",))[0]


def test_fewer_steps_cost_what_experts_cost_on_average(spec_of: SpecOf, bundle: Bundle) -> None:
    experts = dict(bundle.manifest.experts)
    for name, macs in (("dense", 100), ("0", 40), ("1", 80)):
        experts[name] = replace(experts[name], macs=macs)
    manifest = replace(bundle.manifest, experts=experts)
    spec = spec_of()
    params = replace(spec.params, steps=10)
    found = fewer_steps(replace(spec, params=params), manifest)
    assert found is not None
    assert found.steps == 6
    assert fewer_steps(replace(spec, experts=("0", "1")), manifest) is None
    assert fewer_steps(replace(spec, experts=("dense",)), manifest) is None
