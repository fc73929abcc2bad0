"""F12, F13: when shared parts learn."""

from collections.abc import Callable

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.config.task import Task
from moleflow.models.coupling import every_task, first_task_only

Shape = tuple[int, int, int]
"""(H, W, D) of the features."""

Policy = Callable[[Task], bool]
"""Whether shared weights learn in a task."""


def shared_policy(config: AblationConfig) -> Policy:
    """The policy of what all tasks share."""
    policies: dict[str, Policy] = {"first": first_task_only, "always": every_task, "pretrained": before_stream_only}
    return policies[config.flow.base_policy]


def before_stream_only(task: Task) -> bool:
    """The policy of a generic base: shared weights learn before the stream, from no product."""
    return task.is_before_stream


def slow_blocks(config: AblationConfig) -> int:
    """F13: how many of the last shared blocks move in the slow stage; none without one."""
    return config.slow.last_blocks if isinstance(config.slow, cfg.SlowStage) and config.slow.epochs else 0
