"""faceworld: the mini suite's images, drawn from named factors.

A controlled instrument, not a stand-in for photographs: because every factor of every image is
known, coverage and leakage can be measured exactly.
"""
