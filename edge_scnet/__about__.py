"""The version, which the package and its wheel share."""

__version__ = "0.1.0"
