"""The experiment as jobs of a workflow: which there are, what each gets, and when one has to run again.

    jobs          which runs there are, and the settings that the jobs get
    keys          the key of every job: a hash of all that its results depend on
    fingerprint   the part of a key that stands for the code that a job runs
    contents      the part of a key that stands for the content of a file
    proof         what finished files were made with, kept beside them
    runs          one run: its name, its folder, and the files in it
    status        how far every run is, read from its log and its results
    cost          what the runs that are left would cost
    proposal      a configuration for a collection and a machine, with the reason of each choice
    forcing       runs that a command forces begin at their first epoch
    interruption  the end of Snakemake and all its jobs on Ctrl-C, SIGTERM or SIGHUP
    lock          one Snakemake at a time works in a folder, after the jobs of the one before
    storage       results in object storage, and what cannot be done there
    partial       the second start of Snakemake, which shows what is finished after a failure

It uses the configuration and the names of the rooms below. The rules of the workflow use all of it, the doors `plan`,
`watch` and `init` print parts of it, and every room above takes the name of a run from `runs`.

Facts that a newcomer needs:

- Planning imports this room, and has to be quick. Nothing here imports PyTorch, and only `cost` and `status` import
  pandas, once they read a file that needs it.
- A job's key is kept beside its outputs. A job is stale exactly when its key differs from the kept one, or its files
  are not those of that time. Clocks, comments, formatting, threads and memory are in no key.
- A setting that cannot change a result must not reach a key; one that can must, by the settings of its job.
"""
