"""Experiments on long-tailed image recognition that one can trust."""

__version__ = "0.1.0"
