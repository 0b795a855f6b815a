"""The version of the harness, in records and in the package."""

__version__ = "0.1.0"
