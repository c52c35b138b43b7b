"""`longtail clean`: it deletes states of unfinished runs where the configuration says, and nothing else."""

import pytest
from filelock import FileLock

from longtail.commands.clean import clean, main
from longtail.training.checkpoint import StateFolder

KEY = "0123456789abcdef0123"


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    states = StateFolder(folder / KEY)
    with states.locked():
        states.save({"epoch": 1})
        states.save({"epoch": 2})
        states.report(epoch=2)
    return folder


def test_states_are_deleted_and_everything_else_is_kept_and_named(work):
    (work / "notes.txt").write_text("mine")
    (work / "runs").mkdir()
    (work / KEY / "mine.csv").write_text("mine")
    said = "\n".join(clean(work))
    assert "deleted the states of 1 unfinished runs" in said
    for name in ("notes.txt", "runs", f"{KEY}/mine.csv"):
        assert (work / name).exists() and f"{work / name}: kept" in said
    assert [path.name for path in (work / KEY).iterdir()] == ["mine.csv"]


def test_a_folder_of_states_alone_is_deleted_whole(work):
    clean(work)
    assert not work.exists()
    assert clean(work) == [f"{work}: there is nothing to delete."]


def test_the_state_of_a_run_that_is_being_trained_is_kept(work):
    with FileLock(work / KEY / "lock"):
        assert any("being trained" in line for line in clean(work))
    assert (work / KEY / "current.state").is_file()


def test_the_configuration_says_where_states_are(work, capsys):
    main(["--configfile", "config/demo.yaml", "--config", f"paths={{work: {work}}}"])
    assert str(work) in capsys.readouterr().out and not work.exists()
    with pytest.raises(SystemExit, match="holds the project itself"):
        main(["--config", "paths={work: .}"])
