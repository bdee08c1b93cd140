//! Avro in the wire format of Confluent's serializers: a zero byte, the schema's id, the record.
//!
//! Each id has a decoder of its own, with the schema that the record was written with; its columns are then made into the
//! declared ones by name. A decoder is of no use after a bad record: it is made anew and fed with the good ones again,
//! which are then put aside, so that no record is decoded more than twice.

use crate::connect::kafka::options::RegistryOptions;
use crate::connect::kafka::registry::{NoSchema, Patience, Registry};
use crate::error::{Error, Result};
use crate::tables::hive::{RowMisfit, sql_type};
use arrow_avro::reader::{Decoder, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::compute::{CastOptions, can_cast_types, cast_with_options, concat, interleave};
use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef, TimeUnit};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// More than a batch has: the decoder never asks to be emptied.
const DECODER_ROWS: usize = super::BATCH_ROWS_MAX + 1;
const PREFIX_BYTES: usize = 5;
/// Schemas of one topic that are kept; above it the decoders are made anew.
const SCHEMAS_MAX: usize = 1_000;

/// The declared columns of payloads.
pub(super) struct AvroRows {
    fields: Vec<FieldRef>,
    registry: Registry,
    misfit_is_null: bool,
    /// By the schema's id; why a schema cannot feed the table.
    written: HashMap<u32, Result<Written, String>>,
    /// The id of each row's schema, and the row's number among those of that schema.
    rows: Vec<(u32, usize)>,
    n_nulled: usize,
}

/// Records of one schema.
struct Written {
    id: u32,
    json: Arc<str>,
    decoder: Decoder,
    /// Where each declared column is in the schema.
    columns: Vec<Option<usize>>,
    /// A value may not fit a declared column: each record is looked at by itself.
    is_risky: bool,
    /// Payloads that the decoder holds.
    pending: Vec<Vec<u8>>,
    /// Rows that are done.
    done: Vec<Vec<ArrayRef>>,
    n_rows: usize,
}

impl AvroRows {
    pub(super) fn new(fields: Vec<FieldRef>, registry: &RegistryOptions, misfit_is_null: bool) -> Result<Self> {
        Ok(Self { fields, registry: Registry::new(registry), misfit_is_null, written: HashMap::new(), rows: Vec::new(), n_nulled: 0 })
    }

    /// Sets what is asked when the registry is away.
    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.registry.set_patience(patience);
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), RowMisfit> {
        let broken = |why: String| RowMisfit::Broken(why);
        let Some((prefix, _)) = payload.split_first_chunk::<PREFIX_BYTES>() else {
            return Err(broken("the record is shorter than the schema's id".into()));
        };
        if prefix[0] != 0 {
            return Err(broken("the record does not begin with the zero byte of the registry's format".into()));
        }
        let id = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
        if !self.written.contains_key(&id) {
            let json = self.registry.schema(id).map_err(|none| match none {
                NoSchema::Unknown(why) | NoSchema::Away(why) => broken(why),
            })?;
            if self.written.len() >= SCHEMAS_MAX && self.rows.is_empty() {
                self.written.clear();
            }
            self.written.insert(id, Written::new(id, json, &self.fields));
        }
        let Some(written) = self.written.get_mut(&id) else { return Err(broken("the schema is lost".into())) };
        let written = written.as_mut().map_err(|why| broken(why.clone()))?;
        self.n_nulled += written.push(payload, &self.fields, self.misfit_is_null).map_err(broken)?;
        self.rows.push((id, written.n_rows - 1));
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        let rows = std::mem::take(&mut self.rows);
        let mut parts: Vec<Vec<ArrayRef>> = Vec::new();
        let mut places = HashMap::new();
        for (id, written) in &mut self.written {
            let Ok(written) = written else { continue };
            if written.n_rows > 0 {
                places.insert(*id, parts.len());
                parts.push(written.take(&self.fields).map_err(Error::internal)?);
            }
        }
        if let [only] = parts.as_mut_slice() {
            return Ok(std::mem::take(only));
        }
        if parts.is_empty() {
            return Ok(self.fields.iter().map(|field| new_null_array(field.data_type(), 0)).collect());
        }
        let order = rows.iter().map(|(id, row)| (places.get(id).copied().unwrap_or_default(), *row)).collect::<Vec<_>>();
        let column = |idx: usize| {
            let arrays = parts.iter().map(|part| part[idx].as_ref()).collect::<Vec<_>>();
            interleave(&arrays, &order).map_err(|error| Error::internal(error.to_string()))
        };
        (0..self.fields.len()).map(column).collect()
    }

    pub(super) fn take_nulled(&mut self) -> usize {
        std::mem::take(&mut self.n_nulled)
    }
}

/// The Arrow schema of an Avro schema.
pub(in crate::connect::kafka) fn arrow_schema(id: u32, json: &str) -> Result<SchemaRef, String> {
    decoder(id, json).map(|decoder| decoder.schema())
}

fn decoder(id: u32, json: &str) -> Result<Decoder, String> {
    let built = catch_unwind(AssertUnwindSafe(|| {
        let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
        let fingerprint = store.set(Fingerprint::Id(id), AvroSchema::new(json.to_string())).map_err(|error| error.to_string())?;
        let builder = ReaderBuilder::new().with_writer_schema_store(store).with_active_fingerprint(fingerprint);
        builder.with_batch_size(DECODER_ROWS).build_decoder().map_err(|error| error.to_string())
    }));
    let why = match built {
        Ok(Ok(decoder)) => return Ok(decoder),
        Ok(Err(why)) => why,
        Err(_) => "it is not readable".to_string(),
    };
    Err(format!("schema {id} cannot be used: {why}"))
}

impl Written {
    fn new(id: u32, json: Arc<str>, fields: &[FieldRef]) -> Result<Self, String> {
        let decoder = decoder(id, &json)?;
        let schema = decoder.schema();
        let mut columns = Vec::with_capacity(fields.len());
        let mut is_risky = false;
        for field in fields {
            let names = || schema.fields().iter().map(|found| found.name());
            let exact = names().position(|name| name == field.name());
            let place = exact.or_else(|| names().position(|name| name.to_lowercase() == field.name().to_lowercase()));
            match place {
                None if !field.is_nullable() => {
                    return Err(format!("column \"{}\" is NOT NULL, and schema {id} has no such field", field.name()));
                }
                None => {}
                Some(place) => {
                    let found = schema.field(place);
                    if !can_cast_types(found.data_type(), field.data_type()) {
                        let (from, to) = (sql_type(found.data_type()), sql_type(field.data_type()));
                        return Err(format!("column \"{}\" of type {to} cannot be made from the {from} of schema {id}", field.name()));
                    }
                    is_risky |= (found.is_nullable() && !field.is_nullable()) || !always_fits(found.data_type(), field.data_type());
                }
            }
            columns.push(place);
        }
        Ok(Self { id, json, decoder, columns, is_risky, pending: Vec::new(), done: Vec::new(), n_rows: 0 })
    }

    /// Takes one record; says how many of its fields became NULL.
    fn push(&mut self, payload: &[u8], fields: &[FieldRef], misfit_is_null: bool) -> Result<usize, String> {
        if self.is_risky {
            self.put_aside(fields)?;
        }
        if let Err(why) = self.decode(payload) {
            self.mend(fields)?;
            return Err(why);
        }
        if !self.is_risky {
            self.pending.push(payload.to_vec());
            self.n_rows += 1;
            return Ok(0);
        }
        let converted = self.flush().and_then(|rows| self.convert(&rows, fields));
        let (arrays, nulled) = match converted {
            Ok(converted) => converted,
            Err(why) => {
                self.decoder = decoder(self.id, &self.json)?;
                return Err(why);
            }
        };
        if let Some(missing) = fields.iter().zip(&arrays).find(|(field, array)| !field.is_nullable() && array.null_count() > 0) {
            return Err(format!("column \"{}\" is NOT NULL and has no value", missing.0.name()));
        }
        match nulled.first() {
            Some(idx) if !misfit_is_null => {
                let field = &fields[*idx];
                return Err(format!("column \"{}\" is not of type {}", field.name(), sql_type(field.data_type())));
            }
            _ => {}
        }
        self.done.push(arrays);
        self.n_rows += 1;
        Ok(nulled.len())
    }

    /// Appends one record to the decoder, which is of no use after an error.
    fn decode(&mut self, payload: &[u8]) -> Result<(), String> {
        let before = self.decoder.capacity();
        let decoded = catch_unwind(AssertUnwindSafe(|| self.decoder.decode(payload)));
        match decoded {
            Ok(Ok(bytes)) if bytes == payload.len() && self.decoder.capacity() + 1 == before => Ok(()),
            Ok(Ok(_)) => Err("the record ends too early".into()),
            Ok(Err(error)) => Err(format!("the record does not follow schema {}: {error}", self.id)),
            Err(_) => Err(format!("the record does not follow schema {}", self.id)),
        }
    }

    /// Makes the decoder anew and puts what it held aside.
    fn mend(&mut self, fields: &[FieldRef]) -> Result<(), String> {
        self.decoder = decoder(self.id, &self.json)?;
        for payload in std::mem::take(&mut self.pending) {
            self.decode(&payload)?;
            self.pending.push(payload);
        }
        self.put_aside(fields)
    }

    /// Empties the decoder.
    fn put_aside(&mut self, fields: &[FieldRef]) -> Result<(), String> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let rows = self.flush()?;
        let (arrays, _) = self.convert(&rows, fields)?;
        self.done.push(arrays);
        self.pending.clear();
        Ok(())
    }

    fn flush(&mut self) -> Result<RecordBatch, String> {
        match catch_unwind(AssertUnwindSafe(|| self.decoder.flush())) {
            Ok(Ok(Some(rows))) => Ok(rows),
            Ok(Ok(None)) => Err("the decoder has lost its records".into()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the decoder has failed".into()),
        }
    }

    /// The declared columns, and which of them lost values.
    fn convert(&self, rows: &RecordBatch, fields: &[FieldRef]) -> Result<(Vec<ArrayRef>, Vec<usize>), String> {
        let mut nulled = Vec::new();
        let mut arrays = Vec::with_capacity(fields.len());
        for (idx, (field, place)) in fields.iter().zip(&self.columns).enumerate() {
            let Some(place) = place else {
                arrays.push(new_null_array(field.data_type(), rows.num_rows()));
                continue;
            };
            let found = rows.column(*place);
            let options = CastOptions { safe: true, ..Default::default() };
            let array = cast_with_options(found, field.data_type(), &options).map_err(|error| error.to_string())?;
            if array.logical_null_count() > found.logical_null_count() {
                nulled.push(idx);
            }
            arrays.push(array);
        }
        Ok((arrays, nulled))
    }

    /// All rows, in the order of their arrival.
    fn take(&mut self, fields: &[FieldRef]) -> Result<Vec<ArrayRef>, String> {
        self.put_aside(fields)?;
        self.n_rows = 0;
        let mut done = std::mem::take(&mut self.done);
        if done.len() == 1 {
            return Ok(done.swap_remove(0));
        }
        let column = |idx: usize| {
            let arrays = done.iter().map(|part| part[idx].as_ref()).collect::<Vec<_>>();
            concat(&arrays).map_err(|error| error.to_string())
        };
        (0..fields.len()).map(column).collect()
    }
}

/// Whether every value of one type is a value of the other.
fn always_fits(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Date32, Dictionary, Float32, Float64, Int32, Int64, Timestamp, Utf8};
    match (from, to) {
        _ if from == to => true,
        (Dictionary(_, value), _) => always_fits(value, to),
        (Int32, Int64 | Float64) | (Float32, Float64) => true,
        (Boolean | Int32 | Int64 | Float32 | Float64 | Date32, Utf8) => true,
        (Timestamp(TimeUnit::Microsecond, _), Timestamp(TimeUnit::Microsecond, _)) => true,
        _ => false,
    }
}
