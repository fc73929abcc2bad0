"""Peers by name; what they wrap may be absent."""

import sys

import pytest

from moleflow.baselines import get_model, list_models_by_category
from moleflow.baselines.registry import PEERS
from moleflow.utils.errors import UsageError


def test_categories_name_their_peers():
    assert list_models_by_category("memory_based") == ["patchcore"]
    assert list_models_by_category("statistical") == ["padim"]
    with pytest.raises(UsageError, match="expected one of memory_based, statistical; did you mean 'statistical'"):
        list_models_by_category("statistic")


def test_an_unknown_peer_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"'padin'.*did you mean 'padim'"):
        get_model("padin")


@pytest.mark.parametrize("name", PEERS)
def test_without_anomalib_the_way_to_install_it_is_told(name: str, monkeypatch: pytest.MonkeyPatch):
    for module in [module for module in sys.modules if module.split(".")[0] == "anomalib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "anomalib", None)
    with pytest.raises(UsageError, match=r"requirements-baselines\.txt"):
        get_model(name, img_size=32)


@pytest.mark.parametrize("name", PEERS)
def test_an_option_that_a_peer_lacks_is_refused(name: str):
    with pytest.raises(UsageError, match=f"'{name}' cannot be made so: .*'rank'"):
        get_model(name, img_size=32, rank=2)
