"""Files of experiments: the published form loads as it is; what is wrong is refused with its line."""

import json
from pathlib import Path

import pytest

from moleflow.experiments.conditions import read_experiments
from moleflow.experiments.kinds import MODELS
from moleflow.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = {
    "experiment_conditions": [
        {"name": "draem_sevnet_A", "description": "with severity", "config": {
            "model_type": "draem_sevnet", "source_domain": "domain_A", "max_epochs": 50, "early_stopping_patience": 5,
            "learning_rate": 1e-4, "batch_size": 16, "image_size": "224x224"}},
        {"name": "patchcore_A", "description": "", "config": {
            "model_type": "patchcore", "source_domain": "domain_A", "image_size": "224x224", "max_epochs": 1,
            "encoder_name": "wide_resnet50_2", "target_layers": ["layer2", "layer3"], "coreset_ratio": 0.1}},
        {"name": "dinomaly_A", "description": "", "config": {
            "model_type": "dinomaly", "source_domain": "domain_A", "image_size": "224x224",
            "encoder_name": "vit_base_patch14_reg4_dinov2", "target_layers": [2, 3, 4, 5, 6, 7, 8, 9]}},
    ]
}  # fmt: skip
"""The form that protocol.md shows."""


def written(folder: Path, text: str, name: str = "experiments.yaml") -> Path:
    """A file."""
    (folder / name).write_text(text)
    return folder / name


def test_files_of_the_published_form_load_as_they_are(tmp_path: Path):
    text = json.dumps(PUBLISHED, indent="\t")
    sevnet, patchcore, dinomaly = read_experiments(written(tmp_path, text, "experiments.json"))
    assert (sevnet.name, sevnet.model, sevnet.description) == ("draem_sevnet_A", "draem_sevnet", "with severity")
    assert sevnet.options == {
        "max_epochs": 50, "early_stopping_patience": 5, "learning_rate": 1e-4, "batch_size": 16
    }  # fmt: skip
    run = sevnet.resolved.run
    assert (run.stream.task_classes, run.data.img_size) == (("domain_A",), 224)
    assert patchcore.options == {"coreset_ratio": 0.1}
    assert patchcore.resolved.run.features.backbone_name == "wide_resnet50_2"
    assert patchcore.resolved.flags["cnn_layers"] == ("layer2", "layer3")
    assert patchcore.notes == ("patchcore does not look at max_epochs.",)
    assert dinomaly.options["target_layers"] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert dinomaly.options["encoder_name"] == "vit_base_patch14_reg4_dinov2"


def test_settings_of_a_flow_are_flags_of_the_command_line(tmp_path: Path):
    text = """
defaults: {preset: demo, max_seconds: 3, img_size: 64}
experiment_conditions:
  - {name: a, config: {model_type: ewc, learning_rate: 1e-3, max_epochs: 4, lambda_logdet: 0.5}}
  - {name: b, config: {model_type: moleflow, img_size: 96, ablation: wo_dia}}
"""
    a, b = read_experiments(written(tmp_path, text), {"data_path": "there"})
    assert (a.resolved.run.training.lr, a.resolved.run.training.num_epochs) == (1e-3, 4)
    assert type(a.resolved.ablation.protector).__name__ == "Ewc"
    assert a.resolved.flags["base_policy"] == "always"
    assert (a.resolved.run.data.img_size, b.resolved.run.data.img_size) == (64, 96)
    assert type(b.resolved.ablation.dia).__name__ == "NoDia"
    assert b.resolved.run.data.data_path == "there"


HEAD = "experiment_conditions:\n  - name: a\n    config:\n      model_type: "
WRONG = [
    ("[]", 1, "expected a mapping with a list 'experiment_conditions'"),
    ("experiment_conditions: []", 1, "it lists no experiment"),
    ("experiment_conditions:\n  - {name: a, config: {model_type: vae}}\nextra: 1", 3, "unknown 'extra'"),
    ("experiment_conditions:\n  - 3", 2, "expected a mapping with name and config"),
    ("experiment_conditions:\n  - name: a/b\n    config: {}", 2, "expected a name of letters"),
    ("experiment_conditions:\n  - {name: a}", 2, "needs a mapping 'config'"),
    (HEAD + "padin", 4, "did you mean 'padim'"),
    (HEAD + "vae\n      bata: 2", 5, "did you mean 'beta'"),
    (HEAD + "vae\n      beta: two", 5, "wrong value: 'two'"),
    (HEAD + "vae\n      image_size: 224x256", 5, "img_size"),
    (HEAD + "vae\n      encoder_name: vgg", 5, "has no"),
    (HEAD + "ewc\n      lr: -1", 5, "--lr expects"),
    (HEAD + "ewc\n      preset: demmo", 5, "mean 'demo'"),
    (HEAD + "vae\n    name: b", 5, "'name' is given twice"),
    (
        "experiment_conditions:\n  - {name: a, config: {model_type: vae}}\n  - {name: a, config: {model_type: vae}}",
        3,
        "the name 'a' is taken already",
    ),
    ("experiment_conditions:\n  - {name: a\n", 3, "no YAML"),
]


@pytest.mark.parametrize(("text", "line", "sentence"), WRONG, ids=[row[2] for row in WRONG])
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, line: int, sentence: str):
    file = written(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        read_experiments(file)
    assert str(refused.value).startswith(f"{file}, line {line}: ")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_json_errors_have_their_line_too(tmp_path: Path):
    with pytest.raises(UsageError, match=r"experiments\.json, line 2: no JSON"):
        read_experiments(written(tmp_path, '{\n"experiment_conditions" []}', "experiments.json"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_experiments(tmp_path / "absent.json")


def test_the_projects_own_file_loads_and_has_what_the_table_needs():
    found = {one.name: one for one in read_experiments(ROOT / "scripts" / "peers.yaml")}
    needed = "patchcore padim dfm spade fastflow cflow stfpm draem vanilla_ae vae fine_tune joint replay ewc"
    needed += " task_separated coreset_router gaussian_per_task nearest_prototype moleflow"
    assert set(needed.split()) <= set(found)
    assert all(one.model in MODELS for one in found.values())
    trained = [one.options for one in found.values() if "max_seconds" in one.options]
    assert len({str(options["max_seconds"]) for options in trained}) == 1
