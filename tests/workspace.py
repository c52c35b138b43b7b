"""A copy of this project to change and run Snakemake in."""

import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import warm
import yaml
from programs import run_program

from longtail.config.load import load_config
from longtail.experiment.jobs import Experiment
from longtail.experiment.keys import Keys
from longtail.experiment.proof import Proofs

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config", "envs", "longtail", "profiles", "resources", "workflow")
# Jobs of a group are indented by one level more.
JOB = re.compile(r"^ *(?:local)?rule (\w+):$")
# A small long-tailed set of images that needs no download.
DIGITS = {
    "source": "digits",
    "train_per_class": 60,
    "test_per_class": 40,
    "imbalance_factor": 0.05,
    "test_imbalance_factor": 0.25,
}
WILDCARDS = re.compile(r"^ +wildcards: (.+)$")


class Workspace:
    """A folder with the workflow, its library and its configurations."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> "Workspace":
        folder.mkdir(parents=True, exist_ok=True)
        # With what is compiled, but for what is being written by another process.
        unfinished = ("--exclude=*.pyc.*", "--exclude=.snakemake")
        packed = subprocess.run(["tar", "-C", ROOT, *unfinished, "-cf", "-", *PARTS], stdout=subprocess.PIPE)
        assert packed.returncode in (0, 1), "tar reads on where a folder changes meanwhile, and ends with 1"
        subprocess.run(["tar", "-C", folder, "-xf", "-"], input=packed.stdout, check=True)
        return cls(folder)

    def copy(self, folder: Path) -> "Workspace":
        # Symbolic links and times are kept. Python would take five times as long for the thousand files.
        subprocess.run(["cp", "-a", self.folder, folder], check=True)
        return Workspace(folder)

    def restore(self, original: "Workspace") -> None:
        """Be again the copy that this was, by the times and sizes of files; most of them stay."""
        ours, theirs = _entries(self.folder), _entries(original.folder)
        for name in sorted(ours.keys() - theirs.keys(), reverse=True):
            path = self.folder / name
            path.rmdir() if path.is_dir() else path.unlink()
        for name, there in sorted(theirs.items()):
            here = ours.get(name)
            if stat.S_ISDIR(there.st_mode):
                if here is None:
                    (self.folder / name).mkdir()
            elif not here or (here.st_mtime_ns, here.st_size) != (there.st_mtime_ns, there.st_size):
                shutil.copy2(original.folder / name, self.folder / name)

    def make_tensors(self, *subsets: str) -> None:
        """Make these sets of the configuration's images in this process, for tests of what comes after them.

        They get the proofs that Snakemake would leave. Ten starts of PyTorch are saved.
        """
        config = yaml.safe_load((self.folder / "config/config.yaml").read_text(encoding="utf-8"))
        with contextlib.chdir(self.folder):  # where a relative path of the configuration starts
            experiment, data = Experiment(load_config(config)), self.folder / "results/data"
        images, balanced, sets = (data / name for name in ("images.pth", "subsets.parquet", "sets.parquet"))
        run_program("images", settings=experiment.images_settings(), output=images)
        run_program("subsets", images=images, settings=experiment.subsets_settings(), output=balanced)
        run_program("split", subsets=balanced, settings=experiment.split_settings(), output=sets)
        for name in subsets:
            run_program("tensors", images=images, split=sets, subset=name, output=data / f"{name}.pth")
        keys, proofs = Keys(experiment), Proofs()
        made = {images: keys.images(), balanced: keys.subsets(), sets: keys.sets()}
        for path, key in (made | {data / f"{name}.pth": keys.tensors(name) for name in subsets}).items():
            proofs.write([path], key)

    def snakemake(
        self, *arguments: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake here; its output on failure.

        The greedy scheduler chooses the jobs, since Snakemake's usual one starts a solver as a process before each.
        """
        done = warm.run(self.folder, "snakemake", "--scheduler=greedy", *arguments, **environment)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def begin(self, *arguments: str) -> subprocess.Popen:
        """Start a Snakemake of its own here and go on; what it says is added to `snakemake.err`."""
        with (self.folder / "snakemake.err").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", *arguments],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            )

    def trainers(self) -> list[int]:
        """The processes that train here, found in /proc."""
        return self.programs("train.py")

    def programs(self, name: str = "") -> list[int]:
        """The processes of the workflow's programs here, or of the one with that name."""
        begin, found = f"workflow/scripts/{name}".encode(), []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if (
                    any(word.startswith(begin) for word in words)
                    and (entry / "cwd").resolve() == self.folder.resolve()
                ):
                    found.append(int(entry.name))
        return found

    def plan(self, *arguments: str) -> str:
        """What a dry run prints."""
        code, text = warm.plan(self.folder, *arguments)
        assert code == 0, text
        return text

    def planned(self, *arguments: str) -> set[str]:
        """The jobs that a dry run lists, such as `train balanced/resnet8/focal/42`."""
        return jobs(self.plan(*arguments))

    def stub(self, code: str, *scripts: str) -> None:
        """Begin these programs with other code."""
        for name in scripts:
            path = self.folder / "workflow/scripts" / f"{name}.py"
            text = path.read_text(encoding="utf-8")
            # After the docstring, so that the program's own imports still stand in its source.
            head = re.match(r'\s*""".*?"""\n', text, re.DOTALL)[0]
            path.write_text(head + code + text[len(head) :], encoding="utf-8")

    def draw_quickly(self) -> None:
        """Have figures of fewer dots, and letters in them that are drawn, in half the time.

        An embedded font takes a third of a figure's. Figures as they are come from report/test_figures.py.
        """
        look = "longtail/report/figures/style.py"
        self.edit(look, "DPI = 200", "DPI = 50")
        self.edit(look, '"pdf.fonttype": 42', '"pdf.fonttype": 3')

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) >= 1, f"{name} does not contain {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _entries(folder: Path) -> dict[str, os.stat_result]:
    """All files, links and folders below a folder by their names. A Path for each would take four times as long."""
    found, folders = {}, [""]
    while folders:
        with os.scandir(folder / (below := folders.pop())) as entries:
            for entry in entries:
                name = f"{below}{entry.name}"
                found[name] = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{name}/")
    return found


def jobs(output: str) -> set[str]:
    """The jobs that Snakemake's output shows, but for `index` and `all`, which come after any other."""
    found: dict[int, str] = {}
    rule = ""
    for number, line in enumerate(output.splitlines()):
        if match := JOB.match(line):
            start, rule = number, match[1]
            found[start] = rule
        elif rule and (match := WILDCARDS.match(line)):
            found[start] = f"{rule} {'/'.join(pair.partition('=')[2] for pair in match[1].split(', '))}"
            rule = ""
    return set(found.values()) - {"all", "index"}
