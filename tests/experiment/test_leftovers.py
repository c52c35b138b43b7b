"""Figures and tables of an earlier grid: which are put aside, and that nobody loses a file of their own."""

import pytest

from longtail.experiment.leftovers import ASIDE, put_aside
from longtail.experiment.proof import Proofs


def made(results, *names, key="key"):
    """Files as one job of the workflow leaves them."""
    paths = [results / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name} {key}")
    Proofs().write(paths, key)
    return paths


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".made" not in path.parts
    )


def test_what_the_configuration_does_not_make_is_moved_with_its_path(tmp_path):
    kept = made(tmp_path, "figures/cost.pdf", "figures/cost.txt")
    made(tmp_path, "figures/longtailed/resnet50/curves.pdf", "figures/longtailed/resnet50/curves.txt")
    made(tmp_path, "tables/longtailed/resnet50/top1.csv")
    made(tmp_path, "runs/longtailed/resnet50/softmax/seed1/model.safetensors")
    told = put_aside(tmp_path, kept)
    assert files(tmp_path) == [
        "earlier/figures/longtailed/resnet50/curves.pdf",
        "earlier/figures/longtailed/resnet50/curves.txt",
        "earlier/tables/longtailed/resnet50/top1.csv",
        "figures/cost.pdf",
        "figures/cost.txt",
        "runs/longtailed/resnet50/softmax/seed1/model.safetensors",
    ]
    assert told == (
        f"Moved to {tmp_path / ASIDE}, since this configuration does not make them: "
        "figures/longtailed/resnet50/curves.pdf and 2 more. Delete that folder, or look at it."
    )
    assert not (tmp_path / "figures/longtailed").exists()
    assert put_aside(tmp_path, kept) == ""


def test_a_job_that_makes_fewer_files_than_before_leaves_the_others_known_as_made(tmp_path):
    made(tmp_path, "tables/classes_softmax.csv", "tables/classes_focal.csv", key="both")
    kept = made(tmp_path, "tables/classes_softmax.csv", key="one")
    assert "tables/classes_focal.csv" in put_aside(tmp_path, kept)
    assert files(tmp_path) == ["earlier/tables/classes_focal.csv", "tables/classes_softmax.csv"]
    assert Proofs().doubt([str(path) for path in kept], "one") is None


@pytest.mark.parametrize("change", ["edited", "never made", "link"])
def test_a_file_of_the_users_stays(tmp_path, change):
    (own,) = made(tmp_path, "figures/mine.pdf")
    if change == "edited":
        own.write_text("with an arrow drawn into it")
    else:
        own.unlink()
        (tmp_path / "elsewhere.pdf").write_text("mine.pdf key")
        if change == "link":
            own.symlink_to(tmp_path / "elsewhere.pdf")
        else:
            (tmp_path / "figures/other.pdf").write_text("mine.pdf key")
    before = files(tmp_path)
    assert put_aside(tmp_path, []) == ""
    assert files(tmp_path) == before
