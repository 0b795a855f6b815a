"""A small record of a finished run, for tests of tables."""


def record(method="crdi", dataset="babies", seed=0, fd=10.0, kind="method", **changes):
    base = {
        "run_id": f"{method}{dataset}{seed}{changes}",
        "suite": "mini",
        "protocol": "ours",
        "method": method,
        "dataset": dataset,
        "k": 10,
        "seed": seed,
        "num_images": 500,
        "metrics": {"fd": {"value": fd, "extractor": "toy"}},
        "config": {"method": {"card": {"label": method.upper(), "kind": kind}}},
    }
    return base | changes
