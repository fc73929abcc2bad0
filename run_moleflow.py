#!/usr/bin/env python
"""Train and evaluate MoLE-Flow on a stream of products; ``--help`` lists every flag, no flag at all runs the demo."""

import sys

from moleflow.config.cli import parse, print_config
from moleflow.utils.errors import MoleflowError


def main() -> int:
    """Run the command line; the exit code is 0 (done), 1 (failed), 2 (misuse) or 130 (interrupted)."""
    try:
        resolved, only_print = parse()
        for warning in resolved.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if only_print:
            print_config(resolved)
            return 0
        from moleflow.evaluation.report.write import write_report
        from moleflow.run import Runner

        with Runner(resolved) as runner:
            results = runner.run()
            write_report(runner.folder.path, results, runner.evaluator, resolved.run)
        return 0
    except MoleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}; finished tasks are kept, --resume goes on", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; finished tasks are kept, --resume goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
