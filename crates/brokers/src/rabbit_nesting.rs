//! How deep the tables and lists of a message's properties are nested, found without recursion.

/// How deep they may be. lapin reads each level by recursion, on a stack of 2 MiB of which a level takes more than 5 KiB in a
/// debug build; whoever publishes to a queue must not be able to overflow it. JSON readers of runtimes stop at about a hundred.
const MOST: usize = 64;
/// Bytes of a content header before the properties: class, weight, size of the body (AMQP 0-9-1, section 4.2.6.1).
const BEFORE: usize = 12;

/// What is left to read.
struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn long(&mut self) -> Option<usize> {
        let (high, low) = (u32::from(self.short()?), u32::from(self.short()?));
        usize::try_from(high << 16 | low).ok()
    }

    fn skip_short_text(&mut self) -> Option<()> {
        let bytes = self.byte()?;
        self.skip(bytes.into())
    }
}

/// Whether the payload of a content header can be read, and is not nested too deep.
pub(crate) fn is_readable(payload: &[u8]) -> bool {
    walk(payload).is_some()
}

fn walk(payload: &[u8]) -> Option<()> {
    let mut reader = Reader(payload);
    reader.skip(BEFORE)?;
    // The first properties, by the highest bits: content type, content encoding, headers.
    let flags = reader.short()?;
    for bit in [15, 14] {
        if flags >> bit & 1 == 1 {
            reader.skip_short_text()?;
        }
    }
    if flags >> 13 & 1 == 0 {
        return Some(());
    }
    // Each level by what is left behind its end, and whether its values have names.
    let bytes = reader.long()?;
    let mut levels = vec![(reader.0.len().checked_sub(bytes)?, true)];
    while let Some((end, has_names)) = levels.last().copied() {
        if reader.0.len() <= end {
            // A value that passes the end of its level is none.
            if reader.0.len() < end {
                return None;
            }
            levels.pop();
            continue;
        }
        if has_names {
            reader.skip_short_text()?;
        }
        match reader.byte()? {
            kind @ (b'A' | b'F') => {
                let bytes = reader.long()?;
                if levels.len() == MOST {
                    return None;
                }
                levels.push((reader.0.len().checked_sub(bytes)?, kind == b'F'));
            }
            b'S' | b'x' => {
                let bytes = reader.long()?;
                reader.skip(bytes)?;
            }
            b'V' => {}
            b't' | b'b' | b'B' => reader.skip(1)?,
            b's' | b'U' | b'u' => reader.skip(2)?,
            b'I' | b'i' | b'f' => reader.skip(4)?,
            b'D' => reader.skip(5)?,
            b'L' | b'l' | b'd' | b'T' => reader.skip(8)?,
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u16, rest: &[u8]) -> Vec<u8> {
        [&[0; BEFORE][..], &flags.to_be_bytes(), rest].concat()
    }

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    fn nested(levels: usize) -> Vec<u8> {
        let mut value = b"V".to_vec();
        for level in 0..levels {
            let name: &[u8] = if level % 2 == 1 { b"\x01n" } else { b"" };
            let kind: &[u8] = if level % 2 == 1 { b"F" } else { b"A" };
            value = [kind, &sized(&[name, &value].concat())].concat();
        }
        header(1 << 13, &sized(&[b"\x01n", &value[..]].concat()))
    }

    #[test]
    fn properties_are_read_as_deep_as_they_may_be() {
        let every = b"\x01at\x01\x01bb\x01\x01cs\x01\x02\x01dI\0\0\0\x01\x01el\0\0\0\0\0\0\0\x01\x01fD\x01\0\0\0\x02\
                      \x01gS\0\0\0\x02AF\x01hx\0\0\0\0\x01iV\x01jd\0\0\0\0\0\0\0\0\x01kf\0\0\0\0";
        for good in [
            header(0, b""),
            header(1 << 12, b"\x02"),
            header(1 << 13, &sized(b"")),
            header(1 << 13, &sized(every)),
            header(
                1 << 15 | 1 << 14 | 1 << 13,
                &[b"\x01t\x02en", &sized(every)[..], b"rest"].concat(),
            ),
            nested(1),
            nested(MOST - 1),
        ] {
            assert!(is_readable(&good), "{good:?}");
        }
    }

    #[test]
    fn what_is_too_deep_or_no_table_is_not_read() {
        for bad in [
            vec![],
            header(1 << 13, b""),
            header(1 << 13, &sized(b"\x01n")),
            header(1 << 13, &sized(b"\x01n?")),
            header(1 << 13, &sized(b"\x01nS\0\0\0\x09x")),
            // A list that is longer than the table that it is in.
            header(
                1 << 13,
                &[&sized(b"\x01nA\0\0\0\x09")[..], &[b'V'; 9]].concat(),
            ),
            header(1 << 15, b"\x09x"),
            nested(MOST),
            nested(10_000),
        ] {
            assert!(!is_readable(&bad));
        }
    }
}
