"""Child processes for work on a caller's or author's word: limited, and killed at a deadline.

The pool and its processes know nothing of the work: they carry bytes. A `ChildProgram` says what
the processes run and what they may use.
"""
