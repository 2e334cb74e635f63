"""Escape probes: each tries one way out of a sandbox and carries its own proof.

The same file is both sides of the experiment. Inside, it is a function's code: `handler` runs the probes that the event
names. Outside, it is a program (facts on stdin, outcomes on stdout): the control, which shows that a probe does work where
there is no wall. Every probe runs in a child of its own, so that one which hangs or dies says nothing about the others.

An outcome is `succeeded` (the way out is open), `refused`, or `absent` (the kernel or the host has no such thing).
Calls whose real effect would hurt the host are made with arguments that the kernel looks at only after permission: being told
that they are wrong is the proof.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import time
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"

# arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h: (x86-64, 64-bit ARM); one number where
# they are the same.
NUMBERS = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280), "chroot": (161, 51),
    "clock_settime": (227, 112), "clone": (56, 220), "clone3": 435, "delete_module": (176, 106),
    "fanotify_init": (300, 262), "finit_module": (313, 273), "fsconfig": 431, "fsmount": 432, "fsopen": 430,
    "init_module": (175, 105), "io_setup": (206, 0), "io_uring_setup": 425, "iopl": (172, None), "kcmp": (312, 272),
    "kexec_file_load": (320, 294), "kexec_load": (246, 104), "keyctl": (250, 219), "memfd_create": (319, 279),
    "migrate_pages": (256, 238), "mknodat": (259, 33), "modify_ldt": (154, None), "mount": (165, 40),
    "mount_setattr": 442, "move_mount": 429, "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "open_tree": 428, "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": 438, "pidfd_open": 434,
    "pivot_root": (155, 41), "prctl": (157, 167), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "quotactl": (179, 60), "reboot": (169, 142), "request_key": (249, 218),
    "sethostname": (170, 161), "setns": (308, 268), "settimeofday": (164, 170), "swapoff": (168, 225),
    "swapon": (167, 224), "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282),
}

NAMESPACES = {
    "time": 0x80, "mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
    "pid": 0x20000000, "net": 0x40000000,
}

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
AT_FDCWD = -100

PROBES = {}


class Refused(Exception):
    """The way is shut."""


class Absent(Exception):
    """There is nothing here to try it on."""


class Probe:
    def __init__(self, function, needs, private, user, terminal):
        self.function, self.needs, self.private, self.user, self.terminal = function, needs, private, user, terminal


def probe(*, needs=(), private=(), user=False, terminal=False, name=None):
    """Registers a probe, and says what its control is run with.

    `needs`: capabilities without which it is refused outside as well. `private`: namespaces that the control is given for
    itself, so that what it does to mounts or addresses does not show. `user`: run as an unprivileged user.
    """

    def register(function):
        PROBES[name or function.__name__] = Probe(function, tuple(needs), tuple(private), user, terminal)
        return function

    return register


def number(name):
    known = NUMBERS[name]
    known = known if isinstance(known, int) else known[ARM]
    if known is None:
        raise Absent("no such system call on this processor")
    return known


def convert(argument):
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    return argument


def call(name, *arguments):
    """A raw system call; OSError if it fails."""
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number(name)), *map(convert, arguments))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, name + ": " + os.strerror(code))
    return result


def permitted(passed, name, *arguments):
    """A call that can't work, with the errors that come after the permission check."""
    try:
        call(name, *arguments)
    except OSError as error:
        if error.errno in passed:
            return "permitted: " + error.strerror
        raise
    return "done"


def read(path, size=1 << 16):
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def expect(canary, data, where):
    if canary.encode() in data:
        return "found the canary in " + where
    raise Refused("no canary in " + where)


def first(ways):
    """The first way that works; all refusals if none does."""
    refusals, absent = [], True
    for way in ways:
        try:
            return way()
        except (OSError, Refused, Absent) as error:
            absent = absent and judge(error) == "absent"
            refusals.append(str(error))
    raise (Absent if absent else Refused)("; ".join(refusals)[:2000] or "nothing to try")


def judge(error):
    """What an exception means."""
    if isinstance(error, Absent):
        return "absent"
    if isinstance(error, OSError) and error.errno in (
        errno.ENOSYS, errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT,
    ):
        return "absent"
    return "refused"


# Files of the host.


@probe(needs=["CAP_DAC_OVERRIDE"])
def read_shadow(facts):
    if b"root:" in read("/etc/shadow"):
        return "read /etc/shadow"
    raise Refused("nothing in it")


def read_secret(canary, path):
    """Reads one file by all the names that a wall may have forgotten."""
    roots = ("", "/proc/self/root", "/proc/1/root", "/proc/self/cwd/../../../../../..", "/var/task/../../../..", "/proc/self/task/1/root")
    link = "/tmp/link-%d" % os.getpid()
    os.symlink(path, link)
    try:
        return first([lambda name=name: expect(canary, read(name), name) for name in [root + path for root in roots] + [link]])
    finally:
        os.unlink(link)


@probe(needs=["CAP_DAC_OVERRIDE"])
def read_data_folder(facts):
    return read_secret(facts["canary"], facts["data_canary"])


@probe(needs=["CAP_DAC_OVERRIDE"])
def read_credentials(facts):
    return read_secret("aws_secret_access_key", facts["credentials"])


@probe(needs=["CAP_DAC_OVERRIDE"])
def read_another_functions_code(facts):
    return read_secret(facts["canary"], facts["code_canary"])


@probe()
def read_temporary_files_of_the_host(facts):
    return first(
        [lambda: read_secret(facts["canary"], facts["tmp_canary"])]
        + [lambda place=place: list_for(facts["canary"], place) for place in ("/tmp", "/var/tmp", "/dev/shm", "/run")]
    )


def list_for(canary, place):
    for folder, _, files in os.walk(place):
        if any(canary in file for file in files):
            return "found the canary below " + folder
    raise Refused("no canary below " + place)


class FileHandle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]


def handle_of(path):
    """The kernel's handle for a file: what names it whatever the mounts."""
    handle, mount_id = FileHandle(size=128), ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, ctypes.c_char_p(path.encode()), ctypes.byref(handle), ctypes.byref(mount_id), 0)
    return [handle.kind, list(handle.bytes[: handle.size])]


@probe(needs=["CAP_DAC_READ_SEARCH"])
def open_by_handle(facts):
    if not facts.get("handle"):
        raise Absent("the file system of the data folder has no handles")
    kind, content = facts["handle"]
    handle = FileHandle(size=len(content), kind=kind, bytes=(ctypes.c_ubyte * 128)(*content))

    def way(mount):
        descriptor = os.open(mount, os.O_RDONLY)
        opened = call("open_by_handle_at", descriptor, ctypes.byref(handle), os.O_RDONLY)
        return expect(facts["canary"], os.read(opened, 4096), "the file opened by its handle through " + mount)

    return first([lambda mount=mount: way(mount) for mount in [os.path.dirname(os.path.abspath(__file__)), "/", "/usr", "/tmp"]])


@probe()
def name_to_handle(facts):
    return "named: %s" % handle_of("/tmp")


@probe(needs=["CAP_SYS_CHROOT"])
def chroot_by_descriptor(facts):
    root = os.open("/", os.O_RDONLY)
    jail = "/tmp/jail-%d" % os.getpid()
    os.mkdir(jail)
    try:
        call("chroot", ctypes.c_char_p(jail.encode()))
        os.fchdir(root)
        for _ in range(32):
            os.chdir("..")
        call("chroot", ctypes.c_char_p(b"."))
        return "left the jail: " + str(sorted(os.listdir("/"))[:5])
    finally:
        os.fchdir(root)
        os.rmdir(jail.lstrip("/"))


def writable(folder):
    try:
        # A file without a name: nothing shows if it works.
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        path = os.path.join(folder, "hearth-probe-%d" % os.getpid())
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        os.unlink(path)
    os.write(descriptor, b"x")
    return "wrote into " + folder


@probe(needs=["CAP_DAC_OVERRIDE"])
def write_into_system_folders(facts):
    return first([lambda folder=folder: writable(folder) for folder in facts["system_folders"]])


@probe(needs=["CAP_DAC_OVERRIDE"])
def create_in_system_folders(facts):
    # On the control's side in folders of the test: these files have names.
    def way(folder):
        path = os.path.join(folder, "hearth-probe-%d" % os.getpid())
        os.mkdir(path)
        os.rmdir(path)
        return "made a folder in " + folder

    return first([lambda folder=folder: way(folder) for folder in facts["own_folders"]])


@probe(needs=["CAP_DAC_OVERRIDE", "CAP_FOWNER"])
def change_code(facts):
    path = facts["own_code"]

    def overwrite():
        descriptor = os.open(path, os.O_RDWR)
        os.pwrite(descriptor, os.pread(descriptor, 1, 0), 0)
        return "overwrote " + path

    def change_mode():
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))
        return "changed the mode of " + path

    def rename():
        os.rename(path, path + ".moved")
        os.rename(path + ".moved", path)
        return "renamed " + path

    def link():
        os.link(path, "/tmp/hard-%d" % os.getpid())
        os.unlink("/tmp/hard-%d" % os.getpid())
        return "linked " + path

    return first([overwrite, change_mode, rename, link, lambda: os.utime(path) or "touched " + path])


def write_back(path):
    """Writes what is there already: real, and without effect."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        value = os.read(descriptor, 4096)
        os.pwrite(descriptor, value, 0)
    finally:
        os.close(descriptor)
    return "wrote to " + path


@probe(needs=["CAP_DAC_OVERRIDE"])
def write_proc_sys(facts):
    names = ("kernel/core_pattern", "kernel/modprobe", "vm/overcommit_memory", "fs/suid_dumpable", "kernel/hostname", "net/ipv4/ip_forward")
    return first([lambda name=name: write_back("/proc/sys/" + name) for name in names])


@probe(needs=["CAP_DAC_OVERRIDE"])
def write_sys(facts):
    paths = ["/sys/kernel/uevent_helper", "/sys/kernel/mm/ksm/run", "/sys/kernel/mm/swap/vma_ra_enabled", "/sys/class/net/lo/tx_queue_len"]
    return first([lambda path=path: write_back(path) for path in paths])


@probe()
def see_sys(facts):
    return "sees " + ", ".join(sorted(os.listdir("/sys/kernel"))[:5])


def cgroup_files(wanted):
    if not os.path.isdir("/sys/fs/cgroup"):
        raise Absent("no /sys/fs/cgroup")
    found = [os.path.join(folder, wanted) for folder, folders, files in os.walk("/sys/fs/cgroup") if wanted in files][:64]
    if not found:
        raise Absent("no " + wanted + " below /sys/fs/cgroup")
    return found


@probe(needs=["CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"])
def cgroup_release_agent(facts):
    def way(path):
        descriptor = os.open(path, os.O_RDWR)
        os.write(descriptor, os.read(descriptor, 4096) or b"\n")
        return "wrote " + path

    return first([lambda path=path: way(path) for path in cgroup_files("release_agent")])


@probe(needs=["CAP_DAC_OVERRIDE"])
def cgroup_procs(facts):
    """Enters the cgroup that it is in: real, and without effect."""
    ways = []
    for line in read("/proc/self/cgroup").decode().splitlines():
        _, controllers, path = line.split(":", 2)
        for name in [controllers.split("=")[-1], "unified", ""]:
            place = os.path.join("/sys/fs/cgroup", name) + path.rstrip("/") + "/cgroup.procs"

            def way(place=place):
                descriptor = os.open(place, os.O_WRONLY)
                os.write(descriptor, b"0")
                return "wrote " + place

            ways.append(way)
    return first(ways)


# Mounts.


def text(value):
    return ctypes.c_char_p(value.encode())


def fresh(name):
    path = "/tmp/%s-%d" % (name, os.getpid())
    os.makedirs(path, exist_ok=True)
    return path


def mount(source, target, kind, flags, data=None):
    call("mount", text(source), text(target), text(kind), flags, text(data) if data else ctypes.c_void_p(0))


MOUNTS = ["CAP_SYS_ADMIN"]


@probe(needs=MOUNTS, private=["mnt"])
def mount_tmpfs(facts):
    mount("tmpfs", fresh("tmpfs"), "tmpfs", 0)
    return "mounted a tmpfs"


@probe(needs=MOUNTS, private=["mnt", "pid"])
def mount_proc(facts):
    mount("proc", fresh("proc"), "proc", 0)
    return "mounted a /proc"


@probe(needs=MOUNTS, private=["mnt"])
def mount_bind(facts):
    mount("/", fresh("bind"), "", MS_BIND | MS_REC)
    return "bound /"


@probe(needs=MOUNTS, private=["mnt"])
def mount_cgroup(facts):
    return first(
        [
            lambda: mount("cgroup", fresh("cgroup2"), "cgroup2", 0) or "mounted cgroup2",
            lambda: mount("cgroup", fresh("cgroup"), "cgroup", 0, "pids") or "mounted cgroup",
        ]
    )


@probe(needs=MOUNTS, private=["mnt"])
def mount_by_descriptors(facts):
    context = call("fsopen", text("tmpfs"), 0)
    call("fsconfig", context, 6, ctypes.c_void_p(0), ctypes.c_void_p(0), 0)  # FSCONFIG_CMD_CREATE
    tree = call("fsmount", context, 0, 0)
    call("move_mount", tree, text(""), AT_FDCWD, text(fresh("moved")), 4)  # MOVE_MOUNT_F_EMPTY_PATH
    return "mounted with fsopen, fsmount and move_mount"


@probe(needs=MOUNTS, private=["mnt"])
def clone_a_tree(facts):
    call("open_tree", AT_FDCWD, text("/"), 1 | os.O_CLOEXEC | 0x8000)  # OPEN_TREE_CLONE, AT_RECURSIVE
    return "cloned the tree of mounts"


@probe(needs=MOUNTS, private=["mnt"])
def unmount(facts):
    def way(place):
        call("umount2", text(place), 2)  # MNT_DETACH
        return "unmounted " + place

    return first([lambda place=place: way(place) for place in facts["mounts"]])


@probe(needs=MOUNTS, private=["mnt"])
def remount_writable(facts):
    def way(place, flags):
        mount("none", place, "", MS_REMOUNT | flags)
        return "remounted %s; %s" % (place, writable(place))

    return first([lambda place=place, flags=flags: way(place, flags) for place in facts["read_only"] for flags in (MS_BIND, 0)])


@probe(needs=MOUNTS, private=["mnt"])
def mount_attributes(facts):
    def way(place):
        # struct mount_attr: nothing to set, MOUNT_ATTR_RDONLY to clear.
        attributes = struct.pack("QQQQ", 0, 1, 0, 0)
        call("mount_setattr", AT_FDCWD, text(place), 0, ctypes.c_char_p(attributes), len(attributes))
        return "made %s writable; %s" % (place, writable(place))

    return first([lambda place=place: way(place) for place in facts["read_only"]])


@probe(needs=MOUNTS, private=["mnt"])
def pivot_root(facts):
    new = fresh("pivot")
    first([lambda: mount("tmpfs", new, "tmpfs", 0) or "", lambda: ""])
    os.makedirs(new + "/old", exist_ok=True)
    call("pivot_root", text(new), text(new + "/old"))
    return "the old root is at /old: " + ", ".join(sorted(os.listdir("/old"))[:5])


# Namespaces.


def new_namespace(kind, how):
    def run(facts):
        flags = NAMESPACES[kind]
        if how == "unshare":
            call("unshare", flags)
            return "unshared " + kind
        if how == "clone":
            # CLONE_NEWTIME overlaps the exit signal and is for clone3 alone.
            child = call("clone", flags | signal.SIGCHLD, 0, 0, 0, 0)
        else:
            arguments = struct.pack("8Q", flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
            child = call("clone3", ctypes.c_char_p(arguments), len(arguments))
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return "%s with a new %s namespace" % (how, kind)

    needs = [] if kind == "user" else MOUNTS
    probe(needs=needs, name="%s_%s" % (how, kind))(run)


for _kind in NAMESPACES:
    for _how in ("unshare", "clone3") if _kind == "time" else ("unshare", "clone", "clone3"):
        new_namespace(_kind, _how)


def enter_namespace(kind):
    def run(facts):
        def way(path):
            descriptor = os.open(path, os.O_RDONLY)
            call("setns", descriptor, 0)
            return "entered " + path

        pids = [facts["victim_pid"], facts["node_pid"], "self", 1]
        return first([lambda pid=pid: way("/proc/%s/ns/%s" % (pid, kind)) for pid in pids])

    # One can't enter the user namespace that one is in.
    probe(needs=MOUNTS, name="setns_" + kind)(run)


for _kind in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
    enter_namespace(_kind)


@probe(needs=MOUNTS)
def setns_by_pidfd(facts):
    def way(pid):
        call("setns", call("pidfd_open", pid, 0), NAMESPACES["net"] | NAMESPACES["uts"])
        return "entered the namespaces of %d" % pid

    return first([lambda pid=pid: way(pid) for pid in (facts["victim_pid"], facts["node_pid"], os.getpid())])


@probe(needs=MOUNTS)
def int80_unshare(facts):
    """A 32-bit system call of a 64-bit program: another table of numbers, which a filter may have forgotten."""
    if platform.machine() != "x86_64":
        raise Absent("no 32-bit calls on this processor")
    # push rbx; mov eax, edi; mov ebx, esi; int 0x80; pop rbx; ret
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\x53\x89\xf8\x89\xf3\xcd\x80\x5b\xc3")
    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    result = function(310, NAMESPACES["uts"])
    if result < 0:
        raise OSError(-result, "unshare by int 0x80: " + os.strerror(-result))
    return "unshared by a 32-bit call"


@probe(needs=MOUNTS)
def x32_unshare(facts):
    if platform.machine() != "x86_64":
        raise Absent("no x32 calls on this processor")
    if LIBC.syscall(ctypes.c_long(0x40000000 + number("unshare")), ctypes.c_long(NAMESPACES["uts"])) == -1:
        raise OSError(ctypes.get_errno(), "unshare by x32")
    return "unshared by an x32 call"


# Other processes.


def trace(pid):
    call("ptrace", 0x4206, pid, 0, 0)  # PTRACE_SEIZE
    return "attached to %d" % pid


@probe(needs=["CAP_SYS_PTRACE"])
def ptrace_host_process(facts):
    return trace(facts["victim_pid"])


@probe(needs=["CAP_SYS_PTRACE"])
def ptrace_pid_1(facts):
    return trace(facts["stand_in_for_pid_1"])


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def peek(name, pid, address, content):
    buffer = ctypes.create_string_buffer(content, len(content))
    here, there = Iovec(ctypes.addressof(buffer), len(content)), Iovec(address, len(content))
    call(name, pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return buffer.raw


@probe(needs=["CAP_SYS_PTRACE"])
def read_memory_of_host_process(facts):
    data = peek("process_vm_readv", facts["victim_pid"], facts["victim_address"], b" " * len(facts["canary"]))
    return expect(facts["canary"], data, "the victim's memory")


@probe(needs=["CAP_SYS_PTRACE"])
def write_memory_of_host_process(facts):
    peek("process_vm_writev", facts["victim_pid"], facts["victim_address"], facts["canary"].encode())
    return "wrote the victim's memory"


@probe(needs=["CAP_SYS_PTRACE"])
def read_memory_by_proc(facts):
    def way(pid):
        descriptor = os.open("/proc/%s/mem" % pid, os.O_RDONLY)
        data = os.pread(descriptor, len(facts["canary"]), facts["victim_address"])
        return expect(facts["canary"], data, "/proc/%s/mem" % pid)

    return first([lambda pid=pid: way(pid) for pid in (facts["victim_pid"], facts["stand_in_for_pid_1"])])


@probe(needs=["CAP_SYS_PTRACE"])
def open_memory_of_pid_1(facts):
    path = "/proc/%s/mem" % facts["stand_in_for_pid_1"]
    os.close(os.open(path, os.O_RDONLY))
    return "opened " + path


@probe(needs=["CAP_SYS_PTRACE"])
def root_of_pid_1(facts):
    return "listed " + str(sorted(os.listdir("/proc/%s/root/" % facts["stand_in_for_pid_1"]))[:5])


@probe(needs=["CAP_SYS_PTRACE"])
def descriptors_of_pid_1(facts):
    return "listed " + str(os.listdir("/proc/%s/fd" % facts["stand_in_for_pid_1"]))


@probe(needs=["CAP_SYS_PTRACE"])
def steal_descriptor(facts):
    call("pidfd_getfd", call("pidfd_open", facts["victim_pid"], 0), 0, 0)
    return "took a descriptor of the victim"


@probe(needs=["CAP_SYS_PTRACE"])
def compare_processes(facts):
    call("kcmp", os.getpid(), facts["victim_pid"], 0, 0, 0)  # KCMP_FILE
    return "compared with the victim"


@probe(needs=["CAP_SYS_PTRACE"])
def host_environment(facts):
    """The canary in the node's environment: in this one's own, and in whatever process shows."""
    for name, value in os.environ.items():
        if facts["environment_canary"] in value:
            return "inherited as " + name

    def way(pid):
        return expect(facts["environment_canary"], read("/proc/%s/environ" % pid, 1 << 20), "/proc/%s/environ" % pid)

    pids = [facts["node_pid"], 1] + [pid for pid in os.listdir("/proc") if pid.isdigit()]
    return first([lambda pid=pid: way(pid) for pid in pids])


@probe()
def see_host_processes(facts):
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                if facts["canary"].encode() in read("/proc/%s/cmdline" % pid):
                    return "saw the victim as %s" % pid
            except OSError:
                pass
    raise Refused("the victim is not among the processes in /proc")


@probe(needs=["CAP_KILL"])
def signal_host_process(facts):
    os.kill(facts["victim_pid"], signal.SIGUSR1)
    return "signalled the victim"


@probe(needs=["CAP_KILL"])
def signal_the_node(facts):
    os.kill(facts["node_pid"], 0)
    return "could signal the node"


@probe(needs=["CAP_KILL"])
def signal_everyone(facts):
    # 0 is no signal, only the permission to send one. Other processes of this function are no escape: there are none
    # while probes run, the parent apart.
    os.kill(-1, 0)
    children = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid(), os.getppid())]
    if not children:
        raise Refused("nobody but the parent to signal")
    return "could signal " + ", ".join(children[:10])


@probe(needs=["CAP_KILL"])
def signal_by_pidfd(facts):
    call("pidfd_open", facts["victim_pid"], 0)
    return "opened the victim's pidfd"


@probe(needs=["CAP_SYS_NICE"])
def change_priority_of_host_process(facts):
    os.setpriority(os.PRIO_PROCESS, facts["victim_pid"], os.getpriority(os.PRIO_PROCESS, facts["victim_pid"]))
    return "set the victim's priority"


@probe()
def system_v_shared_memory(facts):
    LIBC.shmat.restype = ctypes.c_void_p
    identifier = LIBC.shmget(facts["shm_key"], 0, 0)
    if identifier == -1:
        raise OSError(ctypes.get_errno(), "shmget")
    address = LIBC.shmat(identifier, ctypes.c_void_p(0), 0o10000)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "shmat")
    return expect(facts["canary"], ctypes.string_at(address, 64), "shared memory")


@probe()
def abstract_socket(facts):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect("\0" + facts["abstract_socket"])
        return expect(facts["canary"], connection.recv(64), "the abstract socket's greeting")


@probe()
def filesystem_socket(facts):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(facts["socket_path"])
        return expect(facts["canary"], connection.recv(64), "the socket's greeting")


@probe()
def inherited_descriptors(facts):
    """Whatever is open besides 0, 1, 2 and the connections to the Runtime API, both ends of which are inside."""
    strange = []
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor < 3 or descriptor in OWN_DESCRIPTORS:
            continue
        try:
            target = os.readlink("/proc/self/fd/%d" % descriptor)
        except OSError:
            continue  # The listing itself.
        if target.startswith("socket:"):
            duplicate = socket.socket(fileno=os.dup(descriptor))
            try:
                if duplicate.getpeername()[:2] in (("127.0.0.1", 9001), ("127.0.0.1", 9002)):
                    continue
            except OSError:
                pass
            finally:
                duplicate.close()
        strange.append("%d -> %s" % (descriptor, target))
    if strange:
        return ", ".join(strange)
    raise Refused("0, 1, 2 and the Runtime API")


def standard_streams(facts):
    """0, 1 and 2 lead to nothing but pipes of one's own and /dev/null."""
    odd = [target for target in (os.readlink("/proc/self/fd/%d" % n) for n in range(3)) if target != "/dev/null" and not target.startswith("pipe:")]
    if odd:
        return ", ".join(odd)
    raise Refused("pipes and /dev/null")


probe()(standard_streams)


@probe(terminal=True)
def controlling_terminal(facts):
    os.close(os.open("/dev/tty", os.O_RDWR))
    return "opened the terminal"


# Privileges.


@probe()
def privileges(facts):
    """Anything in /proc/self/status that a wall takes away."""
    status = dict(line.split(":", 1) for line in read("/proc/self/status").decode().splitlines() if ":" in line)
    found = [name + "=" + status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[name], 16)]
    found += [name + "=" + status[name].strip() for name, wanted in (("NoNewPrivs", "1"), ("Seccomp", "2")) if status[name].strip() != wanted]
    found += ["uid %s" % uid for uid in set(status["Uid"].split()) if uid == "0"]
    found += ["group %s" % group for group in status["Groups"].split() if group == "0"]
    if found:
        return ", ".join(found)
    raise Refused("no capabilities, no_new_privs, filtered")


@probe(needs=["CAP_SETUID"])
def become_root(facts):
    os.setresuid(0, 0, 0)
    return "uid %d" % os.getuid()


def shows_identity(path, *arguments):
    """Who a program is once it runs. The dynamic linker prints it, except for programs with more privileges than their caller."""
    run = subprocess.run([path, *arguments], env={"LD_SHOW_AUXV": "1"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10)
    return b"AT_EUID" in run.stdout


@probe(user=True)
def setuid_programs(facts):
    if not shows_identity("/bin/true"):
        raise Absent("this C library does not show who a program is")
    found = []
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/usr/lib"):
        for name in ("su", "mount", "sudo", "passwd", "newgrp", "chsh", "umount", "pkexec"):
            path = os.path.join(folder, name)
            if os.path.exists(path) and os.stat(path).st_mode & stat.S_ISUID and os.stat(path).st_uid != os.getuid():
                found.append(path)
    if not found:
        raise Absent("no setuid programs")
    gained = [path for path in found if not shows_identity(path, "--version")]
    if gained:
        return "more privileges in " + ", ".join(gained)
    raise Refused("no more privileges in " + ", ".join(found))


@probe(user=True)
def setuid_program_of_ones_own(facts):
    """A setuid copy of id(1): in the package inside, root's outside."""
    run = subprocess.run([facts["setuid_id"], "-u"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10)
    if run.stdout.strip() != str(os.getuid()).encode():
        return "ran as " + run.stdout.decode()
    raise Refused("ran as the caller")


@probe(needs=["CAP_SETFCAP"])
def file_capabilities(facts):
    path = "/tmp/capable-%d" % os.getpid()
    with open(path, "w"):
        pass
    try:
        # struct vfs_cap_data, version 2, effective, CAP_SYS_ADMIN permitted.
        os.setxattr(path, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 21, 0, 0, 0))
    finally:
        os.unlink(path)
    return "gave a file capabilities"


# Kernel interfaces.


@probe(needs=["CAP_BPF"])
def bpf(facts):
    # BPF_MAP_CREATE of an array: key of 4, value of 4, one entry.
    attributes = struct.pack("IIIII", 2, 4, 4, 1, 0) + bytes(100)
    call("bpf", 0, ctypes.c_char_p(attributes), len(attributes))
    return "made a map"


@probe()
def add_key(facts):
    call("add_key", text("user"), text("hearth-probe"), text("x"), 1, -2)  # KEY_SPEC_PROCESS_KEYRING
    return "added a key"


@probe()
def keyctl(facts):
    return "session keyring %d" % call("keyctl", 0, -3, 1, 0, 0)  # KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING


@probe()
def io_uring(facts):
    call("io_uring_setup", 1, ctypes.create_string_buffer(120))
    return "made a ring"


@probe()
def asynchronous_io(facts):
    call("io_setup", 1, ctypes.byref(ctypes.c_ulong(0)))
    return "made a context"


@probe(needs=["CAP_SYS_PTRACE"])
def userfaultfd(facts):
    call("userfaultfd", os.O_CLOEXEC)
    return "opened"


@probe(needs=["CAP_PERFMON"])
def perf_events(facts):
    # PERF_TYPE_SOFTWARE, PERF_ATTR_SIZE_VER0, PERF_COUNT_SW_CPU_CLOCK, of this process and the kernel.
    attributes = struct.pack("IIQ", 1, 64, 0) + bytes(48)
    call("perf_event_open", ctypes.c_char_p(attributes), 0, -1, -1, 0)
    return "opened a counter"


@probe(needs=["CAP_SYS_MODULE"])
def load_module(facts):
    return permitted((errno.EBADF, errno.ENOEXEC, errno.EINVAL), "finit_module", -1, text(""), 0)


@probe(needs=["CAP_SYS_MODULE"])
def load_module_from_memory(facts):
    return permitted((errno.ENOEXEC, errno.EFAULT, errno.EINVAL), "init_module", text("no module"), 9, text(""))


@probe(needs=["CAP_SYS_MODULE"])
def unload_module(facts):
    try:
        return permitted((), "delete_module", text("hearth-no-such-module"), os.O_NONBLOCK)
    except FileNotFoundError as error:
        return "permitted: " + str(error)


@probe(needs=["CAP_SYS_BOOT"])
def kexec(facts):
    return permitted((errno.EINVAL,), "kexec_load", 0, 17, ctypes.c_void_p(0), 0xFFFF)


@probe(needs=["CAP_SYS_BOOT"])
def kexec_file(facts):
    return permitted((errno.EINVAL, errno.EBADF), "kexec_file_load", -1, -1, 0, text(""), 0xFFFF)


@probe(needs=["CAP_SYS_BOOT"])
def reboot(facts):
    # Wrong magic numbers: permission comes first.
    return permitted((errno.EINVAL,), "reboot", 0, 0, 0, ctypes.c_void_p(0))


@probe(needs=["CAP_SYS_ADMIN"])
def swap_on(facts):
    # /dev/null is no swap area.
    return permitted((errno.EINVAL, errno.ENOTBLK), "swapon", text("/dev/null"), 0)


@probe(needs=["CAP_SYS_ADMIN"])
def swap_off(facts):
    return permitted((errno.EINVAL,), "swapoff", text("/dev/null"))


@probe(needs=["CAP_SYS_PACCT"])
def process_accounting(facts):
    # A device is no file to account in.
    return permitted((errno.EACCES, errno.EIO), "acct", text("/dev/null"))


@probe(needs=["CAP_SYS_TIME"])
def set_time_of_day(facts):
    # The time zone that is set already; no time.
    zone = struct.pack("ii", 0, 0)
    call("settimeofday", ctypes.c_void_p(0), ctypes.c_char_p(zone))
    return "set the time zone"


@probe(needs=["CAP_SYS_TIME"])
def adjust_clock(facts):
    # struct timex: modes first; ADJ_TICK with the tick that is there, at offset 88.
    now = ctypes.create_string_buffer(208)
    call("adjtimex", now)
    struct.pack_into("I", now, 0, 0x4000)
    call("adjtimex", now)
    return "set the tick"


@probe(needs=["CAP_SYS_TIME"])
def set_clock(facts):
    # CLOCK_MONOTONIC cannot be set by anyone; its EINVAL does not tell. CLOCK_REALTIME to what it is.
    now = divmod(time.time_ns(), 10**9)
    call("clock_settime", 0, ctypes.c_char_p(struct.pack("qq", *now)))
    return "set the clock"


@probe(needs=["CAP_SYS_ADMIN"], private=["uts"])
def set_host_name(facts):
    call("sethostname", text("escaped"), 7)
    return "host name " + socket.gethostname()


@probe()
def see_host_name(facts):
    if socket.gethostname() == facts["host_name"]:
        return "the host is " + socket.gethostname()
    raise Refused("called " + socket.gethostname())


@probe(needs=["CAP_SYSLOG"])
def kernel_log(facts):
    buffer = ctypes.create_string_buffer(256)
    return "%d bytes" % call("syslog", 3, buffer, 256)  # SYSLOG_ACTION_READ_ALL


@probe(needs=["CAP_SYSLOG"])
def kernel_addresses(facts):
    for line in read("/proc/kallsyms").splitlines():
        if line.split()[0].strip(b"0"):
            return "an address: " + line.decode(errors="replace")
    raise Refused("all zero")


@probe(needs=["CAP_SYS_ADMIN"])
def physical_addresses(facts):
    buffer = ctypes.create_string_buffer(b"x" * 8192)
    descriptor = os.open("/proc/self/pagemap", os.O_RDONLY)
    entry = struct.unpack("Q", os.pread(descriptor, 8, ctypes.addressof(buffer) // mmap.PAGESIZE * 8))[0]
    if entry & ((1 << 55) - 1):
        return "a frame number"
    raise Refused("no frame number")


@probe(needs=["CAP_SYS_ADMIN"])
def quotas(facts):
    call("quotactl", 0x80000100 - (1 << 32), ctypes.c_void_p(0), 0, ctypes.c_void_p(0))  # Q_SYNC of user quotas
    return "synchronised"


@probe(needs=["CAP_SYS_ADMIN"])
def watch_file_system(facts):
    call("fanotify_init", 0x4, os.O_RDONLY)  # FAN_CLASS_CONTENT
    return "watching"


@probe(needs=["CAP_SYS_NICE"])
def move_pages_of_host_process(facts):
    nodes = ctypes.c_ulong(1)
    call("migrate_pages", facts["victim_pid"], 8, ctypes.byref(nodes), ctypes.byref(nodes))
    return "migrated"


@probe(needs=["CAP_SYS_RAWIO"])
def io_ports(facts):
    call("iopl", 3)
    return "access to all ports"


@probe()
def local_descriptor_table(facts):
    # Write one data segment (struct user_desc: entry, base, limit, bits).
    descriptor = struct.pack("IIII", 0, 0, 0xFFFFF, 0b1010001)
    result = call("modify_ldt", 1, ctypes.c_char_p(descriptor), len(descriptor))
    if ctypes.c_int(result).value < 0:
        raise OSError(-ctypes.c_int(result).value, "modify_ldt")
    return "wrote an entry"


@probe()
def no_address_randomisation(facts):
    call("personality", 0x0040000)  # ADDR_NO_RANDOMIZE
    return "switched off"


@probe()
def personality_with_dirt(facts):
    # The kernel takes 32 bits of the argument; a filter that compares 64 lets this past.
    result = LIBC.syscall(ctypes.c_long(number("personality")), ctypes.c_ulong(0xDEAD_0000_0040_0000))
    if result == -1:
        raise OSError(ctypes.get_errno(), "personality")
    return "switched off"


@probe(needs=["CAP_SYS_ADMIN"])
def type_into_terminal(facts):
    """TIOCSTI: into a terminal of its own, or, where none can be had, into a pipe: ENOTTY shows that the call was let through."""
    try:
        _, terminal = os.openpty()
    except OSError:
        terminal = os.pipe()[0]
    # The upper half of the request is dirt that the kernel drops.
    return first([lambda request=request: type_x(terminal, request) for request in (0x5412, 0xFFFF_FFFF_0000_5412 - (1 << 64))])


def type_x(terminal, request):
    if LIBC.ioctl(terminal, ctypes.c_long(request), ctypes.c_char_p(b"x")) == -1:
        code = ctypes.get_errno()
        if code != errno.ENOTTY:
            raise OSError(code, "TIOCSTI")
        return "let through"
    return "typed"


# Devices.


def with_node(kind, major, minor, use):
    path = "/tmp/node-%d" % os.getpid()
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    try:
        return use(path)
    finally:
        os.unlink(path)


@probe(needs=["CAP_MKNOD"])
def make_character_device(facts):
    return with_node(stat.S_IFCHR, 1, 5, lambda path: "made %s, reads %r" % (path, read(path, 1)))


@probe(needs=["CAP_MKNOD"])
def make_block_device(facts):
    return with_node(stat.S_IFBLK, 7, 0, lambda path: "made " + path)


@probe(needs=["CAP_MKNOD"])
def make_device_by_number(facts):
    # The mode's upper half is dirt that the kernel drops.
    path = "/tmp/node-%d" % os.getpid()
    call("mknodat", AT_FDCWD, text(path), (0xFFFF << 32) | stat.S_IFCHR | 0o600, os.makedev(1, 5))
    os.unlink(path)
    return "made a device"


def open_device(name):
    def run(facts):
        os.close(os.open("/dev/" + name, os.O_RDONLY | os.O_NONBLOCK))
        return "opened /dev/" + name

    probe(needs=["CAP_DAC_OVERRIDE"], name="device_" + name.replace("/", "_"))(run)


for _name in ("mem", "kmsg", "kvm", "net/tun", "fuse", "loop-control", "ptmx", "console", "userfaultfd", "vsock", "port"):
    open_device(_name)


@probe(needs=["CAP_DAC_OVERRIDE"])
def device_disk(facts):
    def way(name):
        os.close(os.open("/dev/" + name, os.O_RDONLY | os.O_NONBLOCK))
        return "opened /dev/" + name

    return first([lambda name=name: way(name) for name in ("vda", "sda", "xvda", "nvme0n1", "loop0", "loop1")])


def open_proc(name, flags=os.O_RDONLY):
    def run(facts):
        os.close(os.open("/proc/" + name, flags | os.O_NONBLOCK))
        return "opened /proc/" + name

    probe(needs=["CAP_DAC_OVERRIDE"], name="proc_" + name.replace("/", "_").replace("-", "_"))(run)


open_proc("sysrq-trigger", os.O_WRONLY)
open_proc("kcore")
open_proc("kmsg")
open_proc("kpagecount")
open_proc("vmcore")
open_proc("slabinfo")
open_proc("timer_list")


# Sockets.


def open_socket(name, family, kind, protocol, needs=()):
    def run(facts):
        with socket.socket(family, kind, protocol):
            return "opened"

    probe(needs=needs, name="socket_" + name)(run)


open_socket("raw_icmp", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP, ["CAP_NET_RAW"])
open_socket("raw_icmp6", socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6, ["CAP_NET_RAW"])
open_socket("raw_with_flags", socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW, ["CAP_NET_RAW"])
open_socket("packet", 17, socket.SOCK_RAW, 0x300, ["CAP_NET_RAW"])
open_socket("packet_datagram", 17, socket.SOCK_DGRAM, 0x300, ["CAP_NET_RAW"])
open_socket("alg", 38, socket.SOCK_SEQPACKET, 0)
open_socket("vsock", 40, socket.SOCK_STREAM, 0)
open_socket("bluetooth", 31, socket.SOCK_RAW, 1)
open_socket("tipc", 30, socket.SOCK_STREAM, 0)
open_socket("sctp", socket.AF_INET, socket.SOCK_STREAM, 132)
open_socket("mptcp", socket.AF_INET, socket.SOCK_STREAM, 262)
open_socket("xdp", 44, socket.SOCK_RAW, 0, ["CAP_NET_RAW"])
open_socket("netlink_uevent", socket.AF_NETLINK, socket.SOCK_DGRAM, 15)
open_socket("netlink_audit", socket.AF_NETLINK, socket.SOCK_RAW, 9)
open_socket("netlink_netfilter", socket.AF_NETLINK, socket.SOCK_RAW, 12)
open_socket("netlink_sock_diag", socket.AF_NETLINK, socket.SOCK_RAW, 4)
open_socket("netlink_xfrm", socket.AF_NETLINK, socket.SOCK_RAW, 6)
open_socket("netlink_generic", socket.AF_NETLINK, socket.SOCK_RAW, 16)


def route_request(kind, body, flags=0):
    """One rtnetlink request, and the kernel's answer to it."""
    header = struct.pack("IHHII", 16 + len(body), kind, 0x1 | 0x4 | flags, 1, 0)  # NLM_F_REQUEST, NLM_F_ACK
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.bind((0, 0))
        netlink.send(header + body)
        answer = netlink.recv(4096)
    code = struct.unpack_from("i", answer, 16)[0]
    if code:
        raise OSError(-code, "rtnetlink: " + os.strerror(-code))


NLM_F_CREATE = 0x400


def route_attribute(kind, data):
    return struct.pack("HH", 4 + len(data), kind) + data


@probe(needs=["CAP_NET_ADMIN"], private=["net"])
def add_address(facts):
    # struct ifaddrmsg of the loopback, IFA_LOCAL, IFA_ADDRESS.
    address = socket.inet_aton("10.255.255.1")
    route_request(20, struct.pack("BBBBI", socket.AF_INET, 32, 0, 0, 1) + route_attribute(2, address) + route_attribute(1, address), NLM_F_CREATE)
    return "added 10.255.255.1"


@probe(needs=["CAP_NET_ADMIN"], private=["net"])
def add_route(facts):
    # struct ifinfomsg of the loopback: set IFF_UP; then a route through it.
    route_request(16, struct.pack("BxHiII", 0, 0, 1, 1, 1))
    body = struct.pack("BBBBBBBBI", socket.AF_INET, 32, 0, 0, 254, 4, 253, 1, 0)
    route_request(24, body + route_attribute(1, socket.inet_aton("10.255.255.2")) + route_attribute(4, struct.pack("i", 1)), NLM_F_CREATE)
    return "added a route"


# The network.


def gateways():
    """Where the default routes lead: on many platforms, the host."""
    found = []
    for line in read("/proc/net/route").decode().splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000" and fields[2] != "00000000":
            found.append(socket.inet_ntop(socket.AF_INET, struct.pack("=I", int(fields[2], 16))))
    for line in read("/proc/net/ipv6_route").decode().splitlines():
        fields = line.split()
        if fields[1] == "00" and int(fields[4], 16):
            gateway = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[4]))
            found.append(gateway + "%" + fields[9] if gateway.startswith("fe80") else gateway)
    return found


def addresses():
    """One's own addresses, the loopback's apart."""
    found = []
    for line in read("/proc/net/fib_trie").decode().splitlines():
        if line.strip().startswith("|--"):
            last = line.split()[1]
        elif "host LOCAL" in line and not last.startswith("127.") and last not in found:
            found.append(last)
    for line in read("/proc/net/if_inet6").decode().splitlines():
        fields = line.split()
        if fields[5] != "lo" and not fields[0].startswith("fe80"):
            found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[0])))
    return found


def resolved(facts, kind):
    host, port = facts["target"]
    found = []
    for name in gateways() if host == "gateway" else [host]:
        found += [(family, address) for family, _, _, _, address in socket.getaddrinfo(name, port, type=kind)]
    return found


@probe(name="connect")
def connect(facts):
    """Connects to `target` ([host, port]) and, to be sure of who answers, reads the canary."""

    def way(family, address):
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(facts["seconds"])
            connection.connect(address)
            if facts.get("any_answer"):
                return "connected to %s" % (address,)
            return expect(facts["canary"], connection.recv(256), "the greeting of %s" % (address,))

    return first([lambda family=family, address=address: way(family, address) for family, address in resolved(facts, socket.SOCK_STREAM)])


@probe(name="connect_bound")
def connect_bound(facts):
    """The same from a socket that is bound to an interface, which asks no routes."""

    def way(interface, family, address):
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(facts["seconds"])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
            connection.connect(address)
            return expect(facts["canary"], connection.recv(256), "the greeting of %s by %s" % (address, interface))

    interfaces = [name for _, name in socket.if_nameindex() if name != "lo"]
    found = resolved(facts, socket.SOCK_STREAM)
    return first([lambda each=each: way(*each) for each in [(name, *target) for name in interfaces for target in found]])


@probe(name="datagram")
def datagram(facts):
    def way(family, address):
        with socket.socket(family, socket.SOCK_DGRAM) as endpoint:
            endpoint.settimeout(facts["seconds"])
            endpoint.sendto(b"x", address)
            return expect(facts["canary"], endpoint.recv(256), "the answer of %s" % (address,))

    return first([lambda family=family, address=address: way(family, address) for family, address in resolved(facts, socket.SOCK_DGRAM)])


# Both sides.

OWN_DESCRIPTORS = set()
LIMIT_S = 20


def start(name, facts, prepare=None):
    """Starts one probe in a child: (child, where it will say its outcome)."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        return child, ours
    outcome = {"outcome": "broken", "detail": "?"}
    try:
        os.close(ours)
        OWN_DESCRIPTORS.add(theirs)
        signal.alarm(LIMIT_S)
        if prepare:
            prepare(PROBES[name])
        try:
            outcome = {"outcome": "succeeded", "detail": str(PROBES[name].function(facts))}
        except (OSError, Refused, Absent) as error:
            outcome = {"outcome": judge(error), "detail": "%s: %s" % (type(error).__name__, error)}
    except BaseException:
        # A broken probe must not pass for a wall.
        outcome = {"outcome": "broken", "detail": traceback.format_exc()}
    finally:
        try:
            os.write(theirs, json.dumps(outcome).encode())
        finally:
            os._exit(0)


def finish(child, pipe):
    """The outcome of a started probe."""
    said = b""
    while select.select([pipe], [], [], LIMIT_S + 5)[0]:
        part = os.read(pipe, 65536)
        if not part:
            break
        said += part
    os.close(pipe)
    if not said:
        try:
            os.kill(child, signal.SIGKILL)
        except OSError:
            pass
    _, status = os.waitpid(child, 0)
    if said:
        return json.loads(said.decode())
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:
        return {"outcome": "refused", "detail": "killed by the system call filter"}
    return {"outcome": "broken", "detail": "ended with status %d" % status}


def run_all(names, facts, prepare=None):
    """One after the other: nobody but the probe is there."""
    return {name: finish(*start(name, facts, prepare)) for name in names}


def reach(kind, targets, facts):
    """All targets at once: refusals may take their time."""
    running = [start(kind, dict(facts, target=target)) for target in targets]
    return [finish(*each) for each in running]


def handler(event, context):
    if "targets" in event:
        return reach(event["kind"], event["targets"], event["facts"])
    if event.get("ask") == "addresses":
        return addresses()
    if event.get("ask") == "listen":
        # Stays open for as long as the environment lives.
        LISTENERS.append(socket.create_server(("", event["port"]), family=socket.AF_INET6, dualstack_ipv6=True))
        return addresses()
    return run_all(event["probes"], event["facts"])


LISTENERS = []


def stage(probe):
    """Gives a control the namespaces in which it may do what it likes, and the user that it should be."""
    flags = 0
    for kind in probe.private:
        flags |= NAMESPACES[kind]
    if flags:
        user, group = os.getuid(), os.getgid()
        if user:
            flags |= NAMESPACES["user"]
        if LIBC.unshare(flags) == -1:
            raise OSError(ctypes.get_errno(), "unshare for the control")
        if user:
            for name, content in (("setgroups", "deny"), ("uid_map", "0 %d 1" % user), ("gid_map", "0 %d 1" % group)):
                with open("/proc/self/" + name, "w") as file:
                    file.write(content)
    if "mnt" in probe.private:
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        # Mounts to play with: a /tmp of one's own, and in it a read-only one.
        mount("tmpfs", "/tmp", "tmpfs", 0)
        os.mkdir("/tmp/read-only")
        mount("tmpfs", "/tmp/read-only", "tmpfs", 0)
        mount("none", "/tmp/read-only", "", MS_REMOUNT | MS_BIND | MS_RDONLY)
    if "pid" in probe.private:
        # The new pid namespace begins with the next child; the one waiting for it hands its outcome on by exiting.
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            os._exit(0)
    if probe.terminal:
        os.setsid()
        _, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    if probe.user and os.getuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)


def main():
    request = json.load(sys.stdin)
    print(json.dumps(run_all(request["probes"], request["facts"], stage)))


if __name__ == "__main__":
    main()
