# SPDX-License-Identifier: GPL-2.0-or-later
# Shared by the shell scripts: messages, the build directory, elapsed time.
# Sourced with TOP set to the checkout's physical path.
# shellcheck shell=bash

# What failed and what to do next; every script stops through here.
die() { # MESSAGE [HINT...]
    printf '%s: error: %s\n' "${0##*/}" "$1" >&2
    shift
    local hint
    for hint; do
        printf '    %s\n' "$hint" >&2
    done
    exit 1
}

warn() { printf '%s: warning: %s\n' "${0##*/}" "$*" >&2; }

# One progress line with the seconds since the script began.
step() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

# The build directory.  QEMU's configure refuses a path with white space or a
# colon, so such a checkout gets its build directory under the user's cache
# and "build" is a link to it.
build_dir() {
    if [ ! -e "$TOP/build" ] && [[ $TOP =~ [[:space:]:] ]]; then
        local sum dir
        sum=$(printf %s "$TOP" | sha256sum | cut -c1-12)
        dir=${XDG_CACHE_HOME:-$HOME/.cache}/vadis/$sum
        [[ $dir =~ [[:space:]:] ]] &&
            die "both $TOP and $dir contain white space or a colon" \
                "QEMU cannot be built in such a path: set XDG_CACHE_HOME to one without."
        mkdir -p "$dir" && ln -sfn "$dir" "$TOP/build"
    fi
    mkdir -p "$TOP/build" 2>/dev/null ||
        die "cannot create $TOP/build" "Check the permissions and free space of $TOP."
    local real
    real=$(cd "$TOP/build" && pwd -P)
    [[ $real =~ [[:space:]:] ]] &&
        die "QEMU cannot be built in $real, whose path has white space or a colon" \
            "Remove $TOP/build; the next run makes it a link to a directory that fits."
    printf '%s\n' "$real"
}

# Stop early when a directory's file system lacks space.
need_space() { # DIR MEBIBYTES PURPOSE
    local free
    free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
    [ "${free:-0}" -ge "$2" ] ||
        die "$3 needs $2 MiB in $1, $free MiB are free" \
            "Free some space (make clean removes earlier builds) and run again."
}

# What makes an earlier configure stale when it differs.
configure_sum() {
    cat "$TOP/configure" "$TOP/VERSION" "$BUILD/base/VERSION" | sha256sum
}

# Run from its build directory the emulator looks for firmware below
# qemu-bundle, where only installed files are linked; Debian's firmware is not
# ours to install.
link_firmware() { # BUILD-DIRECTORY
    local d
    for d in share/qemu share/seabios lib/ipxe; do
        mkdir -p "$1/qemu-bundle/usr/${d%/*}"
        ln -sfn "/usr/$d" "$1/qemu-bundle/usr/$d"
    done
}
