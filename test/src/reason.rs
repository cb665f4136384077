//! The key part of an error's text, for a cell of a table.

/// So many characters are shown at the most.
const SHOWN: usize = 110;

/// Longer words with a `/` are shown by their last component.
const LONGEST_PATH: usize = 40;

/// What stands before a number or six letters that another run has otherwise: of a mount, of shared
/// memory of PostgreSQL, of the temporary names of sem_open(3).
const VARYING: &[&str] = &["mount=", "PostgreSQL.", "sem."];

/// The first line, with what is the same in each run, and cut between words. Of `X was "A" and is
/// "B"` it says `X is "B"`.
#[must_use]
pub fn brief(text: &str) -> String {
    let mut line = text.lines().next().unwrap_or_default().to_owned();
    if let Some((what, rest)) = line.split_once(" was \"")
        && let Some((_, now)) = rest.rsplit_once("\" and is ")
    {
        line = format!("{what} is {now}");
    }
    for prefix in VARYING {
        line = without_varying(&line, prefix);
    }
    let words = line.split_whitespace().map(short_path).collect::<Vec<_>>();
    let mut shown = String::new();
    for word in words {
        if shown.chars().count() + word.chars().count() + 1 > SHOWN {
            return shown + " …";
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown += &word;
    }
    shown
}

/// Has `XXXXXX` or `N` for what varies after each `prefix`.
fn without_varying(line: &str, prefix: &str) -> String {
    let mut parts = line.split(prefix);
    let mut stable = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric());
        let (name, rest) = part.split_at(end.unwrap_or(part.len()));
        stable += prefix;
        stable += if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            "N"
        } else if name.len() == 6 {
            "XXXXXX"
        } else {
            name
        };
        stable += rest;
    }
    stable
}

fn short_path(word: &str) -> String {
    match word.rsplit_once('/') {
        Some((_, last)) if word.chars().count() > LONGEST_PATH => format!("…/{last}"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn a_short_reason_stays() {
        let said = "Can't open file dev/shm/sem.fidelity on restore: No such file or directory";
        assert_eq!(brief(said), said);
    }

    #[test]
    fn temporary_names_are_the_same_in_each_run() {
        assert_eq!(
            brief("Can't create link remap for /dev/shm/sem.adGfzT. Use link-remap option."),
            "Can't create link remap for /dev/shm/sem.XXXXXX. Use link-remap option."
        );
        assert_eq!(
            brief("Can't lookup mount=149 for fd=3 path=/fidelity"),
            "Can't lookup mount=N for fd=3 path=/fidelity"
        );
        assert_eq!(
            brief("Can't open file dev/shm/PostgreSQL.4169545066 on restore"),
            "Can't open file dev/shm/PostgreSQL.N on restore"
        );
    }

    #[test]
    fn a_difference_says_what_is_there_now() {
        let said = "00-first: /dev/shm/x was \"mode 100604\" and is \"No such file\"\nand more";
        assert_eq!(brief(said), "00-first: /dev/shm/x is \"No such file\"");
    }

    #[test]
    fn a_long_path_is_its_last_component() {
        let path = "dev/shm/".to_owned() + &"level/".repeat(40) + "file";
        assert_eq!(
            brief(&format!("Can't open file {path} on restore: No such file")),
            "Can't open file …/file on restore: No such file"
        );
    }

    #[test]
    fn what_is_too_long_is_cut_between_words() {
        let said = "word ".repeat(50);
        let shown = brief(&said);
        assert!(shown.ends_with("word …"), "{shown}");
        assert!(shown.chars().count() <= 112, "{shown}");
    }
}
