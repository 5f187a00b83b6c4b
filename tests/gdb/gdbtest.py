# SPDX-License-Identifier: GPL-2.0-or-later
"""What the gdb tests share: where things are, and gdb run in batches."""

import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = TOP / 'scripts' / 'gdb'
sys.path.insert(0, str(SCRIPTS))
sys.path.insert(0, str(TOP / 'scripts'))


def run_gdb(args, timeout=120):
    """Run gdb -batch; (exit status, all it printed)."""
    argv = ['gdb', '-nx', '-q', '-batch', '-iex',
            'set debuginfod enabled off', *map(str, args)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout, check=False)
    return done.returncode, done.stdout


def assert_lines(output, *wanted):
    """Every wanted text stands in the output, else show all of it."""
    missing = [text for text in wanted if text not in output]
    assert not missing, (f'gdb did not print {missing}; it printed:\n'
                         f'{output}')


def assert_no_traceback(output):
    """The commands never answer with a Python error."""
    assert 'Traceback' not in output and 'Python Exception' not in output \
        and 'Error occurred in Python' not in output, output
