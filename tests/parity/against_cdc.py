"""CDC's repository: its training, and Intra-LPIPS within clusters that lie on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from parity import against_cdc_training as training
from parity.against_crdi_samples import written
from parity.lpips_pair import evidence, our_lpips, random_trunk, small_resize
from parity.rows import Row, compare
from parity.stand_in import on_cpu, pictures

from fsig_bench.metrics.intra_lpips import IntraLPIPS
from fsig_bench.metrics.lpips import squared_distances


def intra_lpips() -> Iterator[Row]:
    """Upstream takes clusters as it finds them in folders: these are ours by nearest LPIPS."""
    on_cpu()
    import feat_cluster

    side, shots, fake = 32, pictures(10, 32, 1), pictures(20, 32, 2)
    rule = IntraLPIPS(
        protocol="cdc", max_assigned=1000, cluster_size=50, pick="random", empty="drop",
        fake_range="signed", compare="pairs",
    )  # fmt: skip
    said: list[str] = []
    with random_trunk("vgg") as trunk, small_resize(feat_cluster.transforms, side):
        own = evidence(fake, shots, our_lpips("vgg", trunk))
        ours = rule(own)
        z = own.perceive(shots)
        nearest = squared_distances(own.perceive(fake), z).argmin(1)
        for c in range(10):
            folder = Path("cluster_centers/set/run") / f"c{c}"
            folder.mkdir(parents=True)
            members = fake[nearest == c]
            written(members, str(folder))
            (center,) = written(shots[c : c + 1], "centers")
            Path(center).rename(folder / "center.png")
        keep = {"device": "cpu", "print": said.append}
        with mock.patch.multiple(feat_cluster, create=True, **keep):
            feat_cluster.intra_cluster_dist(SimpleNamespace(dataset="set", baseline="run"))
    lines = [re.findall(r"(\d+\.\d+|nan)/(?:\d+\.\d+|nan)", line) for line in said]
    *clusters, whole = [float(found[0]) for found in lines if found]
    means = {int(c): v for c, v in ours["cluster_means"].items()}
    assert len(clusters) == 10 and len(means) > 1, (clusters, means)
    # Upstream prints six digits of values near 0.01, ours keeps as many of a cluster's mean.
    pairs = {f"cluster {c}": (clusters[c], v) for c, v in means.items()}
    note = "a random VGG trunk; 32 px in place of 256; upstream prints six decimals"
    pair = (whole, ours["value"])
    yield compare("Intra-LPIPS, mean over clusters", pair, most=6e-7, note=note)
    yield compare("mean LPIPS within each cluster", pairs, most=1.1e-6, note=note)


CASES = [*training.CASES, intra_lpips]
