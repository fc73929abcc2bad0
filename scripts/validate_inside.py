#!/usr/bin/env python
"""Judge finished runs without a test image: on their training images, each as a new one, and damaged on purpose.

Writes results.json and scores for each run, as an evaluation would: analyze_choices.py OUT tells what each choice is
worth, analyze_rank_agreement.py OUT RUNS how far the test sets agree.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import here

from moleflow.analysis.rank_agreement import METRICS
from moleflow.analysis.runs import read_runs
from moleflow.config.cli import Parser
from moleflow.evaluation.kept import file_of
from moleflow.evaluation.results import INSIDE, SOURCES
from moleflow.registry.inside import identity, is_of, judged_inside
from moleflow.registry.stored_run import writing
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json, write_json


def main(words: Sequence[str]) -> int:
    """Judge each run; those that are judged are not judged again, those that cannot be are named at the end."""
    parser = Parser(prog="validate_inside.py", description=__doc__)
    parser.add_argument("runs", type=Path, help="folder of a finished run, or of several")
    parser.add_argument("--inner", type=Path, required=True,
                        help="what make_inner_validation.py --held_out 0 made of their training images")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder to write into, not that of the runs")
    given = parser.parse_args(words)
    rows, trouble = read_runs(given.runs)
    for row in rows:
        folder = given.runs if (given.runs / "results.json").exists() else given.runs / row.name
        try:
            judge(folder, given.inner, given.out / row.name)
        except MoleflowError as error:
            trouble.append(f"{row.name}: {error}")
    for sentence in trouble:
        print(sentence, file=sys.stderr)
    return 1 if trouble else 0


def judge(run: Path, inner: Path, out: Path) -> None:
    """Judge one run, unless it is judged, and tell its means.

    Raises:
        MoleflowError: it cannot be judged, or something else lies where its results belong.
    """
    there = out / "results.json"
    with writing(run) as stored:
        if there.exists():
            results = read_json(there)
            if not is_of(results, identity(stored, inner)):
                raise UsageError(
                    f"{there} is of another run, or of other damaged images: remove it, or give another --out"
                )
            scored = all(file_of(out, name).exists() for name in results["per_class"])
            if scored and SOURCES in results[INSIDE]:  # judgements of before had neither
                return
            there.unlink()
        judged = judged_inside(stored, inner)
    for name, scores in judged.scores.items():
        scores.save(file_of(out, name))
    write_json(out / "config.json", read_json(run / "config.json"))
    write_json(there, judged.results)
    means = judged.results["final"]["oracle"]
    shown = [f"{title} {100 * means[name]:.1f}" for name, title in METRICS.items() if means[name] is not None]
    print(f"{run.name}: {', '.join(shown)}", flush=True)


if __name__ == "__main__":
    sys.exit(here.guarded(main))
