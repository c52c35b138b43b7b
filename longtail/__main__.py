"""The command `longtail`: one door to all others, each of which is imported only where it is chosen.

What runs jobs is Snakemake, which works in the folder of a checkout. So those commands give their place to a Python of
that folder, whose library is that of the checkout, whichever copy the command was installed from.
"""

import argparse
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from longtail import __version__
from longtail.machine.terminal import BOLD, CYAN, Help, heard, in_colour

ROOT = Path(__file__).resolve().parents[1]
FILES = ("Snakefile", "workflow/rules/setup.smk")
"""What tells a folder with the files of the workflow from any other."""


class Command(NamedTuple):
    """What a command is for, whether it needs Snakemake and the files of the workflow, and where its module is."""

    told: str
    workflow: bool = False
    room: str = ""

    def module(self, name: str) -> Any:
        return importlib.import_module(f"longtail.{self.room}{name}")


ROOM = "commands."


COMMANDS = {
    "init": Command("propose a configuration for your own images, with its reasons", room=ROOM),
    "check": Command("say what is wrong with a collection, and whether it can be used", True),
    "plan": Command("say what would run, why, and what it would cost", True),
    "demo": Command("run the whole workflow on images that a dependency ships", True, ROOM),
    "watch": Command("show how far every run is"),
    "report": Command("pack answers, figures and tables into one file", room=ROOM),
    "predict": Command("classify pictures with a trained model"),
    "evaluate": Command("say how good a model is on new photographs of known classes"),
    "worklist": Command("list pictures that are worth a person's time"),
    "analyse": Command("make tests, figures and a report of predictions of any program", room=ROOM),
    "export": Command("write a model as ONNX, and the page that describes it"),
    "cite": Command("write a paragraph on the methods of results, and BibTeX", room=ROOM),
    "clean": Command("delete the states of unfinished runs", room=ROOM),
}
QUIET = ("--quiet", "host", "rules", "reason")
"""What leaves, of Snakemake's words, the finished jobs, how far it is, and errors."""
DRY = {"-n", "--dry-run", "--dryrun"}
"""What makes a run of Snakemake a dry one, after which there may be nothing to show."""
SHELLS = ("bash", "zsh", "fish")
PATHS = ("Path", "path_argument", "given_path", "model_argument")
"""The types of arguments that are paths, which a shell completes as such."""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    name, *rest = (sys.argv[1:] if words is None else list(words)) or ["--help"]
    return heard(lambda: _begin(name, rest))


def _begin(name: str, words: list[str]) -> int:
    if name in ("-h", "--help"):
        print(page())
    elif name == "--version":
        print(__version__)
    elif name == "--print-completion":
        if len(words) != 1 or words[0] not in SHELLS:
            raise SystemExit(f"--print-completion needs the name of a shell: {', '.join(SHELLS)}")
        print(completion(words[0]))
    elif name not in COMMANDS:
        from longtail.settings import unknown

        raise SystemExit(unknown(f"the command {name!r}", name, COMMANDS))
    elif not COMMANDS[name].workflow:
        return COMMANDS[name].module(name).main(words) or 0
    elif {"-h", "--help"} & {*words}:
        print(workflow_parser(name).format_help(), end="")
    else:
        if lacking := what_lacks(words):
            raise SystemExit(f"`longtail {name}` needs {lacking}")
        return _in_checkout(name, words)
    return 0


def page() -> str:
    """The help of the command itself."""
    width = max(map(len, COMMANDS))
    lines = [
        f"{in_colour('usage:', BOLD)} longtail COMMAND [OPTION …]",
        "",
        "Experiments on long-tailed image recognition that one can trust.",
        "",
        in_colour("commands:", BOLD),
        *(f"  {in_colour(f'{name:{width}}', CYAN)}  {one.told}" for name, one in COMMANDS.items()),
        "",
        in_colour("options:", BOLD),
        *(
            f"  {in_colour(f'{option:26}', CYAN)}  {told}"
            for option, told in (
                ("-h, --help", "show this, or after a command what it takes"),
                ("--version", "show the version"),
                ("--print-completion SHELL", f"print the completion for {', '.join(SHELLS)}"),
            )
        ),
        "",
        "Snakemake runs an experiment: snakemake --configfile config/mine.yaml",
    ]
    return "\n".join(lines)


def workflow_parser(name: str) -> argparse.ArgumentParser:
    """What a command that needs the workflow takes beside the options of `snakemake`, which it passes on."""
    from longtail.config.command_line import add_configuration  # imports what reads settings

    parser = argparse.ArgumentParser(
        prog=f"longtail {name}",
        description=f"{COMMANDS[name].told.capitalize()}.",
        epilog="All other options are those of snakemake, and so are the targets.",
        formatter_class=Help,
    )
    add_configuration(parser)
    return parser


def what_lacks(words: Sequence[str]) -> str | None:
    """What a command lacks here to run the workflow, as the end of a sentence; None: nothing."""
    if not find_spec("snakemake"):
        return (
            f"Snakemake, which {sys.executable} does not have; `make setup` in a checkout installs all it needs, and "
            "`pip install snakemake` installs Snakemake alone"
        )
    named = any(word.startswith(("-s", "--snakefile")) for word in words)
    if named or all(map(os.path.isfile, FILES)):
        return None
    such = f", such as {ROOT}" if all((ROOT / name).is_file() for name in FILES) else ""
    return (
        f"the files of the workflow ({', '.join(FILES)}, …), which are in a checkout of this project, and {Path.cwd()} "
        f"is none; change into one{such}"
    )


def _in_checkout(name: str, words: list[str]) -> int:
    """Run the workflow here. This process becomes Snakemake, so that every signal is Snakemake's."""
    if name == "plan":
        _become("longtail.plan", *words)
    if name == "check":
        _become("snakemake", "check_data", *words, *(() if _says_how_much(words) else QUIET))
    from longtail.config.command_line import configured

    given, others = workflow_parser(name).parse_known_args(words)
    files = [*(["config/demo.yaml"] if name == "demo" else []), *given.configfile]
    results = configured(files, given.config).paths.results
    options = [
        *others,
        *(["--configfile", *files] if files else []),
        *(["--config", *given.config] if given.config else []),
    ]
    if code := _beside("snakemake" if _says_how_much(others) else "longtail.commands.calm", *options):
        return code
    return 0 if DRY & {*others} else COMMANDS[name].module(name).main([results]) or 0


def _says_how_much(words: list[str]) -> bool:
    """Whether these options say how much Snakemake tells; what it prints of the jobs is all that a dry run is for."""
    return bool({"-q", "--quiet", "--verbose", "--logger", *DRY} & {*words})


def _become(module: str, *words: str) -> None:
    sys.stdout.flush()
    os.execv(sys.executable, [*_python(module), *words])  # noqa: S606 (this Python, and a list)


def _beside(module: str, *words: str) -> int:
    """Run a module of Python and wait for it. Ctrl-C reaches it by itself; other ends are handed on to it."""
    begun: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def hand_on(number: int, _: Any) -> None:
        if begun:
            begun[0].send_signal(number)
        else:
            early.append(number)

    signal.signal(signal.SIGINT, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, hand_on)
    with subprocess.Popen([*_python(module), *words]) as process:
        begun.append(process)
        for sent in early:
            process.send_signal(sent)
        code = process.wait()
    return code if code >= 0 else 128 - code  # as a shell has it


def _python(module: str) -> list[str]:
    """The words that run a module of Python. One of this project is that of the folder here, and no other is."""
    return [sys.executable, *([] if module.startswith("longtail.") else ["-P"]), "-m", module]


def completion(shell: str) -> str:
    """The program by which a shell completes commands, options and paths."""
    try:
        import shtab
    except ImportError:
        raise SystemExit("completion needs the package shtab: pip install shtab") from None
    parser = argparse.ArgumentParser("longtail", description="Experiments on long-tailed image recognition.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command")
    for name, command in COMMANDS.items():
        own = workflow_parser(name) if command.workflow else command.module(name).parser()
        for action in every_action(own):
            if getattr(action.type, "__name__", "") in PATHS:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        commands.add_parser(name, help=command.told, parents=[own], add_help=False)
    return shtab.complete(parser, shell=shell)


def every_action(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of a parser, and those of the parsers below it."""
    found = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            found += [inner for below in action.choices.values() for inner in every_action(below)]
    return found


if __name__ == "__main__":
    sys.exit(main())
