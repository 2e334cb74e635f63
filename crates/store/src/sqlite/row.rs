//! Rows: a key in columns, a record as JSON, and a checksum over both. All rows together have a digest that is
//! kept in the database's head, so that a row that went missing is found like one that changed.

use std::borrow::Cow;
use std::fmt;

use hearth_types::arn::LayerVersionArn;
use hearth_types::mapping::MappingId;
use hearth_types::name::{AccountId, AliasName, FunctionKey, LayerName, Region, RouteId, TopicId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, ToSql};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::fault::{corrupt, sql};
use crate::contract::StoreError;

/// One kind of rows. Statements bind `?1`, `?2`, `?3` to account, region and name, then the member if the kind
/// has one, then the record and the checksum.
pub(super) struct Table {
    /// Its name in the database.
    name: &'static str,
    /// What one row is called in messages.
    word: &'static str,
    fetch: &'static str,
    insert: &'static str,
    replace: &'static str,
    remove: &'static str,
    scan: &'static str,
    /// Checksums of the rows of one function or layer.
    members: &'static str,
}

macro_rules! table {
    ($name:literal, $word:literal) => {
        Table {
            name: $name,
            word: $word,
            fetch: concat!(
                "SELECT record, checksum FROM ",
                $name,
                " WHERE account = ?1 AND region = ?2 AND name = ?3"
            ),
            insert: concat!(
                "INSERT INTO ",
                $name,
                " (account, region, name, record, checksum) VALUES (?1, ?2, ?3, ?4, ?5)"
            ),
            replace: concat!(
                "UPDATE ",
                $name,
                " SET record = ?4, checksum = ?5 WHERE account = ?1 AND region = ?2 AND name = ?3"
            ),
            remove: concat!(
                "DELETE FROM ",
                $name,
                " WHERE account = ?1 AND region = ?2 AND name = ?3"
            ),
            // Not by an index: what is read is what is in the table, and its order is made by the reader.
            scan: concat!(
                "SELECT account, region, name, NULL, record, checksum FROM ",
                $name,
                " NOT INDEXED"
            ),
            members: concat!(
                "SELECT checksum FROM ",
                $name,
                " WHERE account = ?1 AND region = ?2 AND name = ?3"
            ),
        }
    };
    ($name:literal, $word:literal, $member:literal) => {
        Table {
            name: $name,
            word: $word,
            fetch: concat!(
                "SELECT record, checksum FROM ",
                $name,
                " WHERE account = ?1 AND region = ?2 AND name = ?3 AND ",
                $member,
                " = ?4"
            ),
            insert: concat!(
                "INSERT INTO ",
                $name,
                " (account, region, name, ",
                $member,
                ", record, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            ),
            replace: concat!(
                "UPDATE ",
                $name,
                " SET record = ?5, checksum = ?6 WHERE account = ?1 AND region = ?2 AND name = ?3 AND ",
                $member,
                " = ?4"
            ),
            remove: concat!(
                "DELETE FROM ",
                $name,
                " WHERE account = ?1 AND region = ?2 AND name = ?3 AND ",
                $member,
                " = ?4"
            ),
            scan: concat!(
                "SELECT account, region, name, ",
                $member,
                ", record, checksum FROM ",
                $name,
                " NOT INDEXED"
            ),
            members: concat!(
                "SELECT checksum FROM ",
                $name,
                " WHERE account = ?1 AND region = ?2 AND name = ?3"
            ),
        }
    };
}

pub(super) static FUNCTIONS: Table = table!("functions", "function");
pub(super) static VERSIONS: Table = table!("versions", "version", "version");
pub(super) static ALIASES: Table = table!("aliases", "alias", "alias");
pub(super) static FUNCTION_URLS: Table = table!("function_urls", "function URL", "qualifier");
pub(super) static POLICIES: Table = table!("policies", "policy", "qualifier");
pub(super) static EVENT_INVOKES: Table =
    table!("event_invokes", "event invoke configuration", "qualifier");
pub(super) static LAYERS: Table = table!("layers", "layer");
pub(super) static LAYER_VERSIONS: Table = table!("layer_versions", "layer version", "version");
pub(super) static ROUTES: Table = table!("routes", "route");
pub(super) static ROUTE_KEYS: Table = table!("route_keys", "API key");
pub(super) static TOPICS: Table = table!("topics", "topic");
pub(super) static MAPPINGS: Table = table!("mappings", "event source mapping");

/// What tells rows of one function or layer apart.
#[derive(Clone, Copy)]
enum Member<'a> {
    /// The row is the function or layer itself.
    Whole,
    Number(i64),
    Name(&'a str),
}

/// The key of a row.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    table: &'static Table,
    account: &'a str,
    region: &'a str,
    name: &'a str,
    member: Member<'a>,
}

/// A number as SQLite keeps it.
fn number(n: u64) -> Result<i64, StoreError> {
    i64::try_from(n)
        .map_err(|_| StoreError::Conflict(format!("{n} is beyond every version number")))
}

impl<'a> Place<'a> {
    fn of_function(table: &'static Table, key: &'a FunctionKey, member: Member<'a>) -> Self {
        Self {
            table,
            account: key.account.as_str(),
            region: key.region.as_str(),
            name: key.name.as_str(),
            member,
        }
    }

    pub(super) fn function(key: &'a FunctionKey) -> Self {
        Self::of_function(&FUNCTIONS, key, Member::Whole)
    }

    /// # Errors
    /// [`StoreError::Conflict`] for a number that no version can have.
    pub(super) fn version(key: &'a FunctionKey, version: u64) -> Result<Self, StoreError> {
        Ok(Self::of_function(
            &VERSIONS,
            key,
            Member::Number(number(version)?),
        ))
    }

    pub(super) fn alias(key: &'a FunctionKey, alias: &'a AliasName) -> Self {
        Self::of_function(&ALIASES, key, Member::Name(alias.as_str()))
    }

    pub(super) fn function_url(key: &'a FunctionKey, qualifier: &'a str) -> Self {
        Self::of_function(&FUNCTION_URLS, key, Member::Name(qualifier))
    }

    pub(super) fn policy(key: &'a FunctionKey, qualifier: &'a str) -> Self {
        Self::of_function(&POLICIES, key, Member::Name(qualifier))
    }

    pub(super) fn event_invoke(key: &'a FunctionKey, qualifier: &'a str) -> Self {
        Self::of_function(&EVENT_INVOKES, key, Member::Name(qualifier))
    }

    pub(super) fn layer(account: &'a AccountId, region: &'a Region, layer: &'a LayerName) -> Self {
        Self {
            table: &LAYERS,
            account: account.as_str(),
            region: region.as_str(),
            name: layer.as_str(),
            member: Member::Whole,
        }
    }

    /// # Errors
    /// [`StoreError::Conflict`] for a number that no version can have.
    pub(super) fn layer_version(arn: &'a LayerVersionArn) -> Result<Self, StoreError> {
        Ok(Self {
            table: &LAYER_VERSIONS,
            member: Member::Number(number(arn.version)?),
            ..Self::layer(&arn.account, &arn.region, &arn.layer)
        })
    }

    pub(super) fn route(id: &'a RouteId) -> Self {
        Self::of_route(&ROUTES, id)
    }

    pub(super) fn route_key(id: &'a RouteId) -> Self {
        Self::of_route(&ROUTE_KEYS, id)
    }

    fn of_route(table: &'static Table, id: &'a RouteId) -> Self {
        Self {
            table,
            account: id.account.as_str(),
            region: id.region.as_str(),
            name: id.name.as_str(),
            member: Member::Whole,
        }
    }

    pub(super) fn topic(id: &'a TopicId) -> Self {
        Self {
            table: &TOPICS,
            account: id.account.as_str(),
            region: id.region.as_str(),
            name: id.name.as_str(),
            member: Member::Whole,
        }
    }

    pub(super) fn mapping(id: &'a MappingId) -> Self {
        Self {
            table: &MAPPINGS,
            account: id.account.as_str(),
            region: id.region.as_str(),
            name: id.uuid.as_str(),
            member: Member::Whole,
        }
    }

    fn member_text(&self) -> Cow<'a, str> {
        match self.member {
            Member::Whole => Cow::Borrowed(""),
            Member::Number(n) => Cow::Owned(n.to_string()),
            Member::Name(name) => Cow::Borrowed(name),
        }
    }

    /// SHA-256 over the kind, the key and the record, each with its length before it.
    fn checksum(&self, record: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        let member = self.member_text();
        for part in [
            self.table.name,
            self.account,
            self.region,
            self.name,
            &member,
            record,
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// The key's columns, in the order of the statements.
    fn keys(&self) -> Vec<&dyn ToSql> {
        let mut keys: Vec<&dyn ToSql> = vec![&self.account, &self.region, &self.name];
        match &self.member {
            Member::Whole => {}
            Member::Number(n) => keys.push(n),
            Member::Name(name) => keys.push(name),
        }
        keys
    }

    fn verify(&self, record: &str, checksum: &[u8]) -> Result<[u8; 32], StoreError> {
        let expected = self.checksum(record);
        if checksum == expected {
            Ok(expected)
        } else {
            Err(corrupt(format_args!(
                "{self} is not what was written (its checksum differs)"
            )))
        }
    }

    fn decode<T: DeserializeOwned>(&self, record: &str) -> Result<T, StoreError> {
        serde_json::from_str(record).map_err(|e| {
            corrupt(format_args!(
                "{self} can't be read ({e}); if a newer version of Hearth wrote it, run that one"
            ))
        })
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            account,
            region,
            name,
            ..
        } = self;
        write!(f, "{} {account}/{region}/{name}", table.word)?;
        match self.member {
            Member::Whole => Ok(()),
            Member::Number(n) => write!(f, ":{n}"),
            Member::Name(name) => write!(f, ":{name}"),
        }
    }
}

/// The digest of a set of rows: their checksums, exclusive-or'ed. Rows have unique keys and the key is in the
/// checksum, so no two cancel each other out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Content(pub(super) [u8; 32]);

impl Content {
    /// Puts a row in, or takes it out.
    fn toggle(&mut self, checksum: &[u8; 32]) {
        for (mine, its) in self.0.iter_mut().zip(checksum) {
            *mine ^= its;
        }
    }
}

/// Reads and writes rows within a transaction, and keeps their digest up to date.
pub(super) struct Rows<'c> {
    connection: &'c Connection,
    content: Content,
}

impl<'c> Rows<'c> {
    /// Rows whose digest is `content` so far.
    pub(super) fn new(connection: &'c Connection, content: Content) -> Self {
        Self {
            connection,
            content,
        }
    }

    /// The digest, with all that was written.
    pub(super) fn content(&self) -> Content {
        self.content
    }

    fn fetch_raw(&self, place: &Place<'_>) -> Result<Option<(String, [u8; 32])>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(place.table.fetch)
            .map_err(sql)?;
        let found: Option<(String, Vec<u8>)> = statement
            .query_row(place.keys().as_slice(), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(sql)?;
        match found {
            None => Ok(None),
            Some((record, checksum)) => {
                let checksum = place.verify(&record, &checksum)?;
                Ok(Some((record, checksum)))
            }
        }
    }

    /// The record at `place`, if there is one.
    pub(super) fn fetch<T: DeserializeOwned>(
        &self,
        place: &Place<'_>,
    ) -> Result<Option<T>, StoreError> {
        self.fetch_raw(place)?
            .map(|(record, _)| place.decode(&record))
            .transpose()
    }

    /// Whether there is a record at `place`.
    pub(super) fn has(&self, place: &Place<'_>) -> Result<bool, StoreError> {
        Ok(self.fetch_raw(place)?.is_some())
    }

    fn write(
        &self,
        statement: &'static str,
        place: &Place<'_>,
        more: &[&dyn ToSql],
    ) -> Result<(), StoreError> {
        let mut values = place.keys();
        values.extend_from_slice(more);
        let mut statement = self.connection.prepare_cached(statement).map_err(sql)?;
        match statement.execute(values.as_slice()).map_err(sql)? {
            1 => Ok(()),
            // The row was read a moment ago in this transaction: its index and its table disagree.
            n => Err(corrupt(format_args!("{place}: {n} rows have its key"))),
        }
    }

    /// Adds a row; the caller has seen that there is none.
    pub(super) fn insert(&mut self, place: &Place<'_>, record: &str) -> Result<(), StoreError> {
        let checksum = place.checksum(record);
        self.write(place.table.insert, place, &[&record, &checksum])?;
        self.content.toggle(&checksum);
        Ok(())
    }

    /// Replaces the record of a row; the caller has seen it.
    pub(super) fn replace(&mut self, place: &Place<'_>, record: &str) -> Result<(), StoreError> {
        let before = self.known(place)?;
        let checksum = place.checksum(record);
        self.write(place.table.replace, place, &[&record, &checksum])?;
        self.content.toggle(&before);
        self.content.toggle(&checksum);
        Ok(())
    }

    /// Removes a row; the caller has seen it.
    pub(super) fn remove(&mut self, place: &Place<'_>) -> Result<(), StoreError> {
        let before = self.known(place)?;
        self.write(place.table.remove, place, &[])?;
        self.content.toggle(&before);
        Ok(())
    }

    /// Removes a function's row; the database removes what belongs to it with it (`ON DELETE CASCADE`).
    pub(super) fn remove_function(&mut self, key: &FunctionKey) -> Result<(), StoreError> {
        let place = Place::function(key);
        for table in [
            &VERSIONS,
            &ALIASES,
            &FUNCTION_URLS,
            &POLICIES,
            &EVENT_INVOKES,
        ] {
            let mut statement = self.connection.prepare_cached(table.members).map_err(sql)?;
            let mut rows = statement.query(place.keys().as_slice()).map_err(sql)?;
            while let Some(row) = rows.next().map_err(sql)? {
                self.content.toggle(&row.get(0).map_err(sql)?);
            }
        }
        self.remove(&place)
    }

    fn known(&self, place: &Place<'_>) -> Result<[u8; 32], StoreError> {
        match self.fetch_raw(place)? {
            Some((_, checksum)) => Ok(checksum),
            None => Err(StoreError::Conflict(format!("{place} is not there"))),
        }
    }
}

/// A row as a scan finds it, its checksum verified.
pub(super) struct Found<'a> {
    place: Place<'a>,
    record: &'a str,
}

impl Found<'_> {
    /// The function that the row is of.
    pub(super) fn function_key(&self) -> Result<FunctionKey, StoreError> {
        Ok(FunctionKey {
            account: self.account()?,
            region: self.region()?,
            name: self.name()?,
        })
    }

    /// The route, or the API key, that the row is.
    pub(super) fn route_id(&self) -> Result<RouteId, StoreError> {
        Ok(RouteId {
            account: self.account()?,
            region: self.region()?,
            name: self.name()?,
        })
    }

    /// The topic that the row is.
    pub(super) fn topic_id(&self) -> Result<TopicId, StoreError> {
        Ok(TopicId {
            account: self.account()?,
            region: self.region()?,
            name: self.name()?,
        })
    }

    /// The event source mapping that the row is.
    pub(super) fn mapping_id(&self) -> Result<MappingId, StoreError> {
        Ok(MappingId {
            account: self.account()?,
            region: self.region()?,
            uuid: self.name()?,
        })
    }

    pub(super) fn account(&self) -> Result<AccountId, StoreError> {
        self.part(self.place.account)
    }

    pub(super) fn region(&self) -> Result<Region, StoreError> {
        self.part(self.place.region)
    }

    pub(super) fn name<T: std::str::FromStr<Err: fmt::Display>>(&self) -> Result<T, StoreError> {
        self.part(self.place.name)
    }

    fn part<T: std::str::FromStr<Err: fmt::Display>>(&self, text: &str) -> Result<T, StoreError> {
        text.parse()
            .map_err(|e| corrupt(format_args!("{}: {e}", self.place)))
    }

    /// The record.
    pub(super) fn record<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        self.place.decode(self.record)
    }

    /// Checks that the record says of itself what its key says.
    pub(super) fn must(&self, is_its_own: bool) -> Result<(), StoreError> {
        if is_its_own {
            return Ok(());
        }
        Err(corrupt(format_args!(
            "{} holds another's record",
            self.place
        )))
    }

    /// Checks that the row's member is `member`, as text.
    pub(super) fn must_be_member(&self, member: &impl fmt::Display) -> Result<(), StoreError> {
        self.must(self.place.member_text() == member.to_string())
    }
}

/// Reads every row of a table, verified, in no order; puts each into `content`.
pub(super) fn scan(
    connection: &Connection,
    table: &'static Table,
    content: &mut Content,
    mut visit: impl FnMut(Found<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(table.scan).map_err(sql)?;
    let mut rows = statement.query([]).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        let text = |column: usize| -> Result<&str, StoreError> {
            row.get_ref(column)
                .map_err(sql)?
                .as_str()
                .map_err(|e| corrupt(format_args!("a row of {}: {e}", table.name)))
        };
        let place = Place {
            table,
            account: text(0)?,
            region: text(1)?,
            name: text(2)?,
            member: match row.get_ref(3).map_err(sql)? {
                ValueRef::Null => Member::Whole,
                ValueRef::Integer(n) => Member::Number(n),
                _ => Member::Name(text(3)?),
            },
        };
        let checksum = row
            .get_ref(5)
            .map_err(sql)?
            .as_blob()
            .map_err(|e| corrupt(format_args!("{place}: {e}")))?;
        let record = text(4)?;
        content.toggle(&place.verify(record, checksum)?);
        visit(Found { place, record })?;
    }
    Ok(())
}
