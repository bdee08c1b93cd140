//! Numbers in JSON that come back as they were: JSON has no NaN and no infinity, Spark's parameters do.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number, or its name.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Exact {
    Number(f64),
    Name(String),
}

impl From<f64> for Exact {
    fn from(value: f64) -> Self {
        if value.is_finite() { Self::Number(value) } else { Self::Name(value.to_string()) }
    }
}

impl Exact {
    fn number<E: serde::de::Error>(self) -> Result<f64, E> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Name(name) => name.parse().map_err(|_| E::custom("not a number")),
        }
    }
}

/// For `#[serde(with = "exact")]` on a list.
pub(super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| Exact::from(*value)))
}

/// The other direction of [`serialize`].
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    Vec::<Exact>::deserialize(deserializer)?.into_iter().map(Exact::number).collect::<Result<_, D::Error>>().map_err(D::Error::custom)
}

/// For `#[serde(with = "exact::one")]` on a number.
pub(super) mod one {
    use super::{Deserialize, Deserializer, Exact, Serialize, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Exact::from(*value).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Exact::deserialize(deserializer)?.number()
    }
}
