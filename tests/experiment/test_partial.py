"""The command line that shows what finished runs can show, as Snakemake itself reads it."""

import pytest
from snakemake.cli import get_argument_parser

from longtail.experiment.partial import partial_words, unforced

TARGET = "results/summary.md"


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--config", "seeds=[1]", "data={seed: 2}"],
        ["-C", "seeds=[1]"],
        ["--config=seeds=[1]"],
        ["-Cseeds=[1]"],
        ["--config", "seeds=[9]", "--cores", "1", "--config", "seeds=[1]"],
    ],
)
def test_partial_is_added_to_the_configuration_that_snakemake_heeds(given):
    words = ["--configfile", "config/demo.yaml", *given, "--cores", "2", "--", TARGET]
    before = get_argument_parser().parse_args(words)
    after = get_argument_parser().parse_args(partial_words(words))
    assert after.config == ["partial=true", *(before.config or [])]
    assert (after.targets, after.configfile, after.cores) == (before.targets, before.configfile, before.cores)


def test_a_target_is_not_taken_for_a_setting():
    assert get_argument_parser().parse_args(partial_words([TARGET])).targets == [TARGET]


@pytest.mark.parametrize(
    "given",
    [
        ["--forcerun", "train", "tensors"],
        ["-R", "train"],
        ["-Rtrain"],
        ["--forcerun=train"],
        ["--forcer", "train"],
        ["--forceall"],
        ["-F"],
        ["--forcea"],
        ["--force"],
        ["-f"],
        ["-kF"],
        ["-kfp", "-R", "train"],
    ],
)
def test_the_second_start_forces_nothing_however_it_was_written(given):
    parser = get_argument_parser()
    words = ["--cores", "2", *given, "--", TARGET]
    assert (before := parser.parse_args(words)).force or before.forceall or before.forcerun
    after = unforced(parser.parse_args(partial_words(words)))
    assert not (after.force or after.forceall or after.forcerun)
    assert (after.targets, after.cores) == ([TARGET], before.cores)
