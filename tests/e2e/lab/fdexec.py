# SPDX-License-Identifier: ISC
"""Runs a program with descriptors as a service manager gives them (sd_listen_fds(3)):
fdexec.py NAMES FD,FD... PROGRAM [ARGUMENT...]

It becomes the program: LISTEN_PID has to be its process id, whoever started this.
"""

import fcntl
import os
import sys

FIRST = 3


def main():
    names, fds, program = sys.argv[1], [int(fd) for fd in sys.argv[2].split(",")], sys.argv[3:]
    end = FIRST + len(fds)
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, end) for fd in fds]
    for i, fd in enumerate(high):
        os.dup2(fd, FIRST + i)
    os.closerange(end, max(high) + 1)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
