#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the IOTLB itself costs: instructions and locks, by callgrind.

usage: iotlb-cost.py IOTLB-BENCH [--json]

A hit calls no function that locks or waits, and costs the same whether one
mapping exists or a million. What is promised are counts and ratios of counts,
so that it holds for any compiler. Output is TAP; --json prints the figures of
all cases. test-iotlb counts the locks of hits, misses and unmaps.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))
sys.path.insert(0, os.path.join(TOP, 'scripts'))

# pylint: disable=wrong-import-position
from vadis.bench_callgrind import read_profile  # noqa: E402


class Locks:
    """The names of functions that take a lock, or wait."""

    name = re.compile(r'(mutex|rwlock|spin|rec_mutex|sem|futex|cond|barrier)'
                      r'.*(lock|wait)')

    def __contains__(self, function):
        return bool(self.name.search(function)) and 'unlock' not in function


HITS = ('hit, 1 mapping', 'hit, 1000 mappings', 'hit, 1000000 mappings',
        'hit, three sizes')
FIT = ('512 pages used', '1024 pages used')
MISSES = ('4096 pages used',)
UNMAPS = ('unmap 4 KiB, not remembered', 'unmap 4 KiB, 65536 entries')


def cases(program):
    """The names of all cases."""
    done = subprocess.run([program, '--list'], capture_output=True, text=True,
                          check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def cost(program, case):
    """Instructions, those of locks, and misses per operation."""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, 'out')
        done = subprocess.run(
            ['valgrind', '--tool=callgrind', f'--callgrind-out-file={out}',
             '--toggle-collect=measured', program, '--case', case],
            capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f'iotlb-cost.py: {case} under valgrind ended with '
                     f'{done.returncode}:\n{done.stderr}')
        with open(out, encoding='utf-8') as file:
            lines = file.readlines()
    said = json.loads(done.stdout)
    total = re.search(r'^(?:summary|totals): (\d+)', ''.join(lines), re.M)
    return {'instructions': int(total[1]) / said['ops'],
            'lock_instructions': read_profile(lines, Locks())[0] / said['ops'],
            'missed': said['missed'] / said['ops']}


def judge(got):
    """Yield (good, text)."""
    for case in HITS + FIT:
        yield (got[case]['lock_instructions'] == got[case]['missed'] == 0,
               f'{case}: {got[case]["missed"]:.1%} missed, '
               f'{got[case]["lock_instructions"]:g} instructions to lock')
    for case in MISSES + UNMAPS:
        yield (got[case]['lock_instructions'] > 0,
               f'{case}: {got[case]["lock_instructions"]:.0f} instructions to '
               'lock, so they are seen')
    for what, few, many in (('a hit', *HITS[1:3]), ('an unmap', *UNMAPS)):
        least, most = (got[case]['instructions'] for case in (few, many))
        yield (0 < most <= 1.25 * least,
               f'{what}: {least:.0f} instructions ({few}), {most:.0f} ({many}'
               '), at most a quarter more')


def main():
    args = [a for a in sys.argv[1:] if a != '--json']
    if len(args) != 1:
        sys.exit(__doc__)
    everything = '--json' in sys.argv
    got = {case: cost(args[0], case) for case in (
        cases(args[0]) if everything else HITS + FIT + MISSES + UNMAPS)}
    if everything:
        print(json.dumps(got))
        return 0
    results = list(judge(got))
    print(f'1..{len(results)}')
    for n, (good, text) in enumerate(results, 1):
        print(f'{"ok" if good else "not ok"} {n} - {text}')
    return not all(good for good, _ in results)


if __name__ == '__main__':
    sys.exit(main())
