"""What is read from the record: counts, rates, tests, verdicts, comparisons, tables, plots and exports.

Imports db, and writes no row.
"""
