//! Folders of the host that functions share with others.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use hearth_sandbox::{Exit, LaunchError, SharedFolder, Spec};
use hearth_types::folder::Access;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::world::{World, is_root, write};

crate::tests![
    a_folder_is_read_and_not_written,
    what_is_written_is_the_owners,
    files_of_others_are_read_at_most needs "/usr/bin/python3",
    nothing_but_plain_files_is_made needs "/usr/bin/python3",
    sockets_of_the_host_are_not_reached needs "/usr/bin/python3",
    nothing_is_executed,
    links_lead_nowhere_else,
    the_next_environment_finds_what_the_last_one_left,
    folders_go_only_where_they_belong,
    a_folder_that_is_not_there_is_no_fault_of_the_function,
];

/// Who the folder belongs to, if the test may choose.
const OWNER: u32 = 4_321;

/// A folder of the host with one file that only its owner may read.
fn folder(world: &World) -> PathBuf {
    let folder = world.folder.path().join("shared");
    write(&folder.join("in/a.txt"), "hello");
    fs::set_permissions(folder.join("in/a.txt"), PermissionsExt::from_mode(0o600)).unwrap();
    if is_root() {
        for path in [folder.clone(), folder.join("in"), folder.join("in/a.txt")] {
            chown(path, Some(OWNER), Some(OWNER)).unwrap();
        }
    }
    folder
}

fn with(world: &World, script: &str, access: Access) -> Spec {
    let mut spec = world.script(script);
    spec.folders = vec![SharedFolder {
        source: world.folder.path().join("shared"),
        target: "/mnt/files".into(),
        access,
    }];
    spec
}

fn a_folder_is_read_and_not_written() {
    let world = World::new();
    let folder = folder(&world);
    let ran = world.run(with(
        &world,
        "cd /mnt/files; cat in/a.txt; stat -c ' %u:%g' in/a.txt; ls /mnt; for p in x in/x /mnt/x; do touch $p && echo wrote; done
         rm -f in/a.txt; echo more >>in/a.txt; mv in out",
        Access::Read,
    ));
    assert_eq!(ran.stdout, "hello 993:990\nfiles\n", "{ran:?}");
    assert_eq!(
        fs::read_to_string(folder.join("in/a.txt")).unwrap(),
        "hello"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    // Two folders, the same one twice among them, are no more than one each.
    let mut spec = with(
        &world,
        "cat /mnt/files/in/a.txt /mnt/again/in/a.txt",
        Access::Read,
    );
    let again = SharedFolder {
        target: "/mnt/again".into(),
        ..spec.folders[0].clone()
    };
    spec.folders.push(again);
    assert_eq!(world.run(spec).stdout, "hellohello");
}

fn what_is_written_is_the_owners() {
    let world = World::new();
    let folder = folder(&world);
    let owner = fs::metadata(&folder).unwrap().uid();
    let ran = world.run(with(
        &world,
        "cd /mnt/files; mkdir out && echo made >out/new && mv out/new out/b && echo more >>in/a.txt && rm -r out/none -f
         stat -c %u:%g out/b; touch /mnt/x; touch /mnt/files/../x",
        Access::ReadWrite,
    ));
    assert_eq!(ran.stdout, "993:990\n", "{ran:?}");
    assert_eq!(fs::read_to_string(folder.join("out/b")).unwrap(), "made\n");
    assert_eq!(fs::metadata(folder.join("out/b")).unwrap().uid(), owner);
    assert_eq!(
        fs::read_to_string(folder.join("in/a.txt")).unwrap(),
        "hellomore\n"
    );
}

fn files_of_others_are_read_at_most() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let folder = folder(&world);
    for (name, mode) in [("open", 0o666), ("closed", 0o600)] {
        write(&folder.join(name), name);
        fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode)).unwrap();
        chown(folder.join(name), Some(0), Some(0)).unwrap();
    }
    let ran = world.run(with(
        &world,
        "cd /mnt/files; stat -c %u open; cat open; echo x >>open; cat closed; chmod 666 closed",
        Access::ReadWrite,
    ));
    assert_eq!(ran.stdout, "65534\nopen", "{ran:?}");
    assert_eq!(fs::read_to_string(folder.join("open")).unwrap(), "open");
}

/// Tries all that a shared folder should not get; says what it got.
const ABUSE: &str = r#"
import os, socket, stat
os.chdir("/mnt/files")
def tries(name, act):
    try:
        act()
        print(name)
    except OSError:
        pass
def program(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o755))
    return path
tries("plain", lambda: program("plain"))
tries("chmod", lambda: os.chmod(program("chmod"), 0o4755))
tries("fchmod", lambda: os.fchmod(os.open(program("fchmod"), os.O_RDONLY), 0o2755))
tries("open", lambda: os.open("open", os.O_CREAT | os.O_WRONLY, 0o4755))
tries("tmpfile", lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755))
tries("mknod", lambda: os.mknod("mknod", stat.S_IFREG | 0o4755))
tries("device", lambda: os.mknod("device", stat.S_IFCHR | 0o666, os.makedev(1, 3)))
tries("fifo", lambda: os.mkfifo("fifo"))
tries("socket", lambda: socket.socket(socket.AF_UNIX).bind("socket"))
tries("socket node", lambda: os.mknod("node", stat.S_IFSOCK | 0o666))
tries("symlink", lambda: os.symlink("/etc/passwd", "symlink"))
tries("chown", lambda: os.chown("plain", 65534, 65534))
"#;

fn nothing_but_plain_files_is_made() {
    let world = World::new();
    let folder = folder(&world);
    world.code("abuse.py", ABUSE);
    let ran = world.run(with(
        &world,
        "/usr/bin/python3 /var/task/abuse.py",
        Access::ReadWrite,
    ));
    assert_eq!(
        (ran.stdout.as_str(), ran.exit),
        ("plain\n", Exit::Code(0)),
        "{ran:?}"
    );
    for entry in fs::read_dir(&folder).unwrap() {
        let found = entry.unwrap().metadata().unwrap();
        assert!(found.is_file() || found.is_dir());
        assert_eq!(found.mode() & 0o6000, 0);
    }
}

/// Tries every way to a socket in a folder; then what programs need, which works.
const KNOCK: &str = r#"
import os, socket
os.chdir("/mnt/files")
def tries(name, act):
    try:
        act()
        print(name)
    except PermissionError:
        pass
def pair(kind):
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    a.send(b"x")
    assert b.recv(1) == b"x"
    return a
tries("connect", lambda: socket.socket(socket.AF_UNIX).connect("stream"))
tries("send", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"in", "datagram"))
tries("send from a pair", lambda: pair(socket.SOCK_DGRAM).sendto(b"in", "datagram"))
tries("reconnect a pair", lambda: pair(socket.SOCK_DGRAM).connect("datagram"))
for kind, name in (socket.SOCK_STREAM, "stream"), (socket.SOCK_SEQPACKET, "packets"):
    try:
        pair(kind).connect(name)
        print("connect a pair")
    except OSError as error:
        print(os.strerror(error.errno))
socket.socket(socket.AF_INET)
"#;

fn listen_for_packets(path: &Path) -> OwnedFd {
    let kind = SocketType::SEQPACKET;
    let listener = rustix::net::socket(AddressFamily::UNIX, kind, None).unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    listener
}

fn sockets_of_the_host_are_not_reached() {
    let world = World::new();
    let folder = folder(&world);
    let (stream, datagram) = (folder.join("stream"), folder.join("datagram"));
    let listener = UnixListener::bind(&stream).unwrap();
    let mailbox = UnixDatagram::bind(&datagram).unwrap();
    let packets = folder.join("packets");
    let _packets = listen_for_packets(&packets);
    if is_root() {
        for path in [&stream, &datagram, &packets] {
            chown(path, Some(OWNER), Some(OWNER)).unwrap();
        }
    }
    // Outside they answer.
    UnixStream::connect(&stream).unwrap();
    let outside = UnixDatagram::unbound().unwrap();
    outside.send_to(b"out", &datagram).unwrap();
    listener.accept().unwrap();
    mailbox.recv(&mut [0; 8]).unwrap();
    listener.set_nonblocking(true).unwrap();
    mailbox.set_nonblocking(true).unwrap();
    world.code("knock.py", KNOCK);
    for access in [Access::Read, Access::ReadWrite] {
        let ran = world.run(with(&world, "/usr/bin/python3 /var/task/knock.py", access));
        let connected = "Transport endpoint is already connected\n".repeat(2);
        assert_eq!(
            (ran.stdout.as_str(), ran.exit),
            (connected.as_str(), Exit::Code(0)),
            "{access:?}: {ran:?}"
        );
        assert!(listener.accept().is_err() && mailbox.recv(&mut [0; 8]).is_err());
    }
}

fn nothing_is_executed() {
    let world = World::new();
    let folder = folder(&world);
    fs::copy("/bin/true", folder.join("program")).unwrap();
    fs::set_permissions(folder.join("program"), PermissionsExt::from_mode(0o755)).unwrap();
    for access in [Access::Read, Access::ReadWrite] {
        let ran = world.run(with(&world, "/mnt/files/program; echo $?", access));
        assert_eq!(ran.stdout, "126\n", "{ran:?}");
    }
}

fn links_lead_nowhere_else() {
    let world = World::new();
    let folder = folder(&world);
    let secret = world.folder.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    symlink(&secret, folder.join("absolute")).unwrap();
    symlink("../secret", folder.join("relative")).unwrap();
    let ran = world.run(with(
        &world,
        "cd /mnt/files; cat absolute relative; ls ..",
        Access::ReadWrite,
    ));
    assert_eq!(ran.stdout, "files\n", "{ran:?}");
}

fn the_next_environment_finds_what_the_last_one_left() {
    let world = World::new();
    folder(&world);
    // As root each is another user of the host.
    for expected in ["", "1\n", "1\n1\n"] {
        let script = "cat /mnt/files/count 2>&-; echo 1 >>/mnt/files/count";
        let ran = world.run(with(&world, script, Access::ReadWrite));
        assert_eq!(
            (ran.stdout.as_str(), ran.exit),
            (expected, Exit::Code(0)),
            "{ran:?}"
        );
    }
}

fn folders_go_only_where_they_belong() {
    let world = World::new();
    folder(&world);
    for target in [
        "/mnt", "/mnt/", "/mnt/a/b", "/mnt/..", "/mnt/.", "/tmp/a", "/etc", "mnt/a", "/",
    ] {
        let mut spec = with(&world, "true", Access::Read);
        spec.folders[0].target = target.into();
        let refused = world.wait(world.launcher.launch(spec)).unwrap_err();
        assert!(
            matches!(refused, LaunchError::Spec(_)),
            "{target}: {refused}"
        );
    }
}

fn a_folder_that_is_not_there_is_no_fault_of_the_function() {
    let world = World::new();
    let folder = folder(&world);
    fs::rename(&folder, world.folder.path().join("away")).unwrap();
    let refused = || world.wait(world.launcher.launch(with(&world, "true", Access::Read)));
    assert!(matches!(refused().unwrap_err(), LaunchError::Folder { .. }));
    symlink(world.folder.path().join("away"), &folder).unwrap();
    assert!(matches!(refused().unwrap_err(), LaunchError::Folder { .. }));
    fs::remove_file(&folder).unwrap();
    fs::write(&folder, "a file").unwrap();
    assert!(matches!(refused().unwrap_err(), LaunchError::Folder { .. }));
    // Nothing is left behind that would keep others from starting.
    assert_eq!(world.sh("echo on").stdout, "on\n");
}
