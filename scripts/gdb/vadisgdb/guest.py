# SPDX-License-Identifier: GPL-2.0-or-later
"""The `vguest` commands: a guest's kernel and modules through the gdbstub.

The kernel's symbol file is loaded when gdb starts. Modules come and go, so
a breakpoint in the kernel's own module notifier tells of each; everything
about a module is read from the guest's memory at that moment.
"""

import struct

import gdb

from . import elf, symfile
from .modules import (KernelInfo, Module, Symbols, Trouble, address,
                      kernel_type, memory)

HELP = """\
vguest attach SOCKET             connect to a guest stopped by -S, run it to
                                 start_kernel, follow modules from then on
vguest break [MODULE:]FUNCTION [if CONDITION]
                                 stop at a function's first instruction, where
                                 its arguments are known; a module that is not
                                 loaded yet is waited for
vguest modules                   loaded modules and whether gdb knows them
vguest batch COMMAND             run a gdb command and remember if it fails
vguest end                       let the guest run on without gdb; gdb's exit
                                 status is 1 if a batch command failed
vguest help                      this text

Kernel types come from BTF: try "ptype struct virtqueue" or, stopped in a
function, "info args". Locals and line numbers are not in Debian's kernel."""

WELCOME = """\
The guest waits in start_kernel; modules are followed as they load. Next:
    vguest break virtio_blk:virtio_queue_rq
    continue
    bt                  (then "info args"; "vguest help" lists more)
"""

# enum module_state: what the notifier is called with.
LIVE, COMING, GOING = 0, 1, 2
MAX_MODULES = 4096


class ModuleWatch(gdb.Breakpoint):
    """Internal breakpoint in the kernel's module notifier; never stops."""

    def __init__(self, follower, addr, notifier):
        super().__init__(f'*{addr:#x}', internal=True)
        self.silent = True
        self._follower = follower
        self._notifier = notifier

    def stop(self):
        """Called by gdb at each hit; errors must not stop the guest."""
        try:
            if self._notifier:
                state = int(gdb.parse_and_eval('$rsi'))
                addr = int(gdb.parse_and_eval('$rdx'))
            else:
                state = COMING
                addr = int(gdb.parse_and_eval('$rdi'))
            self._follower.event(state, addr & (1 << 64) - 1)
        except Exception as exc:        # pylint: disable=broad-except
            # Whatever a guest's memory holds, it must not end the session.
            gdb.write(f'vguest: a module could not be read: '
                      f'{type(exc).__name__}: {exc}\n')
        return False


class Follower:
    """Keeps gdb's symbols in step with the guest's modules."""

    def __init__(self):
        self.symbols = Symbols(KernelInfo())
        self.wanted = []        # (module, function, condition) to come
        self.failed = False     # has a batch command gone wrong?
        self.scripted = False   # is nobody there to greet?
        self.notified = False   # are we told when init memory goes?
        self._watch = None

    def start(self):
        """Watch the guest load and unload modules."""
        if self._watch is not None:
            return
        # The notifier runs when symbols are final and BTF is still there.
        addr = address('btf_module_notify')
        notifier = addr is not None
        if not notifier:
            addr = address('do_init_module')
        if addr is None:
            gdb.write('vguest: this kernel has no modules to follow\n')
            return
        self.notified = notifier
        self._watch = ModuleWatch(self, addr, notifier)

    def event(self, state, addr):
        """A module at `addr` changed to `state`."""
        if state == COMING:
            module = Module(addr)
            self.symbols.add(module, self.notified)
            self._place(module.name)
        elif state == LIVE:
            self.symbols.remove(Module(addr).name, 'init')
        elif state == GOING:
            self.symbols.remove(Module(addr).name)

    def _place(self, name):
        """Set the breakpoints that waited for this module."""
        for item in [want for want in self.wanted
                     if want[0] in (name, None)]:
            if set_break(item[1], item[2], self.symbols.core(name)):
                self.wanted.remove(item)
            elif item[0] == name:
                gdb.write(f'vguest: module {name} has no function '
                          f'{item[1]}\n')
                self.wanted.remove(item)

    def walk(self):
        """Modules in the guest now; needs a kernel that has started."""
        head = address('modules')
        if head is None:
            raise Trouble('the kernel has no list of modules')
        module = kernel_type('struct module')
        offset = next(item.bitpos // 8 for item in module.fields()
                      if item.name == 'list')
        node = int.from_bytes(memory(head, 8), 'little')
        seen = set()
        while node not in (0, head) and node not in seen \
                and len(seen) < MAX_MODULES:
            seen.add(node)
            yield Module(node - offset)
            node = int.from_bytes(memory(node, 8), 'little')


def _function(name, path=None):
    """Address of a function in the kernel, or in one symbol file."""
    for objfile in gdb.objfiles():
        if path is not None and objfile.filename != path:
            continue
        symbol = objfile.lookup_global_symbol(name) \
            or objfile.lookup_static_symbol(name)
        if symbol is not None and symbol.symtab is not None \
                and symbol.type.code == gdb.TYPE_CODE_FUNC:
            return int(symbol.value().address)
    if path is None:
        return address(name)
    with open(path, 'rb') as data:
        parts = elf.read_sections(data.read())
    for entry in elf.SYM.iter_unpack(parts['.symtab'].data):
        if elf.cstring(parts['.strtab'].data, entry[0]) == name:
            return entry[4]
    return None


def set_break(function, condition, path=None):
    """Break at a function's entry; the Breakpoint, or None if unknown."""
    addr = _function(function, path)
    if addr is None:
        return None
    # At the very entry the arguments are in registers, and no prologue has
    # to be read: the address may not be mapped yet.
    point = gdb.Breakpoint(f'*{addr:#x}')
    if condition:
        point.condition = condition
    return point


class _Command(gdb.Command):
    """A vguest subcommand: troubles are one line, not a traceback."""

    name = ''

    def __init__(self, follower):
        super().__init__(f'vguest {self.name}', gdb.COMMAND_RUNNING)
        self.follower = follower

    def invoke(self, arg, from_tty):
        del from_tty
        try:
            self.run(arg.strip())
        except (Trouble, symfile.BadSymbols) as exc:
            raise gdb.GdbError(f'vguest: {exc}') from exc
        except gdb.error as exc:
            raise gdb.GdbError(f'vguest: {exc}') from exc
        except (ValueError, LookupError, struct.error) as exc:
            # What a guest's memory may hold knows no bounds.
            raise gdb.GdbError(f'vguest: the guest\'s structures make no '
                               f'sense: {exc}') from exc

    def run(self, arg):
        """Do the work."""
        raise NotImplementedError


class Attach(_Command):
    """vguest attach SOCKET: connect to a guest that waits for gdb."""

    name = 'attach'

    def run(self, arg):
        if not arg:
            raise Trouble('usage: vguest attach SOCKET')
        for line in ('set breakpoint pending on', 'set pagination off',
                     'set confirm off', 'set print pretty on',
                     'set architecture i386:x86-64',
                     # A stub that answers late under load is not dead.
                     'set remotetimeout 120'):
            gdb.execute(line, to_string=True)
        gdb.execute(f'target remote {arg}', to_string=True)
        start = address('start_kernel')
        if start is None:
            raise Trouble('no symbol start_kernel: start gdb with the '
                          'symbol file that run-vm --gdb makes')
        # Before this point the kernel's addresses are not mapped, and gdb
        # could not read code to place an ordinary breakpoint.
        point = gdb.Breakpoint(f'*{start:#x}', internal=True)
        point.silent = True
        gdb.execute('continue', to_string=True)
        point.delete()
        if int(gdb.parse_and_eval('(unsigned long)$pc')) != start:
            raise Trouble('the guest stopped before the kernel started')
        self.follower.start()
        if not self.follower.scripted:
            gdb.write(WELCOME)


class Break(_Command):
    """vguest break [MODULE:]FUNCTION [if CONDITION]."""

    name = 'break'

    def run(self, arg):
        spec, _, condition = arg.partition(' if ')
        module, colon, function = spec.strip().partition(':')
        if not colon:
            module, function = None, module
        if not function:
            raise Trouble('usage: vguest break [MODULE:]FUNCTION '
                          '[if CONDITION]')
        # Module names use _ where file names may have -.
        module = module.replace('-', '_') if module else None
        condition = condition.strip()
        self.follower.start()
        path = None
        if module:
            for item in self.follower.walk():
                if item.name == module \
                        and module not in self.follower.symbols.loaded:
                    self.follower.symbols.add(item, False)
            path = self.follower.symbols.core(module)
        if module and path is None:
            self.follower.wanted.append((module, function, condition))
            gdb.write(f'waiting for module {module} to stop in '
                      f'{function}\n')
            return
        if set_break(function, condition, path):
            return
        if module:
            raise Trouble(f'module {module} has no function {function}')
        self.follower.wanted.append((None, function, condition))
        gdb.write(f'no function {function} in the kernel; waiting for a '
                  f'module that has it\n')


class Modules(_Command):
    """vguest modules: loaded modules; makes those unknown to gdb known."""

    name = 'modules'

    def run(self, arg):
        del arg
        count = 0
        for module in self.follower.walk():
            count += 1
            known = module.name in self.follower.symbols.loaded
            if not known:
                self.follower.symbols.add(module, False)
            spans = module.spans()
            where = f'{spans[0][1]:#x}' if spans else '?'
            gdb.write(f'{module.name:<24} {where}  '
                      + ('types and symbols' if known
                         else 'symbols (loaded before gdb came)') + '\n')
        if not count:
            gdb.write('no module is loaded\n')


class Batch(_Command):
    """vguest batch COMMAND: for scripts, see vguest end."""

    name = 'batch'

    def run(self, arg):
        why = None
        self.follower.scripted = True
        try:
            gdb.execute(arg)
        except gdb.error as exc:
            why = str(exc)
        if arg == 'continue' and not gdb.selected_inferior().pid:
            why = 'the guest ended before it reached a breakpoint'
        if why:
            gdb.write(f'{arg}: {why}\n', gdb.STDERR)
            self.follower.failed = True


class End(_Command):
    """vguest end: leave the guest running and gdb with a status."""

    name = 'end'

    def run(self, arg):
        del arg
        if gdb.selected_inferior().pid:
            gdb.execute('delete', to_string=True)
            gdb.execute('detach', to_string=True)
        gdb.execute(f'quit {int(self.follower.failed)}')


class Help(_Command):
    """vguest help: the commands with their arguments."""

    name = 'help'

    def run(self, arg):
        del arg
        gdb.write(HELP + '\n')


class Vguest(gdb.Command):
    """Debug a guest's kernel and modules: "vguest help"."""

    def __init__(self):
        super().__init__('vguest', gdb.COMMAND_RUNNING, gdb.COMPLETE_NONE,
                         True)

    def invoke(self, arg, from_tty):
        del arg, from_tty
        gdb.write(HELP + '\n')


def register():
    """Make the commands known to gdb."""
    follower = Follower()
    Vguest()
    for command in (Attach, Break, Modules, Batch, End, Help):
        command(follower)
