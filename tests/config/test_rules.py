"""Every rule between parts: a command line that meets it, what is said, and what becomes of it."""

import re

import pytest

from moleflow.config import variants as v
from moleflow.config.cli import parse
from moleflow.config.rules import RULES
from moleflow.utils.errors import UsageError

RESOLVED = {
    "--use_ms_context": lambda ablation, run: ablation.context == v.SpatialMixer(),
    "--slow_epochs 2 --base_policy always": lambda ablation, run: ablation.slow == v.FastOnly(),
    "--slow_epochs 2 --use_task_separated": lambda ablation, run: ablation.slow == v.FastOnly(),
    "--use_slow_stage": lambda ablation, run: ablation.slow == v.FastOnly(),
    "--slow_epochs 2": lambda ablation, run: ablation.slow == v.SlowStage(2),
    "--use_ogp": lambda ablation, run: ablation.protector == v.NoProtector(),
    "--use_replay --base_policy always --use_task_separated": lambda ablation, run: (
        ablation.protector == v.NoProtector()
    ),
    "--use_dsm --dsm_mode hybrid --dsm_alpha 0.7": lambda ablation, run: (
        ablation.dia == v.NoDia() and ablation.dsm == v.Dsm(alpha=0.7)
    ),
    "--use_rotation_aug --cache_views 0": lambda ablation, run: not run.features.cache_features,
    "--use_place_gaussian --val_fraction 0": lambda ablation, run: ablation.place_gaussian == v.NoPlaceGaussian(),
    "--use_patch_memory --val_fraction 0": lambda ablation, run: ablation.patch_memory == v.NoPatchMemory(),
    "--map_source finest": lambda ablation, run: ablation.map_source == v.MapOfAll(),
    "--map_source finest --use_patch_memory --patch_memory_pooling 2": lambda ablation, run: (
        ablation.map_source == v.MapOfAll()
    ),
    "--use_ground_weight --use_patch_memory --patch_memory_pooling 2": lambda ablation, run: (
        ablation.border == v.NoBorderRamp()
    ),
    "--use_ground_weight": lambda ablation, run: ablation.border == v.NoBorderRamp(),
    "--use_ground_weight --use_patch_memory --val_fraction 0": lambda ablation, run: (
        (ablation.patch_memory, ablation.border) == (v.NoPatchMemory(), v.NoBorderRamp())
    ),
    "--flow_share 0.1 --map_source finest --use_patch_memory": lambda ablation, run: (
        ablation.map_source == v.MapOfFinest(1.0)
    ),
    "--use_spatial_lora --no_scale_context --use_patch_memory --map_source finest --flow_share 0.1": (
        lambda ablation, run: ablation.map_source == v.MapOfFinest(1.0)
    ),
    "--preset realstream --score_aggregation_mode mean": lambda ablation, run: (
        ablation.map_source == v.MapOfFinest(1.0)
    ),
    "--preset realstream --use_multi_orientation": lambda ablation, run: ablation.map_source == v.MapOfFinest(1.0),
    "--use_stn": lambda ablation, run: not run.features.cache_features,
    "--score_aggregation_mode adaptive": lambda ablation, run: ablation.aggregation == v.Adaptive(),
    "--calibration_images all": lambda ablation, run: run.training.calibration_images == "held_out",
    "--calibration_images all --use_patch_memory --use_rotation_aug": lambda ablation, run: (
        run.training.calibration_images == "held_out"
    ),
    "--calibration_images all --use_patch_memory --val_fraction 0": lambda ablation, run: (
        (ablation.patch_memory, run.training.calibration_images) == (v.NoPatchMemory(), "held_out")
    ),
    "--calibration_images all --use_patch_memory --calibration_folds 3": lambda ablation, run: (
        (run.training.calibration_images, run.training.calibration_folds) == ("held_out", 3)
    ),
    "--use_multiscale_consistency": lambda ablation, run: ablation.consistency == v.MultiscaleConsistency(),
    "--use_improved_dual_branch": lambda ablation, run: ablation.scorer == v.DualBranch("improved"),
}
REFUSED = (
    "--use_dual_branch --position none",
    "--use_dsm --dsm_sigma_min 2",
    "--position condition --position_channels 6",
    "--base_from somewhere",
    "--base_policy pretrained",
    "--base_policy pretrained --base_from somewhere --use_task_separated",
    "--calibration_folds 3 --base_policy always",
    "--resize fit --backbone_type vit",
    "--resize fit --use_stn",
    "--resume --overwrite",
)
SILENT = (
    "--use_ms_context --adapter_mode film",
    "--use_ogp --base_policy always",
    "--use_ewc --no_freeze_spatial_mixer",
    "--use_dsm --no_dia",
    "--use_dsm --dsm_mode nll_only",
    "--use_rotation_aug --resize fit",
    "--calibration_folds 3",
    "--calibration_images all --use_patch_memory",
    "--val_fraction 0",
    "--map_source finest --use_patch_memory",
    "--flow_share 0.1 --map_source finest --use_patch_memory --no_scale_context",
    "--preset realstream --score_aggregation_mode max",
    "--use_ground_weight --use_patch_memory",
    "--score_aggregation_mode adaptive --pseudo_margin_weight 0.1",
    "--use_score_guided_dual",
    "--use_dual_branch --use_tape --pseudo_margin_weight 0.1",
)


@pytest.mark.parametrize("line", RESOLVED)
def test_combinations_of_older_lines_are_resolved_with_a_warning(line):
    resolved, _ = parse(line.split())
    assert len(resolved.warnings) == 1
    assert len(set(re.findall(r"--\w+", resolved.warnings[0]))) >= 2, "names both flags"
    assert RESOLVED[line](resolved.ablation, resolved.run)


@pytest.mark.parametrize("line", REFUSED)
def test_other_contradictions_are_refused(line):
    with pytest.raises(UsageError) as caught:
        parse(line.split())
    assert len(re.findall(r"--\w+", str(caught.value))) >= 2, "names both flags"


@pytest.mark.parametrize("line", SILENT)
def test_what_can_act_together_passes_in_silence(line):
    assert parse(line.split())[0].warnings == ()


def test_every_rule_is_met_here():
    met = set()
    for line in (*RESOLVED, *REFUSED):
        try:
            met |= set(parse(line.split())[0].warnings)
        except UsageError as error:
            met.add(str(error))
    assert {rule.message for rule in RULES} == met
