"""A small record of a finished run, for tests of tables."""

from hashlib import sha256


def record(method="crdi", dataset="babies", seed=0, fd=10.0, kind="method", **changes):
    base = {
        "run_id": sha256(f"{method}{dataset}{seed}{changes}".encode()).hexdigest()[:10],
        "suite": "mini",
        "protocol": "ours",
        "method": method,
        "dataset": dataset,
        "k": 10,
        "seed": seed,
        "draw": seed,
        "num_images": 500,
        "metrics": {"fd": {"value": fd, "extractor": "toy"}},
        "timing_s": {"adapt": 1.0, "sample": 1.0, "score": 1.0},
        "peak_mem_gib": 1.0,
        "nfe_per_image": 1,
        "trained_params": 0,
        "environment": {},
        "config": {"method": {"card": {"label": method.upper(), "kind": kind}}},
    }
    if "pixels_sha256" not in changes:
        base["pixels_sha256"] = sha256(f"{method}{dataset}{seed}".encode()).hexdigest()
    return base | changes
