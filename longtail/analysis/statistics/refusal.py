"""The exception of a statistic whose data do not suffice."""


class Refusal(ValueError):
    """The data cannot support this statistic; the message is one sentence that says what would be needed."""
