//! A cursor over bytes that checks every read.

/// The bytes end before the value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes end too early")]
pub(crate) struct Truncated;

/// The bytes that are not read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Truncated> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, Truncated> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Truncated> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Truncated> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// An integer of `n` bytes, at most 8, little endian.
    #[inline]
    pub(crate) fn le(&mut self, n: usize) -> Result<u64, Truncated> {
        let mut padded = [0u8; 8];
        padded[..n].copy_from_slice(self.take(n)?);
        Ok(u64::from_le_bytes(padded))
    }

    /// An integer of `n` bytes, at most 8, big endian.
    #[inline]
    pub(crate) fn be(&mut self, n: usize) -> Result<u64, Truncated> {
        let mut padded = [0u8; 8];
        padded[8 - n..].copy_from_slice(self.take(n)?);
        Ok(u64::from_be_bytes(padded))
    }

    /// A length-encoded integer of the protocol.
    pub(crate) fn lenenc(&mut self) -> Result<u64, Truncated> {
        match self.u8()? {
            0xfc => self.le(2),
            0xfd => self.le(3),
            0xfe => self.le(8),
            0xfb | 0xff => Err(Truncated),
            short => Ok(short as u64),
        }
    }

    /// A length-encoded length that does not exceed the remaining bytes.
    pub(crate) fn length(&mut self) -> Result<usize, Truncated> {
        let length = self.lenenc()?;
        if length > self.0.len() as u64 { Err(Truncated) } else { Ok(length as usize) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
