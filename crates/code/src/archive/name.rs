//! Names of entries: from bytes that anyone may have written to a path that can't leave its folder.

/// Bytes of one component (`NAME_MAX` of every common Linux file system, limits.h).
const COMPONENT_BYTES: usize = 255;
/// Bytes of a whole path. `PATH_MAX` is 4,096; what remains is for the folder in front and for mount points.
const PATH_BYTES: usize = 1_024;
/// Components of a path: several times what `node_modules` reaches, and far from any recursion bound.
const DEPTH: usize = 64;

/// Characters of a name that an error shows.
const SHOWN: usize = 80;

/// The path that an entry's name stands for: components joined by `/`, none of them empty, `.` or `..`. Empty for the
/// folder itself (`./`).
///
/// # Errors
/// The rule that the name breaks.
pub(super) fn path(raw: &[u8]) -> Result<String, &'static str> {
    let Ok(text) = std::str::from_utf8(raw) else {
        return Err("has a name that is not UTF-8");
    };
    if text.contains('\\') {
        return Err("has a backslash in its name; use '/' between folders");
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character in its name");
    }
    if text.starts_with('/') {
        return Err("has an absolute path");
    }
    if text.as_bytes().get(1) == Some(&b':') && text.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        return Err("has a drive letter in its path");
    }
    let mut path = String::with_capacity(text.len());
    let mut depth = 0;
    for component in text.split('/') {
        match component {
            "" | "." => continue,
            ".." => return Err("has '..' in its path"),
            _ if component.len() > COMPONENT_BYTES => {
                return Err("has a name of more than 255 bytes");
            }
            _ => {}
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(component);
        depth += 1;
    }
    if path.len() > PATH_BYTES {
        return Err("has a path of more than 1024 bytes");
    }
    if depth > DEPTH {
        return Err("lies more than 64 folders deep");
    }
    Ok(path)
}

/// A name as an error shows it: printable and short.
pub(super) fn shown(raw: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(raw)
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    format!("'{text}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_become_paths() {
        for (name, expected) in [
            ("a.py", "a.py"),
            ("./a/./b//c", "a/b/c"),
            ("dir/", "dir"),
            ("./", ""),
            ("..data/x...", "..data/x..."),
            ("naïve/日本", "naïve/日本"),
            ("a b:c", "a b:c"),
        ] {
            assert_eq!(path(name.as_bytes()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = "a".repeat(256);
        let deep = "d/".repeat(65);
        let wide = format!("{}/", "b".repeat(200)).repeat(6);
        let bad: [&[u8]; 15] = [
            b"../x",
            b"a/../../x",
            b"a/..",
            b"..",
            b"/etc/passwd",
            b"//x",
            b"a\\b",
            b"..\\x",
            b"C:/x",
            b"c:x",
            b"a\0b",
            b"a\nb",
            long.as_bytes(),
            deep.as_bytes(),
            wide.as_bytes(),
        ];
        for name in bad {
            assert!(path(name).is_err(), "{}", shown(name));
        }
        assert!(path(b"caf\xe9").is_err(), "not UTF-8");
    }

    #[test]
    fn a_hostile_name_is_shown_short_and_printable() {
        let text = shown(&[b'\x1b'; 10_000]);
        assert!(text.len() < 1_000 && !text.contains('\x1b'));
    }
}
