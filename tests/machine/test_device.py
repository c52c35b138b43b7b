"""Which job gets which device."""

import multiprocessing
import os
import re
import signal
import time

import pytest
import torch
from warm import plan

from longtail.machine.cores import gpu_count, train_threads
from longtail.machine.devices import claim, claim_devices, precision_on

FORK = multiprocessing.get_context("forkserver")


def hold(folder, names, count, slots, connection):
    with claim(names, count, slots, folder, poll=0.01) as indices:
        connection.send(indices)
        connection.recv()


def holder(folder, names, count=1, slots=1):
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=hold, args=(folder, names, count, slots, theirs))
    process.start()
    return process, ours


def test_four_jobs_get_four_devices_and_the_fifth_waits_for_one(tmp_path):
    names = ["a", "b", "c", "d"]
    jobs = [holder(tmp_path, names) for _ in range(4)]
    assert sorted(connection.recv()[0] for _, connection in jobs) == [0, 1, 2, 3]
    fifth, connection = holder(tmp_path, names)
    assert not connection.poll(0.5)
    os.kill(jobs[0][0].pid, signal.SIGKILL)  # the kernel drops the lock of a dead process
    assert connection.poll(20)
    connection.recv()
    for process, pipe in [*jobs[1:], (fifth, connection)]:
        pipe.send(None)
        process.join(20)
        assert process.exitcode == 0


def test_two_slots_let_two_jobs_share_a_device(tmp_path):
    with claim(["a"], slots=2, folder=tmp_path) as first:
        job, connection = holder(tmp_path, ["a"], slots=2)
        assert connection.recv() == first == [0]
        third, waiting = holder(tmp_path, ["a"], slots=2)
        assert not waiting.poll(0.3)
        connection.send(None)
        job.join(20)
        assert waiting.poll(20)
        waiting.recv()
        waiting.send(None)
        third.join(20)


def test_jobs_that_want_two_of_three_never_hold_one_and_wait(tmp_path):
    names = ["a", "b", "c"]
    with claim(names, 2, folder=tmp_path) as mine:
        other, connection = holder(tmp_path, names, count=2)
        assert not connection.poll(0.3)
        with claim(names, 1, folder=tmp_path) as third:  # the waiting job holds none
            assert set(third).isdisjoint(mine)
    assert connection.poll(20)
    connection.recv()
    connection.send(None)
    other.join(20)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_log_says_cpu_and_what_was_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with claim_devices() as devices:
        assert devices == [torch.device("cpu")]
    assert "device: CPU" in capsys.readouterr().out


def test_automatic_precision_is_never_half_on_a_cpu():
    assert precision_on(torch.device("cpu"), "auto") == "fp32"
    assert precision_on(torch.device("cpu"), "bf16") == "bf16"


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
        ("cifar100-cpu", (), "2"),  # leaves the number open
    ):
        chosen = ("--configfile", f"config/{name}.yaml", *words, "--cores", "2")
        code, told = plan(repository, "--forceall", "--printshellcmds", *chosen)
        assert code == 0, told
        for program in ("train", "predict"):
            commands = re.findall(rf"exec python workflow/scripts/{program}.py.* --threads (\d+)", told)
            assert set(commands) == {threads}


def test_other_users_of_the_machine_can_claim_too(tmp_path):
    before = os.umask(0o077)
    try:
        with claim(["a"], folder=tmp_path / "claims"):
            modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "claims", *tmp_path.rglob("*.lock"))]
    finally:
        os.umask(before)
    assert modes == [0o777, 0o666]


def test_waiting_is_announced_once(tmp_path, capsys):
    job, connection = holder(tmp_path, ["a"])
    connection.recv()
    began = time.monotonic()
    connection.send(None)
    with claim(["a"], folder=tmp_path, poll=0.01):
        assert time.monotonic() - began < 20
    assert capsys.readouterr().err.count("waiting for 1") <= 1
    job.join(20)
