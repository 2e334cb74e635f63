//! The end of a zip: where all readers begin, and where hostile zips make them disagree. Looked at before the zip
//! reader sees the bytes, so that it can't be led to another end or to a directory without bound.

/// Entries of a package, as many as there may be files and folders.
const ENTRIES: u64 = 131_072;

// APPNOTE.TXT 4.3.14 to 4.3.16 (PKWARE's specification of zip): sizes and offsets of the fields read here.
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const END_ENTRIES: usize = 10;
const END_COMMENT: usize = 20;
const END64: &[u8] = b"PK\x06\x06";
const END64_BYTES: usize = 56;
const END64_ENTRIES: usize = 32;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;

/// Entries that the zip says it holds.
///
/// # Errors
/// The rule that its end breaks.
pub(super) fn entries(zip: &[u8]) -> Result<u64, &'static str> {
    let last = zip
        .len()
        .checked_sub(END_BYTES)
        .ok_or("it is too short to be a zip")?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    let end = (first..=last)
        .rev()
        .find(|&at| zip[at..].starts_with(END))
        .ok_or("it is not a zip, or its end is missing")?;
    if end + END_BYTES + usize::from(u16_at(zip, end + END_COMMENT)) != zip.len() {
        return Err("bytes follow its end, or its end is damaged");
    }
    let located = end
        .checked_sub(LOCATOR_BYTES)
        .filter(|&at| zip[at..].starts_with(LOCATOR));
    let entries = match located {
        None => u64::from(u16_at(zip, end + END_ENTRIES)),
        Some(locator) => {
            let end64 = locator
                .checked_sub(END64_BYTES)
                .filter(|&at| zip[at..].starts_with(END64))
                .ok_or("its zip64 end is damaged")?;
            u64_at(zip, end64 + END64_ENTRIES)
        }
    };
    if entries > ENTRIES {
        return Err("it has more than 131072 entries");
    }
    Ok(entries)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u16::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}
