"""How many faceworld images a second?  python tests/bench/faceworld_speed.py"""

import time

import torch

from fsig_bench.faceworld.domains import DOMAINS
from fsig_bench.faceworld.render import render

print(f"{torch.get_num_threads()} threads")
for name in DOMAINS:
    render(name, "source", range(16))
    began = time.perf_counter()
    render(name, "source", range(512))
    print(f"{name:<12} {512 / (time.perf_counter() - began):6.0f} images/s")
