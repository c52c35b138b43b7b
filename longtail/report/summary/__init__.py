"""The questions of the experiment, each answered in sentences with its numbers, or said to be open."""
