//! Walks over JSON text without building values: a span for each member, checked as RFC 8259 asks.

use std::ops::Range;

/// Deeper nesting is refused: the walk is recursive.
const DEPTH_MAX: usize = 128;

/// Why a text is not JSON.
pub(crate) type Broken = &'static str;

/// What kind of value a text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

/// The kind of a value that [`Scanner`] has checked.
pub(crate) fn kind(value: &[u8]) -> Kind {
    match value.first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::Text,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'n') | None => Kind::Null,
        Some(_) => Kind::Number,
    }
}

/// What the walk over a value has found out, so that nobody has to look at its text again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// A quoted text without escapes: it means what stands between the quotes.
    PlainText,
    /// `mantissa / 10^n_decimals`, of at most 18 digits, without an exponent; never minus zero.
    Number { mantissa: i64, n_decimals: u8 },
    /// Anything else that is a value.
    Other,
}

/// Digits of a number that always fit into 63 bits.
const DIGITS_MAX: usize = 18;

/// A position in a text.
///
/// What is done for each member is inlined by force: the position and what was found stay in registers. Left to the compiler,
/// it depends on what else is in the crate, and a row cost a quarter more.
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Passes over one value and gives its text.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], Broken> {
        self.blanks();
        let start = self.at;
        self.token(0)?;
        Ok(&self.text[start..self.at])
    }

    /// Begins to walk over the members of an object; `false`: it has none.
    pub(crate) fn open_object(&mut self) -> Result<bool, Broken> {
        self.blanks();
        self.expect(b'{', "an object must begin with \"{\"")?;
        self.blanks();
        Ok(!self.take(b'}'))
    }

    /// How many bytes were passed over.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Passes over `known` when the text goes on with all of it.
    #[inline(always)]
    pub(crate) fn take_all(&mut self, known: &[u8]) -> bool {
        let found = begins_with(&self.text[self.at..], known);
        self.at += if found { known.len() } else { 0 };
        found
    }

    /// The next key, still quoted; its colon is passed over.
    pub(crate) fn key(&mut self) -> Result<&'a [u8], Broken> {
        self.blanks();
        let start = self.at;
        self.skip_text()?;
        let end = self.at;
        self.blanks();
        self.expect(b':', "a \":\" is missing after a key")?;
        Ok(&self.text[start..end])
    }

    /// The value after a key: where its text lies, and what it is.
    #[inline(always)]
    pub(crate) fn member_value(&mut self) -> Result<(Range<usize>, Token), Broken> {
        self.blanks();
        let start = self.at;
        let token = self.token(1)?;
        Ok((start..self.at, token))
    }

    /// Passes over what follows a member; `false`: the object ends there.
    #[inline(always)]
    pub(crate) fn next_member(&mut self) -> Result<bool, Broken> {
        self.blanks();
        if self.take(b'}') {
            return Ok(false);
        }
        self.expect(b',', "a \",\" or \"}\" is missing in an object")?;
        Ok(true)
    }

    /// Whether only blanks are left.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.blanks();
        self.at == self.text.len()
    }

    /// Calls `each` with the key (still quoted) and the value of each member of the object that begins here.
    pub(crate) fn members(&mut self, mut each: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), Broken> {
        self.members_at(0, &mut each)
    }

    /// Calls `each` with each item of the array that begins here.
    pub(crate) fn items(&mut self, mut each: impl FnMut(&'a [u8])) -> Result<(), Broken> {
        let text = self.text;
        self.items_at(0, &mut |start, end| each(&text[start..end]))
    }

    fn members_at(&mut self, depth: usize, each: &mut dyn FnMut(&'a [u8], &'a [u8])) -> Result<(), Broken> {
        let mut has_more = self.open_object()?;
        while has_more {
            let key = self.key()?;
            self.blanks();
            let start = self.at;
            self.token(depth + 1)?;
            each(key, &self.text[start..self.at]);
            has_more = self.next_member()?;
        }
        Ok(())
    }

    fn items_at(&mut self, depth: usize, each: &mut dyn FnMut(usize, usize)) -> Result<(), Broken> {
        self.expect(b'[', "an array must begin with \"[\"")?;
        self.blanks();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.blanks();
            let start = self.at;
            self.token(depth + 1)?;
            each(start, self.at);
            self.blanks();
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',', "a \",\" or \"]\" is missing in an array")?;
        }
    }

    /// Passes over one value.
    #[inline(always)]
    fn token(&mut self, depth: usize) -> Result<Token, Broken> {
        if depth > DEPTH_MAX {
            return Err("the object is nested too deeply");
        }
        match self.text.get(self.at) {
            Some(b'"') => Ok(if self.skip_text()? { Token::PlainText } else { Token::Other }),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.skip_other(depth).map(|()| Token::Other),
        }
    }

    fn skip_other(&mut self, depth: usize) -> Result<(), Broken> {
        match self.text.get(self.at) {
            Some(b'{') => self.members_at(depth, &mut |_, _| {}),
            Some(b'[') => self.items_at(depth, &mut |_, _| {}),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(_) => Err("a value is expected"),
            None => Err("the object does not end"),
        }
    }

    /// Passes over a quoted text; says whether it has no escapes.
    fn skip_text(&mut self) -> Result<bool, Broken> {
        self.expect(b'"', "a key or text must begin with \"\\\"\"")?;
        let mut is_plain = true;
        loop {
            self.skip_plain();
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(is_plain);
                }
                Some(b'\\') => {
                    is_plain = false;
                    self.skip_escape()?;
                }
                Some(byte) if *byte < 0x20 => return Err("a text contains a control character"),
                Some(_) => self.at += 1,
                None => return Err("a text does not end"),
            }
        }
    }

    /// Passes over what needs no look, eight bytes at a time: no quote, no backslash, no control character.
    #[inline(always)]
    fn skip_plain(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGHS: u64 = 0x8080_8080_8080_8080;
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
        while let Some(eight) = self.text.get(self.at..self.at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
            let word = u64::from_le_bytes(eight);
            // The lowest bit that is set is right; those above a hit may be echoes of its carry.
            let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
            let hits = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | controls;
            if hits != 0 {
                self.at += (hits.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
    }

    fn skip_escape(&mut self) -> Result<(), Broken> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') if self.text.get(self.at + 2..self.at + 6).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit)) => {
                self.at += 6;
            }
            _ => return Err("a text contains an unknown escape"),
        }
        Ok(())
    }

    #[inline(always)]
    fn number(&mut self) -> Result<Token, Broken> {
        let is_negative = self.take(b'-');
        let start = self.at;
        let mut mantissa = 0;
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => mantissa = self.digits(0)?,
            _ => return Err("a number has no digits"),
        }
        let (mut n_digits, mut n_decimals) = (self.at - start, 0);
        if self.take(b'.') {
            let start = self.at;
            mantissa = self.digits(mantissa)?;
            n_decimals = self.at - start;
            n_digits += n_decimals;
        }
        let has_exponent = matches!(self.text.get(self.at), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits(0)?;
        }
        if has_exponent || n_digits > DIGITS_MAX || (is_negative && mantissa == 0) {
            return Ok(Token::Other);
        }
        let mantissa = if is_negative { -mantissa } else { mantissa };
        Ok(Token::Number { mantissa, n_decimals: n_decimals as u8 })
    }

    /// Passes over digits that follow `before`; the number has a meaning up to [`DIGITS_MAX`] of them.
    #[inline(always)]
    fn digits(&mut self, before: i64) -> Result<i64, Broken> {
        let (start, mut number) = (self.at, before);
        while let Some(digit) = self.text.get(self.at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
            self.at += 1;
        }
        if self.at == start { Err("a number has no digits") } else { Ok(number) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Broken> {
        if !self.text[self.at..].starts_with(word) {
            return Err("a value is expected");
        }
        self.at += word.len();
        Ok(())
    }

    #[inline(always)]
    fn blanks(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8, otherwise: Broken) -> Result<(), Broken> {
        match self.text.get(self.at) {
            Some(found) if *found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(otherwise),
            None => Err("the object does not end"),
        }
    }
}

/// The text that a quoted JSON text means. `None`: it is not UTF-8, or half of a surrogate pair.
pub(crate) fn unquote<'b>(quoted: &'b [u8], scratch: &'b mut Vec<u8>) -> Option<&'b [u8]> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1))?;
    if !inner.contains(&b'\\') {
        return Some(inner);
    }
    // Rare enough to leave the surrogate pairs to serde_json.
    let text: String = serde_json::from_slice(quoted).ok()?;
    scratch.clear();
    scratch.extend_from_slice(text.as_bytes());
    Some(scratch)
}

/// `text.starts_with(known)` without a call of `memcmp`, which for the few bytes of a key costs more than the comparison.
#[inline(always)]
fn begins_with(text: &[u8], known: &[u8]) -> bool {
    let Some(text) = text.get(..known.len()) else { return false };
    if let (Some(text_end), Some(known_end)) = (text.last_chunk::<8>(), known.last_chunk::<8>()) {
        return text_end == known_end && text.as_chunks::<8>().0.iter().zip(known.as_chunks::<8>().0).all(|(text, known)| text == known);
    }
    match (text.last_chunk::<4>(), known.last_chunk::<4>()) {
        (Some(text_end), Some(known_end)) => text_end == known_end && text.first_chunk::<4>() == known.first_chunk(),
        _ => text.iter().eq(known),
    }
}
