//! The shape of the source, checked: layers and owners of crates as the table in `src/lib.rs` says, a page for every
//! file, files that one can read, nothing left undone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Files of more than this many lines need a reason here.
const LINES_MAX: usize = 800;
const LONG_FILES: &[(&str, &str)] = &[];

/// External crates that one folder (or file) alone may name.
const OWNERS: &[(&str, &[&str])] = &[
    ("redis_protocol", &["resp"]),
    ("sled", &["store"]),
    ("openraft", &["consensus", "store"]), // the group's log store implements openraft's storage traits
    ("clap", &["main"]),
    ("mlua", &["script"]),
    ("rmp", &["script"]),
    ("socket2", &["runtime"]),
    ("sd_notify", &["runtime"]),
    ("getrandom", &["runtime"]),
    ("tokio_rustls", &["runtime"]),
];

/// Who may name tokio at all: the loop, the peers' protocol (traits and timers), and the assemblies.
const TOKIO: &[&str] = &["runtime", "consensus", "node", "sentinel"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(under)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a directory can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file can be read");
                found.push((path, text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty() || under != "src", "no sources under {under}");
    found
}

/// The folder or top-level file that a path of `src` belongs to.
fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).expect("a path of src");
    let first = inside.components().next().expect("not empty").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_string()
}

/// Module -> layer, from the table in `src/lib.rs`.
fn layers() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! layer "));
    rows.map(|row| {
        let mut words = row.split_whitespace();
        let layer = words.next().and_then(|word| word.parse().ok()).expect("a layer's number");
        (words.next().expect("a layer's folder").to_string(), layer)
    })
    .collect()
}

/// The code of a file without comments, strings left as they are.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn arrows_point_down() {
    let layers = layers();
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let from = module_of(&path);
        if from == "lib" || from == "main" {
            continue;
        }
        let Some(&own) = layers.get(&from) else {
            wrong.push(format!("{}: `{from}` is not in the table of src/lib.rs", path.display()));
            continue;
        };
        for (line, words) in code(&text) {
            for target in words.split("crate::").skip(1) {
                let name: String = target.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let to = layers.get(&name).copied();
                if name != from && to.is_some_and(|to| to >= own) {
                    wrong.push(format!("{}:{line}: {from} (layer {own}) imports {name}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_have_owners() {
    let mut wrong = Vec::new();
    let owned = OWNERS.iter().copied().chain([("tokio", TOKIO)]);
    let owned: Vec<_> = owned.collect();
    for (path, text) in sources("src") {
        let module = module_of(&path);
        for (line, words) in code(&text) {
            for (name, owners) in &owned {
                let named = words.contains(&format!("{name}::")) || words.contains(&format!("use {name};"));
                if named && !owners.contains(&module.as_str()) {
                    wrong.push(format!("{}:{line}: {name} belongs to {}", path.display(), owners.join(", ")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_why_it_is_there() {
    let missing: Vec<_> = ["src", "tests", "benches"]
        .into_iter()
        .flat_map(sources)
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(missing.is_empty(), "no //! at the top of:\n{}", missing.join("\n"));
}

#[test]
fn files_are_readable() {
    let long: Vec<_> = ["src", "tests", "benches"]
        .into_iter()
        .flat_map(sources)
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .map(|(path, text)| (path.strip_prefix(root()).expect("inside").display().to_string(), text.lines().count()))
        .filter(|(path, _)| !LONG_FILES.iter().any(|(known, _)| known == path))
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines, without a recorded reason:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_undone() {
    let words = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut found = Vec::new();
    for (path, text) in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        for (at, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Held while the README is read and written: its two lists are tested side by side.
static README: Mutex<()> = Mutex::new(());

/// The README's list between these two marks is the table; `UPDATE=1` writes it.
fn check_list(mark: &str, table: &[String]) {
    let _held = README.lock();
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let (start, end) = (format!("<!-- {mark} -->\n"), format!("\n<!-- /{mark} -->"));
    let start = readme.find(&start).expect("the list's start") + start.len();
    let end = readme.find(&end).expect("the list's end");
    if std::env::var_os("UPDATE").is_some() {
        let written = format!("{}{}{}", &readme[..start], shown(table), &readme[end..]);
        fs::write(&path, written).expect("README.md can be written");
        return;
    }
    let listed: Vec<&str> = readme[start..end].split('`').skip(1).step_by(2).collect();
    assert_eq!(listed, table, "README.md's list of {mark} is not the table (UPDATE=1 cargo test --test tidy)");
}

#[test]
fn the_readme_lists_every_command() {
    let mut table: Vec<String> = regent::command::table::all().map(|spec| spec.name.to_uppercase()).collect();
    table.sort();
    check_list("commands", &table);
}

#[test]
fn the_readme_lists_every_command_of_a_sentinel() {
    let rows = regent::monitor::table::all().iter();
    let rows = rows.flat_map(|row| std::iter::once(row).filter(|row| row.subs.is_empty()).chain(&row.subs));
    let table: Vec<String> = rows.map(|row| row.full_name().replace('|', " ").to_uppercase()).collect();
    check_list("sentinel commands", &table);
}

/// A directive of the table either does what it says or is told to be idle: nobody sets one in vain unknowingly.
#[test]
fn directives_are_obeyed_or_told_of() {
    let others: String = sources("src").iter().filter(|(path, _)| !is_config(path)).map(|(_, text)| &**text).collect();
    let reads = |field: &str| {
        let ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
        let name = format!(".{field}");
        others.match_indices(&name).any(|(at, _)| ends(&others[at + name.len()..]))
    };
    for directive in regent::config::directives().iter().filter(|directive| directive.field.is_some()) {
        let read = reads(&directive.name.replace('-', "_"));
        assert!(
            read,
            "{}: nothing outside config/ reads it; what has no meaning belongs to config/kept.rs",
            directive.name
        );
    }
}

/// All of config/ but what it answers for others out of the settings.
fn is_config(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "config") && !path.ends_with("config/config.rs")
}

/// As the README shows them, in lines of 120 at most.
fn shown(table: &[String]) -> String {
    let (mut text, mut width) = (String::new(), 0);
    for name in table {
        let word = name.len() + 2;
        match width {
            0 => {}
            _ if width + 1 + word > 120 => (text, width) = (text + "\n", 0),
            _ => (text, width) = (text + " ", width + 1),
        }
        text += &format!("`{name}`");
        width += word;
    }
    text
}
