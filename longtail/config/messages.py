"""How a wrong configuration is reported: everything at once, one sentence for each thing to mend.

`longtail.settings` makes the sentences, as the training script needs them too.
"""

from collections.abc import Iterable


class ConfigError(ValueError):
    """The configuration is wrong; `problems` holds one sentence for each thing to mend."""

    def __init__(self, problems: Iterable[str]):
        self.problems = list(dict.fromkeys(problems))
        count = f"{len(self.problems)} problems" if len(self.problems) > 1 else "a problem"
        super().__init__(f"The configuration has {count}:\n" + "\n".join(f"  - {p}" for p in self.problems))
