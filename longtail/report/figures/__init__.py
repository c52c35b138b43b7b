"""Figures of the results, one per file; a new figure is one new file here and no other change.

A figure is a module with a function `draw`, which returns a `style.Drawn`: the figure and its caption, both of one
selection of the data. The names of its parameters say what it needs; `sources` lists them, and from them the rules
plan the figure's job, its key and its place, and `workflow/scripts/figure.py` its options:

    def draw(evaluation: pd.DataFrame, model: str, train_set: str | None = None) -> style.Drawn: ...

needs the evaluation and is drawn for every training set and model. Frames are as `longtail.analysis.frames` reads
them; whatever is neither a source nor one of `train_set`, `model` and `loss` is a setting with a default.

    accuracy_bars, accuracy_lines, per_class_accuracy, training_curves, forest, reliability    of a model
    confusion, confused_pairs                                                                 of a model and loss
    class_distribution, example_images                                                        of the data
    model_comparison (and without the class-balanced loss), loss_comparison, head_middle_tail, tradeoff,
    critical_difference, run_cost                                                             of all runs

    sources     which figures there are, what they are drawn from, where those files are
    style       colours and marks of losses, models and groups; sizes; legends; files without dates
    bars        bars in rows, and the comparison of losses or of models that is made of them
    panels      a panel for every model and training set
    pictures    images side by side

A run that is missing (no row, or NaN, where others of the grid have a value) is drawn as missing and named in the
caption; it is never a value of 0. Sizes are inches on an A4 page, accuracies percent.

A figure may use what lies below the report and `longtail.report.{captions,labels}`. It imports no other figure, or a
change of one would draw the other anew, unless it is a form of it. Of this room, a plan imports `sources` alone.
"""
