"""Experiments on long-tailed image recognition that one can trust."""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import `load_results` only when it is asked for, because importing pandas would slow the start of every job."""
    if name == "load_results":
        from longtail.analysis.results import load_results

        return load_results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
