"""The record: the contract between producers and workers, the tables, and what is read from them.

Imports neither room, nor celery, torch or PIL, so a report needs no queue and no GPU.
"""
