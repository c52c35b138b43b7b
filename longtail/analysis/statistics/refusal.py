"""The answer of a statistic that has nothing to go on."""


class Refusal(ValueError):
    """The data cannot support this statistic; the message is one sentence that says what would be needed."""
