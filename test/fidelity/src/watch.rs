//! What a process has, as it was in the beginning and as it is now.

use std::collections::BTreeMap;

use anyhow::Result;

type Look = Box<dyn Fn() -> Result<String>>;
type Find = Box<dyn Fn() -> Result<Inode>>;

/// Which inode something is, as fstat(2) says: device and number. Both may be others on another
/// host; what has to stay is which of them are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inode(pub(crate) u64, pub(crate) u64);

/// Facts about this process, each a text that must stay the same.
#[derive(Default)]
pub(crate) struct Watch {
    facts: Vec<(String, Look, String)>,
    inodes: Vec<(String, Find)>,
    same: String,
}

impl Watch {
    /// A fact: what `look` returns must not change.
    pub(crate) fn fact(&mut self, what: &str, look: impl Fn() -> Result<String> + 'static) {
        self.facts
            .push((what.to_owned(), Box::new(look), String::new()));
    }

    /// Something that is an inode. All that are one must stay one, and no two may become one.
    pub(crate) fn inode(&mut self, what: &str, find: impl Fn() -> Result<Inode> + 'static) {
        self.inodes.push((what.to_owned(), Box::new(find)));
    }

    /// Looks for the first time.
    pub(crate) fn begin(&mut self) -> Result<()> {
        for (_, look, seen) in &mut self.facts {
            *seen = look()?;
        }
        self.same = self.partition()?;
        Ok(())
    }

    /// What is not as it was, one line each.
    pub(crate) fn differences(&self) -> Vec<String> {
        let mut different = Vec::new();
        for (what, look, before) in &self.facts {
            let now = look().unwrap_or_else(|error| format!("{error:#}"));
            if now != *before {
                different.push(format!("{what} was {before:?} and is {now:?}"));
            }
        }
        let now = self
            .partition()
            .unwrap_or_else(|error| format!("{error:#}").replace('\n', " "));
        if now != self.same {
            different.push(format!("one inode were {} and are {now}", self.same));
        }
        different
    }

    /// Which of the inodes are the same: `a=b c` says that a and b are, and c is another.
    fn partition(&self) -> Result<String> {
        let mut order = Vec::new();
        let mut groups: BTreeMap<Inode, Vec<&str>> = BTreeMap::new();
        for (what, find) in &self.inodes {
            let inode = find().map_err(|error| error.context(what.clone()))?;
            if !groups.contains_key(&inode) {
                order.push(inode);
            }
            groups.entry(inode).or_default().push(what);
        }
        let groups = order.iter().filter_map(|inode| groups.get(inode));
        let groups: Vec<String> = groups.map(|names| names.join("=")).collect();
        Ok(groups.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_fact_that_changes_is_a_difference() {
        let value = Rc::new(Cell::new(1));
        let mut watch = Watch::default();
        let seen = Rc::clone(&value);
        watch.fact("value", move || Ok(seen.get().to_string()));
        watch.begin().expect("it can be seen");
        assert!(watch.differences().is_empty());
        value.set(2);
        assert_eq!(watch.differences(), [r#"value was "1" and is "2""#]);
    }

    #[test]
    fn numbers_of_inodes_may_change_but_not_who_is_the_same() {
        let state = Rc::new(Cell::new((1, 1, 2)));
        let mut watch = Watch::default();
        let seen = Rc::clone(&state);
        watch.inode("a", move || Ok(Inode(0, seen.get().0)));
        let seen = Rc::clone(&state);
        watch.inode("b", move || Ok(Inode(0, seen.get().1)));
        let seen = Rc::clone(&state);
        watch.inode("c", move || Ok(Inode(0, seen.get().2)));
        watch.begin().expect("they can be seen");
        state.set((7, 7, 3));
        assert!(watch.differences().is_empty());
        state.set((7, 8, 3));
        assert_eq!(watch.differences(), ["one inode were a=b c and are a b c"]);
    }
}
