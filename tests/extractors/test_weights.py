"""E3: the four ways to weights, their order, and no silent fifth."""

import pickle
import time

import pytest
import safetensors.torch
import timm
import torch
from huggingface_hub import constants

from moleflow.extractors import hub, lite0
from moleflow.extractors import weights as weights_module
from moleflow.extractors.cnn_extractor import CnnExtractor
from moleflow.extractors.weights import Weights, load_exactly, resolve_weights
from moleflow.utils.errors import UsageError

NAME = "test_resnet"


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """No folder, no hub: each test opens the way that it is about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOLEFLOW_BACKBONES", raising=False)
    monkeypatch.setattr(weights_module, "download", lambda name: (None, "no network here"))


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return resolve_weights(NAME, None, True, 7).state


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def build(weights: Weights, layers=("layer1", "layer2")) -> CnnExtractor:
    return CnnExtractor(NAME, layers, 64, 64, None, weights)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_an_explicit_file(tmp_path, state, suffix):
    path = tmp_path / f"mine{suffix}"
    safetensors.torch.save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    found = resolve_weights(NAME, path, False, 0)
    assert same(found.state, state)
    assert found.source == str(path)
    assert found.sha256 == resolve_weights(NAME, None, True, 7).sha256  # the same weights, whatever the container


@pytest.mark.parametrize(
    "wrap", [lambda s: {"state_dict": s, "epoch": 3}, lambda s: {f"module.{k}": v for k, v in s.items()}]
)
def test_training_checkpoints_are_unwrapped(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "mine.pth")
    assert same(resolve_weights(NAME, tmp_path / "mine.pth", False, 0).state, state)


def test_the_folders_and_their_order(tmp_path, state, monkeypatch):
    (tmp_path / "backbones").mkdir()
    safetensors.torch.save_file(state, tmp_path / "backbones" / f"{NAME}.safetensors")
    assert resolve_weights(NAME, None, False, 0).source == f"backbones/{NAME}.safetensors"
    assert same(resolve_weights(f"{NAME}.r160_in1k", None, False, 0).state, state)  # named without its tag
    monkeypatch.setenv("MOLEFLOW_BACKBONES", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    torch.save(state, tmp_path / "elsewhere" / f"{NAME}.pth")
    assert resolve_weights(NAME, None, False, 0).source == str(tmp_path / "elsewhere" / f"{NAME}.pth")
    torch.save(state, tmp_path / "mine.pth")
    assert resolve_weights(NAME, tmp_path / "mine.pth", False, 0).source == str(tmp_path / "mine.pth")


def test_a_folder_comes_before_the_package_and_the_package_before_the_hub(tmp_path, monkeypatch):
    packaged, own = tmp_path / "packaged.pth", tmp_path / "backbones" / "tf_efficientnet_lite0.pth"
    own.parent.mkdir()
    for path in (packaged, own):
        torch.save({"conv_stem.weight": torch.ones(1)}, path)
    monkeypatch.setattr(lite0, "packaged_file", lambda: packaged)
    monkeypatch.setattr(weights_module, "download", lambda name: pytest.fail("asked the hub"))
    assert resolve_weights("tf_efficientnet_lite0", None, False, 0).source == "backbones/tf_efficientnet_lite0.pth"
    own.unlink()
    assert resolve_weights("tf_efficientnet_lite0", None, False, 0).source == str(packaged)


def test_the_hub_is_last(state, monkeypatch):
    def download(name):
        torch.rand(1)  # timm draws first weights before it fills in the hub's
        return (state, "") if name == NAME else (None, "?")

    monkeypatch.setattr(weights_module, "download", download)
    before = torch.get_rng_state()
    found = resolve_weights(NAME, None, False, 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert found.source == f"hub:{NAME}"
    assert same(found.state, state)


def test_no_weights_is_an_error_that_lists_the_four_ways():
    with pytest.raises(UsageError) as raised:
        resolve_weights(NAME, None, False, 0)
    message = str(raised.value)
    for way in (
        "--backbone_weights",
        "MOLEFLOW_BACKBONES",
        f"backbones/{NAME}.safetensors",
        "pip install",
        "no network here",
    ):
        assert way in message
    assert "--random_backbone" in message


def test_the_hubs_resnet50_is_not_taken_for_v1(state, monkeypatch):
    monkeypatch.setattr(weights_module, "download", lambda name: pytest.fail("asked the hub for v1"))
    with pytest.raises(UsageError, match="hub does not have them"):
        resolve_weights("resnet50_v1", None, False, 0)


def test_random_weights_depend_on_seed_and_name_only(state):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = resolve_weights(NAME, None, True, 7)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(again.state, state)
    assert resolve_weights(NAME, None, True, 8).sha256 != again.sha256
    assert again.source == "random:7"


def test_random_and_a_file_exclude_each_other(tmp_path):
    with pytest.raises(UsageError, match="found both"):
        resolve_weights(NAME, tmp_path / "mine.pth", True, 0)


class Evil:
    def __reduce__(self):
        return (print, ("code in a pickle ran",))


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    torch.save({"weight": Evil()}, path)
    with pytest.raises(UsageError, match=r"evil\.pth.*tensors only"):
        resolve_weights(NAME, path, False, 0)
    path.write_bytes(pickle.dumps({"weight": Evil()}))
    with pytest.raises(UsageError, match=r"evil\.pth"):
        resolve_weights(NAME, path, False, 0)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: d[: len(d) // 2], lambda d: b"hello world " * 9])
def test_a_rotten_file_is_named(tmp_path, state, suffix, damage):
    path = tmp_path / f"mine{suffix}"
    safetensors.torch.save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=rf"mine\{suffix}.*damaged"):
        resolve_weights(NAME, path, False, 0)


def test_what_is_no_weights_file_is_named(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({}, tmp_path / "empty.pth")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder.pth").mkdir()
    for name in ("list.pth", "empty.pth", "notes.txt", "absent.pth", "folder.pth"):
        with pytest.raises(UsageError, match=name.replace(".", r"\.")):
            resolve_weights(NAME, tmp_path / name, False, 0)


def test_a_network_cut_off_needs_only_its_own_part(state):
    shallow = {name: tensor for name, tensor in state.items() if not name.startswith(("layer3", "layer4", "fc"))}
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in shallow.items()}
    whole, cut, stored_half = (build(Weights(s, "x", "x")) for s in (state, shallow, half))
    assert torch.equal(whole(images), cut(images))
    assert next(stored_half.parameters()).dtype == torch.float32
    torch.testing.assert_close(stored_half(images), cut(images), rtol=0.01, atol=0.01)
    with pytest.raises(UsageError, match=r"x is of another architecture: expected layer3\..*found nothing"):
        build(Weights(shallow, "x", "x"), ("layer3",))


def test_counters_of_batch_norm_may_be_absent(state):
    build(Weights({name: t for name, t in state.items() if "num_batches" not in name}, "x", "x"))


def test_another_shape_is_named(state):
    state["conv1.0.weight"] = torch.zeros(1, 2, 3, 3)
    with pytest.raises(
        UsageError, match=r"expected conv1\.0\.weight of shape \(\d+, 3, 3, 3\), found shape \(1, 2, 3, 3\)"
    ):
        build(Weights(state, "x", "x"))


def test_weights_that_are_not_finite_are_refused(state):
    state["conv1.0.weight"][0, 0, 0, 0] = torch.nan
    with pytest.raises(UsageError, match=r"damaged.*conv1\.0\.weight"):
        build(Weights(state, "x", "x"))


def test_loading_fills_every_tensor(state):
    network = timm.create_model(NAME, features_only=True, out_indices=(1,))
    load_exactly(network, Weights(state, "x", "x"))
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_a_hub_out_of_reach_fails_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the port that discards: nobody answers
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    before = constants.HF_HUB_OFFLINE
    state, reason = hub.download(NAME)
    assert state is None
    assert "127.0.0.1:9 is out of reach" in reason
    assert before == constants.HF_HUB_OFFLINE


def late(*_args: object, **_kwargs: object) -> None:
    """A server that takes its time and then gives up."""
    time.sleep(2)
    raise OSError("timed out")


def test_a_hub_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(hub, "PATIENCE_S", 0.05)
    monkeypatch.setattr(hub.urllib.request, "urlopen", late)
    start = time.monotonic()
    assert not hub._answers("http://127.0.0.1:9")
    assert time.monotonic() - start < 1


def test_a_hub_that_answers_is_asked(monkeypatch, state):
    monkeypatch.setattr(hub, "_answers", lambda url: True)

    def create(name, pretrained):
        assert pretrained
        assert not constants.HF_HUB_OFFLINE
        raise ValueError("first line\nsecond")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(timm, "create_model", create)
    assert hub.download(NAME) == (None, "the hub said: first line")


def test_models_that_have_no_weights_do_not_come_at_random(monkeypatch):
    """timm itself must refuse ``pretrained=True`` there; this project relies on it."""
    monkeypatch.setattr(hub, "_answers", lambda url: True)
    state, reason = hub.download("mobilenetv2_035")
    assert state is None
    assert "No pretrained weights exist" in reason
