"""Run ids on their way to workers: what carries them, and how they get into it.

`broker` says which broker it is, `queues` how its queues are called, `celery_app` makes the Celery
application for it, `folder` is the broker that needs no server, `publisher` sends. `bell` and
`beacon` are what supervisor, gateway and worker of one machine tell each other by files. Only
`celery_app`, `folder`, `sender` and `probe` import celery or kombu; at boot nobody imports them.
"""
