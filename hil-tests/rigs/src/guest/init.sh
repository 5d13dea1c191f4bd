#!/bin/sh
# The first program of the guest. WINDOW is the folder that it may write to, as the kernel's command line says.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t hostfs none /mnt -o "$WINDOW"
# The device files of this kernel, where it has them; else those of the machine stay.
mount -t devtmpfs dev /dev 2>/dev/null
# What Debian's kernel has as modules is built into the other one, but for STUB, which can be nothing else.
modules() {
    [ -z "$STUB" ] || insmod "$STUB" chip_addr=0x40,0x41 || return 1
    [ -d "/usr/lib/uml/modules/$(uname -r)" ] || return 0
    mkdir -p /run/root/lib &&
        ln -s /usr/lib/uml/modules /run/root/lib/modules &&
        modprobe -d /run/root -a can-raw can-gw vcan vxcan veth sch_netem i2c-dev &&
        modprobe -d /run/root i2c-stub chip_addr=0x40
}
{
    mkdir -p /run/netns
    modules &&
        ip link set lo up &&
        sh /mnt/command
    echo $? >/mnt/code.new
} </dev/null >/mnt/log 2>&1
# Whoever finds the file finds all of it.
mv /mnt/code.new /mnt/code
sync
busybox poweroff -f
