//! What is asked of the tables, statement by statement.

use std::time::{SystemTime, UNIX_EPOCH};

use hearth_types::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::key_value::{
    BucketId, ENTRY_BYTES, KeyValueError, Listed, NamePage, Page, Value, check_bytes, refused,
};
use crate::sqlite::fault::sql as store_error;

/// Expired entries that one transaction removes at most: bounds how long it takes.
const SWEPT: u32 = 64;

fn sql(error: rusqlite::Error) -> KeyValueError {
    store_error(error).into()
}

/// Milliseconds since 1970, as `expires` has them.
pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

/// The values of `keys`, as of one moment.
pub(super) fn get_all(
    connection: &mut Connection,
    bucket: &BucketId,
    keys: &[String],
) -> Result<Vec<Option<Value>>, KeyValueError> {
    let snapshot = connection.transaction().map_err(sql)?;
    let Some((id, _)) = find(&snapshot, bucket)? else {
        return Ok(vec![None; keys.len()]);
    };
    let now = now();
    let mut total = 0;
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        // Before it is read, and so held: keys may come more than once.
        total += size(&snapshot, id, key, now)?.unwrap_or(0);
        check_bytes(total)?;
        values.push(get(&snapshot, id, key, now)?);
    }
    Ok(values)
}

fn size(
    connection: &Connection,
    bucket: i64,
    key: &str,
    now: i64,
) -> Result<Option<usize>, KeyValueError> {
    connection
        .prepare_cached(
            "SELECT length(value) FROM entries
             WHERE bucket = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)",
        )
        .map_err(sql)?
        .query_row((bucket, key, now), |row| row.get(0))
        .optional()
        .map_err(sql)
}

/// A value that has not expired.
pub(super) fn get(
    connection: &Connection,
    bucket: i64,
    key: &str,
    now: i64,
) -> Result<Option<Value>, KeyValueError> {
    connection
        .prepare_cached(
            "SELECT value, metadata, expires FROM entries
             WHERE bucket = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)",
        )
        .map_err(sql)?
        .query_row((bucket, key, now), |row| {
            Ok(Value {
                bytes: row.get(0)?,
                metadata: row.get(1)?,
                expires: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
            })
        })
        .optional()
        .map_err(sql)
}

pub(super) fn exists(
    connection: &Connection,
    bucket: &BucketId,
    key: &str,
) -> Result<bool, KeyValueError> {
    let Some((id, _)) = find(connection, bucket)? else {
        return Ok(false);
    };
    Ok(size(connection, id, key, now())?.is_some())
}

pub(super) fn list(
    connection: &Connection,
    bucket: &BucketId,
    after: u64,
    limit: usize,
) -> Result<Page, KeyValueError> {
    let Some((id, _)) = find(connection, bucket)? else {
        return Ok(Page::default());
    };
    let mut statement = connection
        .prepare_cached(
            "SELECT id, key FROM entries
             WHERE bucket = ?1 AND id > ?2 AND (expires IS NULL OR expires > ?3) ORDER BY id LIMIT ?4",
        )
        .map_err(sql)?;
    // A position beyond what SQLite counts to is after all of them. One more than asked for tells whether there is one.
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut found = statement
        .query_map((id, after, now(), limit + 1), |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?))
        })
        .map_err(sql)?
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(sql)?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok(Page {
        next: found.last().filter(|_| more).map(|(id, _)| *id),
        keys: found.into_iter().map(|(_, key)| key).collect(),
    })
}

pub(super) fn list_by_name(
    connection: &Connection,
    bucket: &BucketId,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<NamePage, KeyValueError> {
    let Some((id, _)) = find(connection, bucket)? else {
        return Ok(NamePage::default());
    };
    let mut statement = connection
        .prepare_cached(
            "SELECT key, metadata, expires FROM entries
             WHERE bucket = ?1 AND key > ?2 AND key >= ?3 AND (expires IS NULL OR expires > ?4)
             ORDER BY key LIMIT ?5",
        )
        .map_err(sql)?;
    // Text is compared by its bytes, here and in Rust: what begins with the prefix stands together.
    let mut keys = statement
        .query_map((id, after, prefix, now(), limit + 1), |row| {
            Ok(Listed {
                key: row.get(0)?,
                metadata: row.get(1)?,
                expires: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
            })
        })
        .map_err(sql)?
        .take_while(|row| {
            row.as_ref()
                .map_or(true, |listed| listed.key.starts_with(prefix))
        })
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(sql)?;
    let more = keys.len() > limit;
    keys.truncate(limit);
    Ok(NamePage { keys, more })
}

/// A bucket's number, and what it holds.
fn find(connection: &Connection, bucket: &BucketId) -> Result<Option<(i64, u64)>, KeyValueError> {
    connection
        .prepare_cached("SELECT id, bytes FROM buckets WHERE account = ?1 AND name = ?2")
        .map_err(sql)?
        .query_row((bucket.account().as_str(), bucket.name()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .map_err(sql)
}

/// A bucket that is written to, within a transaction.
pub(super) struct Bucket<'a> {
    connection: &'a Connection,
    id: i64,
    bytes: u64,
    bound: u64,
}

impl<'a> Bucket<'a> {
    /// Finds a bucket, or makes it.
    pub(super) fn open(
        connection: &'a Connection,
        bucket: &BucketId,
        bound: u64,
    ) -> Result<Self, KeyValueError> {
        let (id, bytes) = match find(connection, bucket)? {
            Some(found) => found,
            None => {
                connection
                    .prepare_cached("INSERT INTO buckets (account, name, bytes) VALUES (?1, ?2, 0)")
                    .map_err(sql)?
                    .execute((bucket.account().as_str(), bucket.name()))
                    .map_err(sql)?;
                (connection.last_insert_rowid(), 0)
            }
        };
        Ok(Self {
            connection,
            id,
            bytes,
            bound,
        })
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Value>, KeyValueError> {
        get(self.connection, self.id, key, now())
    }

    /// Sets a value; the bound on the bucket is held at [`Bucket::close`].
    pub(super) fn set(&mut self, key: &str, value: &Value) -> Result<(), KeyValueError> {
        self.bytes -= self.held_by(key)?;
        let bytes = ENTRY_BYTES
            + (key.len() + value.bytes.len() + value.metadata.as_ref().map_or(0, String::len))
                as u64;
        self.bytes += bytes;
        // An update keeps the position. One that had expired is new, and has a new one.
        self.connection
            .prepare_cached("DELETE FROM entries WHERE bucket = ?1 AND key = ?2 AND expires <= ?3")
            .map_err(sql)?
            .execute((self.id, key, now()))
            .map_err(sql)?;
        self.connection
            .prepare_cached(
                "INSERT INTO entries (bucket, key, bytes, expires, metadata, value)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (bucket, key) DO UPDATE SET bytes = excluded.bytes, expires = excluded.expires,
                 metadata = excluded.metadata, value = excluded.value",
            )
            .map_err(sql)?
            .execute((
                self.id,
                key,
                bytes,
                value.expires.map(Timestamp::as_millis),
                &value.metadata,
                &value.bytes,
            ))
            .map_err(sql)?;
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<(), KeyValueError> {
        self.bytes -= self.held_by(key)?;
        self.connection
            .prepare_cached("DELETE FROM entries WHERE bucket = ?1 AND key = ?2")
            .map_err(sql)?
            .execute((self.id, key))
            .map_err(sql)?;
        Ok(())
    }

    /// What an entry counts, expired or not; 0 if it is not there.
    fn held_by(&self, key: &str) -> Result<u64, KeyValueError> {
        let bytes: Option<u64> = self
            .connection
            .prepare_cached("SELECT bytes FROM entries WHERE bucket = ?1 AND key = ?2")
            .map_err(sql)?
            .query_row((self.id, key), |row| row.get(0))
            .optional()
            .map_err(sql)?;
        Ok(bytes.unwrap_or(0).min(self.bytes))
    }

    /// Removes all entries and the bucket.
    pub(super) fn remove(self) -> Result<(), KeyValueError> {
        self.connection
            .prepare_cached("DELETE FROM buckets WHERE id = ?1")
            .map_err(sql)?
            .execute((self.id,))
            .map_err(sql)?;
        Ok(())
    }

    /// Writes down what the bucket holds.
    ///
    /// # Errors
    /// [`KeyValueError::Refused`] if it is more than it may hold: then the transaction must be undone.
    pub(super) fn close(self, was: u64) -> Result<(), KeyValueError> {
        if self.bytes > self.bound && self.bytes > was {
            return Err(refused(format!(
                "the bucket is full: it holds up to {} bytes",
                self.bound
            )));
        }
        self.connection
            .prepare_cached("UPDATE buckets SET bytes = ?2 WHERE id = ?1")
            .map_err(sql)?
            .execute((self.id, self.bytes))
            .map_err(sql)?;
        Ok(())
    }

    /// What it holds now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Removes some of what has expired, of all buckets.
pub(super) fn sweep(connection: &Connection) -> Result<(), KeyValueError> {
    let mut statement = connection
        .prepare_cached(
            "DELETE FROM entries WHERE id IN
             (SELECT id FROM entries WHERE expires IS NOT NULL AND expires <= ?1 ORDER BY expires LIMIT ?2)
             RETURNING bucket, bytes",
        )
        .map_err(sql)?;
    let removed = statement
        .query_map((now(), SWEPT), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?))
        })
        .map_err(sql)?
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(sql)?;
    for (bucket, bytes) in removed {
        connection
            .prepare_cached("UPDATE buckets SET bytes = max(0, bytes - ?2) WHERE id = ?1")
            .map_err(sql)?
            .execute((bucket, bytes))
            .map_err(sql)?;
    }
    Ok(())
}
