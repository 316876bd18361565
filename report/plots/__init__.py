"""Plots: pictures of a report, of two runs, or of a sweep."""
