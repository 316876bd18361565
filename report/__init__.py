"""What is read from the record: counts, rates, tests, verdicts, comparisons, tables, plots and exports.

It imports db alone, and changes nothing that was found.
"""
