"""What an experiment may name: peers of ``moleflow.baselines``, MoLE-Flow, flows that learn a stream otherwise."""

from typing import Any, NamedTuple

from moleflow.baselines.registry import PEERS

FLOW_ALONE = {
    "use_place_gaussian": False, "use_patch_memory": False, "map_source": "all", "use_border_ramp": False,
}  # fmt: skip
"""Without what MoLE-Flow keeps beside its flow: the same score for every flow that is compared."""

ONE_FLOW = {
    **FLOW_ALONE, "base_policy": "always", "use_lora": False, "adapter_mode": "none", "use_dia": False,
}  # fmt: skip
"""One flow, all of whose weights learn in every task; nothing is a task's own but its statistics and thresholds."""


class Kind(NamedTuple):
    """A way to train MoLE-Flow's code on a stream.

    Attributes:
        title: its name, written out.
        flags: of run_moleflow.py, on top of the experiment's preset and under its own.
        together: whether all classes are one task.
        says: what it is, one sentence.
    """

    title: str
    flags: dict[str, Any]
    together: bool
    says: str


FLOWS: dict[str, Kind] = {
    "moleflow": Kind("MoLE-Flow", {}, False, "The method, as its preset has it."),
    "moleflow_flow": Kind("MoLE-Flow, flow alone", FLOW_ALONE, False,
                          "The method without the opinions beside its flow: what the flows below compare with."),
    "fine_tune": Kind("Fine-tune", ONE_FLOW, False, "One flow, trained on task after task."),
    "joint": Kind("Joint", ONE_FLOW, True, "One flow, trained on all classes at once: not continual."),
    "replay": Kind("Replay", {**ONE_FLOW, "use_replay": True}, False,
                   "Fine-tune that is shown kept features of old tasks again."),
    "ewc": Kind("EWC", {**ONE_FLOW, "use_ewc": True}, False,
                "Fine-tune that holds weights which mattered to old tasks (Kirkpatrick et al., PNAS 2017)."),
    "task_separated": Kind(
        "Task-separated flow",
        {**FLOW_ALONE, "use_task_separated": True, "use_lora": False, "adapter_mode": "none", "use_dia": False},
        False, "A flow of its own for each task.",
    ),
}  # fmt: skip

MODELS = (*FLOWS, *PEERS)
