"""How sure the results are: one method per file, each with the evaluation or the predictions as its input.

Accuracies are fractions throughout. Where a method cannot speak it raises `refusal.Refusal`; the functions that
go over all training and test sets put that sentence into the column `note` of an otherwise empty row instead, so
a table says what it lacks.
"""
