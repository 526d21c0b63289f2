"""Large bodies are parsed by child processes, so that the event loop goes on meanwhile.

Parsers of JSON hold the interpreter's lock: on a thread they would stop the loop all the same.
"""
