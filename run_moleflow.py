#!/usr/bin/env python
"""Train and evaluate MoLE-Flow on a stream of products; ``--help`` lists every flag, no flag at all runs the demo."""

import sys

from moleflow.config.cli import parse, print_config
from moleflow.utils.collecting import freeze_at_exit, not_collecting
from moleflow.utils.ending import exit_code
from moleflow.utils.interrupt import listening
from moleflow.utils.memory import reuse_blocks


def main() -> int:
    """Run the command line; the exit code is 0 (done), 1 (failed), 2 (misuse), 130 or 143 (interrupted)."""
    freeze_at_exit()
    return exit_code(run, "what is done is kept, the same line with --resume goes on")


def run() -> int:
    """Print the configuration, or train, evaluate and report."""
    resolved, only_print = parse()
    for warning in resolved.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if only_print:
        print_config(resolved)
        return 0
    with not_collecting():
        from moleflow.evaluation.report.write import write_report
        from moleflow.run import Runner

    reuse_blocks()
    with listening(), Runner(resolved) as runner:
        results = runner.run()
        write_report(runner.folder.path, results, runner.evaluator, resolved.run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
