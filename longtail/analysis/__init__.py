"""The analysis turns predictions into metrics, statistics, and the frames that tables and figures are made of.

    metrics       the table of metrics: label, unit, which of two values is better, and how each is computed
    evaluation    every metric of one run on every test set, and accuracy and F1 of every class
    classes       precision, recall and F1 of every class, and which classes are taken for which
    calibration   how far confidence and accuracy lie apart
    grid          which runs there should be, which are missing, and their scores
    frames        the files of many runs as one frame each
    foreign       predictions of other programs, checked, as runs
    label_errors  labels that are probably wrong, by confident learning
    uncertainty   pictures of which a model is least sure
    shift         how far new photographs are from those that a model was tested on
    results       the results folder as frames for notebooks: `longtail.load_results`
    statistics/   how sure the results are, one method per file

It uses the split's sets, a run's name and the files below. The report draws and prints what this room computes.

Facts that a newcomer needs:

- A run is named by the columns model, loss, train_set and seed, which come first in every frame.
- A run that failed or was not run has its rows, with NaN in place of its numbers. So whatever counts or averages can
    see that it is missing, and nothing shows it as 0.
- Accuracies are fractions here. Only the report prints percent.
"""
