"""The producers' room: a folder of images becomes a dataset, a run, and jobs on the queue.

Imports db; never worker, torch or PIL, so a producer machine needs none of them.
"""
