"""The machine that a job runs on: what it has, how it computes, and when it has to stop.

    cores         the GPUs and CPU threads that jobs get and a cache they can write, found without importing PyTorch
    devices       the GPU that is a job's alone, and the precision that suits it
    numerics      how kernels are chosen and numbers multiplied; logits that are not finite
    randomness    seeds and generators, as a function of (seed, purpose, epoch)
    readback      where a computation waits for a number from its device
    memory        which errors mean that memory ran out, and what to change then
    processes     other processes of this machine, as the kernel knows them, and which of them hold a lock
    environment   versions, machine, time and memory of a run, for its record
    terminal      colours, where there is a terminal
    stopping      signals of a scheduler, and the end of the workflow that started a job

It uses `longtail.files` alone. Everything that computes uses it, the workflow too: its rules ask `cores`.

Three facts that a newcomer needs:

- Random numbers are a function of the seed. Whoever needs some asks `randomness` for a generator of its own, so a run
  that resumes with epoch 12 draws what an undisturbed run draws there. No code may draw from another's generator.
- `set_numerics` acts on the whole process. Training and prediction both call it, so a model that was trained
  deterministically also predicts deterministically.
- Snakemake counts GPUs, but tells no job which one is its own. Jobs agree among themselves by locks on the driver's
  device node, which the kernel drops when a process dies, however it dies.
"""
