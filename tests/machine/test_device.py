"""Which job gets which device."""

import errno
import fcntl
import json
import multiprocessing
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import warm

from longtail.machine.cores import find_places, gpu_count, train_threads, usable_cores
from longtail.machine.devices import claim, claim_devices, precision_on

ROOT = Path(__file__).parents[2]
HOLD = """
import json, os, sys
from pathlib import Path
from longtail.machine.devices import claim

names, count, slots, node = json.loads(sys.argv[1])
with claim(names, count, slots, Path(node), poll=0.01) as indices:
    print(json.dumps([os.getpid(), indices]), flush=True)
    sys.stdin.readline()
"""
NOBODY = 65534


@pytest.fixture
def node(tmp_path):
    """A file in place of the driver's, so that tests beside this one do not matter."""
    path = tmp_path / "node"
    path.touch()
    return path


class Holder:
    """A job that claims devices and holds them until it is told to end."""

    def __init__(self, node, names, count=1, slots=1):
        words = [warm.place() / "python", "-c", HOLD, json.dumps([names, count, slots, str(node)])]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)

    def waits(self, seconds):
        """Whether it holds nothing after so many seconds."""
        return not select.select([self.process.stdout], [], [], seconds)[0]

    def held(self):
        """What it holds, once it does."""
        assert not self.waits(120)
        self.pid, indices = json.loads(self.process.stdout.readline())
        return indices

    def end(self):
        self.process.communicate("end", timeout=120)
        return self.process.returncode


def test_four_jobs_get_four_devices_and_the_fifth_waits_for_one(node):
    names = ["a", "b", "c", "d"]
    jobs = [Holder(node, names) for _ in range(4)]
    assert sorted(job.held()[0] for job in jobs) == [0, 1, 2, 3]
    fifth = Holder(node, names)
    assert fifth.waits(0.5)
    os.kill(jobs[0].pid, signal.SIGKILL)  # the kernel drops the lock of a dead process
    fifth.held()
    assert jobs[0].end() != 0
    assert [job.end() for job in (*jobs[1:], fifth)] == [0, 0, 0, 0]


def test_two_slots_let_two_jobs_share_a_device(node):
    with claim(["a"], slots=2, node=node) as first:
        job = Holder(node, ["a"], slots=2)
        assert job.held() == first == [0]
        third = Holder(node, ["a"], slots=2)
        assert third.waits(0.3)
        assert job.end() == 0
        third.held()
        assert third.end() == 0


def test_jobs_that_want_two_of_three_never_hold_one_and_wait(node):
    names = ["a", "b", "c"]
    with claim(names, 2, node=node) as mine:
        other = Holder(node, names, count=2)
        assert other.waits(0.3)
        with claim(names, 1, node=node) as third:  # the waiting job holds none
            assert set(third).isdisjoint(mine)
    other.held()
    assert other.end() == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_log_says_cpu_and_what_was_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with claim_devices() as devices:
        assert devices == [torch.device("cpu")]
    assert "device: CPU" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"), [(False, False, "fp32"), (True, False, "bf16"), (True, True, "bf16")]
)
def test_automatic_precision_is_half_where_the_processor_computes_in_it(monkeypatch, avx512, amx, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert precision_on(torch.device("cpu"), "auto") == expected
    assert precision_on(torch.device("cpu"), "fp32") == "fp32"
    assert precision_on(torch.device("cpu"), "bf16") == "bf16"


def test_the_processor_says_whether_it_computes_in_half_precision():
    flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    expected = "bf16" if {"avx512_bf16", "amx_tile"} & {*flags} else "fp32"
    assert precision_on(torch.device("cpu"), "auto") == expected


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("2", 1), ("0,3", 2), ("GPU-1,GPU-2", 2)])
def test_visible_gpus_are_counted_without_pytorch(monkeypatch, visible, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_count() == count


def test_training_takes_all_cores_without_a_gpu_and_two_beside_one(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert train_threads(None, 16) == 16
    assert train_threads(3, 16) == 3
    assert train_threads(None, None) == 2, "a cluster's job, planned where there is no GPU"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert train_threads(None, 16) == 2


def test_a_job_computes_with_the_configured_threads_also_where_snakemake_has_fewer_cores(repository):
    for name, words, threads in (
        ("demo", ("--config", "job={threads: 3}"), "3"),
        ("cifar100-cpu", (), str(min(2, usable_cores()))),  # leaves the number open
    ):
        chosen = ("--configfile", f"config/{name}.yaml", *words, "--cores", "2")
        code, told = warm.plan(repository, "--forceall", "--printshellcmds", *chosen)
        assert code == 0, told
        for program in ("train", "predict"):
            commands = re.findall(rf"python workflow/scripts/{program}.py.* --threads (\d+)", told)
            assert set(commands) == {threads}


def test_a_job_computes_with_no_more_threads_than_there_are_cores(repository):
    chosen = ("--configfile", "config/cifar100-cpu.yaml", "--cores", "4096")
    code, told = warm.plan(repository, "--forceall", "--printshellcmds", *chosen)
    assert code == 0, told
    assert set(re.findall(r"python workflow/scripts/train.py.* --threads (\d+)", told)) == {
        str(usable_cores())
    }


def as_other_user(name, folder, connection):
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    connection.recv()
    with claim([name], poll=0.01) as indices:
        connection.send(indices)
        connection.recv()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("theirs_first", [True, False])
def test_users_with_temporary_folders_of_their_own_do_not_meet_on_a_gpu(tmp_path, capfd, theirs_first):
    name, context = uuid.uuid4().hex, multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    job = context.Process(target=as_other_user, args=(name, tmp_path, theirs), daemon=True)
    job.start()
    if theirs_first:
        ours.send("begin")
        assert ours.poll(20)
        with pytest.raises(Over), within(0.5), claim([name], poll=0.01):
            pass
        assert f"Held by process {job.pid} of user nobody, since 20" in capfd.readouterr().err
    else:
        with claim([name]):
            ours.send("begin")
            assert not ours.poll(0.5)
            # It sees what process this is, though it is another user's.
            assert f"process {os.getpid()} of user root, since 20" in capfd.readouterr().err
        assert ours.poll(20)
    ours.recv()
    ours.send(None)
    job.join(20)
    assert job.exitcode == 0


class Over(Exception):
    """The time is over. No TimeoutError, which is an OSError, as code that waits for files leaves aside."""


@contextmanager
def within(seconds):
    """End the block with `Over` after so many seconds."""

    def end(number, frame):
        raise Over

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def link(path):
    path.symlink_to("/etc/passwd")


def folder_with_fifos(path):
    path.mkdir()
    for slot in range(2):
        os.mkfifo(path / f"a.{slot}.lock")


def closed_folder(path):
    path.mkdir(mode=0o000)


@pytest.mark.parametrize("obstacle", [link, Path.touch, folder_with_fifos, closed_folder, os.mkfifo])
def test_nothing_in_a_shared_folder_can_stop_or_mislead_a_claim(tmp_path, monkeypatch, obstacle):
    # Earlier versions kept their locks there.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    obstacle(tmp_path / "longtail-gpus")
    before = Path("/etc/passwd").stat()
    with within(5), claim([uuid.uuid4().hex], slots=2) as claimed:
        assert claimed == [0]
    assert Path("/etc/passwd").stat() == before
    assert [path.name for path in tmp_path.iterdir()] == ["longtail-gpus"]


def test_a_claim_outlives_other_openings_of_the_node(node):
    with claim(["a"], node=node):
        for _ in range(3):  # as CUDA does with the driver's
            node.open("r+b").close()
        job = Holder(node, ["a"])
        assert job.waits(0.3)
    job.held()
    assert job.end() == 0


def test_a_wait_names_the_holder_of_the_gpu_and_again_after_a_while(node, capfd):
    job, other = Holder(node, ["a"]), Holder(node, ["b"])
    assert job.held() == other.held() == [0]
    with pytest.raises(Over), within(1.0), claim(["a"], node=node, poll=0.01, reminder=0.3):
        pass
    lines = capfd.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 4
    for line in lines:
        assert line.startswith(
            f"device: all 1 GPU(s) are taken, waiting for 1. Held by process {job.pid} of user "
        )
        assert "warm.py" in line, "its command"
        assert f"process {other.pid}" not in line
    assert job.end() == other.end() == 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EINVAL])
def test_a_system_without_such_locks_is_said(node, monkeypatch, capsys, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with claim(["a", "b"], node=node) as claimed:
        assert claimed == [0]
    assert "two jobs may meet on one" in capsys.readouterr().err


@pytest.mark.parametrize("home", ["/dev/null", "/proc/none", None])
def test_a_home_that_cannot_be_written_gives_its_place_to_the_working_folder(tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "before")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", home or str(tmp_path))
    find_places()
    assert os.environ.get("XDG_CACHE_HOME") == (str(tmp_path / ".snakemake/cache") if home else None)


@pytest.mark.parametrize("place", ["HOME", "TMPDIR"])
def test_a_full_disk_gives_its_place_to_the_working_folder(tmp_path, monkeypatch, place):
    full, work = tmp_path / "full", tmp_path / "work"
    full.mkdir()
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CACHE_HOME", "before")
    monkeypatch.delenv("XDG_CACHE_HOME")
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(full if name == place else work))
    write = Path.write_bytes

    def fail_there(path: Path, content: bytes) -> int:
        if full in path.parents:
            write(path, content[:4096])
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail_there)
    find_places()
    moved = {name: os.environ.get(name) for name in ("XDG_CACHE_HOME", "TMPDIR")}
    if place == "HOME":
        assert moved == {"XDG_CACHE_HOME": str(work / ".snakemake/cache"), "TMPDIR": str(work)}
    else:
        assert moved == {"XDG_CACHE_HOME": None, "TMPDIR": str(work / ".snakemake/tmp")}
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing is left"


def test_snakemake_starts_without_a_home_and_without_a_temporary_folder(repository):
    words = ("-m", "snakemake", "--list-rules", "--configfile", "config/demo.yaml")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=repository,
        env={**os.environ, "HOME": "/dev/null", "TMPDIR": "/dev/null"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
