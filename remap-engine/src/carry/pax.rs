//! Records of a pax extended header (POSIX.1-2017, pax, "pax Extended Header").
//!
//! A record is `LENGTH KEY=VALUE\n`; LENGTH counts the whole record, itself
//! included. Values are bytes here: they may hold newlines and need not be UTF-8.

/// Longest extended header that is written or read, in bytes.
pub(super) const LIMIT: usize = 16 << 20;

/// One record's key and value.
pub(crate) type Record<'a> = (&'a [u8], &'a [u8]);

/// Appends one record.
pub(crate) fn push(body: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // Space, equals sign, newline.
    let fixed = key.len() + value.len() + 3;
    let mut length = fixed + digits(fixed);
    if digits(length) > digits(fixed) {
        length += 1;
    }
    body.extend_from_slice(length.to_string().as_bytes());
    body.push(b' ');
    body.extend_from_slice(key);
    body.push(b'=');
    body.extend_from_slice(value);
    body.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

/// Splits a header's body into records; `None` when it is malformed.
pub(crate) fn parse(mut body: &[u8]) -> Option<Vec<Record<'_>>> {
    let mut records = Vec::new();
    while !body.is_empty() {
        let space = body.iter().position(|byte| *byte == b' ')?;
        let (digits, _) = body.split_at_checked(space)?;
        let length = usize::try_from(number(digits)?).ok()?;
        let (record, rest) = body.split_at_checked(length)?;
        let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = record.split_at_checked(equals)?;
        records.push((key, value.get(1..)?));
        body = rest;
    }
    Some(records)
}

/// A decimal number without sign; `None` for anything else.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back(
            records in proptest::collection::vec(
                ("[a-zA-Z.]{1,20}", proptest::collection::vec(any::<u8>(), 0..2000)),
                0..6,
            )
        ) {
            let mut body = Vec::new();
            for (key, value) in &records {
                push(&mut body, key.as_bytes(), value);
            }
            let parsed = parse(&body).unwrap();
            prop_assert_eq!(parsed.len(), records.len());
            for ((key, value), (k, v)) in records.iter().zip(parsed) {
                prop_assert_eq!(key.as_bytes(), k);
                prop_assert_eq!(value.as_slice(), v);
            }
        }

        #[test]
        fn garbage_is_refused_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&body);
        }
    }

    #[test]
    fn the_length_counts_its_own_digits() {
        for size in [
            0, 1, 80, 89, 90, 91, 92, 93, 94, 95, 980, 989, 990, 991, 992, 993, 994, 995,
        ] {
            let mut body = Vec::new();
            push(&mut body, b"k", &vec![b'v'; size]);
            let space = body.iter().position(|byte| *byte == b' ').unwrap();
            assert_eq!(number(&body[..space]), Some(body.len() as u64));
        }
    }
}
