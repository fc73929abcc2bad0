"""F7: whether tasks share a part before the flow."""

from collections.abc import Callable

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.models.separated import SeparatedMapping
from moleflow.models.stages import Mapping


def is_shared(config: AblationConfig) -> bool:
    """Whether tasks share position, context and flow."""
    return isinstance(config.sharing, cfg.Shared)


def shared_or_own(config: AblationConfig, make: Callable[[], Mapping]) -> Mapping:
    """One mapping for all tasks, or one for each."""
    return make() if is_shared(config) else SeparatedMapping(make)
