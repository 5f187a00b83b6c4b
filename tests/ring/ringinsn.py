#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions per request of the ring verbs, counted with callgrind.

usage: ringinsn.py RINGINSN [--quick]

Prints one JSON object per line: for each layout, batch, order, notification
mode and shape the instructions per request of add (with publish), kick, get
and of the device model. The figures depend on compiler and flags only.
"""
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile


def self_costs(path):
    """Self cost by function name of a callgrind output file."""
    names, costs, current, skip = {}, {}, None, False
    with open(path, encoding='utf-8') as out:
        for line in out:
            name = re.match(r'fn=\((\d+)\)(?: (.*))?', line)
            if name:
                if name[2]:
                    names[name[1]] = name[2].strip()
                current = names[name[1]]
            elif line.startswith('calls='):
                skip = True             # the next line is inclusive cost
            elif re.match(r'[+*-]?\d* ?\d+', line) and current:
                if not skip:
                    costs[current] = (costs.get(current, 0) +
                                      int(line.split()[-1]))
                skip = False
            else:
                # Callees may be named where they are called only
                called = re.match(r'cfn=\((\d+)\) (.*)', line)
                if called:
                    names[called[1]] = called[2].strip()
    return costs


def measure(program, words, directory):
    """Run one cell; instructions per request by verb."""
    out = os.path.join(directory, 'callgrind.out')
    done = subprocess.run(
        ['valgrind', '--tool=callgrind', f'--callgrind-out-file={out}',
         '--toggle-collect=insn_*', program, *words],
        capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f'ringinsn.py: {" ".join([program, *words])} under valgrind '
                 f'ended with {done.returncode}:\n{done.stderr}')
    requests = int(done.stdout)
    costs = self_costs(out)
    verbs = {}
    for verb, pattern in (('add', r'insn_\w+_add$'), ('kick', r'_kick$'),
                          ('get', r'insn_\w+_get$'), ('model', r'_model_')):
        found = [n for name, n in costs.items() if re.search(pattern, name)]
        if not found:
            sys.exit(f'ringinsn.py: no cost for {verb} in the callgrind '
                     'output; was the program stripped?')
        verbs[verb] = round(sum(found) / requests, 2)
    return verbs


def main():
    args = sys.argv[1:]
    quick = '--quick' in args
    args = [a for a in args if a != '--quick']
    if len(args) != 1 or args[0].startswith('-'):
        sys.exit(__doc__)
    batches = (1, 64) if quick else (1, 4, 16, 64)
    with tempfile.TemporaryDirectory() as directory:
        for layout, batch, order, mode, shape in itertools.product(
                ('split', 'packed'), batches, ('', 'in-order'),
                ('', 'event'), ('', 'indirect')):
            words = [w for w in (layout, str(batch), order, mode, shape) if w]
            verbs = measure(args[0], words, directory)
            print(json.dumps({
                'bench': 'ringinsn', 'layout': layout, 'batch': batch,
                'in_order': bool(order), 'mode': mode or 'flags',
                'shape': shape or 'direct', 'instructions': verbs,
                'driver': round(verbs['add'] + verbs['kick'] + verbs['get'],
                                2)}), flush=True)


if __name__ == '__main__':
    main()
