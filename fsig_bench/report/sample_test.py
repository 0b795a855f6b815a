"""Do two methods' samples differ at all? `fsig-bench compare A B test=mmd_test`.

One p-value a target, over all pairs of runs that agree in everything but the method; labels are
permuted within a pair. Of one method every other sample from the first takes part, of the other
those between: methods that adapt one model may turn the same draw into like images, and the test
needs independent ones. A run whose samples are not here is named, and left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from fsig_bench.api.assets import assets_in
from fsig_bench.api.plain import Record
from fsig_bench.metrics.base import Evidence
from fsig_bench.metrics.permutation import TwoSampleTest
from fsig_bench.report.inference.intervals import holm
from fsig_bench.report.local_targets import foreign_reason
from fsig_bench.report.records import pair_key
from fsig_bench.report.samples import verified_samples
from fsig_bench.report.variants import main_variant
from fsig_bench.runner.build import with_device
from fsig_bench.runner.checks import samples_to_score
from fsig_bench.runner.device import precision_policy, resolve_device
from fsig_bench.runner.score import caches_in
from fsig_bench.store.store import Store

SEED = 0  # of the permutations


def named_test(name: str) -> TwoSampleTest:
    """The permutation test that conf/metric/NAME.yaml describes.

    Raises:
        ValueError: there is none, or it is another kind of metric.
    """
    import yaml
    from hydra.utils import instantiate

    from fsig_bench.metrics.cards import FOLDER

    nodes = {p.stem: yaml.safe_load(p.read_text()) or {} for p in FOLDER.glob("*.yaml")}
    tests = [n for n, node in nodes.items() if "permutations" in node and "images" in node]
    if name not in tests:
        raise ValueError(f"test={name} is no permutation test; there is {', '.join(sorted(tests))}")
    spec = {key: value for key, value in nodes[name].items() if key != "card"}
    found: TwoSampleTest = instantiate(spec, _convert_="all")
    return found


def tested_samples(
    records: Sequence[Record], first: str, second: str, *, name: str, folders: Sequence[Path]
) -> str:
    """The p-values as text.

    Args:
        records: whole ones.
        first: a method.
        second: another.
        name: of the test in conf/metric.
        folders: of records, each below the results folder whose store holds the samples.
    """
    test = named_test(name)
    stores = [Store(f.parent if f.name == "runs" else f) for f in folders]
    sides: dict[str, dict[tuple[str | int | None, ...], Record]] = {first: {}, second: {}}
    for record in main_variant(records):
        if record["method"] in sides:
            sides[record["method"]][pair_key(record)] = record
    pairs = defaultdict[str, list[tuple[Tensor, Tensor]]](list)
    missing = defaultdict[str, list[str]](list)
    for key in sorted(sides[first].keys() & sides[second].keys(), key=str):
        target = str(key[0])
        try:
            a, b = (sample_features(sides[m][key], stores) for m in (first, second))
            pairs[target].append((a[::2], b[1::2]))
        except (OSError, ValueError) as error:
            missing[target].append(str(error))
    lines = [
        f"Do the samples of {first} and {second} come from one distribution? p by {name}, "
        f"{test.permutations} permutations, after Holm's correction over the targets; in brackets "
        "the pairs of runs",
        "",
    ]
    p = holm({target: test.together(own, SEED) for target, own in pairs.items() if own})
    for target in sorted({*pairs, *missing}):
        if found := pairs[target]:
            lines.append(f"  {target:<12} p = {p[target]:.3g}  ({len(found)})")
        lines += [f"  {target:<12} not tested: {text}" for text in missing[target]]
    return "\n".join(lines)


def sample_features(record: Record, stores: Sequence[Store]) -> Tensor:
    """Features [n, d] of the samples of a run that were scored, in its protocol's own network.

    Raises:
        FileNotFoundError: samples or weights are not here; the message names the run.
        ValueError: the record's settings are foreign, or the samples are others than were scored.
    """
    from hydra.utils import instantiate

    run = f"{record['method']}, seed {record['seed']}, run {record['run_id']}"
    protocol = record["config"].get("protocol", {})
    spec, perceptual = protocol.get("features"), protocol.get("perceptual")
    if spec is None:
        raise ValueError(f"the record of {run} names no feature network")
    if reason := foreign_reason([spec, perceptual]):
        raise ValueError(f"{run}: {reason}")
    if absent := [asset.file for asset in assets_in(spec) if not asset.target.exists()]:
        raise FileNotFoundError(f"the network of {run} needs {absent[0]}, which is not here")
    store = next((s for s in stores if s.stage_folder(record, "sample")), None)
    if store is None:
        raise FileNotFoundError(f"the samples of {run} are not in the store; run it again")
    fake = verified_samples(record, store)[: samples_to_score(record["config"])]
    device = resolve_device("auto")
    with precision_policy("fp32", device):
        caches = caches_in(store, {"fake": fake}, perceptual=perceptual)
        evidence = Evidence(
            shots=fake[:0],
            fake=fake,
            real=None,
            extractor=instantiate(with_device(spec, device), _convert_="all"),
            perceptual=None,
            seed=SEED,
            batch_size=50,
            source_domain=None,
            disk_cache=caches(spec),
        )
        return evidence.features("fake")
