"""The report makes what people read: tables, figures, printed statistics, and the summary that answers the questions.

    catalogue    which tables and statistics there are, with titles, captions and formats; imports no package
    labels       how names of models, losses, sets and metrics are printed
    captions     what every caption says: seeds, test images, missing runs
    tables       the tables of the results, one function each, whose parameters say what it is made from
    classes      the tables of single classes, and of what is taken for what
    counts       the table of the data
    new_photographs  the evaluation of a model on new photographs
    pages        the statistics as tables, with what they rest on
    references   the papers of methods, as BibTeX
    sheet        pictures with their captions on a page
    typeset      a table as csv, Markdown, LaTeX and a web page: the one place that writes tables
    index        the page of all results, and the same as one file to send
    webpage      Markdown as one HTML file, whose tables sort by a click
    figures/     the figures, one file each
    summary/     the questions of the experiment and their answers

A table goes from numbers to files in three steps: `tables` or `pages` choose and print the cells, `typeset.Table` holds
the numbers beside the printed text, and `typeset.write_table` writes every form. The csv always has all digits; what is
printed has two decimals in percent, or four for a loss, as `longtail.analysis.metrics` says.

A run that is missing is shown as missing, named below the table, and in no mean. A mean that lacks runs has a dagger
and does not compete for the best value.

This room may use all below it: the analysis, the experiment, the data, the files. The programs `tables`, `figure`,
`statistical_analysis`, `summary` and `index` of workflow/scripts use it, as do the study of the thesis in tools/ and,
for titles, the rule files. The rules import `catalogue` and `figures.sources` alone, since planning must not wait for
pandas. Nothing here changes a number, so a change here never trains or predicts anew.
"""
