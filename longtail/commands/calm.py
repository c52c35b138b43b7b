"""Snakemake with one line for each finished job, which a terminal shows in one place: `longtail demo` runs it.

Notes, warnings and errors are shown in full, with the log of the job that failed. What else Snakemake says stands in
its log, in `.snakemake/log`.
"""

import os
import sys
from logging import WARNING, LogRecord

from snakemake.cli import args_to_api, parse_args
from snakemake.exceptions import print_exception
from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from longtail.experiment.runs import PATTERN
from longtail.files.text import without_middle

BAR = 24
"""Letters of the bar."""


class LogHandler(LogHandlerBase):
    """Shows how far a workflow is, by the interface of Snakemake's plugins."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.setFormatter(DefaultFormatter(show_failed_logs=True))
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.names: dict[int, str] = {}
        self.finished = self.last = ""
        self.share = 0.0

    def emit(self, record: LogRecord) -> None:
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self.finished = f"0 of {record.stats['total']} done"  # type: ignore[attr-defined]
        elif event == LogEvent.JOB_INFO:
            self.names[record.jobid] = name = _name(record)  # type: ignore[attr-defined]
            if self.live:
                self._show(name)
        elif event == LogEvent.JOB_FINISHED:
            self.last = self.names.pop(record.job_id, "")  # type: ignore[attr-defined]
        elif event == LogEvent.PROGRESS:
            self.finished = f"{record.done} of {record.total} done"  # type: ignore[attr-defined]
            self.share = record.done / max(1, record.total)  # type: ignore[attr-defined]
            if self.live:
                self._show(next(reversed(self.names.values()), self.last))
            else:
                print(f"{self.finished}: {self.last}", file=sys.stderr, flush=True)
        elif record.levelno >= WARNING:
            self._clear()
            print(self.format(record), file=sys.stderr, flush=True)

    def close(self) -> None:
        self._clear()
        super().close()

    def _show(self, name: str) -> None:
        filled = round(BAR * self.share)
        text = f"{'━' * filled}{'─' * (BAR - filled)} {self.finished}, now "
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80  # some terminals do not say
        room = columns - 1 - len(text)
        print(f"\r\033[K{text}{without_middle(name, max(1, room))}", end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _name(record: LogRecord) -> str:
    """A job, as people call it."""
    wildcards = dict(record.wildcards or {})  # type: ignore[attr-defined]
    try:
        of = PATTERN.format_map(wildcards)
    except KeyError:
        of = "/".join(wildcards.values())
    return f"{record.rule_name} {of}".strip()  # type: ignore[attr-defined]


def main() -> int:
    """Be Snakemake, with the options of the command line."""
    sys.argv[0] = "snakemake"  # as it calls itself, where it says how to go on
    LoggerPluginRegistry().register_plugin("snakemake_logger_plugin_calm", sys.modules[__name__])
    try:
        parser, args = parse_args(sys.argv[1:])
        args.logger = ["calm"]
        return 0 if args_to_api(args, parser) else 1
    except Exception as error:
        print_exception(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
