"""The statistics of an experiment: how sure its results are, one method per file.

Each method takes frames and returns one. Accuracies are fractions throughout.

    analyses       all statistics by the names of their tables: what the program and the thesis study call
    descriptive    mean, standard deviation and interval of every metric over the seeds
    anova          how much of the accuracy goes with the loss, and how much with the model
    posthoc        which pairs of losses or models differ after the analysis of variance: Tukey, Games-Howell
    friedman       ranks over blocks of model and training set: Friedman, Nemenyi, Wilcoxon
    paired         differences to a reference loss on the same test images
    sign_flip      tests that flip the signs of paired differences, and how little they can show with few pairs
    mcnemar        two runs on the same images; bounds where only their accuracies are known
    correctness    which test images each run got right, read from the predictions
    holm           the correction for many tests

Where the runs do not suffice for a method, it raises `Refusal` with one sentence that says what would be needed. The
functions that go over all training and test sets put that sentence into the column `note` of an otherwise empty row, so
that a table says what it lacks. Missing runs are named in `note` too, and no number is ever made up for them.

`longtail.report` says what each table shows, and prints its numbers. `longtail.analysis.grid` says which runs there
should be. This room imports that, `longtail.data.split.sets`, `longtail.files`, SciPy and statsmodels; the report and
its summary, one figure, and the programs use it. Its random numbers are always the same.
"""
