//! Packed lists: `count: u32, end offsets: u32 * count, items`.

/// Appends a packed list of these packed items to `out`.
pub fn pack_list<'a>(items: impl ExactSizeIterator<Item = &'a [u8]> + Clone, out: &mut Vec<u8>) {
    out.extend_from_slice(&(items.len() as u32).to_le_bytes());
    let mut end = 0u32;
    for item in items.clone() {
        end += item.len() as u32;
        out.extend_from_slice(&end.to_le_bytes());
    }
    for item in items {
        out.extend_from_slice(item);
    }
}

/// The items of a packed list, packed and in order.
pub fn list_items(list: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
    let word = |i: usize| u32::from_le_bytes(list[i * 4..i * 4 + 4].try_into().expect("four bytes")) as usize;
    let count = word(0);
    let items = &list[4 + 4 * count..];
    (0..count).map(move |i| &items[if i == 0 { 0 } else { word(i) }..word(i + 1)])
}
