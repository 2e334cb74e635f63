//! Which installed interpreter runs a function: the version that was asked for, or else the nearest.

use super::{Interpreter, Language};

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice<'a> {
    pub(super) interpreter: &'a Interpreter,
    /// Whether it is the version that was asked for.
    pub(super) exact: bool,
}

/// Chooses among `installed`. `wanted` is the minor version of Python or the major version of Node.js. If that is not
/// there, the next higher one is taken (languages keep what worked), and if there is none, the highest lower one.
/// Equal versions: the newest patch, then the smaller path, so that the same host always chooses the same.
pub(super) fn choose(
    installed: &[Interpreter],
    language: Language,
    wanted: u16,
) -> Option<Choice<'_>> {
    let candidates = || installed.iter().filter(|one| one.language == language);
    let release = |one: &Interpreter| one.release();
    let nearest = candidates()
        .map(release)
        .filter(|have| *have >= wanted)
        .min()
        .or_else(|| candidates().map(release).max())?;
    let interpreter = candidates()
        .filter(|one| release(one) == nearest)
        .max_by(|a, b| {
            a.version
                .cmp(&b.version)
                .then_with(|| b.executable.cmp(&a.executable))
        })?;
    Some(Choice {
        interpreter,
        exact: nearest == wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(version: [u16; 3], path: &str) -> Interpreter {
        Interpreter {
            language: Language::Python,
            version,
            executable: path.into(),
            prefix: "/usr".into(),
        }
    }

    fn chosen(installed: &[Interpreter], wanted: u16) -> (String, bool) {
        let choice = choose(installed, Language::Python, wanted).unwrap();
        (
            choice.interpreter.executable.display().to_string(),
            choice.exact,
        )
    }

    #[test]
    fn exact_then_higher_then_lower() {
        let installed = [
            python([3, 8, 1], "/8"),
            python([3, 11, 2], "/11"),
            python([3, 13, 0], "/13"),
        ];
        assert_eq!(chosen(&installed, 11), ("/11".to_owned(), true));
        assert_eq!(chosen(&installed, 12), ("/13".to_owned(), false));
        assert_eq!(chosen(&installed, 9), ("/11".to_owned(), false));
        assert_eq!(chosen(&installed, 14), ("/13".to_owned(), false));
        assert_eq!(choose(&installed, Language::NodeJs, 20), None);
    }

    #[test]
    fn equal_versions_are_chosen_the_same_way_in_any_order() {
        let mut installed = vec![
            python([3, 11, 2], "/b"),
            python([3, 11, 7], "/c"),
            python([3, 11, 7], "/a"),
        ];
        assert_eq!(chosen(&installed, 11).0, "/a");
        installed.reverse();
        assert_eq!(chosen(&installed, 11).0, "/a");
    }
}
