"""The workers' room: a job becomes pixels, noisy and smoothed views, labels, votes and rows.

Imports db; never producer. Torch is imported late, in the process that computes.
"""
