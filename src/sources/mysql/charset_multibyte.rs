//! The multi-byte charsets: which bytes form a character, and which character that is at the server.
//!
//! In: bytes of a column. Out: text. Most characters are from `encoding_rs`; those that differ in the servers' own tables are in
//! [`charset_exceptions`](super::charset_exceptions). A sequence without a character in the charset, or a byte outside of any sequence,
//! becomes `?`, as at the server.

use std::sync::OnceLock;

use encoding_rs::Encoding;

use super::charset_exceptions::{self as exceptions, CharacterRun};

/// A multi-byte charset of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MultiByte {
    Big5,
    Cp932,
    Eucjpms,
    Euckr,
    Gb18030,
    Gb2312,
    Gbk,
    Sjis,
    Ujis,
}

const ALL: usize = 9;

/// Each is built when text of its charset is first decoded.
static TABLES: [OnceLock<CharacterTable>; ALL] = [const { OnceLock::new() }; ALL];

/// The characters of all two-byte sequences, and of all three-byte sequences that begin with 8F, indexed without that byte. `?` for invalid
/// ones.
struct CharacterTable {
    pairs: Vec<char>,
    behind_8f: Vec<char>,
}

/// The smallest value of a two-byte sequence; the tables start here.
const FIRST_PAIR: usize = 0x8000;

impl MultiByte {
    /// Decodes the bytes and appends the text.
    pub(super) fn decode(self, mut bytes: &[u8], out: &mut String) {
        let table = TABLES[self as usize].get_or_init(|| self.table());
        while let [first, ..] = *bytes {
            let length = if first < 0x80 { 1 } else { self.length(bytes).unwrap_or(1) };
            let (character, rest) = bytes.split_at(length);
            out.push(match *character {
                [byte @ ..0x80] => byte as char,
                // Halfwidth katakana, in Shift JIS only.
                [byte @ 0xa1..=0xdf] if self.is_shift_jis() => char::from_u32(0xff61 + u32::from(byte - 0xa1)).unwrap_or('?'),
                [first, second] => table.pairs[usize::from(u16::from_be_bytes([first, second])) - FIRST_PAIR],
                [_, second, third] => table.behind_8f[usize::from(u16::from_be_bytes([second, third])) - FIRST_PAIR],
                [_, _, _, _] => of_four(character),
                _ => '?',
            });
            bytes = rest;
        }
    }

    /// How many of these bytes form the first character; `None` if they begin with no valid one. The first byte must not be ASCII.
    fn length(self, bytes: &[u8]) -> Option<usize> {
        let (first, second) = (*bytes.first()?, bytes.get(1).copied().unwrap_or(0));
        let pair = match self {
            MultiByte::Sjis | MultiByte::Cp932 => {
                if matches!(first, 0xa1..=0xdf) {
                    return Some(1);
                }
                matches!(first, 0x81..=0x9f | 0xe0..=0xfc) && matches!(second, 0x40..=0x7e | 0x80..=0xfc)
            }
            MultiByte::Euckr => matches!(first, 0x81..=0xfe) && matches!(second, 0x41..=0x5a | 0x61..=0x7a | 0x81..=0xfe),
            MultiByte::Gbk => matches!(first, 0x81..=0xfe) && matches!(second, 0x40..=0x7e | 0x80..=0xfe),
            MultiByte::Gb2312 => matches!(first, 0xa1..=0xf7) && matches!(second, 0xa1..=0xfe),
            MultiByte::Big5 => matches!(first, 0xa1..=0xf9) && matches!(second, 0x40..=0x7e | 0xa1..=0xfe),
            MultiByte::Ujis | MultiByte::Eucjpms => match first {
                0x8f => return matches!(bytes, [_, 0xa1..=0xfe, 0xa1..=0xfe, ..]).then_some(3),
                0x8e => matches!(second, 0xa1..=0xdf),
                _ => matches!(first, 0xa1..=0xfe) && matches!(second, 0xa1..=0xfe),
            },
            MultiByte::Gb18030 => match bytes {
                [0x81..=0xfe, 0x30..=0x39, 0x81..=0xfe, 0x30..=0x39, ..] => return Some(4),
                _ => matches!(first, 0x81..=0xfe) && matches!(second, 0x40..=0x7e | 0x80..=0xfe),
            },
        };
        pair.then_some(2)
    }

    fn is_shift_jis(self) -> bool {
        matches!(self, MultiByte::Sjis | MultiByte::Cp932)
    }

    fn encoding(self) -> &'static Encoding {
        match self {
            MultiByte::Sjis | MultiByte::Cp932 => encoding_rs::SHIFT_JIS,
            MultiByte::Ujis | MultiByte::Eucjpms => encoding_rs::EUC_JP,
            MultiByte::Gbk | MultiByte::Gb2312 => encoding_rs::GBK,
            MultiByte::Gb18030 => encoding_rs::GB18030,
            MultiByte::Big5 => encoding_rs::BIG5,
            MultiByte::Euckr => encoding_rs::EUC_KR,
        }
    }

    /// The exceptions for two-byte and for three-byte sequences.
    fn exceptions(self) -> (&'static [CharacterRun], &'static [CharacterRun]) {
        match self {
            MultiByte::Big5 => (exceptions::BIG5, &[]),
            MultiByte::Cp932 | MultiByte::Euckr => (&[], &[]),
            MultiByte::Eucjpms => (exceptions::EUCJPMS, exceptions::EUCJPMS_8F),
            MultiByte::Gb18030 => (exceptions::GB18030, &[]),
            MultiByte::Gb2312 => (exceptions::GB2312, &[]),
            MultiByte::Gbk => (exceptions::GBK, &[]),
            MultiByte::Sjis => (exceptions::SJIS, &[]),
            MultiByte::Ujis => (exceptions::UJIS, exceptions::UJIS_8F),
        }
    }

    fn table(self) -> CharacterTable {
        let (pairs, behind_8f) = self.exceptions();
        let has_three = matches!(self, MultiByte::Ujis | MultiByte::Eucjpms);
        CharacterTable {
            pairs: self.characters(&[], pairs),
            behind_8f: if has_three { self.characters(&[0x8f], behind_8f) } else { Vec::new() },
        }
    }

    /// The characters of all sequences of `front` and two more bytes.
    fn characters(self, front: &[u8], exceptions: &[CharacterRun]) -> Vec<char> {
        let decode = |last: u16| {
            let sequence = [front, &last.to_be_bytes()].concat();
            if self.length(&sequence) != Some(sequence.len()) {
                return '?';
            }
            let text = self.encoding().decode_without_bom_handling(&sequence).0;
            text.chars().next().filter(|_| !text.contains(char::REPLACEMENT_CHARACTER)).unwrap_or('?')
        };
        let mut all: Vec<char> = (FIRST_PAIR as u16..=u16::MAX).map(decode).collect();
        for &(first, last, character) in exceptions {
            for at in first..=last {
                let offset = if character == '?' { 0 } else { u32::from(at - first) };
                all[usize::from(at) - FIRST_PAIR] = char::from_u32(character as u32 + offset).unwrap_or('?');
            }
        }
        all
    }
}

/// The character of a four-byte sequence of GB 18030.
fn of_four(bytes: &[u8]) -> char {
    if bytes == [0x84, 0x31, 0xa4, 0x37] {
        return char::REPLACEMENT_CHARACTER;
    }
    let text = encoding_rs::GB18030.decode_without_bom_handling(bytes).0;
    text.chars().next().filter(|_| !text.contains(char::REPLACEMENT_CHARACTER)).unwrap_or('?')
}
