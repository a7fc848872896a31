//! Allocations, demands, deals with their activities, and bills: few, and written one by one.

use golem_core::event::{Bill, Event, EventKind, RentalId};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};
use yagna_api::market::Terminator;

use super::{count, json, micros};

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Writes what an event says about money or a deal; `false` when it says nothing about either.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    run_no: i64,
    event: &Event,
) -> Result<bool, sqlx::Error> {
    match &event.kind {
        EventKind::AllocationIntended { .. }
        | EventKind::AllocationCreated { .. }
        | EventKind::AllocationReleased { .. } => write_allocation(connection, run_no, event).await?,
        EventKind::BillReceived { .. }
        | EventKind::BillAccepting { .. }
        | EventKind::BillAccepted { .. }
        | EventKind::BillRefused { .. }
        | EventKind::BillMissing { .. } => write_bill(connection, run_no, event).await?,
        _ => match statement(run_no, event)? {
            Some(statement) => {
                statement.execute(connection).await?;
            }
            None => return Ok(false),
        },
    }
    Ok(true)
}

/// The one statement that writes an event about a demand, an agreement or an activity.
fn statement(run_no: i64, event: &Event) -> Result<Option<Statement<'_>>, sqlx::Error> {
    let at = micros(event.at);
    Ok(Some(match &event.kind {
        EventKind::DemandPublished { demand, expires } => sqlx::query(
            "INSERT INTO demand (run_no, demand_id, published_at, expires_at) VALUES (?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(run_no)
        .bind(demand.as_str())
        .bind(at)
        .bind(micros(*expires)),
        EventKind::DemandEnded { demand, why } => {
            sqlx::query("UPDATE demand SET ended_at = ?, why = ? WHERE run_no = ? AND demand_id = ?")
                .bind(at)
                .bind(why)
                .bind(run_no)
                .bind(demand.as_str())
        }
        EventKind::AgreementIntended { rental, provider, proposal, per_hour, start, .. } => sqlx::query(
            "INSERT INTO rental (run_no, rental_no, provider_id, provider_name, proposal_id, per_hour, \
             start_price, status, intended_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'intended', ?)",
        )
        .bind(run_no)
        .bind(count(rental.0)?)
        .bind(provider.id.as_str())
        .bind(&provider.name)
        .bind(proposal.as_str())
        .bind(per_hour.to_string())
        .bind(start.to_string())
        .bind(at),
        EventKind::AgreementCreated { rental, agreement } => rental_statement(
            "UPDATE rental SET status = 'created', agreement_id = ? WHERE run_no = ? AND rental_no = ?",
            |statement| statement.bind(agreement.as_str()),
            run_no,
            *rental,
        )?,
        EventKind::AgreementApproved { rental, agreement, .. } => rental_statement(
            "UPDATE rental SET status = 'approved', agreement_id = ?, approved_at = ? \
             WHERE run_no = ? AND rental_no = ?",
            |statement| statement.bind(agreement.as_str()).bind(at),
            run_no,
            *rental,
        )?,
        EventKind::AgreementFailed { rental, reason } => rental_statement(
            "UPDATE rental SET status = 'failed', failure = ?, ended_at = ? WHERE run_no = ? AND rental_no = ?",
            |statement| statement.bind(reason).bind(at),
            run_no,
            *rental,
        )?,
        EventKind::AgreementEnded { rental, by, reason, .. } => {
            let by = match by {
                Terminator::Requestor => "requestor",
                Terminator::Provider => "provider",
            };
            let reason = json(reason)?;
            rental_statement(
                "UPDATE rental SET status = 'ended', ended_by = ?, end_reason = ?, ended_at = ? \
                 WHERE run_no = ? AND rental_no = ?",
                |statement| statement.bind(by).bind(reason).bind(at),
                run_no,
                *rental,
            )?
        }
        EventKind::ActivityIntended { rental, .. } => rental_statement(
            "INSERT INTO activity (run_no, rental_no, activity_no, status, intended_at) \
             SELECT r.run_no, r.rental_no, 1 + (SELECT count(*) FROM activity AS a WHERE a.run_no = r.run_no \
             AND a.rental_no = r.rental_no), 'intended', ? FROM rental AS r WHERE r.run_no = ? AND r.rental_no = ?",
            |statement| statement.bind(at),
            run_no,
            *rental,
        )?,
        EventKind::ActivityCreated { rental, activity } => rental_statement(
            "UPDATE activity SET status = 'created', activity_id = ?1, created_at = ?2 \
             WHERE run_no = ?3 AND rental_no = ?4 AND activity_no = \
             (SELECT max(activity_no) FROM activity WHERE run_no = ?3 AND rental_no = ?4)",
            |statement| statement.bind(activity.as_str()).bind(at),
            run_no,
            *rental,
        )?,
        EventKind::ActivityReady { rental } => rental_statement(
            "UPDATE activity SET status = 'ready', ready_at = ?1 \
             WHERE run_no = ?2 AND rental_no = ?3 AND activity_no = \
             (SELECT max(activity_no) FROM activity WHERE run_no = ?2 AND rental_no = ?3)",
            |statement| statement.bind(at),
            run_no,
            *rental,
        )?,
        EventKind::ActivityEnded { rental, usage, failure, .. } => {
            let usage = usage.as_ref().map(json).transpose()?;
            rental_statement(
                "UPDATE activity SET status = 'ended', usage = ?1, failure = ?2, ended_at = ?3 \
                 WHERE run_no = ?4 AND rental_no = ?5 AND activity_no = \
                 (SELECT max(activity_no) FROM activity WHERE run_no = ?4 AND rental_no = ?5)",
                |statement| statement.bind(usage).bind(failure).bind(at),
                run_no,
                *rental,
            )?
        }
        _ => return Ok(None),
    }))
}

/// A statement whose last two parameters say which deal is meant.
fn rental_statement<'q>(
    sql: &'static str,
    bind: impl FnOnce(Statement<'q>) -> Statement<'q>,
    run_no: i64,
    rental: RentalId,
) -> Result<Statement<'q>, sqlx::Error> {
    Ok(bind(sqlx::query(sql)).bind(run_no).bind(count(rental.0)?))
}

async fn write_allocation(
    connection: &mut SqliteConnection,
    run_no: i64,
    event: &Event,
) -> Result<(), sqlx::Error> {
    const NEXT: &str = "INSERT INTO allocation (allocation_no, run_no, status, intended_at, amount, platform, \
         allocation_id, created_at, expires_at) SELECT 1 + (SELECT count(*) FROM allocation WHERE run_no = ?1), \
         ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8";
    let at = micros(event.at);
    match &event.kind {
        EventKind::AllocationIntended { amount, platform, .. } => {
            sqlx::query(NEXT)
                .bind(run_no)
                .bind("intended")
                .bind(at)
                .bind(amount.to_string())
                .bind(platform)
                .bind(None::<String>)
                .bind(None::<i64>)
                .bind(None::<i64>)
                .execute(connection)
                .await?;
        }
        EventKind::AllocationCreated { allocation, amount, expires } => {
            let intended = sqlx::query(
                "UPDATE allocation SET status = 'created', allocation_id = ?1, amount = ?2, created_at = ?3, \
                 expires_at = ?4 WHERE run_no = ?5 AND allocation_no = (SELECT max(allocation_no) FROM allocation \
                 WHERE run_no = ?5 AND (status = 'intended' OR allocation_id = ?1))",
            )
            .bind(allocation.as_str())
            .bind(amount.to_string())
            .bind(at)
            .bind(micros(*expires))
            .bind(run_no)
            .execute(&mut *connection)
            .await?;
            if intended.rows_affected() == 0 {
                // One that was found at the daemon, not made by us.
                sqlx::query(NEXT)
                    .bind(run_no)
                    .bind("created")
                    .bind(at)
                    .bind(amount.to_string())
                    .bind(None::<String>)
                    .bind(allocation.as_str())
                    .bind(at)
                    .bind(micros(*expires))
                    .execute(connection)
                    .await?;
            }
        }
        EventKind::AllocationReleased { allocation } => {
            sqlx::query(
                "UPDATE allocation SET status = 'released', released_at = ? WHERE run_no = ? AND allocation_id = ?",
            )
            .bind(at)
            .bind(run_no)
            .bind(allocation.as_str())
            .execute(connection)
            .await?;
        }
        _ => {}
    }
    Ok(())
}

async fn write_bill(
    connection: &mut SqliteConnection,
    run_no: i64,
    event: &Event,
) -> Result<(), sqlx::Error> {
    /// A bill never goes back: what was accepted or refused stays so.
    const BILL: &str = "INSERT INTO bill (run_no, bill_id, kind, rental_no, amount, status, reason, received_at, \
         decided_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET \
         status = excluded.status, reason = excluded.reason, decided_at = excluded.decided_at \
         WHERE bill.status IN ('received', 'accepting') AND excluded.status <> 'received'";
    let at = micros(event.at);
    let (rental, bill, amount, status, reason) = match &event.kind {
        EventKind::BillReceived { rental, bill, amount, .. } => (*rental, bill, amount, "received", None),
        EventKind::BillAccepting { rental, bill, amount, .. } => {
            (Some(*rental), bill, amount, "accepting", None)
        }
        EventKind::BillAccepted { rental, bill, amount, .. } => {
            (Some(*rental), bill, amount, "accepted", None)
        }
        EventKind::BillRefused { rental, bill, amount, reason, .. } => {
            (*rental, bill, amount, "refused", Some(reason.as_str()))
        }
        EventKind::BillMissing { rental, .. } => {
            let missing = "UPDATE rental SET bill_missing_at = ? WHERE run_no = ? AND rental_no = ?";
            rental_statement(missing, |statement| statement.bind(at), run_no, *rental)?
                .execute(connection)
                .await?;
            return Ok(());
        }
        _ => return Ok(()),
    };
    let (kind, id) = match bill {
        Bill::DebitNote(id) => ("debit_note", id.as_str()),
        Bill::Invoice(id) => ("invoice", id.as_str()),
    };
    let decided = Some(at).filter(|_| matches!(status, "accepted" | "refused"));
    sqlx::query(BILL)
        .bind(run_no)
        .bind(id)
        .bind(kind)
        .bind(rental.map(|rental| count(rental.0)).transpose()?)
        .bind(amount.to_string())
        .bind(status)
        .bind(reason)
        .bind(at)
        .bind(decided)
        .execute(&mut *connection)
        .await?;
    if let EventKind::BillAccepted { rental, total, .. } = &event.kind {
        let total = total.to_string();
        rental_statement(
            "UPDATE rental SET cost = ? WHERE run_no = ? AND rental_no = ?",
            |statement| statement.bind(total),
            run_no,
            *rental,
        )?
        .execute(&mut *connection)
        .await?;
    }
    if let (Some(rental), Bill::Invoice(_), Some(_)) = (rental, bill, decided) {
        rental_statement(
            "UPDATE rental SET final_bill = ? WHERE run_no = ? AND rental_no = ?",
            |statement| statement.bind(status),
            run_no,
            rental,
        )?
        .execute(connection)
        .await?;
    }
    Ok(())
}
