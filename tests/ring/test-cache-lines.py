#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring's counted cache misses stay within what the layouts allow.

usage: test-cache-lines.py RINGCOUNT

The figures are exact, so a change that makes driver library or model touch
one more line per batch fails here, on any machine. The bounds are the hand
count of the 2016 talk: split five misses per request and 5/4 with batches of
four; packed two to four (misses, and with the writes that take a shared line
away) and one. Output is TAP.
"""
import json
import subprocess
import sys

# layout, batch, in_order, mode: misses at most, misses and upgrades at most
BOUNDS = {
    ('split', 1, False, 'poll'): (5, 10),
    ('split', 4, True, 'poll'): (5 / 4, 10 / 4),
    ('split', 4, False, 'poll'): (1.4, 2.8),    # used ring 4 bytes off a line
    ('split', 64, False, 'poll'): (0.47, 0.94),
    ('packed', 1, False, 'poll'): (2, 4),
    ('packed', 4, False, 'poll'): (0.5, 1),
    ('packed', 64, False, 'poll'): (0.5, 1),
    ('packed', 64, True, 'poll'): (0.27, 0.54),
    # Notification wishes: split flags lie on index lines, all else is apart
    ('split', 1, False, 'flags'): (5, 10),
    ('split', 1, False, 'event'): (7, 14),
    ('packed', 1, False, 'flags'): (4, 8),
    ('packed', 1, False, 'event'): (4, 8),
}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = subprocess.run([sys.argv[1]], stdout=subprocess.PIPE, text=True,
                         check=True).stdout
    cells = {}
    for line in out.splitlines():
        c = json.loads(line)
        if c['shape'] == 'direct':
            cells[c['layout'], c['batch'], c['in_order'], c['mode']] = c
    print(f'1..{len(BOUNDS)}')
    bad = 0
    for n, (key, (misses, transfers)) in enumerate(BOUNDS.items(), 1):
        cell = cells[key]
        good = cell['misses'] <= misses and cell['transfers'] <= transfers
        bad += not good
        name = ' '.join(str(k) for k in key[:2]) + \
            (' in_order ' if key[2] else ' ') + key[3]
        print(f'{"ok" if good else "not ok"} {n} - {name}: '
              f'{cell["misses"]} misses (bound {misses}), '
              f'{cell["transfers"]} transfers (bound {transfers})')
    return bad != 0


if __name__ == '__main__':
    sys.exit(main())
