# SPDX-License-Identifier: GPL-2.0-or-later
"""run-vm --gdb on Debian's kernels as shipped, without debug packages."""

import subprocess

import gdbtest
import pytest

RUN_VM = gdbtest.TOP / 'scripts' / 'run-vm'


def run_vm(kernel, breaks, batch, command, *options):
    """run-vm --gdb in batch mode; (exit status, what gdb and guest said)."""
    argv = [RUN_VM, '--kernel', kernel, '--memory', '512M', '--gdb',
            *options]
    for name in breaks:
        argv += ['--gdb-break', name]
    for line in batch:
        argv += ['--gdb-batch', line]
    done = subprocess.run([*map(str, argv), '--', *command], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=300, check=False)
    gdbtest.assert_no_traceback(done.stdout)
    return done.returncode, done.stdout


@pytest.mark.parametrize('kernel', ['6.12', '6.1', '7.x'])
def test_stops_in_kernel_and_module_with_types_and_callers(gdb, qemu, kernel,
                                                           tmp_path):
    del gdb, qemu       # only to fail early when they are missing
    disk = tmp_path / 'disk.img'
    disk.write_bytes(b'vadis-on-disk\n'.ljust(1 << 20, b'\0'))
    status, output = run_vm(
        kernel, ['kernel_init', 'virtio_blk:virtio_queue_rq'],
        ['info symbol $pc', 'p ((struct task_struct *)&init_task)->comm',
         'bt', 'continue', 'bt', 'info args',
         'printf "disk is %s\\n", bd->rq->q->disk->disk_name',
         'ptype struct virtio_blk', 'vguest modules',
         # or another request stops in the same function before this one ends
         'delete', 'finish'],
        ['head', '-c', '13', '/dev/vda'], '--disk', disk)
    assert status == 0, output
    gdbtest.assert_lines(
        output,
        # a function of the kernel that runs before any user space
        'kernel_init in section .text', '"swapper', 'in ret_from_fork',
        # a function of a module, with the arguments BTF names
        ' in virtio_queue_rq (hctx=0x', ', bd=0x', 'in blk_mq_dispatch_rq',
        'disk is vda', 'struct virtio_device *vdev;',
        'Value returned is')
    loaded = [line for line in output.splitlines()
              if line.startswith('virtio_blk ')]
    assert loaded and 'types and symbols' in loaded[0], output
    # The guest ran on when gdb was done, and its output came through.
    assert 'vadis-on-disk' in output, output


def test_a_condition_and_an_unloaded_module_are_followed(gdb, qemu):
    del gdb, qemu
    status, output = run_vm(
        '6.12', ['dummy:no_such_function', 'kernel_init if $rdi == 1',
                 'free_module'],
        ['bt 1', 'vguest modules', 'continue'],
        ['sh', '-c', 'modprobe dummy && modprobe -r dummy'])
    gdbtest.assert_lines(
        output, 'waiting for module dummy',
        'module dummy has no function no_such_function',
        'in free_module (mod=0x')
    assert 'in kernel_init' not in output, output
    # It is going, so it is no longer listed as one with types.
    assert not any(line.startswith('dummy ')
                   and 'types and symbols' in line
                   for line in output.splitlines()), output
    # The last "continue" meets no breakpoint: the status says so.
    assert status != 0, output
    gdbtest.assert_lines(output, 'continue: the guest ended before it '
                                 'reached a breakpoint')
