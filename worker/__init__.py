"""The workers' room: a job becomes pixels, views, labels, votes and rows.

Imports db, never producer. Torch is imported late, by the process that computes.
"""
