"""The summary: the questions of the experiment, each answered in sentences with its numbers, or said to be open.

    evidence       what the answers rest on: the evaluation, its statistics, the thesis, published results
    choice         the first question: which model to use
    answers        all questions, and: which loss for the tail, how much depends on the model, which loss is safest
    comparisons    the models beside each other, and the runs beside the thesis and published results
    phrases        numbers and names as they stand in a sentence

An answer is a function from `Evidence` to Markdown. To add one, write it and name its question in `summarise`. Where
the runs cannot answer, it raises `Refusal` with what they lack, and the summary says so in its place.

Losses that lack a run do not compete in an answer, because a mean without its worst model would flatter them. Every
answer that leaves something out names it. Models that are no equals, since only some of them start from pretrained
weights, are not averaged: each has an answer of its own.

This room uses the statistics from their csv files, which hold all digits, and computes no test of its own. It imports
`longtail.analysis`, and of the report `labels`, `pages` and `typeset`. The program workflow/scripts/summary.py calls
`answers.summarise`.
"""
