"""The metrics: one file each, pure functions first, then the dataclass that wires them."""
