"""Trackers: a run shown elsewhere while it goes on. Chosen by `tracker=`, built from `_target_`."""
