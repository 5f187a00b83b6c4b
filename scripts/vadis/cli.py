# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/run-vm: a shell or a command in a guest."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import threading

from . import guestnet, options, paths, report
from .errors import Failure
from .machine import Config, Machine, Share
from .private import PrivateDir
from .vm import VM

FAILED = 125
TIMED_OUT = 124
PIPE_CLOSED = 128 + signal.SIGPIPE


def complain(message):
    print(f"run-vm: {message}", file=sys.stderr, flush=True)


def parse_share(text, writable):
    """A Share from DIR or DIR:MOUNT; a DIR may itself hold a colon."""
    path, mount = text, ""
    if not os.path.isdir(path) and ":" in text:
        path, _, mount = text.rpartition(":")
    if not os.path.isdir(path):
        raise Failure(f"no directory {path} to share")
    if mount and not mount.startswith("/"):
        raise Failure(f"the mount point {mount} is not an absolute path",
                      f"Write: {path}:/{mount}")
    path = os.path.abspath(path)
    return Share(path, mount or path, writable)


def parse_env(items):
    for item in items:
        if "=" not in item:
            raise Failure(f"--env {item}: the value is missing",
                          f"Write: --env {item}=VALUE")
    return dict(item.split("=", 1) for item in items)


def config(args):
    """The guest that the options describe."""
    try:
        extra = [w for text in args.qemu_opts for w in shlex.split(text)]
    except ValueError as err:
        raise Failure(f"--qemu-opts: {err}", "Quote it as for a shell.")
    # The last of two levels holds, so this undoes "quiet".
    append = f"{args.append} loglevel=7" if args.verbose else args.append
    return Config(
        name="a" if args.pair else "vm", kernel=args.kernel, root=args.root,
        memory=args.memory, smp=args.smp, accel=args.accel,
        packed=args.packed == "on", devices=args.device, net=args.net,
        disks=args.disk, modules=args.module, append=append.strip(),
        args=extra, gdb="auto" if args.gdb else None, qemu=args.qemu,
        shares=[parse_share(s, True) for s in args.rw] +
               [parse_share(s, False) for s in args.share])


def dry_run(settings):
    """Print a command line that boots to a shell on the terminal.

    Its image is kept, under a name of its own for each content.
    """
    machine = Machine(settings)
    with PrivateDir() as tmp:
        made = pathlib.Path(tmp.path, "initrd")
        machine.write_image(made, console=True)
        data = made.read_bytes()
    home = paths.cache("dry-run", hashlib.sha256(data).hexdigest()[:16])
    if not (home / "initrd").exists():
        with paths.writable(home):
            paths.write_file(home / "initrd", data)
    print(shlex.join(machine.argv(home, sockets=False)))


# -- one command ---------------------------------------------------------


class Forward:
    """Moves a command's output to ours, and our input to it."""

    def __init__(self):
        self.closed = False
        self.command = None

    def output(self, stream, data):
        """Called in the I/O thread, so a slow reader slows the guest."""
        view = memoryview(data)
        try:
            while view and not self.closed:
                view = view[os.write(stream, view):]
        except OSError:
            self.closed = True
            self.command.signal(signal.SIGKILL)

    def input(self):
        """Pass standard input on; ends at its end or with the command."""
        while not self.command.done:
            try:
                data = os.read(0, 1 << 15)
            except OSError:
                data = b""
            if not data:
                self.command.close_stdin()
                return
            self.command.write(data)
            self.command.wait_input()


def stdin_wanted():
    """Is standard input something to pass on? A terminal is not."""
    try:
        return not os.isatty(0) and os.fstat(0) is not None
    except OSError:
        return False


def run_command(vm, argv, env, cwd, timeout):
    """Run one command in the guest; its exit status."""
    forward = Forward()
    with vm.changed:                    # no output before it is known
        forward.command = vm.popen(argv, cwd=cwd, env=env,
                                   on_output=forward.output)
    command = forward.command
    if stdin_wanted():
        threading.Thread(target=forward.input, daemon=True).start()
    else:
        command.close_stdin()
    command.wait_done(timeout)
    if not command.done:
        err = report.failure(vm, f"the command did not end in {timeout} s")
        err.status = TIMED_OUT
        raise err
    if forward.closed:
        return PIPE_CLOSED
    if command.lost and vm.shut_down_by_guest():
        return 0
    return command.wait(0)


def shell(vm, env, cwd):
    """A shell on the terminal, or a script from standard input."""
    if not (os.isatty(0) and os.isatty(1)):
        return run_command(vm, ["/bin/sh"], env, cwd, None)
    from . import terminal
    complain(f"Linux {vm.machine.kernel.release}; exit or Ctrl-D leaves, "
             "Ctrl-] ends the guest at once")
    argv = ["/bin/sh", "-i"]
    if vm.config.root == "9p" and os.path.exists("/bin/bash"):
        argv = ["/bin/bash", "--norc", "-i"]
    env = {"TERM": os.environ.get("TERM", "linux"),
           "PS1": f"{vm.config.name}:\\w# ", **env}
    status = terminal.interact(vm, argv, env=env, cwd=cwd)
    return status or 0


def debug(vm, args, env):
    """gdb on the guest's kernel, with a command in the guest if given."""
    from . import guestgdb
    line = guestgdb.command(vm.machine.kernel, vm.gdb_socket(),
                            breaks=args.gdb_break, batch=args.gdb_batch)
    # Ctrl-C is gdb's, to stop the guest; a handler, unlike SIG_IGN, is not
    # passed on to gdb.
    signal.signal(signal.SIGINT, lambda *_: None)
    status = []

    def in_guest():
        try:
            vm.wait_boot(None)
            status.append(run_command(vm, args.command, env, os.getcwd(),
                                      args.timeout))
            if args.gdb_batch is not None:
                # gdb may wait for a breakpoint that will never come now.
                vm.kill()
        except Failure as err:
            if vm.running:
                print(f"run-vm: {err}", file=sys.stderr)
                status.append(FAILED)

    thread = threading.Thread(target=in_guest, daemon=True)
    if args.command:
        thread.start()
    gdb = subprocess.call(line)
    if args.command and args.gdb_batch is not None and not gdb:
        thread.join()
    return gdb or (status[0] if status else 0)


# -- guests --------------------------------------------------------------


def console_printer(name, pair):
    prefix = f"{name}| " if pair else ""

    def show(line):
        print(prefix + line, file=sys.stderr, flush=True)

    return show


def guest(args, settings):
    """A VM for a Config, with console options as given."""
    log = args.log
    if log and args.pair:
        log = f"{log}.{settings.name}"
    echo = console_printer(settings.name, args.pair) if args.verbose else None
    values = {f.name: getattr(settings, f.name)
              for f in dataclasses.fields(settings)}
    return VM(log=log, echo=echo, **values)


@contextlib.contextmanager
def single(args, settings):
    with guest(args, settings) as vm:
        yield vm, {}


@contextlib.contextmanager
def pair(args, settings):
    """Two guests on one link; the command runs in the first."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(PrivateDir()).path
        vms = []
        for name in guestnet.PAIR:
            backend, device = guestnet.pair_args(name, home)
            vm = guest(args, dataclasses.replace(
                settings, name=name, args=backend + settings.args,
                devices=[device] + settings.devices))
            stack.callback(vm.close)
            vms.append(vm.start())
        for vm in vms:
            vm.wait_boot()
            guestnet.configure_pair(vm)
        if args.peer:
            start_peer(vms[1], args.peer)
        yield vms[0], {"VADIS_VM": "a"}


def start_peer(vm, text):
    """Run a command in b; its output goes to our standard error."""
    def show(_stream, data):
        for line in data.decode(errors="replace").splitlines():
            print(f"b| {line}", file=sys.stderr, flush=True)

    vm.popen(["/bin/sh", "-c", text], env={"VADIS_VM": "b"},
             cwd=os.getcwd(), on_output=show).close_stdin()


def run(args):
    settings, wanted = config(args), parse_env(args.env)
    if args.peer and not args.pair:
        raise Failure("--peer is for a pair of guests", "Add --pair.")
    if (args.gdb_break or args.gdb_batch is not None) and not args.gdb:
        raise Failure("--gdb-break and --gdb-batch are for --gdb",
                      "Add --gdb.")
    if args.gdb and args.pair:
        raise Failure("--gdb debugs one guest, --pair starts two",
                      "Leave one of them out.")
    if args.dry_run:
        dry_run(settings)
        return 0
    with (pair if args.pair else single)(args, settings) as (vm, env):
        if args.gdb:
            return debug(vm, args, {**env, **wanted})
        if args.net:
            guestnet.configure_user(vm)
        if not args.command:
            return shell(vm, {**env, **wanted}, os.getcwd())
        return run_command(vm, args.command, {**env, **wanted}, os.getcwd(),
                           args.timeout)


def _on_signal(number, _frame):
    raise SystemExit(128 + number)


def main(argv=None):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    args = options.parser().parse_args(argv)
    try:
        status = run(args)
        sys.stdout.flush()
        return status
    except Failure as err:
        print(f"run-vm: error: {err}", file=sys.stderr)
        return TIMED_OUT if err.status == TIMED_OUT else FAILED
    except OSError as err:
        print(f"run-vm: error: {err.strerror}: {err.filename}",
              file=sys.stderr)
        return FAILED
