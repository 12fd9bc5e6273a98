//! What is written in the head of a script or a library: the engine, a name, flags; and the libraries themselves.

use super::vm::Place;
use crate::resp;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// What a script says it will not do, or may do (`#!lua flags=no-writes`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    pub const NO_WRITES: Flags = Flags(1);
    pub const ALLOW_OOM: Flags = Flags(2);
    pub const ALLOW_STALE: Flags = Flags(4);
    pub const NO_CLUSTER: Flags = Flags(8);
    pub const ALLOW_CROSS_SLOT: Flags = Flags(16);

    const NAMES: [(Flags, &'static str); 5] = [
        (Flags::NO_WRITES, "no-writes"),
        (Flags::ALLOW_OOM, "allow-oom"),
        (Flags::ALLOW_STALE, "allow-stale"),
        (Flags::NO_CLUSTER, "no-cluster"),
        (Flags::ALLOW_CROSS_SLOT, "allow-cross-slot-keys"),
    ];

    pub fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    /// These and the one of this name; `None` where there is none of it.
    pub fn with(self, name: &str) -> Option<Flags> {
        let (flag, _) = Self::NAMES.iter().find(|(_, known)| *known == name)?;
        Some(Flags(self.0 | flag.0))
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| *name)
    }
}

/// The head of a script: its flags, if it has a head, and where the text begins that Lua is given. The line end stays, so
/// that lines are counted as the user does.
///
/// # Errors
/// What is wrong with it.
pub fn script_head(text: &[u8]) -> Result<(Option<Flags>, &[u8]), String> {
    if !text.starts_with(b"#!") {
        return Ok((None, text));
    }
    let (head, rest) = head_line(text).ok_or("Invalid script shebang")?;
    let words = words(head).ok_or("Invalid engine in script shebang")?;
    let mut words = words.iter();
    match words.next().map(String::as_str) {
        Some("#!lua") => {}
        Some(other) => return Err(format!("Unexpected engine in script shebang: {other}")),
        None => return Err("Invalid engine in script shebang".to_string()),
    }
    let mut flags = Flags::default();
    for part in words {
        let Some(names) = part.strip_prefix("flags=") else {
            return Err(format!("Unknown lua shebang option: {part}"));
        };
        for name in names.split(',').filter(|_| !names.is_empty()) {
            flags = flags.with(name).ok_or_else(|| format!("Unexpected flag in script shebang: {name}"))?;
        }
    }
    Ok((Some(flags), rest))
}

fn head_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', text)?;
    Some(text.split_at(end))
}

/// The words of a head, which may be quoted; `None` where quotes do not close.
fn words(head: &[u8]) -> Option<Vec<String>> {
    Some(resp::words(head)?.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// The name of a library and the text that Lua is given.
///
/// # Errors
/// What is wrong with its head.
pub fn library_head(text: &[u8]) -> Result<(String, &[u8]), String> {
    if !text.starts_with(b"#!") {
        return Err("Missing library metadata".to_string());
    }
    let (head, rest) = head_line(text).ok_or("Invalid library metadata")?;
    let words = words(head).filter(|words| !words.is_empty()).ok_or("Invalid library metadata")?;
    let engine = &words[0][2..];
    let mut name = None;
    for part in &words[1..] {
        match part.split_at_checked(5) {
            Some((key, value)) if key.eq_ignore_ascii_case("name=") => {
                if name.replace(value.to_string()).is_some() {
                    return Err("Invalid metadata value, name argument was given multiple times".to_string());
                }
            }
            _ => return Err(format!("Invalid metadata value given: {part}")),
        }
    }
    let name = name.ok_or("Library name was not given")?;
    let name = checked_name(name.into_bytes())?;
    if !engine.eq_ignore_ascii_case("lua") {
        return Err(format!("Engine '{engine}' not found"));
    }
    Ok((name, rest))
}

/// The name of a library or of a function, which is made of letters, digits and underscores.
pub fn checked_name(name: Vec<u8>) -> Result<String, &'static str> {
    let fits = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    String::from_utf8(name).ok().filter(|_| fits).ok_or(
        "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
    )
}

/// A function as `redis.register_function` was given it.
pub struct Registered {
    pub name: String,
    pub description: Option<Vec<u8>>,
    pub flags: Flags,
    pub callback: mlua::Function,
}

/// A function that can be called.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub name: Rc<str>,
    pub description: Option<Vec<u8>>,
    pub flags: Flags,
    pub place: Place,
}

/// A library: the text that it was loaded from, head included, and what that has registered.
#[derive(Clone, Debug)]
pub struct Library {
    pub code: Vec<u8>,
    pub functions: Vec<Rc<Loaded>>,
}

/// All libraries. A function's name is unique among all of them, whatever its case.
#[derive(Clone, Debug, Default)]
pub struct Libraries {
    libraries: BTreeMap<String, Library>,
    /// In lower case: library, and place in its list.
    functions: HashMap<String, (String, usize), ahash::RandomState>,
}

impl Libraries {
    pub fn len(&self) -> usize {
        self.libraries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.libraries.is_empty()
    }

    /// How many functions all of them have.
    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Library)> {
        self.libraries.iter().map(|(name, library)| (name.as_str(), library))
    }

    pub fn get(&self, name: &str) -> Option<&Library> {
        self.libraries.get(name)
    }

    /// The function of this name.
    pub fn function(&self, name: &[u8]) -> Option<&Rc<Loaded>> {
        let lower = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        let (library, index) = self.functions.get(&lower)?;
        self.libraries.get(library)?.functions.get(*index)
    }

    /// Adds a library in place of the one of its name; which one that was.
    ///
    /// # Errors
    /// Another library has a function of the same name. Then nothing has changed.
    pub fn put(&mut self, name: String, library: Library) -> Result<Option<Library>, String> {
        for function in &library.functions {
            let there = self.functions.get(&function.name.to_ascii_lowercase());
            if there.is_some_and(|(owner, _)| *owner != name) {
                return Err(format!("Function {} already exists", function.name));
            }
        }
        let old = self.remove(&name);
        for (index, function) in library.functions.iter().enumerate() {
            self.functions.insert(function.name.to_ascii_lowercase(), (name.clone(), index));
        }
        self.libraries.insert(name, library);
        Ok(old)
    }

    pub fn remove(&mut self, name: &str) -> Option<Library> {
        let library = self.libraries.remove(name)?;
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        Some(library)
    }

    /// Bytes of all texts, and of what is kept beside them.
    pub fn memory(&self) -> usize {
        let of = |library: &Library| {
            let functions = library.functions.iter();
            let names =
                functions.map(|f| size_of::<Loaded>() + 2 * f.name.len() + f.description.as_ref().map_or(0, Vec::len));
            size_of::<Library>() + library.code.len() + names.sum::<usize>()
        };
        self.libraries.iter().map(|(name, library)| name.len() + of(library)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_scripts() {
        assert_eq!(script_head(b"return 1"), Ok((None, &b"return 1"[..])));
        let (flags, rest) = script_head(b"#!lua flags=no-writes,allow-oom\nreturn 1").unwrap();
        assert_eq!(flags.unwrap().names().collect::<Vec<_>>(), ["no-writes", "allow-oom"]);
        assert_eq!(rest, b"\nreturn 1");
        let error = |text: &[u8]| script_head(text).unwrap_err();
        assert_eq!(script_head(b"#!lua flags=\nx"), Ok((Some(Flags::default()), &b"\nx"[..])));
        assert_eq!(error(b"#!lua flags=no-writes,\n"), "Unexpected flag in script shebang: ");
        assert_eq!(error(b"#!lua"), "Invalid script shebang");
        assert_eq!(error(b"#!not-lua\n"), "Unexpected engine in script shebang: #!not-lua");
        assert_eq!(error(b"#!lua badger=data\n"), "Unknown lua shebang option: badger=data");
        assert_eq!(error(b"#!lua flags=allow-oom,what?\n"), "Unexpected flag in script shebang: what?");
    }

    #[test]
    fn heads_of_libraries() {
        assert_eq!(library_head(b"#!lua name=a_1\nx"), Ok(("a_1".to_string(), &b"\nx"[..])));
        let error = |text: &[u8]| library_head(text).unwrap_err();
        assert_eq!(error(b"return 1"), "Missing library metadata");
        assert_eq!(error(b"#!lua name=a"), "Invalid library metadata");
        assert_eq!(error(b"#!lua\n"), "Library name was not given");
        assert_eq!(error(b"#!js name=a\n"), "Engine 'js' not found");
        assert_eq!(error(b"#!lua name=a name=b\n"), "Invalid metadata value, name argument was given multiple times");
        assert_eq!(error(b"#!lua name=a foo=b\n"), "Invalid metadata value given: foo=b");
        assert!(error(b"#!lua name=a-b\n").starts_with("Library names can only contain"));
    }
}
