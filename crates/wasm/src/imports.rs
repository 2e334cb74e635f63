//! What a component imports, against what the linker offers.
//!
//! A linker's own check stops at the first import that is missing, and only after the component was compiled. Here all
//! are named at once, before. A linker does not list what it has, but it refuses to define a name twice: that is asked.

use wasmtime::component::Linker;

use crate::inspect::quoted;

/// Patch and minor releases that are asked for when a version is looked for. WASI 0.2 is at 0.2.12.
const RELEASES: u64 = 48;

/// One import of a component.
pub(crate) struct Import {
    name: String,
    kind: Kind,
}

enum Kind {
    /// An interface, with the functions that are used of it.
    Interface(Vec<String>),
    /// A function, resource or module by itself.
    Item,
    /// A type that others are made of.
    Type,
}

impl Import {
    pub(crate) fn of_interface(name: String, functions: Vec<String>) -> Self {
        Self {
            name,
            kind: Kind::Interface(functions),
        }
    }

    pub(crate) fn of_item(name: String) -> Self {
        Self {
            name,
            kind: Kind::Item,
        }
    }

    pub(crate) fn of_type(name: String) -> Self {
        Self {
            name,
            kind: Kind::Type,
        }
    }
}

/// Says of each import that `linker` does not offer what is wrong with it. Types of functions are not compared: that is
/// left to the linker.
pub(crate) fn missing<T: 'static>(linker: &Linker<T>, imports: &[Import]) -> Vec<String> {
    let mut missing = Vec::new();
    for import in imports {
        let offered = Offered(linker);
        match &import.kind {
            Kind::Type => {}
            Kind::Item if offered.has(&import.name) => {}
            Kind::Item => missing.push(offered.unknown(&import.name)),
            Kind::Interface(functions) => match offered.resolve(&import.name) {
                Some(name) => missing.extend(offered.lacks(&name, functions).map(|function| {
                    format!(
                        "function {} of {} (which is offered as {}, without it)",
                        quoted(function),
                        quoted(&import.name),
                        quoted(&name)
                    )
                })),
                // Nothing is asked of it: any instance will do, even none.
                None if functions.is_empty() => {}
                None => missing.push(offered.unknown(&import.name)),
            },
        }
    }
    missing
}

/// What a linker offers.
struct Offered<'a, T: 'static>(&'a Linker<T>);

impl<T: 'static> Offered<'_, T> {
    /// Whether exactly this name is defined.
    fn has(&self, name: &str) -> bool {
        defines(&mut self.0.clone().root(), name)
    }

    /// Those of `functions` that the interface defined under exactly this name does not have.
    fn lacks<'f>(
        &self,
        interface: &str,
        functions: &'f [String],
    ) -> impl Iterator<Item = &'f String> + use<'f, T> {
        let mut scratch = self.0.clone();
        let interface = interface.to_owned();
        functions.iter().filter(move |function| {
            // Opening what is there already changes nothing.
            !scratch
                .instance(&interface)
                .is_ok_and(|mut instance| defines(&mut instance, function))
        })
    }

    /// The name under which the linker will find an interface: this one, or the newest compatible one.
    fn resolve(&self, name: &str) -> Option<String> {
        if self.has(name) {
            return Some(name.to_owned());
        }
        let (interface, version) = Version::of(name)?;
        let compatible: Vec<Version> = match version {
            Version(0, 0, _) => Vec::new(),
            Version(0, minor, _) => (0..RELEASES)
                .map(|patch| Version(0, minor, patch))
                .collect(),
            Version(major, ..) => (0..RELEASES)
                .flat_map(|minor| (0..RELEASES).map(move |patch| Version(major, minor, patch)))
                .collect(),
        };
        self.newest(interface, compatible)
    }

    /// The newest of `versions`, which are in ascending order, under which an interface is defined.
    fn newest(&self, interface: &str, versions: Vec<Version>) -> Option<String> {
        let mut scratch = self.0.clone();
        let mut root = scratch.root();
        versions
            .into_iter()
            .rev()
            .map(|Version(major, minor, patch)| format!("{interface}@{major}.{minor}.{patch}"))
            .find(|name| defines(&mut root, name))
    }

    /// Says of something that is not offered what is offered in its place.
    fn unknown(&self, name: &str) -> String {
        let interface = name
            .split_once('@')
            .map_or(name, |(interface, _)| interface);
        if interface.starts_with("wasi:sockets/") {
            return format!("{} (sockets are denied: use `wasi:http`)", quoted(name));
        }
        if interface.starts_with("wasi:nn/") || interface.starts_with("wasi:gfx/") {
            return format!("{} (there is no such device)", quoted(name));
        }
        let offered: Vec<_> = [(0, 1), (0, 2), (0, 3), (0, 4), (1, 0)]
            .into_iter()
            .filter_map(|(major, minor)| {
                let versions = (0..RELEASES).map(|patch| Version(major, minor, patch));
                self.newest(interface, versions.collect())
            })
            .filter_map(|name| Some(name.split_once('@')?.1.to_owned()))
            .collect();
        if offered.is_empty() {
            quoted(name)
        } else {
            format!("{} (offered: version {})", quoted(name), offered.join(", "))
        }
    }
}

/// Whether `name` is defined already. If it was not, it is now: only for a linker that is thrown away, and for one
/// question a name.
fn defines<T: 'static>(
    instance: &mut wasmtime::component::LinkerInstance<'_, T>,
    name: &str,
) -> bool {
    instance.func_new(name, |_, _, _, _| Ok(())).is_err()
}

/// Major, minor, patch. Drafts (`0.2.0-rc-…`) are compatible with nothing else and have none.
#[derive(Clone, Copy)]
struct Version(u64, u64, u64);

impl Version {
    /// An interface's name without its version, and the version.
    fn of(name: &str) -> Option<(&str, Self)> {
        let (interface, version) = name.split_once('@')?;
        let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some((interface, version))
    }
}
