//! Arrays of numbers in NumPy's file format, version 1.0, little endian: what Python and this program exchange.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// A number that the format can hold.
pub trait Element: Copy + Default {
    /// NumPy's name of the type.
    const DESCR: &'static str;
    fn to_bytes(self) -> [u8; 4];
    fn from_bytes(bytes: [u8; 4]) -> Self;
}

impl Element for u32 {
    const DESCR: &'static str = "<u4";
    fn to_bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }
    fn from_bytes(bytes: [u8; 4]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

impl Element for f32 {
    const DESCR: &'static str = "<f4";
    fn to_bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }
    fn from_bytes(bytes: [u8; 4]) -> Self {
        Self::from_le_bytes(bytes)
    }
}

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// Writes a row-major array; `shape` is `[n]` or `[rows, columns]`.
pub fn write<T: Element>(path: &Path, shape: &[usize], values: impl IntoIterator<Item = T>) -> io::Result<()> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let dictionary = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", T::DESCR, shape.trim_end());
    // The data begin at a multiple of 64; the last byte of the header is a line end.
    let length = (MAGIC.len() + 2 + dictionary.len() + 1).next_multiple_of(64) - MAGIC.len() - 2;
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(MAGIC)?;
    file.write_all(&(length as u16).to_le_bytes())?;
    writeln!(file, "{dictionary:<width$}", width = length - 1)?;
    for value in values {
        file.write_all(&value.to_bytes())?;
    }
    file.flush()
}

/// Reads all numbers of an array in row-major order.
pub fn read<T: Element>(path: &Path) -> io::Result<Vec<T>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let mut file = BufReader::with_capacity(
        1 << 20,
        File::open(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?,
    );
    let mut start = [0u8; 10];
    file.read_exact(&mut start)?;
    if &start[..MAGIC.len()] != MAGIC {
        return Err(wrong("not a NumPy file of version 1.0"));
    }
    let mut header = vec![0u8; usize::from(u16::from_le_bytes([start[8], start[9]]))];
    file.read_exact(&mut header)?;
    let header = String::from_utf8_lossy(&header);
    if !header.contains(&format!("'descr': '{}'", T::DESCR)) || !header.contains("'fortran_order': False") {
        return Err(wrong(&format!("expected a row-major array of {}, found {}", T::DESCR, header.trim_end())));
    }
    let mut values = Vec::new();
    let mut block = vec![0u8; 1 << 16];
    loop {
        let mut filled = 0;
        while filled < block.len() {
            match file.read(&mut block[filled..])? {
                0 => break,
                n_bytes => filled += n_bytes,
            }
        }
        if filled % 4 != 0 {
            return Err(wrong("the file ends inside a number"));
        }
        values.extend(block[..filled].chunks_exact(4).map(|bytes| T::from_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
        if filled < block.len() {
            return Ok(values);
        }
    }
}
