//! The server's charsets: which one a column has, and how its bytes become text.
//!
//! Single-byte charsets use the server's own tables (`charset_tables`), the multi-byte Asian ones are in `charset_multibyte`, and Unicode is
//! decoded here. Bytes without a character in the charset become `?`, as at the server; invalid bytes of a Unicode charset become U+FFFD. A
//! table with a charset that is not listed here is refused by name when its definition is read.

use std::str::FromStr;

use super::charset_multibyte::MultiByte;
use super::charset_tables as tables;

/// How the text of a column is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    Ascii,
    /// ASCII with ten characters replaced.
    Swe7,
    /// The string has the characters of the bytes 80 to FF.
    SingleByte(&'static str),
    /// UTF-16 or UCS-2.
    Utf16 {
        big_endian: bool,
    },
    /// Big endian.
    Utf32,
    MultiByte(MultiByte),
}

impl FromStr for Charset {
    type Err = ();

    /// Parses the server's name of a charset.
    fn from_str(name: &str) -> Result<Charset, ()> {
        Ok(match name {
            "utf8mb4" | "utf8mb3" | "utf8" => Charset::Utf8,
            "ascii" => Charset::Ascii,
            "swe7" => Charset::Swe7,
            "ucs2" | "utf16" => Charset::Utf16 { big_endian: true },
            "utf16le" => Charset::Utf16 { big_endian: false },
            "utf32" => Charset::Utf32,
            "big5" => Charset::MultiByte(MultiByte::Big5),
            "cp932" => Charset::MultiByte(MultiByte::Cp932),
            "eucjpms" => Charset::MultiByte(MultiByte::Eucjpms),
            "euckr" => Charset::MultiByte(MultiByte::Euckr),
            "gb18030" => Charset::MultiByte(MultiByte::Gb18030),
            "gb2312" => Charset::MultiByte(MultiByte::Gb2312),
            "gbk" => Charset::MultiByte(MultiByte::Gbk),
            "sjis" => Charset::MultiByte(MultiByte::Sjis),
            "ujis" => Charset::MultiByte(MultiByte::Ujis),
            _ => Charset::SingleByte(single_byte(name).ok_or(())?),
        })
    }
}

fn single_byte(name: &str) -> Option<&'static str> {
    Some(match name {
        "armscii8" => tables::ARMSCII8,
        "cp1250" => tables::CP1250,
        "cp1251" => tables::CP1251,
        "cp1256" => tables::CP1256,
        "cp1257" => tables::CP1257,
        "cp850" => tables::CP850,
        "cp852" => tables::CP852,
        "cp866" => tables::CP866,
        "dec8" => tables::DEC8,
        "geostd8" => tables::GEOSTD8,
        "greek" => tables::GREEK,
        "hebrew" => tables::HEBREW,
        "hp8" => tables::HP8,
        "keybcs2" => tables::KEYBCS2,
        "koi8r" => tables::KOI8R,
        "koi8u" => tables::KOI8U,
        "latin1" => tables::LATIN1,
        "latin2" => tables::LATIN2,
        "latin5" => tables::LATIN5,
        "latin7" => tables::LATIN7,
        "macce" => tables::MACCE,
        "macroman" => tables::MACROMAN,
        "tis620" => tables::TIS620,
        _ => return None,
    })
}

impl Charset {
    /// Decodes the bytes. The text is built in `scratch` unless the bytes are already UTF-8.
    pub(crate) fn decode<'a>(self, bytes: &'a [u8], scratch: &'a mut String) -> &'a str {
        match self {
            Charset::Utf8 => match std::str::from_utf8(bytes) {
                Ok(text) => return text,
                Err(_) => *scratch = String::from_utf8_lossy(bytes).into_owned(),
            },
            Charset::Utf16 { big_endian } => {
                scratch.clear();
                let units = bytes.chunks_exact(2).map(|pair| match big_endian {
                    true => u16::from_be_bytes([pair[0], pair[1]]),
                    false => u16::from_le_bytes([pair[0], pair[1]]),
                });
                scratch.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
            }
            Charset::Utf32 => {
                scratch.clear();
                let points = bytes.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
                scratch.extend(points.map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)));
            }
            Charset::Swe7 => {
                scratch.clear();
                scratch.extend(bytes.iter().map(|&b| swe7(b)));
            }
            Charset::Ascii | Charset::SingleByte(_) | Charset::MultiByte(_) => {
                // All of these encode ASCII as itself.
                if bytes.is_ascii()
                    && let Ok(text) = std::str::from_utf8(bytes)
                {
                    return text;
                }
                scratch.clear();
                match self {
                    Charset::SingleByte(upper) => scratch.extend(bytes.iter().map(|&b| single(upper, b))),
                    Charset::MultiByte(charset) => charset.decode(bytes, scratch),
                    _ => scratch.extend(bytes.iter().map(|&b| if b < 0x80 { b as char } else { '?' })),
                }
            }
        }
        scratch
    }

    /// Returns the server's name of the charset of a collation id, as row events carry it; `binary` for 63.
    ///
    /// From `information_schema.collations` of MariaDB 10.11 and MySQL 9. Ids from 1024 to 2047 are MariaDB's NOPAD collations.
    pub(crate) fn name_of_collation(id: u32) -> Option<&'static str> {
        Some(match id {
            1 | 84 => "big5",
            2 | 9 | 21 | 27 | 77 => "latin2",
            3 | 69 => "dec8",
            4 | 80 => "cp850",
            5 | 8 | 15 | 31 | 47..=49 | 94 => "latin1",
            6 | 72 => "hp8",
            7 | 74 => "koi8r",
            10 | 82 => "swe7",
            11 | 65 => "ascii",
            12 | 91 => "ujis",
            13 | 88 => "sjis",
            14 | 23 | 50..=52 => "cp1251",
            16 | 71 => "hebrew",
            18 | 89 => "tis620",
            19 | 85 => "euckr",
            20 | 41 | 42 | 79 => "latin7",
            22 | 75 => "koi8u",
            24 | 86 => "gb2312",
            25 | 70 => "greek",
            26 | 34 | 44 | 66 | 99 => "cp1250",
            28 | 87 => "gbk",
            29 | 58 | 59 => "cp1257",
            30 | 78 => "latin5",
            32 | 64 => "armscii8",
            33 | 76 | 83 | 192..=223 | 576..=607 | 2048..=2303 => "utf8mb3",
            35 | 90 | 128..=159 | 640..=671 | 2560..=2815 => "ucs2",
            36 | 68 => "cp866",
            37 | 73 => "keybcs2",
            38 | 43 => "macce",
            39 | 53 => "macroman",
            40 | 81 => "cp852",
            45 | 46 | 224..=247 | 255..=323 | 608..=639 | 2304..=2559 => "utf8mb4",
            54 | 55 | 101..=124 | 672..=703 | 2816..=3071 => "utf16",
            56 | 62 => "utf16le",
            57 | 67 => "cp1256",
            60 | 61 | 160..=183 | 736..=767 | 3072..=3327 => "utf32",
            63 => "binary",
            92 | 93 => "geostd8",
            95 | 96 => "cp932",
            97 | 98 => "eucjpms",
            248..=250 => "gb18030",
            1024..=2047 => return Charset::name_of_collation(id - 1024),
            _ => return None,
        })
    }
}

/// A table has 128 characters of at most 3 bytes, so the linear search is short. Text outside of ASCII is rare in these charsets.
fn single(upper: &str, byte: u8) -> char {
    match byte {
        ..0x80 => byte as char,
        _ => upper.chars().nth(byte as usize - 0x80).unwrap_or('?'),
    }
}

fn swe7(byte: u8) -> char {
    match byte {
        0x40 => 'É',
        0x5b => 'Ä',
        0x5c => 'Ö',
        0x5d => 'Å',
        0x5e => 'Ü',
        0x60 => 'é',
        0x7b => 'ä',
        0x7c => 'ö',
        0x7d => 'å',
        0x7e => 'ü',
        0x7f.. => '?',
        _ => byte as char,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(charset: &str, bytes: &[u8]) -> String {
        charset.parse::<Charset>().unwrap().decode(bytes, &mut String::new()).to_string()
    }

    #[test]
    fn each_kind_of_charset_decodes() {
        assert_eq!(decode("utf8mb4", "žluť 😀".as_bytes()), "žluť 😀");
        assert_eq!(decode("latin1", b"caf\xe9 \x80\x81"), "café €\u{81}");
        assert_eq!(decode("latin2", b"\xbelu\xbb"), "žluť");
        assert_eq!(decode("cp1251", b"\xc6"), "Ж");
        assert_eq!(decode("ucs2", b"\x04\x36\x4e\x2d"), "ж中");
        assert_eq!(decode("utf16", b"\xd8\x3d\xde\x00"), "😀");
        assert_eq!(decode("utf16le", b"\x3d\xd8\x00\xde"), "😀");
        assert_eq!(decode("utf32", b"\x00\x01\xf6\x00"), "😀");
        assert_eq!(decode("sjis", b"\x93\xfa\x96\x7b"), "日本");
        assert_eq!(decode("gbk", b"\xd6\xd0"), "中");
        assert_eq!(decode("sjis", b"\x81\x5f\xb1\x87\x40z"), "\\ｱ?z");
        assert_eq!(decode("ujis", b"\x8f\xa2\xb7\x8e\xb1"), "~ｱ");
        assert_eq!(decode("gb18030", b"\xa3\xa0\x94\x39\xda\x33"), "\u{e5e5}💩");
        assert_eq!(decode("swe7", b"K|tt @"), "Kött É");
        assert_eq!(decode("ascii", b"a\xff"), "a?");
        assert_eq!(decode("euckr", b"\xb0"), "?");
        assert_eq!(decode("utf8mb3", b"a\xff"), "a\u{fffd}");
        assert!("klingon".parse::<Charset>().is_err());
    }

    #[test]
    fn every_table_has_its_128_characters() {
        for id in 0..256 {
            let Some(name) = Charset::name_of_collation(id) else { continue };
            if let Ok(Charset::SingleByte(upper)) = name.parse() {
                assert_eq!(upper.chars().count(), 128, "{name}");
            }
        }
    }
}
