"""Look up all links of the documents to other sites: `python tools/links.py`, by `make docs-links`.

A link that its site does not know is an error. A site that cannot be reached, as all are without a network, says
nothing about the link: it is counted, and no error. Links within the documents are for `make docs` to check.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOUND = ROOT / "docs/_build/links"
UNREACHABLE = re.compile(
    r"NameResolutionError|NewConnectionError|ConnectTimeout|ProxyError|Network is unreachable"
)


def judged(found: Iterable[dict[str, Any]]) -> tuple[list[str], str]:
    """What is wrong, a sentence for each link, and what was looked up, in one.

    Args:
        found: links as `sphinx -b linkcheck` writes them: filename, lineno, status, uri, info.
    """
    outside = [link for link in found if link["uri"].startswith(("http:", "https:"))]
    fails = [link for link in outside if link["status"] in ("broken", "timeout")]
    away = [link for link in fails if link["status"] == "timeout" or UNREACHABLE.search(link["info"])]
    wrong = [
        f"{link['filename']}:{link['lineno']}: {link['uri']} is broken: {link['info']}"
        for link in fails
        if link not in away
    ]
    told = f"links to other sites: {len(outside) - len(fails)} work, {len(wrong)} are broken"
    if away:
        cause = (
            "since there is no network" if len(away) == len(outside) else "since their sites do not answer"
        )
        told += f", and {len(away)} of {len(outside)} could not be looked up, {cause}"
    return wrong, told


def main() -> int:
    shutil.rmtree(FOUND, ignore_errors=True)
    words = [sys.executable, "-m", "sphinx", "-q", "-b", "linkcheck", "-c", "docs", ".", str(FOUND)]
    done = subprocess.run(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    written = FOUND / "output.json"
    if (
        done.returncode not in (0, 1) or not written.is_file()
    ):  # 1 is a link that is broken or was not reached
        print(done.stderr, file=sys.stderr)
        return done.returncode or 1
    wrong, told = judged(map(json.loads, written.read_text(encoding="utf-8").splitlines()))
    print("\n".join([*wrong, told]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
