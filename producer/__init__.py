"""The room of the producers: it turns images at a place into a dataset, a run, and jobs on the queue.

It imports db only, and neither torch nor PIL, so a machine that only submits needs none of them.
"""
