"""The table of sources, against the files and the configuration."""

import json
import subprocess
import sys

import pytest

from longtail.config.schema import schema
from longtail.data.sources import table
from longtail.data.sources.table import known_sources


def test_the_table_has_the_sources_that_the_configuration_allows():
    allowed = json.loads(schema())["$defs"]["Data"]["properties"]["source"]["enum"]
    own = [name for name in known_sources() if "/" not in name]
    assert allowed == list(known_sources()) and own == [
        "cifar10",
        "cifar100",
        "digits",
        "image_folder",
        "lists",
    ]
    assert known_sources()["torchvision/SVHN"].family == "of_torchvision"
    assert known_sources()["cifar100"].archive == "cifar-100-python.tar.gz"
    assert known_sources()["image_folder"].natural


def test_the_table_is_read_without_importing_torch_or_pandas():
    code = "import sys; from longtail.data.sources.table import known_sources; known_sources();"
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pandas')))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_that_computes_its_description_is_refused_by_name(tmp_path, monkeypatch):
    (tmp_path / "blobs.py").write_text("SOURCE = Source(archive=bool(1))\n")
    monkeypatch.setattr(table, "__file__", str(tmp_path / "table.py"))
    with pytest.raises(ValueError, match=r"blobs\.py: SOURCE must be"):
        known_sources.__wrapped__()
