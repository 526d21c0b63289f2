"""The commands, one file per noun.

Those that become processes have `main(arguments)`; the others have `register`, which adds the noun
to the Typer application.
"""
