"""Peers by name; what they wrap may be absent."""

import sys

import pytest

from moleflow.baselines import get_model, list_models_by_category
from moleflow.baselines.cards import CARDS
from moleflow.baselines.registry import PEERS
from moleflow.utils.errors import UsageError

CATEGORIES = {
    "reconstruction": "vanilla_ae unet_ae vae beta_vae wae resnet_ae vgg_ae draem draem_sevnet dinomaly",
    "memory_based": "patchcore spade",
    "flow_based": "fastflow differnet cflow",
    "statistical": "padim dfm",
    "distillation": "stfpm efficientad student_teacher",
}
"""What issue and protocol promise."""


@pytest.mark.parametrize("category", CATEGORIES)
def test_categories_name_their_peers(category: str):
    assert list_models_by_category(category) == sorted(CATEGORIES[category].split())


def test_an_unknown_category_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"'statistic', expected one of .*statistical.*did you mean 'statistical'"):
        list_models_by_category("statistic")


def test_an_unknown_peer_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"'padin', expected one of .*spade.*did you mean 'padim'"):
        get_model("padin")


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.wrapped])
def test_without_anomalib_the_way_to_install_it_is_told(name: str, monkeypatch: pytest.MonkeyPatch):
    for module in [module for module in sys.modules if module.split(".")[0] == "anomalib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "anomalib", None)
    with pytest.raises(UsageError, match=r"requirements-baselines\.txt"):
        get_model(name, img_size=32)


@pytest.mark.parametrize("name", PEERS)
def test_an_option_that_a_peer_lacks_is_refused(name: str):
    with pytest.raises(UsageError, match=rf"'{name}' takes no option 'img_sice'.*did you mean 'img_size'"):
        get_model(name, img_sice=32)


def test_impossible_training_is_refused():
    with pytest.raises(UsageError, match="max_epochs expects a number above 0, found 0"):
        get_model("vanilla_ae", max_epochs=0)
