"""The one command: `slipstream`, and the supervisor behind `slipstream up`.

Top of the layers: it may import every other package and none may import it. Commands act on the
state folder and the database through the gateway's own services, never through tables of theirs.
"""
