"""The process that runs flows of type `api`: `python -m gateway.worker`.

A **foreman** forks one process for each **lane**, watches them and drains them. A lane is a Celery
worker (prefork) on one or both of the queues; its children run one flow at a time each. One lane
takes nothing but sync runs, so that however many long runs there are, a short one finds a child.
Everything is imported once, before the first fork, and opened only afterwards, in the children.
"""
