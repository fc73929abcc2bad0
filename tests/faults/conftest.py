"""A run that was never interrupted, for comparison."""

import pytest
from faults.lives import ALWAYS, NEVER, Whole, finished, output
from registry.miniature import promised


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Trained once a session."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("first", "again"):  # the first fills the cache
        code = finished(folder / name, counted=folder / "touches", share=ALWAYS if name == "again" else NEVER)
        assert code == 0, output(folder / name)
    hashes = [promised(folder / name / "run") for name in ("first", "again")]
    assert hashes[0] == hashes[1], "keeping positions changes no byte"
    metrics = (folder / "again" / "run" / "metrics.jsonl").read_text()
    return Whole(hashes[1], metrics, int((folder / "touches").read_text()))
