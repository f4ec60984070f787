"""Jobs of the queue computed on other machines, by replicas of a model in a Ray cluster.

The head (`head.py`) alone touches the queue: it opens what a job is given, sends the open task to a
replica (`replica.py`), and seals, signs and writes what comes back. `deploy.py` alone imports Ray.
"""
