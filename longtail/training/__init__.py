"""Training: one model, with one loss, on one training set, from one seed, until its weights are kept.

    recipe        every setting of the training with its default, torch-free (the only list of them)
    settings      what one run trains: architecture, head, loss, recipe, seed
    run           the loop: `Trainer` resumes, trains epochs, validates, saves
    input         the batches of an epoch: sampled, augmented and mixed
    model         the model as a run starts, computes and averages it
    retraining    a classifier on the frozen backbone of a finished run (cRT, LWS, MiSLAS)
    terms         what a step adds to the loss of a batch (distillation)
    tuning        which weights of the backbone are trained (LoRA, biases, norms)
    optimization  the optimiser
    selection     what the epoch that is kept is chosen by
    ranks         the processes that share a run, one for each GPU
    checkpoint    the state to resume from, whole on disk at any moment
    progress      finished epochs, the sums of the current one, and the file of the history
    epoch_log     what people see meanwhile: lines, a bar, TensorBoard, a note for `longtail watch`
    outputs       the card of the model, and the record of the run
    failures      which setting to change when memory or a deterministic kernel is missing

It uses the rooms below: `batches`, `data`, `models`, `losses`, `machine` and `files`. The program
`workflow/scripts/train.py` uses it, and so do the configuration (recipe) and the benchmark.

Three facts that a newcomer needs:

- Everything random is a function of seed, purpose and epoch (`longtail.machine.randomness`). So a run that was killed
  at any moment still ends with the same bytes. Only a state from the middle of an epoch holds generators.
- No step waits for the device: losses and hits stay there until the epoch ends (`progress.Tally`).
- The code that a program imports is part of the key of its results. A new import here makes every finished run stale.
"""
