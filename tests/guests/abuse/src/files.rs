//! The file system: what is there, and what can be reached from it.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use wasip2::filesystem::types::Descriptor;

/// What each attempt came to.
pub(crate) fn try_everything() -> Vec<String> {
    let mut lines = Vec::new();
    let mut note = |name: &str, result: std::io::Result<String>| {
        lines.push(match result {
            Ok(text) => format!("{name}=ok {text}"),
            Err(error) => format!("{name}=refused {error}"),
        });
    };
    let preopens = wasip2::filesystem::preopens::get_directories();
    note(
        "preopens",
        Ok(preopens
            .iter()
            .map(|(_, name)| name.as_str())
            .collect::<Vec<_>>()
            .join(",")),
    );
    note(
        "write",
        fs::write("/tmp/own", "mine").map(|()| String::new()),
    );
    note("read", fs::read_to_string("/tmp/own"));
    note("list", names("/tmp"));
    note(
        "remove",
        fs::remove_file("/tmp/own").map(|()| String::new()),
    );
    for path in [
        "/etc/passwd",
        "/etc/hostname",
        "/proc/self/environ",
        "/tmp/../etc/passwd",
        "/tmp/../../../../etc/passwd",
        "../etc/passwd",
        "/tmp/./..//etc/passwd",
        "/tmp/own/../../etc/passwd",
    ] {
        note(&format!("read {path}"), fs::read_to_string(path));
    }
    for path in ["/", "/etc", "/proc", "/dev", "/tmp/.."] {
        note(&format!("list {path}"), names(path));
    }
    for path in ["/escaped", "/tmp/../escaped", "/dev/shm/escaped"] {
        note(
            &format!("write {path}"),
            fs::write(path, "escaped").map(|()| String::new()),
        );
    }
    for (number, target) in ["/etc/passwd", "../../../etc/passwd", "/", ".."]
        .into_iter()
        .enumerate()
    {
        let link = format!("/tmp/link-{number}");
        let made = link_in_tmp(&preopens, target, &link);
        note(
            &format!("link to {target}"),
            made.and_then(|()| fs::read_to_string(&link)),
        );
        note(&format!("list through link to {target}"), names(&link));
        note(
            &format!("walk through link to {target}"),
            fs::read_to_string(format!("{link}/etc/passwd")),
        );
        let _ = fs::remove_file(&link);
    }
    note(
        "hard link",
        fs::hard_link("/etc/passwd", "/tmp/hard").and_then(|()| fs::read_to_string("/tmp/hard")),
    );
    note(
        "rename out",
        fs::write("/tmp/moved", "x")
            .and_then(|()| fs::rename("/tmp/moved", "/tmp/../moved"))
            .map(|()| String::new()),
    );
    lines
}

/// The standard library makes no links here: the interface itself does.
fn link_in_tmp(preopens: &[(Descriptor, String)], target: &str, link: &str) -> std::io::Result<()> {
    let tmp = preopens.iter().find(|(_, name)| name == "/tmp");
    let (tmp, _) = tmp.ok_or(std::io::ErrorKind::NotFound)?;
    tmp.symlink_at(target, link.trim_start_matches("/tmp/"))
        .map_err(|code| std::io::Error::other(code.name()))
}

fn names(path: impl AsRef<Path>) -> std::io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(","))
}

/// Writes until it is refused, in one file and then in many.
pub(crate) fn fill() -> Vec<String> {
    const TOO_MANY_MIB: u32 = 4096;
    const TOO_MANY_FILES: u32 = 1_000_000;
    let block = vec![b'x'; 1 << 20];
    let mut written = 0;
    let refused = match fs::File::create("/tmp/full") {
        Err(error) => error.to_string(),
        Ok(mut file) => loop {
            match file.write_all(&block) {
                Err(error) => break error.to_string(),
                Ok(()) if written == TOO_MANY_MIB => break "never".to_owned(),
                Ok(()) => written += 1,
            }
        },
    };
    let _ = fs::remove_file("/tmp/full");
    let files = (0..TOO_MANY_FILES).find(|number| fs::write(format!("/tmp/{number}"), "").is_err());
    vec![
        format!("mib={written}"),
        format!("refused={refused}"),
        format!("files={files:?}"),
    ]
}
