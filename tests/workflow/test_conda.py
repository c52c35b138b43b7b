"""`snakemake --sdm conda` with the environments of envs/, as far as it can be tested without conda's own packages.

A stand-in answers what Snakemake asks of conda. It makes each environment of the packages that its file pins, from
the registry of Python packages, and nothing else; so a program that imports what its environment lacks fails here.
"""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from workspace import DIGITS, Workspace

from tools.glyphs import write_letters

CONDA = """#!{python}
import json, subprocess, sys
from pathlib import Path

import yaml

words = sys.argv[1:]
if words == ["--version"]:
    print("conda 24.9.2")
elif words == ["info", "--json"]:
    print(json.dumps({{"conda_prefix": "{prefix}", "platform": "linux-64"}}))
elif words[:2] == ["config", "--get"]:
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif words[:1] == ["clean"]:
    pass
elif words[:2] == ["env", "create"]:
    file, folder = words[words.index("--file") + 1], words[words.index("--prefix") + 1]
    listed = yaml.safe_load(Path(file).read_text())["dependencies"]
    (packages,) = (entry["pip"] for entry in listed if isinstance(entry, dict))
    uv = ["{python}", "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", "{python}", folder], check=True)
    interpreter = folder + "/bin/python"
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", interpreter, *packages], check=True)
else:
    sys.exit(f"the stand-in for conda does not know {{words}}")
"""
ACTIVATE = """
export PATH="$1/bin:$PATH"
python -c 'import sys; print(sys.prefix)' >> {prefix}/activated
"""


@pytest.fixture(scope="module")
def conda(tmp_path_factory) -> Path:
    prefix = tmp_path_factory.mktemp("conda")
    (prefix / "bin").mkdir()
    for name, text in (("conda", CONDA), ("activate", ACTIVATE)):
        (prefix / "bin" / name).write_text(text.format(python=sys.executable, prefix=prefix))
        (prefix / "bin" / name).chmod(0o755)
    return prefix


def run(workspace: Workspace, conda: Path, *words: str) -> Counter:
    """Run the workflow; how many jobs each environment had."""
    (conda / "activated").write_text("")
    workspace.snakemake(
        *("--sdm", "conda", "--conda-prefix", str(conda / "envs"), "--cores", "2", *words),
        PATH=f"{conda / 'bin'}:{os.environ['PATH']}",
        PYTHONPATH="",
    )
    names = {
        path.with_suffix("").name: "torchvision" in path.read_text()
        for path in (conda / "envs").glob("*.yaml")
    }
    used = Counter(Path(line).name for line in (conda / "activated").read_text().splitlines())
    return Counter({"train" if names[env] else "analysis": count for env, count in used.items()})


@pytest.mark.long
def test_every_program_finds_what_it_imports_in_its_environment(conda, tmp_path):
    workspace = Workspace.create(tmp_path / "workspace")
    config = {
        "grid": {"models": ["resnet8"], "losses": ["softmax", "balanced_softmax", "crt"]},
        "seeds": [1, 2],
        "models": {"resnet8": {"pretrained": False}},
        "variants": {"softmax+la": {}},
        "data": DIGITS,
        "train": {"epochs": 2, "image_size": 8, "batch_size": 64, "padding": 1},
        "losses": {"crt": {"train": {"epochs": 1}}},
    }
    (workspace.folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    used = run(workspace, conda)
    assert used["train"] > 2 * 4 * 2 * 2  # each run is trained or adjusted, and predicted
    assert used["analysis"] > 20  # evaluation, tables, statistics, figures


@pytest.mark.long
def test_a_folder_of_images_is_decoded_and_checked_in_its_environment(conda, tmp_path):
    workspace = Workspace.create(tmp_path / "workspace")
    write_letters(workspace.folder / "data/letters")
    words = ("--configfile", "config/own-images.yaml", "--", "check_data", "results/own-images/data/val.pth")
    # Images are decoded, divided and stored; the check is a page.
    assert run(workspace, conda, *words) == {"train": 3, "analysis": 1}
