# SPDX-License-Identifier: GPL-2.0-or-later
"""The self-tests that Linux runs of what virtio_crypto registers."""

import pytest

from vmtest import VM

ALGORITHMS = ("virtio_crypto_aes_cbc", "virtio-crypto-rsa")
# A test that fails leaves the algorithm "unknown" and says so in the log.
VERDICT = """
until grep -A9 'driver *: {0}$' /proc/crypto | grep -q 'selftest *: passed'
do
    if dmesg | grep 'self-tests for .* using {0} .*failed'; then
        exit 1
    fi
done
"""


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "split"])
@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_linux_self_tests_pass(kernel, packed):
    # Guests of these tests boot without self-tests, which take time.
    with VM(kernel=kernel, packed=packed, append="cryptomgr.notests=0",
            devices=["virtio-crypto-pci,cryptodev=crypto0"],
            args=["-object", "cryptodev-backend-builtin,id=crypto0"]) as vm:
        for name in ALGORITHMS:
            vm.run(VERDICT.format(name), check=True)
