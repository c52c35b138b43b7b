"""The statistics of an experiment: how sure its results are, one method per file.

Each method takes frames and returns one. Accuracies are fractions throughout.

    analyses       all statistics by the names of their tables: what the program and the thesis study call
    descriptive    mean, standard deviation and interval of every metric over the seeds
    anova          how much of the accuracy goes with the loss, and how much with the model
    posthoc        which pairs of losses or models differ after the analysis of variance: Tukey
    friedman       ranks over the models: Friedman, Nemenyi, Wilcoxon
    paired         differences to a reference loss on the same test images, of single models and over these models
    over_models    the same over models in general
    mcnemar        two runs on the same images; bounds where only their accuracies are known
    spread         how far a mean over runs and images would vary: random effects of seeds, images and their groups
    score          Wilson's and Tango's intervals of shares
    power          what runs could have found, and what would settle the rest
    sign_flip      the exact test that flips the signs of paired differences
    correctness    which test images each run got right, read from the predictions
    holm, dunnett  the corrections for many tests

Where the runs do not suffice for a method, it raises `Refusal` with one sentence that says what would be needed. The
functions that go over all training and test sets put that sentence into the column `note` of an otherwise empty row, so
that a table says what it lacks. Missing runs are named in `note` too, and no number is ever made up for them.

`longtail.report` says what each table shows, and prints its numbers. `longtail.analysis.grid` says which runs there
should be. This room imports that, `longtail.data.split.sets`, `longtail.files`, SciPy and statsmodels; the report and
its summary, one figure, and the programs use it. Its random numbers are always the same.

No test of an assumption chooses a method. docs/statistics.md says for each question which method answers it and why,
and how well each holds what it says, by the simulation of benchmarks/coverage.py.
"""
