"""Commands of `longtail` that are no modules to start or import by themselves.

- `init.py` proposes a configuration for a collection of one's own, with its reasons.
- `analyse.py` makes tables, statistics, figures and a report of predictions that any program made.
- `cite.py` writes a paragraph on the methods that results rest on, and BibTeX.
- `clean.py` deletes the states of unfinished runs.
- `report.py` packs the page of the results into one file.
- `demo.py` prints what came out of the demo.

`longtail/__main__.py` imports the one that is chosen. Each has `main(words)`, and `parser()` where it takes options of
its own. The other commands are doors of their own beside `__main__.py`, since programs of users start them by
`python -m longtail.NAME`. This room uses all rooms below it.
"""
