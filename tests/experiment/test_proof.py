"""The proof beside a result: which files it knows again, and what is no proof. Plans are in test_staleness.py."""

import os
import shutil

import pytest

from longtail.experiment.contents import END
from longtail.experiment.proof import Proofs
from longtail.files.sealed_json import seal

NAMES = ("model.safetensors", "history.parquet", "run.json")


@pytest.fixture
def made(tmp_path):
    """The files of a job, with their proof."""
    folder = tmp_path / "run"
    folder.mkdir()
    outputs = [folder / name for name in NAMES]
    for path in outputs:
        path.write_bytes(path.name.encode() * END)
    Proofs().write(outputs, "key")
    return outputs


def doubt(outputs, key="key"):
    return Proofs().doubt(list(map(str, outputs)), key)


def test_files_are_known_again_wherever_they_are_copied(made, tmp_path):
    assert doubt(made) is None
    shutil.copytree(made[0].parent, tmp_path / "copy", copy_function=shutil.copyfile)
    assert doubt([tmp_path / "copy" / name for name in NAMES]) is None
    assert "other settings, code or data (key key)" in doubt(made, "another")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"!" + content[1:],
        lambda content: content[:-1] + b"!",
        lambda content: content[:-1],
        lambda content: content + b"!",
        lambda content: b"",
    ],
)
def test_a_file_that_was_replaced_is_seen_whatever_its_time(made, name, change):
    path = made[0].with_name(name)
    stat = path.stat()
    path.write_bytes(change(path.read_bytes()))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert doubt(made) == f"{name} is not the file that was made"


def test_files_that_are_missing_are_for_snakemake_to_make(made):
    made[1].unlink()
    assert doubt(made) is None
    shutil.rmtree(made[0].parent)
    assert doubt(made) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_any_more_is_not_what_was_made_and_is_not_read(made, name, put):
    path = made[0].with_name(name)
    path.unlink()
    put(path)
    assert doubt(made) == f"{name} is not the file that was made"


def test_small_files_are_known_whole(tmp_path):
    path = tmp_path / "small.csv"
    path.write_bytes(bytes(2 * END))
    Proofs().write([path], "key")
    for place in (0, END - 1, END, 2 * END - 1):
        content = bytearray(2 * END)
        content[place] = 1
        path.write_bytes(content)
        assert doubt([path])


PROOF = {"key": "key", "files": {}, "by": [], "packages": {}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "\0",
        "{}",
        '{"key": "key", "files": {}, "by": [], "packages": {}}',
        *(
            seal(odd)
            for odd in (
                {"unknown": 1},
                PROOF | {"files": None},
                PROOF | {"files": {"a": 1}},
                PROOF | {"files": {"a": [["x"], ""]}},
                PROOF | {"by": 2},
                PROOF | {"packages": []},
                PROOF | {"more": 1},
            )
        ),
        seal(PROOF).replace('"key"', '"Key"', 1),
    ],
)
def test_what_is_no_whole_proof_proves_nothing(made, text):
    (made[0].parent / ".made/model.safetensors.json").write_text(text)
    assert doubt(made) == "nothing says what it was made with"


def test_a_proof_of_no_files_proves_none(made):
    (made[0].parent / ".made/model.safetensors.json").write_text(seal(PROOF))
    assert doubt(made) == "model.safetensors is not the file that was made"


@pytest.mark.parametrize("record", ["no json", "[]", seal({}), seal({"packages": 1}), seal({"packages": {}})])
def test_a_record_without_versions_says_none(made, record):
    made[2].write_text(record)
    proofs = Proofs(trained_anew=True)
    proofs.write(made, "key")
    assert proofs.doubt(list(map(str, made)), "key") is None
    assert proofs.read(made).packages == {}
