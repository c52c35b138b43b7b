"""The configuration: every key that a user may set, checked as a whole before anything runs.

    files      the files of the configuration, read so that YAML says what was written
    command_line   the same as the options of a command give it
    load       the whole of it: `load_config` gives a `Config`, or a `ConfigError` with everything that is wrong
    grid       which combinations are run, and what each model is
    data       where the images come from, how they are split, how the classes differ in size
    methods    losses, names that stand for a loss with other settings (ldam_drw, crt, lws), and variants
    predict    how test images are shown to the trained models
    statistics how the runs are compared
    job        what a training job asks of the machine
    paths      the folders, and how they lie to one another
    own_loss   what is wrong with the file of a loss of one's own
    fit        what goes with what: one small rule for each pair of settings that can contradict each other
    schema     the schema for editors, config/schema.json: `python -m longtail.config.schema` writes it

What a room takes is said in that room, and read here without importing PyTorch: the recipe of a training in
`longtail.training.recipe`, the parameters of a loss in its file, the variants in `longtail.models.variants`, the names
of samplers and policies beside their code. The types of values are those of `longtail.settings`.

`longtail.experiment` makes jobs of a configuration, and the doors that plan and watch read it. Functions below never
see these classes, they get plain values. A plan imports this room at every start, so it imports neither PyTorch, nor
pandas, nor NumPy.

An override under `models.NAME.train` or `losses.NAME.train` is checked where it meets the recipe: `Config.recipe` gives
the settings of one model with one loss.
"""
