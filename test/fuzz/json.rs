//! Mutations of JSON documents: one value becomes another, and the document stays one.
//!
//! Of bytes that are changed at random hardly any are a document any more, and fewer still one of
//! the right form.

use serde_json::{Map, Number, Value};

/// Texts that mean something in paths, options and numbers.
const WORDS: [&str; 9] = [
    "/",
    "//",
    "..",
    "a",
    "/a/b",
    "bind",
    "rbind",
    "\\xff",
    "18446744073709551615",
];

/// Numbers at which something may end.
const NUMBERS: [u64; 6] = [0, 1, 2, 1 << 31, 1 << 32, u64::MAX];

/// Changes the document in the first `size` bytes of `data`, of which at most `max_size` may be used
/// then; gives its new length. What is no document is changed like any other bytes, and now and then
/// a document, too.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) << 1 | 1);
    let document = data.get(..size).map(serde_json::from_slice::<Value>);
    if let Some(Ok(mut document)) = document
        && dice.below(8) != 0
    {
        for _ in 0..=dice.below(3) {
            change(&mut document, &mut dice);
        }
        let text = document.to_string();
        let room = data.get_mut(..text.len());
        if let Some(room) = room.filter(|_| text.len() <= max_size) {
            room.copy_from_slice(text.as_bytes());
            return text.len();
        }
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max_size)
}

/// Numbers that only look random: the same seed gives the same ones.
struct Dice(u64);

impl Dice {
    /// A number below `limit`, which is not 0 (xorshift64*, Vigna 2016).
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        high as usize % limit
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        (!all.is_empty()).then(|| &all[self.below(all.len())])
    }
}

/// Changes one value of the document.
fn change(document: &mut Value, dice: &mut Dice) {
    let mut values = Vec::new();
    collect(document, &mut values);
    let other = dice.one_of(&values).cloned().unwrap_or_default();
    let mut left = dice.below(values.len());
    drop(values);
    if let Some(value) = nth(document, &mut left) {
        *value = match (dice.below(4), std::mem::take(value)) {
            (0, _) => other,
            (_, Value::Object(fields)) => Value::Object(fields_changed(fields, other, dice)),
            (_, Value::Array(items)) => Value::Array(items_changed(items, other, dice)),
            (_, Value::String(text)) => Value::String(text_changed(&text, dice)),
            (_, Value::Number(number)) => Value::Number(number_changed(&number, dice)),
            (_, Value::Bool(is)) => Value::Bool(!is),
            (_, Value::Null) => other,
        };
    }
}

fn collect(value: &Value, all: &mut Vec<Value>) {
    all.push(value.clone());
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, all)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, all)),
        _ => {}
    }
}

/// The value that [`collect`] finds after `left` others.
fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, left)),
        _ => None,
    }
}

fn fields_changed(
    mut fields: Map<String, Value>,
    other: Value,
    dice: &mut Dice,
) -> Map<String, Value> {
    let names: Vec<String> = fields.keys().cloned().collect();
    let Some(name) = dice.one_of(&names) else {
        return fields;
    };
    match dice.below(3) {
        0 => drop(fields.remove(name)),
        1 => drop(fields.insert(text_changed(name, dice), other)),
        _ => {
            // Two fields change their values.
            if let Some(second) = dice.one_of(&names) {
                let first = fields.get(name).cloned().unwrap_or_default();
                let second = fields.insert(second.clone(), first).unwrap_or_default();
                fields.insert(name.clone(), second);
            }
        }
    }
    fields
}

fn items_changed(mut items: Vec<Value>, other: Value, dice: &mut Dice) -> Vec<Value> {
    if items.is_empty() || dice.below(3) == 0 {
        let place = dice.below(items.len() + 1);
        items.insert(place, other);
        return items;
    }
    let (one, second) = (dice.below(items.len()), dice.below(items.len()));
    match dice.below(3) {
        0 => drop(items.remove(one)),
        1 => items.insert(second, items[one].clone()),
        _ => items.swap(one, second),
    }
    items
}

fn text_changed(text: &str, dice: &mut Dice) -> String {
    let word = dice.one_of(&WORDS).copied().unwrap_or_default();
    let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
    let place = dice.one_of(&places).copied().unwrap_or_default();
    let (before, after) = text.split_at(place);
    match dice.below(6) {
        // What nobody has thought of is often that there is nothing.
        0 => String::new(),
        1 => word.to_owned(),
        2 => before.to_owned(),
        3 => after.to_owned(),
        4 => format!("{before}{word}{after}"),
        // Without its last part.
        _ => text
            .rsplit_once(['/', ','])
            .map_or("", |(first, _)| first)
            .to_owned(),
    }
}

fn number_changed(number: &Number, dice: &mut Dice) -> Number {
    let known = dice.one_of(&NUMBERS).copied().unwrap_or_default();
    match (dice.below(3), number.as_u64()) {
        (0, Some(number)) => number.wrapping_add(1).into(),
        (1, Some(number)) => number.wrapping_sub(1).into(),
        _ => known.into(),
    }
}
