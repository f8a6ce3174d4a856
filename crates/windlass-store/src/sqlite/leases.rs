//! Leases: one row each, one rising number for all.

use crate::error::LeaseError;
use crate::owner::{Liveness, OwnerId};
use crate::types::{Held, Lease, LeaseName, LeaseState, Owner};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use windlass_events::Millis;

/// A lease as it stands.
pub(super) fn state(conn: &Connection, name: &LeaseName) -> rusqlite::Result<Option<LeaseState>> {
    conn.prepare_cached(
        "SELECT epoch, owner, address, owner_vocabulary, vocabulary, since FROM leases WHERE name = ?1",
    )?
    .query_row([name.to_string()], |row| {
        let owner = match row.get::<_, Option<String>>(1)? {
            None => None,
            Some(id) => Some(Owner { id: owner_id(&id)?, address: row.get(2)?, vocabulary: row.get(3)? }),
        };
        Ok(LeaseState { epoch: epoch(row)?, owner, vocabulary: row.get(4)?, since: row.get(5)? })
    })
    .optional()
}

/// The epoch that may write, if the lease is held.
pub(super) fn held_epoch(conn: &Connection, name: &LeaseName) -> rusqlite::Result<Option<u64>> {
    conn.prepare_cached("SELECT epoch FROM leases WHERE name = ?1 AND owner IS NOT NULL")?
        .query_row([name.to_string()], epoch)
        .optional()
}

fn epoch(row: &Row<'_>) -> rusqlite::Result<u64> {
    let value: i64 = row.get(0)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, value))
}

fn owner_id(text: &str) -> rusqlite::Result<OwnerId> {
    OwnerId::parse(text)
        .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, "not an owner's id".into()))
}

pub(super) fn acquire(
    conn: &Connection,
    liveness: &dyn Liveness,
    name: &LeaseName,
    owner: &Owner,
    now: Millis,
    takeover: bool,
) -> rusqlite::Result<Result<Lease, LeaseError>> {
    let before = state(conn, name)?;
    if let Err(refused) = may_take(before.as_ref(), liveness, owner, takeover) {
        return Ok(Err(refused));
    }
    let vocabulary = vocabulary_after(before.as_ref(), name, owner);
    let next: i64 =
        conn.query_row("UPDATE epochs SET last = last + 1 RETURNING last", [], |row| row.get(0))?;
    conn.prepare_cached("INSERT OR REPLACE INTO leases VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
        params![name.to_string(), next, owner.id.as_str(), owner.address, owner.vocabulary, vocabulary, now],
    )?;
    let epoch = u64::try_from(next).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, next))?;
    Ok(Ok(Lease { name: name.clone(), epoch }))
}

/// The rule of both stores: a living owner keeps its lease unless somebody insists, and knowledge never shrinks.
pub(crate) fn may_take(
    before: Option<&LeaseState>,
    liveness: &dyn Liveness,
    owner: &Owner,
    takeover: bool,
) -> Result<(), LeaseError> {
    let Some(before) = before else { return Ok(()) };
    if before.vocabulary > owner.vocabulary {
        return Err(LeaseError::TooNew { needs: before.vocabulary, knows: owner.vocabulary });
    }
    match &before.owner {
        Some(holder) if !takeover && holder.id != owner.id && liveness.is_alive(&holder.id) => {
            Err(LeaseError::Held(Held { owner: holder.clone(), epoch: before.epoch, since: before.since }))
        }
        _ => Ok(()),
    }
}

/// What the next holder must know. Only a run has a journal in which a newer holder may have written newer things.
pub(crate) fn vocabulary_after(before: Option<&LeaseState>, name: &LeaseName, owner: &Owner) -> u32 {
    match name {
        LeaseName::Run(_) => before.map_or(0, |s| s.vocabulary).max(owner.vocabulary),
        LeaseName::Tree(_) => 0,
    }
}

pub(super) fn release(conn: &Connection, lease: &Lease) -> rusqlite::Result<bool> {
    let Ok(epoch) = i64::try_from(lease.epoch) else { return Ok(false) };
    let changed = conn
        .prepare_cached(
            "UPDATE leases SET owner = NULL WHERE name = ?1 AND epoch = ?2 AND owner IS NOT NULL",
        )?
        .execute(params![lease.name.to_string(), epoch])?;
    Ok(changed == 1)
}
