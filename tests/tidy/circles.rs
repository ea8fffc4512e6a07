//! No circles among a room's own modules: of those that stand side by side none knows another that knows it, by whatever way round.
//!
//! A module and what stands in its folder are one: a face names its rooms, and they take what they share from it. A name that
//! a face hands on is its owner's. What is called as a method of a shared type is not seen.

use std::collections::{BTreeMap, BTreeSet};

/// A module: `["operate", "dlq", "list"]`.
pub(crate) type Module = Vec<String>;

/// A path that a module names, and what it calls it.
type Named = (Vec<String>, String);

/// Who knows whom, in a line for each pair of modules within a circle. `all` is each module's code, without its tests.
pub(crate) fn circles(all: &BTreeMap<Module, String>) -> Vec<String> {
    let named: BTreeMap<&Module, Vec<Named>> = all.iter().map(|(module, code)| (module, names(code))).collect();
    let mut handed_on = BTreeMap::new();
    for (module, names) in &named {
        for (path, alias) in names {
            if let Some(path) = absolute(all, module, path) {
                handed_on.insert([module.as_slice(), std::slice::from_ref(alias)].concat(), path);
            }
        }
    }
    let mut knows: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, names) in &named {
        for (path, _) in names {
            let Some(path) = absolute(all, module, path) else { continue };
            let owner = owner(all, &handed_on, path);
            let shared = module.iter().zip(&owner).take_while(|(one, other)| one == other).count();
            // rooms have a table of their own; what stands in one line of descent is one
            if shared > 0 && shared < module.len().min(owner.len()) {
                knows.entry(module[..=shared].to_vec()).or_default().insert(owner[..=shared].to_vec());
            }
        }
    }
    let mut found = Vec::new();
    for (one, others) in &knows {
        for other in others.iter().filter(|other| reaches(&knows, other, one)) {
            found.push(format!("{} knows {}, which knows it", one.join("/"), other.join("/")));
        }
    }
    found
}

/// Whether `from` knows `to`, or one that does.
fn reaches(knows: &BTreeMap<Module, BTreeSet<Module>>, from: &Module, to: &Module) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            next.extend(knows.get(module).into_iter().flatten());
        }
    }
    false
}

/// What a module's code names: by `use`, and by paths from its parent or the crate.
fn names(code: &str) -> Vec<Named> {
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    let mut rest = String::new();
    for (n, part) in code.split("use ").enumerate() {
        match part.split_once(';').filter(|(tree, _)| n > 0 && is_tree(tree)) {
            Some((tree, after)) => {
                leaves(&tree.split_whitespace().collect::<Vec<_>>().join(" "), &[], &mut found);
                rest.push_str(after);
            }
            None => rest.push_str(part),
        }
    }
    for root in ["super::", "crate::"] {
        for (at, _) in rest.match_indices(root) {
            let path: String =
                rest[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
            let path: Vec<String> = path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            found.push((path, String::new()));
        }
    }
    found
}

/// Whether this is what stands between `use` and `;`, and no sentence.
fn is_tree(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "_:{},*".contains(c))
}

/// The paths of a tree `a::{b, c::{self, d as e}}`.
fn leaves(tree: &str, before: &[String], found: &mut Vec<Named>) {
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, group.rsplit_once('}').map(|(group, _)| group)),
        None => (tree, None),
    };
    let (path, alias) = path.split_once(" as ").map_or((path, None), |(path, alias)| (path, Some(alias.trim())));
    let own = path.split("::").map(str::trim).filter(|name| !name.is_empty() && *name != "*").map(str::to_owned);
    let mut path: Vec<String> = before.iter().cloned().chain(own).collect();
    let Some(group) = group else {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let last = path.last().cloned().unwrap_or_default();
        found.push((path, alias.map_or(last, str::to_owned)));
        return;
    };
    let (mut depth, mut begins) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[begins..at].trim().is_empty() {
                    leaves(group[begins..at].trim(), &path, found);
                }
                begins = at + 1;
            }
            _ => {}
        }
    }
}

/// Where a path of `module` begins at the crate; `None` for another crate's.
fn absolute(all: &BTreeMap<Module, String>, module: &Module, path: &[String]) -> Option<Vec<String>> {
    let mut here = module.clone();
    let first = path.first()?;
    if first == "crate" {
        return Some(path[1..].to_vec());
    }
    let climbs = path.iter().take_while(|name| *name == "super" || *name == "self");
    let ups = climbs.clone().filter(|name| *name == "super").count();
    let below = [module.as_slice(), std::slice::from_ref(first)].concat();
    if climbs.clone().next().is_none() && !all.contains_key(&below) {
        return None;
    }
    here.truncate(here.len().checked_sub(ups)?);
    here.extend(path.iter().skip(climbs.count()).cloned());
    Some(here)
}

/// The module that has what stands at `path`, wherever it was handed on.
fn owner(
    all: &BTreeMap<Module, String>,
    handed_on: &BTreeMap<Vec<String>, Vec<String>>,
    mut path: Vec<String>,
) -> Module {
    for _ in 0..8 {
        let module = (0..=path.len()).rev().map(|n| &path[..n]).find(|head| all.contains_key(*head));
        let module = module.map_or(0, <[String]>::len);
        let next = path.get(..=module).and_then(|name| handed_on.get(name)).filter(|next| **next != path[..=module]);
        let Some(next) = next else {
            path.truncate(module);
            return path;
        };
        path = [next.as_slice(), &path[module + 1..]].concat();
    }
    path
}

#[test]
fn a_circle_is_found_by_whatever_way_round() {
    let all = |files: &[(&str, &str)]| -> BTreeMap<Module, String> {
        let module = |(name, code): &(&str, &str)| (name.split('/').map(str::to_owned).collect(), (*code).to_owned());
        files.iter().map(module).collect()
    };
    for (files, circle) in [
        (&[("r", "mod a;"), ("r/a", "use super::b::B;"), ("r/b", "struct B;")][..], false),
        (&[("r", ""), ("r/a", "use super::b::B;"), ("r/b", "use super::a;")], true),
        (&[("r", ""), ("r/a", "use super::{c, b::{self, B as C}};"), ("r/b", "x(super::a::A)"), ("r/c", "")], true),
        (&[("r", "pub use a::A;"), ("r/a", "use super::b::B;"), ("r/b", "use super::A;")], true),
        (&[("r", "pub use a::A;"), ("r/a", "use crate::r::b;"), ("r/b", "use crate::r::A;")], true),
        (&[("r", ""), ("r/a", "use super::b;"), ("r/b", "use super::c;"), ("r/c", "use crate::{r::a, q};")], true),
        (&[("r", "use self::a::A; struct R;"), ("r/a", "use super::R;")], false),
        (
            &[("r", ""), ("r/a/x", "use super::super::b;"), ("r/b", "use super::a::y::Y;"), ("r/a", ""), ("r/a/y", "")],
            true,
        ),
        (&[("q", "use crate::r;"), ("r", "use crate::q;")], false),
        (&[("r", ""), ("r/a", "use super::b;"), ("r/b", "// use super::a;\nuse std::fmt;")], false),
    ] {
        assert_eq!(!circles(&all(files)).is_empty(), circle, "{files:?}");
    }
}
