"""From configuration to modules: the only package that knows both (for loss terms: losses/build.py).

One file for each letter of the components' names. A configuration without a module raises no error at import: the
contract tests build every variant.
"""

import torch

from moleflow.config.ablation import AblationConfig
from moleflow.extractors.base import Extractor
from moleflow.models.build.adapter import build_adapter, build_dia
from moleflow.models.build.context import build_context
from moleflow.models.build.extractor import build_extractor
from moleflow.models.build.flow import build_flow
from moleflow.models.build.image import build_warp
from moleflow.models.build.position import build_position
from moleflow.models.build.routing import build_open_set, build_router
from moleflow.models.build.scoring import (
    build_aggregation,
    build_calibration,
    build_consistency,
    build_decision,
    build_limit_rule,
    build_pixel_map,
    build_scorer,
)
from moleflow.models.build.views import build_border, build_fusion
from moleflow.models.mole_nf import MoLEFlow, Parts
from moleflow.utils.seed import derive_seed

__all__ = ["build_extractor", "build_model"]


def build_model(config: AblationConfig, extractor: Extractor, seed: int) -> MoLEFlow:
    """The model of a configuration on a backbone; it has no task yet. Shared weights start from the seed alone."""
    shape = (*extractor.grid, extractor.dim)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "base"))
        return MoLEFlow(
            Parts(
                warp=build_warp(config),
                extractor=extractor,
                position=build_position(config, shape),
                adapter=build_adapter(config, shape),
                context=build_context(config, shape),
                flow=build_flow(config, shape),
                dia=build_dia(config, shape),
                scorer=build_scorer(config, shape),
                fusion=(fusion := build_fusion(config, shape)),
                border=build_border(config, shape, fusion),
                consistency=build_consistency(config),
                aggregation=build_aggregation(config, shape),
                pixel_map=build_pixel_map(config, extractor.img_size),
                calibration=build_calibration(config),
                router=build_router(config, extractor.dim),
                open_set=build_open_set(config, extractor.dim),
                limit_rule=build_limit_rule(config),
                decision=build_decision(config),
            )
        )
