"""What the two analyses of LoRA products say of runs whose products are known."""

import numpy as np
import pytest

from moleflow.analysis.weights.cross_task import change_distances, cross_task, layer_pairs
from moleflow.analysis.weights.deltas import read_deltas
from moleflow.analysis.weights.lora_rank import lora_rank, relative_norms
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json, read_tensors, write_tensors

AXES = np.eye(12)


def test_deltas_are_the_scaled_products_and_distances_those_of_the_router(stored, factors):
    experts = {"a": factors(0), "b": factors(1), "c": factors(2)}
    run = read_deltas(stored(experts))
    up, down = (part.astype(np.float16).astype(float) for part in experts["b"][1])
    delta = run.deltas["b"]["flow.blocks.1.subnet.enter"]
    assert delta.change == pytest.approx(8 / 4 * up @ down)
    assert delta.rank == 4
    assert delta.weight[1, 0] == pytest.approx(8 / 96)
    assert run.tasks == ["a", "b", "c"]
    assert run.distance("a", "c") == pytest.approx(2 * 3**0.5, rel=1e-6)
    assert run.distance("c", "b") == pytest.approx(3**0.5, rel=1e-6)


def test_a_task_that_learned_no_delta_is_left_out(stored, factors):
    still = [(np.zeros((12, 4)), np.ones((4, 8)))] * 2
    run = read_deltas(stored({"a": still, "b": factors(1)}))
    assert list(run.deltas) == ["b"]
    with pytest.raises(UsageError, match="1 task with LoRA deltas; two are needed"):
        cross_task([run], draws=2)
    with pytest.raises(UsageError, match="nothing to look at"):
        lora_rank(read_deltas(stored({"a": still}, name="still")), draws=2)


@pytest.mark.parametrize(("words", "expected"), [
    (["--no_lora"], "has no LoRA .its linears are NoLora"),
    (["--use_spatial_lora"], "has no LoRA .its linears are SpatialLora"),
])  # fmt: skip
def test_runs_without_lora_are_told(stored, factors, words, expected):
    with pytest.raises(UsageError, match=expected):
        read_deltas(stored({"a": factors(0)}, *words))


def test_folders_without_a_finished_run_are_told(stored, tmp_path):
    with pytest.raises(UsageError, match=r"no run in .*no config.json"):
        read_deltas(tmp_path / "absent")
    with pytest.raises(UsageError, match="no finished task"):
        read_deltas(stored({}))


def test_an_expert_that_does_not_fit_is_told(stored, factors):
    run = stored({"a": factors(0)})
    file = run / "experts" / "a.safetensors"
    whole = read_tensors(file)
    write_tensors(file, {name: value for name, value in whole.items() if not name.endswith("0.subnet.enter.deltas.B")})
    with pytest.raises(MoleflowError, match="do not belong together"):
        read_deltas(run)
    write_tensors(file, {name: value for name, value in whole.items() if not name.endswith("fourth")})
    with pytest.raises(MoleflowError, match="no router statistics"):
        read_deltas(run)


def test_one_direction_in_a_product_of_rank_four_is_below_chance(stored, factors, tmp_path):
    thin = np.outer(np.arange(1.0, 13), [1, 1e-3, 1e-3, 1e-3])
    run = read_deltas(stored({"a": factors(0, thin), "b": factors(1, thin), "c": factors(2, thin)}))
    found = lora_rank(run, draws=30, command="python …")
    assert found.numbers["tasks"]["b"]["effective_rank"]["0.95"] == 1
    assert found.numbers["tasks"]["b"]["effective_rank_random"]["0.95"] > 2
    assert found.finding[0].startswith(
        "Products are more concentrated than chance. 95 % of the energy of B·A lies in 1.0"
    )
    assert "6 of 6 layers lie below" in found.finding[0]
    found.write(tmp_path / "out")
    assert read_json(tmp_path / "out" / "analysis_results.json")["relative_norm"] == relative_norms(run)
    assert (tmp_path / "out" / "lora_spectrum.pdf").exists()


def test_random_products_are_called_no_effect(stored, factors):
    found = lora_rank(read_deltas(stored({name: factors(seed) for seed, name in enumerate("abcd")})), draws=100)
    assert found.finding[0].startswith("No effect: products are as spread as chance")
    assert found.finding[1].split("? ")[1].startswith("No effect seen: ρ = ")


def test_norms_that_grow_with_the_distance_are_found(stored, factors):
    experts = {name: [(k * up, down) for up, down in factors(0)] for k, name in enumerate("abcdef", start=1)}
    run = read_deltas(stored(experts))
    norms = relative_norms(run)
    assert norms["c"] == pytest.approx(3 * norms["a"], rel=1e-2)
    change = run.deltas["a"]["flow.blocks.0.subnet.enter"]
    both = [delta.change for delta in run.deltas["a"].values()]
    weight = np.sqrt(2) * np.linalg.norm(change.weight)
    assert norms["a"] == pytest.approx(np.sqrt(sum(np.sum(b**2) for b in both)) / weight)
    found = lora_rank(run, draws=3)
    assert found.numbers["norm_vs_distance"]["rho"] == pytest.approx(1)
    assert found.finding[1].split("? ")[1].startswith("ρ = 1.00, permutation p = 0.02, n = 5")


def test_shared_directions_are_closer_than_chance_and_foreign_ones_are_not(stored, factors):
    shared = read_deltas(stored({n: factors(s, AXES[:, :2]) for s, n in enumerate("abc")}, name="shared"))
    pairs = list(layer_pairs(shared, draws=20))
    assert [one.pair for one in pairs[::2]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert max(one.angle for one in pairs) == pytest.approx(0, abs=1e-4)
    assert min(one.angle_random for one in pairs) > 40
    assert all(one.angle_shuffled == pytest.approx(0, abs=1e-4) for one in pairs), "both layers use the same two axes"
    estimates = cross_task([shared], draws=20).numbers["estimates"]
    assert estimates["angle_below_random"]["low"] > 40
    apart = {n: factors(s, AXES[:, 3 * s : 3 * s + 3]) for s, n in enumerate("abc")}
    foreign = cross_task([read_deltas(stored(apart, name="apart"))], draws=20)
    assert foreign.numbers["estimates"]["angle"]["mean"] == pytest.approx(90)
    assert foreign.numbers["estimates"]["angle_below_random"]["high"] < 0
    assert foreign.numbers["estimates"]["cka"]["mean"] < 0.2


def test_what_one_seed_gives_twice_is_what_it_gives_once(stored, factors, tmp_path):
    run = read_deltas(stored({n: factors(s) for s, n in enumerate("abc")}))
    once, twice = cross_task([run], draws=3), cross_task([run, run], draws=3)
    for name, estimate in once.numbers["estimates"].items():
        assert twice.numbers["estimates"][name] == pytest.approx(estimate), name
    assert once.finding[0].startswith("3 pairs of tasks, 6 pairs of layers")
    once.write(tmp_path / "out")
    assert "No effect seen: ρ = " in (tmp_path / "out" / "summary.md").read_text()
    other = read_deltas(stored({n: factors(s) for s, n in enumerate("abd")}, name="other"))
    with pytest.raises(UsageError, match="learned different tasks"):
        cross_task([run, other], draws=3)


def test_change_distances_are_cosines(stored, factors):
    mirrored = [(-up, down) for up, down in factors(0)]
    run = read_deltas(stored({"a": factors(0), "b": mirrored, "c": factors(0)}))
    assert change_distances(run, ["a", "b", "c"])[0] == pytest.approx([0, 2, 0], abs=1e-9)


def test_shuffled_layers_are_other_layers(stored, factors):
    one, two = layer_pairs(read_deltas(stored({"a": factors(0), "b": factors(0)})), draws=2)
    assert (one.cka, one.angle) == (pytest.approx(1), pytest.approx(0, abs=1e-4))
    assert one.cka_shuffled < 0.9
    assert one.angle_shuffled > 10
    assert one.layer != two.layer
