"""Which layers of the backbone matter: PatchCore on each of them alone, and on some together."""

from dataclasses import replace
from pathlib import Path

from moleflow.config.variants import Cnn
from moleflow.extractors.cache import FeatureStore
from moleflow.models.build import build_extractor
from moleflow.study.bench import Bench
from moleflow.study.sides.common import Content, features_of, patchcore, peer_metrics, training

CHOICES = (("layer1",), ("layer2",), ("layer3",), ("layer2", "layer3"), ("layer1", "layer2", "layer3"))


def layers(bench: Bench, out: Path) -> Content:
    """A row for each class and choice of layers; no row where the backbone is no CNN."""
    rows = []
    for chosen in CHOICES if isinstance(bench.resolved.ablation.extractor, Cnn) else ():
        other = with_layers(bench, chosen)
        for name in bench.classes:
            features = features_of(other, training(bench, name))
            peer = patchcore(other, features)
            about = {"class": name, "layers": "+".join(chosen), "dim": features.shape[-1], "images": len(features)}
            rows.append({**about, **peer_metrics(other, peer, name)})
    return {"rows": rows}


def with_layers(bench: Bench, chosen: tuple[str, ...]) -> Bench:
    """The same images through other layers of the same backbone, on the same grid; features are not kept on disk."""
    resolved, cnn = bench.resolved, bench.resolved.ablation.extractor
    assert isinstance(cnn, Cnn)
    grid = bench.store.extractor.grid[0]
    run = replace(resolved.run, features=replace(resolved.run.features, feature_grid=grid))
    extractor = build_extractor(replace(resolved.ablation, extractor=replace(cnn, layers=chosen)), run)
    return replace(bench, store=FeatureStore(extractor, run.data.resize, None, device=bench.store.device))
