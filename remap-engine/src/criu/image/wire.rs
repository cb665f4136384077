//! Protobuf messages at the level of their encoding (protobuf.dev, "Encoding").
//!
//! What is not changed stays byte for byte, fields that nobody here knows included: newer and
//! forked CRIUs have some.

/// Largest number of a field.
const MAX_FIELD: u64 = (1 << 29) - 1;

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'m> {
    /// Its number.
    pub number: u32,
    /// Its value.
    pub value: Value<'m>,
    /// The bytes of key and value.
    raw: &'m [u8],
}

/// The value of a field, by its wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'m> {
    /// Numbers and booleans.
    Varint(u64),
    /// Eight bytes.
    Fixed64(&'m [u8]),
    /// Bytes, text, or a message.
    Bytes(&'m [u8]),
    /// Four bytes.
    Fixed32(&'m [u8]),
}

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The message ends within a field.
    #[error("it ends within field {0}")]
    Truncated(u32),
    /// A number has more bits than 64, or is no number of a field.
    #[error("it holds a number that is too large")]
    TooLarge,
    /// Groups, which no message of CRIU has, and what is not defined.
    #[error("field {number} has the unknown wire type {wire_type}")]
    WireType {
        /// The field.
        number: u32,
        /// Its type.
        wire_type: u8,
    },
}

/// The fields of a message, in their order.
#[derive(Debug, Clone)]
pub struct Fields<'m> {
    rest: &'m [u8],
}

impl<'m> Fields<'m> {
    /// Those of `message`.
    #[must_use]
    pub fn of(message: &'m [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<Field<'m>, WireError> {
        let begin = self.rest;
        let key = varint(&mut self.rest, 0)?;
        let number = u32::try_from(key >> 3)
            .ok()
            .filter(|number| *number > 0 && u64::from(*number) <= MAX_FIELD)
            .ok_or(WireError::TooLarge)?;
        let value = match u8::try_from(key & 7).unwrap_or_default() {
            0 => Value::Varint(varint(&mut self.rest, number)?),
            1 => Value::Fixed64(take(&mut self.rest, 8, number)?),
            2 => {
                let length = varint(&mut self.rest, number)?;
                Value::Bytes(take(&mut self.rest, length, number)?)
            }
            5 => Value::Fixed32(take(&mut self.rest, 4, number)?),
            wire_type => return Err(WireError::WireType { number, wire_type }),
        };
        let length = begin.len().saturating_sub(self.rest.len());
        Ok(Field {
            number,
            value,
            raw: begin.get(..length).unwrap_or_default(),
        })
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<Field<'m>, WireError>;

    /// Nothing follows an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

fn varint(rest: &mut &[u8], number: u32) -> Result<u64, WireError> {
    let mut value: u64 = 0;
    for shift in (0..).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(WireError::Truncated(number))?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte holds the last bit.
        if shift > 63 || (shift == 63 && bits > 1) {
            return Err(WireError::TooLarge);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(value)
}

fn take<'m>(rest: &mut &'m [u8], length: u64, number: u32) -> Result<&'m [u8], WireError> {
    let (value, after) = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or(WireError::Truncated(number))?;
    *rest = after;
    Ok(value)
}

/// The number in the field `number`, the last one if there are several; `None` if there is none.
///
/// # Errors
/// The bytes are no message.
pub fn number(message: &[u8], number: u32) -> Result<Option<u64>, WireError> {
    let mut found = None;
    for field in Fields::of(message) {
        let field = field?;
        if let (true, Value::Varint(value)) = (field.number == number, field.value) {
            found = Some(value);
        }
    }
    Ok(found)
}

/// The bytes in the field `number`, the last ones if there are several; `None` if there are none.
///
/// # Errors
/// The bytes are no message.
pub fn bytes(message: &[u8], number: u32) -> Result<Option<&[u8]>, WireError> {
    let mut found = None;
    for field in Fields::of(message) {
        let field = field?;
        if let (true, Value::Bytes(value)) = (field.number == number, field.value) {
            found = Some(value);
        }
    }
    Ok(found)
}

/// The message with other numbers in some fields: each in the place where it is, or at the end if
/// it is not. All else is kept as it is.
///
/// # Errors
/// The bytes are no message.
pub fn with_numbers(message: &[u8], changes: &[(u32, u64)]) -> Result<Vec<u8>, WireError> {
    let fields = changes.iter().map(|(number, value)| {
        let mut field = Vec::new();
        put_varint(&mut field, u64::from(*number) << 3);
        put_varint(&mut field, *value);
        (*number, field)
    });
    with_fields(message, fields.collect())
}

/// The same with other bytes (text, or a message) in one field.
///
/// # Errors
/// The bytes are no message.
pub fn with_bytes(message: &[u8], number: u32, bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut field = Vec::with_capacity(bytes.len());
    put_varint(&mut field, (u64::from(number) << 3) | 2);
    put_varint(&mut field, bytes.len().try_into().unwrap_or(u64::MAX));
    field.extend(bytes);
    with_fields(message, vec![(number, field)])
}

/// The same without some fields.
///
/// # Errors
/// The bytes are no message.
pub fn without(message: &[u8], numbers: &[u32]) -> Result<Vec<u8>, WireError> {
    let mut result = Vec::with_capacity(message.len());
    for field in Fields::of(message) {
        let field = field?;
        if !numbers.contains(&field.number) {
            result.extend(field.raw);
        }
    }
    Ok(result)
}

/// The same with these fields, by their numbers.
fn with_fields(message: &[u8], changes: Vec<(u32, Vec<u8>)>) -> Result<Vec<u8>, WireError> {
    let changed: Vec<u32> = changes.iter().map(|(number, _)| *number).collect();
    let mut result = Vec::with_capacity(message.len());
    let mut left = changes;
    for field in Fields::of(message) {
        let field = field?;
        if let Some(index) = left.iter().position(|(number, _)| *number == field.number) {
            result.extend(left.swap_remove(index).1);
        } else if !changed.contains(&field.number) {
            result.extend(field.raw);
        }
        // Else it is a repetition of one that has been changed, which would win.
    }
    left.sort_unstable();
    for (_, field) in left {
        result.extend(field);
    }
    Ok(result)
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    loop {
        let bits = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            message.push(bits);
            return;
        }
        message.push(bits | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::files::RemapFilePathEntry;
    use proptest::prelude::*;
    use prost::Message;

    fn any_field() -> impl Strategy<Value = Vec<u8>> {
        let key = |number: u64, wire_type: u64| {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, (number << 3) | wire_type);
            bytes
        };
        let varint = (4..MAX_FIELD, any::<u64>()).prop_map(move |(number, value)| {
            let mut bytes = key(number, 0);
            put_varint(&mut bytes, value);
            bytes
        });
        let fixed = (4..MAX_FIELD, any::<[u8; 8]>(), any::<bool>()).prop_map(
            move |(number, value, long)| {
                let (kind, value) = if long {
                    (1, &value[..])
                } else {
                    (5, &value[..4])
                };
                [key(number, kind).as_slice(), value].concat()
            },
        );
        let bytes = (4..MAX_FIELD, prop::collection::vec(any::<u8>(), 0..40)).prop_map(
            move |(n, value)| {
                let mut bytes = key(n, 2);
                put_varint(&mut bytes, value.len() as u64);
                bytes.extend(value);
                bytes
            },
        );
        prop_oneof![varint, fixed, bytes]
    }

    fn unknown(message: &[u8]) -> Vec<u8> {
        let fields = Fields::of(message).map(Result::unwrap);
        let unknown = fields.filter(|field| field.number > 3);
        unknown.flat_map(|field| field.raw.to_vec()).collect()
    }

    #[test]
    fn a_field_is_changed_in_its_place() {
        // Fields 1 = 5, 9 = 300, 2 = 7, in this order.
        let message = [0x08, 5, 0x48, 0xac, 0x02, 0x10, 7];
        let changed = with_numbers(&message, &[(2, 200), (3, 1)]).unwrap();
        assert_eq!(
            changed,
            [0x08, 5, 0x48, 0xac, 0x02, 0x10, 0xc8, 0x01, 0x18, 1]
        );
        assert_eq!(number(&changed, 2).unwrap(), Some(200));
        assert_eq!(number(&changed, 4).unwrap(), None);
    }

    #[test]
    fn bytes_are_changed_in_their_place() {
        // Fields 1 = 5, 2 = "ab", 1 = 6.
        let message = [0x08, 5, 0x12, 2, b'a', b'b', 0x08, 6];
        assert_eq!(bytes(&message, 2).unwrap(), Some(&b"ab"[..]));
        let changed = with_bytes(&message, 2, b"c").unwrap();
        assert_eq!(changed, [0x08, 5, 0x12, 1, b'c', 0x08, 6]);
        assert_eq!(bytes(&changed, 3).unwrap(), None);
    }

    #[test]
    fn a_field_goes_with_its_repetitions() {
        let message = [0x10, 7, 0x08, 5, 0x10, 8];
        assert_eq!(without(&message, &[2, 3]).unwrap(), [0x08, 5]);
        assert_eq!(without(&[0x08], &[1]), Err(WireError::Truncated(1)));
    }

    #[test]
    fn a_repetition_does_not_win_over_the_change() {
        let changed = with_numbers(&[0x10, 7, 0x10, 8], &[(2, 1)]).unwrap();
        assert_eq!(changed, [0x10, 1]);
    }

    #[test]
    fn what_is_no_message_is_told() {
        let all = |message: &[u8]| Fields::of(message).try_for_each(|field| field.map(drop));
        assert_eq!(all(&[0x08]), Err(WireError::Truncated(1)));
        assert_eq!(all(&[0x12, 3, 0]), Err(WireError::Truncated(2)));
        assert_eq!(all(&[0x11, 0]), Err(WireError::Truncated(2)));
        assert_eq!(all(&[0x00, 0]), Err(WireError::TooLarge));
        assert_eq!(all(&[0xff; 11]), Err(WireError::TooLarge));
        assert_eq!(
            all(&[0x0b]),
            Err(WireError::WireType {
                number: 1,
                wire_type: 3
            })
        );
    }

    proptest! {
        #[test]
        fn unknown_fields_survive_in_their_order(
            before in prop::collection::vec(any_field(), 0..4),
            between in prop::collection::vec(any_field(), 0..4),
            ids: (u32, u32, u32),
        ) {
            let entry = RemapFilePathEntry {
                orig_id: ids.0,
                remap_id: ids.1,
                remap_type: None,
            };
            let message = [before.concat(), entry.encode_to_vec(), between.concat()].concat();
            let changed = with_numbers(&message, &[(2, ids.2.into()), (3, 1)]).unwrap();
            let read = RemapFilePathEntry::decode(changed.as_slice()).unwrap();
            let expected = RemapFilePathEntry {
                orig_id: ids.0,
                remap_id: ids.2,
                remap_type: Some(1),
            };
            prop_assert_eq!(read, expected);
            prop_assert_eq!(unknown(&changed), unknown(&message));
            prop_assert_eq!(with_numbers(&message, &[]).unwrap(), message);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = with_numbers(&bytes, &[(2, 7), (3, 1)]);
        }
    }
}
