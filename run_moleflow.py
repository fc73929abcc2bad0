#!/usr/bin/env python
"""Train and evaluate MoLE-Flow on a stream of products; ``--help`` lists every flag, no flag at all runs the demo."""

import sys

from moleflow.config.cli import parse, print_config
from moleflow.utils.collecting import freeze_at_exit, not_collecting
from moleflow.utils.errors import MoleflowError
from moleflow.utils.interrupt import listening
from moleflow.utils.memory import is_out_of_memory, reuse_blocks


def main() -> int:
    """Run the command line; the exit code is 0 (done), 1 (failed), 2 (misuse), 130 or 143 (interrupted)."""
    freeze_at_exit()
    try:
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
    except MoleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}; finished tasks are kept, --resume goes on", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(
            "error: memory ran out; what is done is kept, lower --batch_size or --img_size or free memory",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt as stop:
        print("interrupted; what is done is kept, the same line with --resume goes on", file=sys.stderr)
        return getattr(stop, "exit_code", 130)


if __name__ == "__main__":
    sys.exit(main())
