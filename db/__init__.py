"""The record: the database of datasets, runs, jobs and predictions, and what every room needs to use it.

This room imports no other room, no queue, no PyTorch and no Pillow, so a report needs none of them.
"""
