"""The parts of `fsig_bench.tune`: search spaces, candidates, the study, its trials."""
