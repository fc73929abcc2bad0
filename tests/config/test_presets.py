"""The tables of presets, versions and ablations say what components.md says."""

from dataclasses import replace
from functools import cache

import pytest

from moleflow.config import variants as v
from moleflow.config.ablation import AblationConfig
from moleflow.config.ablations import ABLATIONS, GROUPS
from moleflow.config.cli import parse
from moleflow.config.history import VERSIONS
from moleflow.config.knobs import variants_of
from moleflow.config.presets import PRESETS
from moleflow.config.resolve import Resolved, layer_from_flags, resolve, slots
from moleflow.data.datasets import DATASETS, open_dataset
from moleflow.utils.errors import UsageError


@cache
def preset(name: str, ablation: str | None = None) -> Resolved:
    """As the command line resolves it, without its parser, which takes most of the time."""
    layers = {"preset": layer_from_flags(PRESETS[name].flags, name)}
    if ablation:
        layers["ablation"] = layer_from_flags(ABLATIONS[ablation].flags, ablation)
    return resolve(layers)


@cache
def row(name: str) -> AblationConfig:
    return resolve({"ablation": layer_from_flags(ABLATIONS[name].flags, name)}).ablation


UNFROZEN = v.SpatialMixer(freeze=False)
FULL = AblationConfig(extractor=v.Vit())
EXPECTED = {
    "v1": (None, {
        "adapter": v.InstanceNormAdapter(), "context": v.NoContext(), "subnet": v.PlainSubnet(), "dia": v.NoDia(),
        "lora": v.Lora(scaling="alpha_over_2r", in_task0=False), "loss": v.MeanLoss(),
        "aggregation": v.Percentile(0.99),
    }),
    "v2": ("v1", {"lora": v.Lora()}),
    "v3": ("v2", {"adapter": v.FilmAdapter()}),
    "v4": ("v3", {"lora": v.SpatialLora(), "subnet": v.CpcfSubnet(mode="learned")}),
    "v4_1": ("v4", {"subnet": v.CpcfSubnet(mode="mean")}),
    "v5": ("v3", {"center": v.CenterLoss(0.05)}),
    "v6": ("v3", {"context": v.PatchAttention()}),
    "v7": ("v3", {"loss": v.FocalLoss(2.0)}),
    "baseline_1_5": ("v3", {"subnet": v.ScaleContextSubnet(kernel=3)}),
    "baseline_2_0": ("v3", {"subnet": v.GatedContextSubnet()}),
    "v8_1": (None, {"adapter": v.NoAdapter(), "context": v.NoContext(), "dia": v.NoDia(), "subnet": v.PlainSubnet()}),
    "V3_dia": ("baseline_1_5", {"context": UNFROZEN, "dia": v.Dia()}),
    "V3_ogp": ("baseline_1_5", {"context": UNFROZEN, "protector": v.Ogp()}),
    "V3_dia_ogp": ("V3_dia", {"protector": v.Ogp()}),
    "V3_whitening": ("baseline_1_5", {"context": UNFROZEN, "adapter": v.WhiteningAdapter()}),
    "V3_ms_context": ("baseline_1_5", {"context": v.MultiScaleContext()}),
    "V3_all": ("V3_dia_ogp", {"adapter": v.WhiteningAdapter()}),
    "V4": ("V3_whitening", {"dia": v.Dia(2), "context": v.SpatialMixer(),
                            "subnet": v.ScaleContextSubnet(kernel=3, freeze=False)}),
    "V4_1": ("V4", {"subnet": v.ScaleContextSubnet(kernel=3)}),
    "V4_3": ("V4_1", {"aggregation": v.TopK(3)}),
    "V4_4": ("V4_1", {"adapter": v.WhiteningNoNorm()}),
    "V5_final": ("V4_3", {"loss": v.TailAwareLoss(0.3, 0.05)}),
    "V5_5_relative": ("V5_final", {"position": v.RelativePosition()}),
    "V5_5_dual": ("V5_final", {"scorer": v.DualBranch()}),
    "V5_5_local": ("V5_final", {"consistency": v.LocalConsistency()}),
    "V5_5_relative_local": ("V5_final", {"position": v.RelativePosition(), "consistency": v.LocalConsistency()}),
    "V5_6_improved": ("V5_final", {"scorer": v.DualBranch("improved")}),
    "V5_6_guided": ("V5_final", {"scorer": v.DualBranch("guided")}),
    "V5_6_multiscale": ("V5_final", {"consistency": v.MultiscaleConsistency()}),
    "V5_6_combined": ("V5_6_improved", {"consistency": v.MultiscaleConsistency()}),
    "V5_7_multi": ("V5_final", {"scorer": v.MultiOrientation()}),
    "V5_7_content": ("V5_final", {"position": v.ContentPosition()}),
    "V5_7_hybrid": ("V5_final", {"position": v.HybridPosition()}),
    "V5_8_tape": ("V5_final", {"position": v.TapePosition(lr_multiplier=1.0)}),
    "V5_8_tape2": ("V5_final", {"position": v.TapePosition(lr_multiplier=100.0)}),
    "V6_rotation": ("V5_final", {"image": v.RandomRotation()}),
    "V6_no_pe": ("V5_final", {"position": v.NoPosition()}),
    "V6_1_stn": ("V5_final", {"image": v.SpatialTransformer()}),
    "V6_no_lora": ("V5_final", {"lora": v.FullDelta()}),
    "V6_task_separated": ("V5_final", {"sharing": v.Separated()}),
    "V6_both": ("V5_final", {"lora": v.FullDelta(), "sharing": v.Separated()}),
    "V6_spectral": ("V5_final", {"flow": v.Flow(spectral_norm=True)}),
    "V7_dsm": ("V5_final", {"dsm": v.Dsm("dsm_only"), "dia": v.NoDia()}),
    "V7_hybrid": ("V5_final", {"dsm": v.Dsm("hybrid"), "dia": v.NoDia()}),
}  # fmt: skip
"""components.md §14, written a second time: version -> the version it is compared with, and what differs."""


@pytest.mark.parametrize("name", EXPECTED)
def test_a_version_differs_from_its_parent_in_what_the_history_lists_only(name):
    parent, parts = EXPECTED[name]
    before = preset(parent).ablation if parent else FULL
    assert preset(name).ablation == replace(before, **parts)


def test_every_version_of_the_history_is_a_preset_and_nothing_else_moves_in_its_run():
    assert set(EXPECTED) == set(VERSIONS) <= set(PRESETS)
    plain = preset("v1").run
    for name in VERSIONS:
        run = preset(name).run
        if name == "v8_1":
            assert (run.data.img_size, run.features.backbone_name) == (518, "vit_base_patch14_dinov2.lvd142m")
            continue
        if name == "V6_1_stn":
            assert not run.features.cache_features, "images change while the warp learns"
            run = replace(run, features=plain.features)
        assert run == plain, name
    assert (plain.data.dataset, plain.data.img_size) == ("mvtec", 224)
    assert plain.features.backbone_name == "vit_base_patch16_224.augreg2_in21k_ft_in1k"


def test_a_version_resolves_without_a_part_being_switched_off():
    for name in VERSIONS:
        assert all("initial values" in warning for warning in preset(name).warnings), name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mvtec_pixel", {"tail_weight": 0.75, "score_aggregation_top_k": 5, "num_coupling_layers": 8}),
        ("visa_image", {"backbone_type": "vit", "num_coupling_layers": 12, "dia_n_blocks": 8, "lora_rank": 128,
                        "lr": 8e-5, "num_epochs": 100, "dataset": "visa"}),
        ("visa_pixel", {"backbone_name": "wide_resnet50_2", "num_coupling_layers": 8, "dia_n_blocks": 4,
                        "tail_weight": 0.6, "lambda_logdet": 2e-4, "scale_context_kernel": 7, "lr": 2e-4,
                        "num_epochs": 80, "dataset": "visa"}),
    ],
)  # fmt: skip
def test_published_presets(name, wanted):
    flags = preset(name).flags
    assert {flag: flags[flag] for flag in wanted} == wanted
    assert PRESETS[name].verified == "no"
    assert "AUROC" in PRESETS[name].reported


def test_the_measured_preset_is_the_full_method_with_a_louder_lora():
    resolved = preset("measured")
    assert resolved.ablation == AblationConfig(lora=v.Lora(alpha=64.0))
    assert resolved.run.stream.task_classes == ("screw", "magnetic_tile", "cookie")


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_row_can_be_measured(name):
    """Settings of parts that a row takes away give way to it; what must be refused would be refused here."""
    measured = preset("measured", name).ablation
    expected = row(name)
    if isinstance(expected.lora, v.Lora | v.SpatialLora):
        alpha = measured.lora.alpha
        assert alpha == 64.0
        expected = replace(expected, lora=replace(expected.lora, alpha=alpha))
    assert measured == expected


def test_all_shared_leaves_nothing_to_a_task():
    config = row("all_shared")
    parts = (config.lora, config.adapter, config.dia, config.flow.base_policy)
    assert parts == (v.NoLora(), v.NoAdapter(), v.NoDia(), "always")


BARE = replace(AblationConfig(), adapter=v.NoAdapter(), loss=v.MeanLoss(), dia=v.NoDia())
BOOSTERS = {
    "none": {}, "wa": {"adapter": v.WhiteningAdapter()}, "tal": {"loss": v.TailAwareLoss()}, "dia": {"dia": v.Dia()}
}  # fmt: skip


@pytest.mark.parametrize("booster", BOOSTERS)
def test_interaction_is_one_booster_on_a_bare_base(booster):
    frozen = replace(BARE, **BOOSTERS[booster])
    assert row(f"inter_frozen_{booster}") == frozen
    trained = replace(frozen, flow=v.Flow(base_policy="always"), lora=v.NoLora())
    assert row(f"inter_trainable_{booster}") == trained


def test_sweeps_hold_their_values():
    assert [row(f"rank_{rank}").lora.rank for rank in (8, 16, 32, 64, 128, 256)] == [8, 16, 32, 64, 128, 256]
    names = ("00", "03", "05", "06", "07", "08", "10")
    assert [row(f"tail_w_{name}").loss.weight for name in names] == [0, 0.3, 0.5, 0.6, 0.7, 0.8, 1]
    assert [row(f"tail_r_{name}").loss.top_ratio for name in ("001", "002", "005", "010")] == [0.01, 0.02, 0.05, 0.1]
    assert [row(f"coupling_{n}").flow.layers for n in (8, 10, 12, 16)] == [8, 10, 12, 16]
    assert [row(f"dia_{n}").dia for n in range(9)] == [v.NoDia(), *(v.Dia(n) for n in range(1, 9))]
    assert row("dia_auto").dia == v.Dia(None)


def test_every_variant_of_every_slot_is_in_the_table():
    """One toggle each: a variant without a row could not be ablated."""
    reached = {type(getattr(row(name), slot)) for name in ABLATIONS for slot in slots()}
    variants = {variant for place in slots().values() for variant in variants_of(place)}
    assert variants - reached == {v.Vit}, "another backbone is a preset's choice, not an ablation"


def test_groups_partition_the_rows():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(ABLATIONS)
    assert len(GROUPS["core"]) == 9
    assert set(GROUPS["design"]) == {"regular_linear", "task_separated", "both", "all_shared", "spectral_norm"}
    assert len(GROUPS["interaction"]) == 8


OLD_LINES = [
    "--tail_weight 0.8 --topk 5 --logdet_reg 2e-4 --scale_context_k 7 --learning_rate 2e-4 --dia 8",
    "--backbone vit_base_patch16_224.augreg2_in21k_ft_in1k --backbone_type vit --coupling_layers 12",
    "--train_shared_always --no_lora",
    "--loss_type dsm --no_dia",
    "--loss_type nll",
    "--use_improved_dual_branch",
    "--use_score_guided_dual",
    "--use_ogp --ogp_threshold 0.99 --ogp_max_rank 50 --ogp_n_samples 300",
    "--use_ms_context",
    "--use_dsm --dsm_mode hybrid --dsm_alpha 0.5",
    "--use_stn --stn_mode rotation --stn_hidden_dim 128 --stn_rotation_reg_weight 0.01",
    "--use_tape --tape_init_value 0 --tape_lr_multiplier 100",
    "--no_whitening_adapter --no_spatial_context --no_scale_context --no_pos_embed --no_router --no_ogp",
]


@pytest.mark.parametrize("line", OLD_LINES)
def test_old_lines_parse(line):
    parse(line.split())


def test_a_dataset_to_come_resolves_and_a_run_of_it_says_what_is_there(tmp_path):
    assert preset("visa_image").run.data.dataset == "visa"
    if "visa" not in DATASETS:
        with pytest.raises(UsageError, match=r"unknown dataset 'visa', expected one of .*mvtec"):
            open_dataset("visa", tmp_path)
