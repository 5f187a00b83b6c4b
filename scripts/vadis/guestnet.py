# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses for guests: user networking, and the link of a pair."""

import ipaddress

# The fixed addresses of QEMU's user networking.
USER_MAC = "52:54:00:76:00:01"
USER_ADDRESS = "10.0.2.15/24"
USER_GATEWAY = "10.0.2.2"
USER_DNS = "10.0.2.3"

# The link of a pair: a is .1, b is .2.
PAIR = {"a": "10.77.0.1/24", "b": "10.77.0.2/24"}
PAIR_MAC = {"a": "52:54:00:77:00:0a", "b": "52:54:00:77:00:0b"}

# There is no udev, so interfaces have the kernel's names; find ours by its
# address. $1 MAC, $2 address, $3 gateway, $4 name server, $5 busybox.
SCRIPT = r"""
for dev in /sys/class/net/*; do
    read -r mac <"$dev/address"
    [ "$mac" = "$1" ] || continue
    "$5" ip link set "${dev##*/}" up
    "$5" ip addr add "$2" dev "${dev##*/}" || exit 1
    [ -z "$3" ] || "$5" ip route add default via "$3" || exit 1
    [ -z "$4" ] || { rm -f /etc/resolv.conf
                     echo "nameserver $4" >/etc/resolv.conf; }
    exit 0
done
echo "no interface with address $1: does the kernel have virtio_net?" >&2
exit 1
"""


def busybox(vm):
    """Path of busybox in the guest."""
    below = "/run/vadis" if vm.config.root == "9p" else ""
    return f"{below}/bin/busybox"


def configure(vm, mac, address, gateway="", dns=""):
    """Give the interface with this MAC an address; raises Failure."""
    ipaddress.ip_interface(address)
    vm.run([busybox(vm), "sh", "-c", SCRIPT, "net", mac, address, gateway,
            dns, busybox(vm)], check=True)


def configure_user(vm):
    """User networking as config.net gives it."""
    configure(vm, USER_MAC, USER_ADDRESS, USER_GATEWAY, USER_DNS)


def pair_address(name):
    """One end's address without the length of its network."""
    return PAIR[name].partition("/")[0]


def pair_args(name, home, link="dgram", event_idx=False):
    """One end of the link of a pair: its backend's QEMU arguments, and its
    device.

    :param home: directory for the sockets, link-a and link-b
    :param link: "dgram": no connection and no order of start, either side
                 may come first, go away and return; or "stream": b connects
                 to a, which comes first, and again when a comes back
    :param event_idx: offer the event index. When the other end cannot take
                      a packet at once, QEMU 10.0 loses a kick with packed
                      rings and event index, because virtqueue_packed_pop()
                      does not move the event as the split one does, and
                      traffic stops for good.
    """
    place = str(home).replace(",", ",,")
    if link == "dgram":
        other = "b" if name == "a" else "a"
        netdev = (f"dgram,id=pair,local.type=unix,"
                  f"local.path={place}/link-{name},remote.type=unix,"
                  f"remote.path={place}/link-{other}")
    else:
        netdev = f"stream,id=pair,addr.type=unix,addr.path={place}/link-a," + (
            "server=on" if name == "a" else "server=off,reconnect-ms=100")
    return (["-netdev", netdev],
            f"virtio-net-pci,netdev=pair,mac={PAIR_MAC[name]},romfile=,"
            f"event_idx={'on' if event_idx else 'off'}")


def configure_pair(vm):
    """Give a guest of a pair its address and both names."""
    configure(vm, PAIR_MAC[vm.config.name], PAIR[vm.config.name])
    hosts = "".join(f"{pair_address(n)} {n}\n" for n in PAIR)
    vm.run("mkdir -p /etc && cat >>/etc/hosts", input=hosts.encode(),
           check=True)
