"""The command line: precedence, old spellings, messages."""

import json
import subprocess
import sys
import time
from dataclasses import fields

import pytest

from moleflow.config.ablation import AblationConfig
from moleflow.config.cli import build_parser, parse
from moleflow.config.knobs import knobs_of, variants_of
from moleflow.config.presets import ABLATIONS, ALIASES, PRESETS
from moleflow.config.resolve import layer_from_flags, negation, resolve, run_groups, slots, switches
from moleflow.config.run import RunConfig
from moleflow.config.variants import (
    Dia,
    NoAdapter,
    NoContext,
    NoDia,
    NoPosition,
    OracleRouter,
    PlainSubnet,
    SinCosPosition,
    TapePosition,
)
from moleflow.utils.errors import UsageError


def flags_of(*words: str) -> dict:
    return parse(list(words))[0].flags


def test_no_flag_is_the_demo_and_any_flag_means_mvtec():
    assert flags_of()["dataset"] == "demo"
    assert flags_of("--print_config")["dataset"] == "demo"
    assert flags_of("--seed", "1")["dataset"] == "mvtec"


def test_defaults_are_the_full_method():
    assert parse(["--seed", "0"])[0].ablation == AblationConfig()


def test_precedence_cli_over_config_over_ablation_over_preset(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("lr: 0.5\nlora_rank: 8\nuse_dia: true\n")
    words = ["--preset", "mvtec_main", "--ablation", "wo_dia", "--config", str(file), "--lora_rank", "4"]
    resolved, _ = parse(words)
    assert resolved.flags["lora_rank"] == 4
    assert resolved.sources["lora_rank"] == "cli"
    assert resolved.flags["lr"] == 0.5
    assert resolved.sources["lr"] == "config"
    assert isinstance(resolved.ablation.dia, Dia)
    assert resolved.sources["num_epochs"] == "preset"
    assert resolved.sources["weight_decay"] == "default"
    without_file, _ = parse(words[:4])
    assert isinstance(without_file.ablation.dia, NoDia)
    assert without_file.sources["use_dia"] == "ablation"


def test_old_command_lines_still_parse():
    line = "--tail_weight 0.55 --topk 5 --logdet_reg 1e-4 --scale_context_k 5 --learning_rate 3e-4 --dia 5"
    flags = flags_of(*line.split())
    assert flags["score_aggregation_top_k"] == 5
    assert flags["lambda_logdet"] == 1e-4
    assert flags["dia_n_blocks"] == 5
    assert flags["lr"] == 3e-4
    line = "--task_classes screw --no_whitening_adapter --no_spatial_context --no_dia --img_size 518"
    ablation = parse(line.split())[0].ablation
    assert (type(ablation.adapter), type(ablation.context), type(ablation.dia)) == (NoAdapter, NoContext, NoDia)


def test_switches_and_modes_choose_the_same_variant():
    assert type(parse(["--no_router"])[0].ablation.router) is OracleRouter
    assert type(parse(["--router", "oracle"])[0].ablation.router) is OracleRouter
    assert type(parse(["--adapter_mode", "none"])[0].ablation.adapter) is NoAdapter
    assert type(parse(["--no_dia", "--use_dia"])[0].ablation.dia) is Dia, "the last one on the line wins"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--use_tape", "--no_tape"], SinCosPosition),
        (["--no_tape", "--use_tape"], TapePosition),
        (["--no_tape"], SinCosPosition),
        (["--preset", "V5_8_tape", "--no_tape"], SinCosPosition),
        (["--preset", "V5_8_tape", "--no_relative_position"], TapePosition),
        (["--position", "none", "--no_tape"], NoPosition),
    ],
)
def test_a_switch_is_undone_where_it_is_in_force(words, expected):
    assert type(parse(words)[0].ablation.position) is expected


def test_every_switch_has_an_opposite():
    options = {name for action in build_parser()._actions for name in action.option_strings}
    assert all(f"--{negation(name)}" in options for name in switches() if name.startswith("use_"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--lora_rnk", "4"], "did you mean '--lora_rank'"),
        (["--no_dia", "--dia_n_blocks", "3"], "--dia_n_blocks has no effect here: it belongs to --use_dia"),
        (["--lr", "fast"], "invalid float value: 'fast'"),
        (["--tail_weight", "3"], "at most 1, found 3"),
        (["--num_epochs", "0"], "at least 1, found 0"),
        (["--router", "magic"], "choose from 'tied'"),
        (["--preset", "mvtec_mian"], "invalid choice: 'mvtec_mian'"),
        (["--ablation", "wo_lara"], "did you mean 'wo_lora'"),
        (["--scale_context_kernel", "4"], "expects an odd number, found 4"),
        (
            ["--use_patch_memory", "--patch_memory_shallow", "1", "2", "3"],
            "--patch_memory_shallow expects one number, or one for each of the 2 memories of",
        ),
        (["--use_patch_memory", "--patch_memory_directions", "8", "8", "8"], "--patch_memory_directions expects one"),
        (["--channel_shares", "roots"], "channel_shares"),
        (["--config", "absent.yaml"], "absent.yaml cannot be read"),
        (["--resume", "--overwrite"], "contradict each other"),
        (["--vit_blocks", "3"], "it belongs to --backbone_type vit"),
    ],
)
def test_misuse_is_one_sentence(words, expected):
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["- a\n- b\n", "lr: [1, 2", "lorarank: 3\n", "lr: fast\n", "use_dia: 3\n"])
def test_broken_config_files_are_refused(tmp_path, content):
    file = tmp_path / "broken.yaml"
    file.write_text(content)
    with pytest.raises(UsageError):
        parse(["--config", str(file)])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_resolves_and_sets_what_it_lists(name):
    resolved, _ = parse(["--preset", name])
    for flag, value in PRESETS[name].flags.items():
        expected = tuple(value) if isinstance(value, list) else value
        assert resolved.flags[flag] == expected, flag
        assert resolved.sources[flag] == "preset", flag


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_differs_from_the_default_in_its_own_slots_only(name):
    default, _ = parse(["--seed", "0"])
    ablated, _ = parse(["--seed", "0", "--ablation", name])
    layer = layer_from_flags(ABLATIONS[name].flags, name)
    changed = {
        place.name
        for place in fields(AblationConfig)
        if getattr(default.ablation, place.name) != getattr(ablated.ablation, place.name)
    }
    touched = {
        slot for slot, place in slots().items()
        if slot in layer or any(one.flag in layer for variant in variants_of(place) for one in knobs_of(variant))
    }  # fmt: skip
    assert bool(changed) != ABLATIONS[name].reference, "only a sweep's reference row changes nothing"
    assert changed <= touched
    groups = {
        group.name
        for group in fields(RunConfig)
        if getattr(default.run, group.name) != getattr(ablated.run, group.name)
    }
    listed = {group for group, owner in run_groups().items() if any(one.flag in layer for one in knobs_of(owner))}
    assert groups == listed, "what a row changes of the run, it lists"


def test_every_field_has_a_flag_and_a_sentence():
    parser = build_parser()
    helps = {name: action.help for action in parser._actions for name in action.option_strings}
    owners = [variant for place in slots().values() for variant in variants_of(place)] + list(run_groups().values())
    for owner in owners:
        assert owner.__doc__
        for one in knobs_of(owner):
            assert helps[f"--{one.flag}"], one.flag
            assert one.help.endswith((".", ")")), one.help
        assert {one.name for one in knobs_of(owner)} == {field.name for field in fields(owner)}
    assert all(f"--{new}" in helps for new in ALIASES.values())


def test_overwrite_on_the_command_line_beats_a_preset_that_resumes():
    assert parse(["--preset", "demo"])[0].run.output.resume
    resolved, _ = parse(["--preset", "demo", "--overwrite"])
    assert resolved.run.output.overwrite
    assert not resolved.run.output.resume


def test_a_preset_value_of_a_part_that_is_switched_off_is_dropped_silently():
    resolved = resolve({"preset": {"dia_n_blocks": 2}, "cli": {"dia": NoDia, "subnet": PlainSubnet}})
    assert resolved.flags["dia_n_blocks"] is None


@pytest.mark.parametrize("flag", ["--print_config", "--help"])
def test_help_and_print_config_import_no_torch_and_are_quick(flag):
    code = (
        "import sys; sys.argv = ['run_moleflow.py', sys.argv[1]]\n"
        "import run_moleflow\n"
        "try: code = run_moleflow.main()\n"
        "except SystemExit as stop: code = stop.code\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules; sys.exit(code)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, flag], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - start < 3, "a second on an idle machine; three leave room for a busy one"
    if flag == "--print_config":
        assert set(json.loads(done.stdout)) == {"ablation", "run", "flags", "sources"}
    else:
        assert "dia (Task adapter after the flow)" in done.stdout
