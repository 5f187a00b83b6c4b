# SPDX-License-Identifier: GPL-2.0-or-later
"""The `vadis` commands for gdb on a QEMU process or on its core file."""

import gdb

from . import report, ring, state, words

HELP = """\
vadis devices              all virtio devices: status and features in words
vadis features DEV         what the device offers and what was negotiated
vadis vq DEV [N]           state of queue N, or of all queues in use
vadis chain DEV N [HEAD]   the chain at descriptor HEAD of queue N; without
                           HEAD the next chain the device will pop
vadis help                 this text

DEV is a number from "vadis devices", the id= given to -device, a QOM path,
or a name such as virtio-blk when only one device has it. The commands read
memory and change nothing; they work on a stopped process and on a core."""


def _say(lines):
    for line in lines:
        gdb.write(line + '\n')


def _title(number, dev):
    ident = f' id {dev.id}' if dev.id else ''
    return f'{number}: {dev.name}{ident}  {dev.path}'


def _wrapped(label, items, width=58):
    """'label  words' with the words folded to lines of bounded length."""
    out, current = [], ''
    for item in items:
        if current and len(current) + 1 + len(item) > width:
            out.append(report.line(label, current))
            label, current = '', ''
        current = f'{current} {item}' if current else item
    out.append(report.line(label, current or 'none'))
    return out


class Vadis(gdb.Command):
    """Look at the virtio devices of a QEMU process: "vadis help"."""

    def __init__(self):
        super().__init__('vadis', gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)

    def invoke(self, arg, from_tty):
        del arg, from_tty
        _say(HELP.splitlines())


class _Sub(gdb.Command):
    """A subcommand whose troubles are one line, not a traceback."""

    name = ''
    usage = ''
    args = (0, 0)

    def __init__(self):
        super().__init__(f'vadis {self.name}', gdb.COMMAND_DATA)

    def invoke(self, arg, from_tty):
        del from_tty
        argv = gdb.string_to_argv(arg)
        if not self.args[0] <= len(argv) <= self.args[1]:
            raise gdb.GdbError(f'usage: vadis {self.name} {self.usage}')
        try:
            self.run(*argv)
        except (state.Trouble, ring.Unreadable) as exc:
            raise gdb.GdbError(f'vadis: {exc}') from exc
        except gdb.error as exc:
            raise gdb.GdbError(
                f'vadis: gdb could not read QEMU\'s state: {exc}') from exc

    def run(self, *argv):
        """Do the work; the argument count has been checked."""
        raise NotImplementedError


def _number(text, what):
    try:
        return int(text, 0)
    except ValueError as exc:
        raise state.Trouble(f'{what} must be a number, not "{text}"'
                            ) from exc


class Devices(_Sub):
    """vadis devices: list all virtio devices."""

    name = 'devices'

    def run(self):
        devices = state.devices()
        if not devices:
            gdb.write('no virtio device\n')
        for number, dev in enumerate(devices):
            gdb.write(_title(number, dev) + '\n')
            _say(_wrapped('status', [f'{dev.status:#04x}']
                          + words.status_words(dev.status)))
            _say(_wrapped('features', words.feature_words(
                dev.features, dev.device_id)))
            _say([report.line('queues', dev.queue_count())])
            _say(report.line('note', flag) for flag in dev.flags())


class Features(_Sub):
    """vadis features DEV: offered and negotiated features by name."""

    name = 'features'
    usage = 'DEV'
    args = (1, 1)

    def run(self, spec):
        dev = state.find_device(spec)
        gdb.write(f'{dev.name}  {dev.path}\n')
        host, guest = dev.host_features, dev.features
        _say([report.line('offered', f'{host:#018x}')])
        _say(_wrapped('', words.feature_words(host, dev.device_id)))
        _say([report.line('negotiated', f'{guest:#018x}')])
        _say(_wrapped('', words.feature_words(guest, dev.device_id)))
        _say(_wrapped('not taken', words.feature_words(
            host & ~guest, dev.device_id)))
        if guest & ~host:
            # The transport refuses such bits, so memory or state is wrong.
            _say(_wrapped('never offered', words.feature_words(
                guest & ~host, dev.device_id)))


class Queues(_Sub):
    """vadis vq DEV [N]: state of one queue or of all in use."""

    name = 'vq'
    usage = 'DEV [N]'
    args = (1, 2)

    def run(self, spec, index=None):
        dev = state.find_device(spec)
        read = dev.memory()
        if index is not None:
            chosen = [_number(index, 'the queue')]
        else:
            chosen = [n for n in range(dev.queue_count())
                      if dev.queue(n).desc]
            if not chosen:
                gdb.write(f'{dev.name}: none of its {dev.queue_count()} '
                          f'queues is set up\n')
        for number in chosen:
            queue = dev.queue(number)
            gdb.write(f'{dev.name} queue {number}  {dev.path}\n')
            _say(report.queue_lines(read, queue))


class Chain(_Sub):
    """vadis chain DEV N [HEAD]: a descriptor chain in words."""

    name = 'chain'
    usage = 'DEV N [HEAD]'
    args = (2, 3)

    def run(self, spec, index, head=None):
        dev = state.find_device(spec)
        queue = dev.queue(_number(index, 'the queue'))
        read = dev.memory()
        if head is None:
            _say(report.waiting_chain_lines(read, queue))
        else:
            _say(report.chain_lines(read, queue,
                                    _number(head, 'the descriptor')))


class Help(_Sub):
    """vadis help: the commands with their arguments."""

    name = 'help'

    def run(self):
        _say(HELP.splitlines())


def register():
    """Make the commands known to gdb."""
    for command in (Vadis, Devices, Features, Queues, Chain, Help):
        command()
