"""Draw one figure, as pdf and png, with its caption.

Each figure needs some of the inputs and takes some of the filters and settings; asked for what it does not take,
or without what it needs, it says which.
"""

import importlib
from typing import Any

from frame import Namespace, program, run, settings

from longtail.analysis import frames
from longtail.experiment.runs import PATTERN, Run
from longtail.report.figures import style
from longtail.report.figures.sources import CHOICES, SOURCES, figures, option


def figure_arguments(args: Namespace) -> dict[str, Any]:
    """What the figure's `draw` is called with.

    Raises:
        ValueError: there is no such figure, something it needs was not given, or something given it does not take.
    """
    if args.name not in figures():
        raise ValueError(f"there is no figure '{args.name}'; there are: {', '.join(figures())}")
    taken = figures()[args.name]
    given = {name: getattr(args, name) for name in (*SOURCES, *CHOICES) if getattr(args, name) is not None}
    given |= args.settings
    if absent := {name for name, required in taken.items() if required} - set(given):
        raise ValueError(f"figure '{args.name}' needs {', '.join(sorted(map(option, absent)))}")
    for name in given.keys() & SOURCES.keys():
        if SOURCES[name].runs:
            frames.require_files(given[name])
    if unused := set(given) - set(taken):
        names = ", ".join(name if name in args.settings else option(name) for name in sorted(unused))
        raise ValueError(f"figure '{args.name}' does not take {names}; it takes: {', '.join(taken)}")
    return {
        name: getattr(frames, SOURCES[name].read)(value) if name in SOURCES else value
        for name, value in given.items()
    }


def main(args: Namespace) -> None:
    parameters = figure_arguments(args)
    drawn = importlib.import_module(f"longtail.report.figures.{args.name}").draw(**parameters)
    boxes = style.publish(drawn, args.output, args.caption, *args.note)
    print(f"{args.name}: {', '.join(args.output)}. {boxes}".rstrip(". "), flush=True)
    for name, source in SOURCES.items():
        for path in (getattr(args, name) or ()) if source.runs else ():
            if Run.named(path):
                print(f"missing: {path}", flush=True)


if __name__ == "__main__":
    parser = program(__doc__)
    parser.add_argument("name", help=f"one of: {', '.join(figures())}")
    missing = f"The name of a run alone, {PATTERN}, in place of its file shows the run as missing."
    inputs = parser.add_argument_group("inputs", missing)
    for name, source in SOURCES.items():
        beside = f", with {', '.join(source.beside)} beside each" if source.beside else ""
        of_runs = f" of every run, or @LIST{beside}" if source.runs else ""
        count = "+" if source.runs else None
        inputs.add_argument(option(name), nargs=count, metavar="FILE", help=source.file + of_runs)
    chosen = parser.add_argument_group("choice")
    for name in CHOICES:
        chosen.add_argument(option(name), help=f"{name.replace('_', ' ')} to draw")
    chosen.add_argument("--settings", default={}, type=settings, metavar="JSON", help="further arguments")
    parser.add_argument("--output", nargs="+", required=True, metavar="FILE", help=".pdf and .png to write")
    parser.add_argument(
        "--note", action="append", default=[], metavar="SENTENCE", help="to end the caption with"
    )
    parser.add_argument("--caption", metavar="FILE", help="caption to write, as plain text or .rst")
    run(main, parser)
