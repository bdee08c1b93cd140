//! Avro's binary encoding, by hand, and the frame that Confluent's clients put around it.

/// A value as its schema says; a union names its branch.
#[derive(Debug, Clone)]
pub enum Avro {
    Null,
    Boolean(bool),
    /// `int` and `long`, with all their logical types.
    Integer(i64),
    Float(f32),
    Double(f64),
    /// `string` and `bytes`.
    Bytes(Vec<u8>),
    /// The branch's place in the union.
    Union(i64, Box<Avro>),
    /// The fields in the order of the schema.
    Record(Vec<Avro>),
    Array(Vec<Avro>),
}

impl Avro {
    /// A string.
    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    /// A value of `["null", T]`.
    pub fn nullable(value: Option<Self>) -> Self {
        value.map_or_else(|| Self::Union(0, Box::new(Self::Null)), |value| Self::Union(1, Box::new(value)))
    }

    /// Magic byte, number of the schema, value.
    pub fn framed(&self, schema_id: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(schema_id.to_be_bytes());
        self.encode(&mut bytes);
        bytes
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::Boolean(value) => bytes.push(u8::from(*value)),
            Self::Integer(value) => integer(*value, bytes),
            Self::Float(value) => bytes.extend(value.to_le_bytes()),
            Self::Double(value) => bytes.extend(value.to_le_bytes()),
            Self::Bytes(value) => {
                length(value.len(), bytes);
                bytes.extend(value);
            }
            Self::Union(branch, value) => {
                integer(*branch, bytes);
                value.encode(bytes);
            }
            Self::Record(fields) => fields.iter().for_each(|field| field.encode(bytes)),
            Self::Array(items) => {
                if !items.is_empty() {
                    length(items.len(), bytes);
                    items.iter().for_each(|item| item.encode(bytes));
                }
                length(0, bytes);
            }
        }
    }
}

fn length(n: usize, bytes: &mut Vec<u8>) {
    integer(i64::try_from(n).expect("a length"), bytes);
}

/// Zigzag, seven bits a byte.
fn integer(value: i64, bytes: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}
