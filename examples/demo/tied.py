"""Runs a program until standard input ends. Whoever started it holds the other end, also if it is killed.

python tied.py PROGRAM
"""

import os
import runpy
import sys
import threading


def end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


threading.Thread(target=end_with_parent, daemon=True).start()
sys.path[0] = os.path.dirname(sys.argv[1])
runpy.run_path(sys.argv[1], run_name="__main__")
