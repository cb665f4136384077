//! What a client knows of the engine's forecast. Everything is optional and every choice is text:
//! a shim of another version may say less, more or something new.

use serde::Deserialize;
use serde_json::Value;

/// The forecast.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the engine's own type")]
pub struct Forecast {
    pub refusals: Vec<Refusal>,
    pub warnings: Vec<String>,
    pub carried: Vec<Carried>,
    pub plan: Plan,
}

/// Something in the way.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the engine's own type")]
pub struct Refusal {
    pub what: String,
    pub remedy: String,
}

/// Contents that would be carried.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the engine's own type")]
pub struct Carried {
    pub mounts: Vec<String>,
    pub partial: bool,
    pub allocated_bytes: u64,
    pub inodes: u64,
}

/// The plan.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the engine's own type")]
pub struct Plan {
    pub mounts: Vec<Mount>,
    pub files: Vec<File>,
}

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the engine's own type")]
pub struct Mount {
    pub destination: String,
    pub source: Option<String>,
    pub fs_type: String,
    pub class: String,
    /// Why it is not carried.
    pub reason: Option<String>,
    /// Who else uses it.
    pub others: Vec<Other>,
    /// What an annotation wants for it.
    pub policy: Option<Policy>,
}

/// What an annotation wants for a mount.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the engine's own type")]
pub struct Policy {
    pub treatment: String,
    pub limit_bytes: Option<u64>,
}

/// A process outside the container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the engine's own type")]
pub struct Other {
    pub pid: i64,
    pub command: String,
    pub container: Option<String>,
}

/// A file that needs care.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the engine's own type")]
pub struct File {
    pub inode: u64,
    pub size_bytes: u64,
    pub allocated_bytes: u64,
    pub decision: String,
    pub holders: Vec<Holder>,
}

/// One use of a file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the engine's own type")]
pub struct Holder {
    pub pid: i64,
    /// How: a word, or an object with one word and its numbers.
    pub by: Value,
    pub name: String,
}

impl Holder {
    /// How it holds the file, in short: `fd 3`, `mapping`, `cwd`.
    #[must_use]
    pub fn how(&self) -> String {
        match &self.by {
            Value::String(word) => word.clone(),
            Value::Object(object) => match object.iter().next() {
                // The number of a descriptor helps; the addresses of a mapping do not.
                Some((word, number)) if number.is_number() => format!("{word} {number}"),
                Some((word, _)) => word.clone(),
                None => String::new(),
            },
            _ => String::new(),
        }
    }
}
