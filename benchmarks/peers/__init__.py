"""The programs that are compared, each a worker in an interpreter of its own.

A worker is started with the data and the start of a case, fits as often as it is told to, and
says what each fit took. `session` is the parent's side, `worker` the side of those in Python;
mclust.R speaks the same protocol. `install` makes the environments.
"""
