"""The broker: carries run ids from gateways to workers.

`broker` parses the broker's URL, `celery_app` is Celery at both ends, `folder_transport` is the
broker without a server, `publisher` sends. `worker_files` are files by which the processes of one
machine signal each other. Only `celery_app` and `folder_transport` import Celery or kombu, and no
process imports them while it boots.
"""
