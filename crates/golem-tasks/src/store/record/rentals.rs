//! Allocations, demands, rentals with their activities, and bills: few, and written one by one.

use golem_core::event::{Bill, Event, EventKind, RentalId};
use yagna_api::Timestamp;
use yagna_api::market::Terminator;

use super::{count, to_json};
use crate::store::database::{Statement, Transaction};

/// Writes what an event says about money or a rental; `false` when it says nothing about either.
pub(super) async fn write(
    transaction: &mut Transaction,
    run_no: i64,
    event: &Event,
) -> Result<bool, sqlx::Error> {
    match &event.kind {
        EventKind::AllocationIntended { .. }
        | EventKind::AllocationCreated { .. }
        | EventKind::AllocationProlonged { .. }
        | EventKind::AllocationAmended { .. }
        | EventKind::AllocationLost { .. }
        | EventKind::AllocationReleased { .. } => write_allocation(transaction, run_no, event).await?,
        EventKind::BillReceived { .. }
        | EventKind::BillAccepting { .. }
        | EventKind::BillAccepted { .. }
        | EventKind::BillRefused { .. }
        | EventKind::BillMissing { .. } => write_bill(transaction, run_no, event).await?,
        _ => match statement(run_no, event)? {
            Some(statement) => {
                transaction.execute(statement).await?;
            }
            None => return Ok(false),
        },
    }
    Ok(true)
}

/// The one statement that writes an event about a demand, an agreement or an activity.
fn statement(run_no: i64, event: &Event) -> Result<Option<Statement<'_>>, sqlx::Error> {
    let of = |sql, rental| of_rental(sql, run_no, rental);
    Ok(Some(match &event.kind {
        EventKind::DemandPublished { demand, expires } => Statement::new(
            "INSERT INTO demands (run_no, demand_id, published_at, expires_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING",
        )
        .int(run_no)
        .text(demand.as_str())
        .time(event.at)
        .time(*expires),
        EventKind::DemandEnded { demand, why } => {
            Statement::new("UPDATE demands SET ended_at = $1, why = $2 WHERE run_no = $3 AND demand_id = $4")
                .time(event.at)
                .text(why.as_str())
                .int(run_no)
                .text(demand.as_str())
        }
        EventKind::AgreementIntended { rental, provider, proposal, per_hour, start, .. } => of(
            "INSERT INTO rentals (run_no, rental_no, provider_id, provider_name, proposal_id, per_hour, \
             start_price, status, intended_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'intended', $8)",
            *rental,
        )?
        .text(provider.id.as_str())
        .text(provider.name.as_str())
        .text(proposal.as_str())
        .money(*per_hour)
        .money(*start)
        .time(event.at),
        EventKind::AgreementCreated { rental, agreement } => of(
            "UPDATE rentals SET status = 'created', agreement_id = $3, created_at = $4 \
             WHERE run_no = $1 AND rental_no = $2",
            *rental,
        )?
        .text(agreement.as_str())
        .time(event.at),
        EventKind::AgreementApproved { rental, agreement, .. } => of(
            "UPDATE rentals SET status = 'approved', agreement_id = $3, approved_at = $4 \
             WHERE run_no = $1 AND rental_no = $2",
            *rental,
        )?
        .text(agreement.as_str())
        .time(event.at),
        EventKind::AgreementFailed { rental, reason } => of(
            "UPDATE rentals SET status = 'failed', failure = $3, ended_at = $4 \
             WHERE run_no = $1 AND rental_no = $2",
            *rental,
        )?
        .text(reason.as_str())
        .time(event.at),
        EventKind::AgreementEnded { rental, agreement, by, reason, forgotten } => of(
            "UPDATE rentals SET status = 'ended', agreement_id = coalesce(agreement_id, $3), ended_by = $4, \
             end_reason = $5, ended_at = $6, final_bill = coalesce(final_bill, $7, CASE WHEN NOT EXISTS \
             (SELECT 1 FROM activities AS a WHERE a.run_no = $1 AND a.rental_no = $2 AND a.activity_id IS NOT NULL) \
             AND NOT EXISTS (SELECT 1 FROM bills AS b WHERE b.run_no = $1 AND b.rental_no = $2 AND b.status = 'accepted') \
             THEN 'none' END) WHERE run_no = $1 AND rental_no = $2",
            *rental,
        )?
        .text(agreement.as_str())
        .text(match by {
            Terminator::Requestor => "requestor",
            Terminator::Provider => "provider",
        })
        .json(to_json(reason)?)
        .time(event.at)
        .text(forgotten.then_some("forgotten")),
        EventKind::ActivityIntended { rental, job } => of(
            "INSERT INTO activities (run_no, rental_no, activity_no, job_no, status, intended_at) \
             SELECT r.run_no, r.rental_no, 1 + (SELECT count(*) FROM activities AS a WHERE a.run_no = r.run_no \
             AND a.rental_no = r.rental_no), $3, 'intended', $4 FROM rentals AS r \
             WHERE r.run_no = $1 AND r.rental_no = $2",
            *rental,
        )?
        .int(count(job.0)?)
        .time(event.at),
        EventKind::ActivityCreated { rental, activity } => of(
            "UPDATE activities SET status = 'created', activity_id = $3, created_at = $4 \
             WHERE run_no = $1 AND rental_no = $2 AND activity_no = \
             (SELECT max(activity_no) FROM activities WHERE run_no = $1 AND rental_no = $2)",
            *rental,
        )?
        .text(activity.as_str())
        .time(event.at),
        EventKind::ActivityReady { rental } => of(
            "UPDATE activities SET status = 'ready', ready_at = $3 \
             WHERE run_no = $1 AND rental_no = $2 AND activity_no = \
             (SELECT max(activity_no) FROM activities WHERE run_no = $1 AND rental_no = $2)",
            *rental,
        )?
        .time(event.at),
        EventKind::ActivityEnded { rental, usage, failure, .. } => of(
            "UPDATE activities SET status = 'ended', usage = $3, failure = $4, ended_at = $5 \
             WHERE run_no = $1 AND rental_no = $2 AND activity_no = \
             (SELECT max(activity_no) FROM activities WHERE run_no = $1 AND rental_no = $2)",
            *rental,
        )?
        .json(usage.as_ref().map(to_json).transpose()?)
        .text(failure.as_deref())
        .time(event.at),
        _ => return Ok(None),
    }))
}

/// A statement whose first two parameters say which rental is meant.
fn of_rental<'q>(sql: &'static str, run_no: i64, rental: RentalId) -> Result<Statement<'q>, sqlx::Error> {
    Ok(Statement::new(sql).int(run_no).int(count(rental.0)?))
}

async fn write_allocation(
    transaction: &mut Transaction,
    run_no: i64,
    event: &Event,
) -> Result<(), sqlx::Error> {
    const NEXT: &str = "INSERT INTO allocations (allocation_no, run_no, status, intended_at, amount, platform, \
         allocation_id, created_at, expires_at) SELECT 1 + (SELECT count(*) FROM allocations WHERE run_no = $1), \
         $1, $2, $3, $4, $5, $6, $7, $8";
    match &event.kind {
        EventKind::AllocationIntended { amount, platform, expires } => {
            let intended = Statement::new(NEXT)
                .int(run_no)
                .text("intended")
                .time(event.at)
                .money(*amount)
                .text(platform.as_str())
                .text(None)
                .time(None)
                .time(*expires);
            transaction.execute(intended).await?;
        }
        EventKind::AllocationCreated { allocation, amount, expires } => {
            let created = Statement::new(
                "UPDATE allocations SET status = 'created', allocation_id = $2, amount = $3, created_at = $4, \
                 expires_at = $5 WHERE run_no = $1 AND allocation_no = (SELECT max(allocation_no) \
                 FROM allocations WHERE run_no = $1 AND (status = 'intended' OR allocation_id = $2))",
            )
            .int(run_no)
            .text(allocation.as_str())
            .money(*amount)
            .time(event.at)
            .time(*expires);
            if transaction.execute(created).await? == 0 {
                // One that was found at the daemon, not made by us.
                let found = Statement::new(NEXT)
                    .int(run_no)
                    .text("created")
                    .time(event.at)
                    .money(*amount)
                    .text(None)
                    .text(allocation.as_str())
                    .time(event.at)
                    .time(*expires);
                transaction.execute(found).await?;
            }
        }
        EventKind::AllocationProlonged { allocation, expires } => {
            let prolonged = Statement::new(
                "UPDATE allocations SET expires_at = $1 WHERE run_no = $2 AND allocation_id = $3",
            )
            .time(*expires)
            .int(run_no)
            .text(allocation.as_str());
            transaction.execute(prolonged).await?;
        }
        EventKind::AllocationAmended { allocation, amount } => {
            let amended =
                Statement::new("UPDATE allocations SET amount = $1 WHERE run_no = $2 AND allocation_id = $3")
                    .money(*amount)
                    .int(run_no)
                    .text(allocation.as_str());
            transaction.execute(amended).await?;
        }
        // One that is lost was released by somebody else.
        EventKind::AllocationReleased { allocation } | EventKind::AllocationLost { allocation } => {
            let released = Statement::new(
                "UPDATE allocations SET status = 'released', released_at = $1 \
                 WHERE run_no = $2 AND allocation_id = $3",
            )
            .time(event.at)
            .int(run_no)
            .text(allocation.as_str());
            transaction.execute(released).await?;
        }
        _ => {}
    }
    Ok(())
}

async fn write_bill(transaction: &mut Transaction, run_no: i64, event: &Event) -> Result<(), sqlx::Error> {
    /// A bill never goes back: what was accepted or refused stays so.
    const BILL: &str = "INSERT INTO bills (run_no, bill_id, kind, rental_no, amount, status, reason, received_at, \
         accepting_at, decided_at, increase, activity_no) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
         (SELECT max(activity_no) FROM activities WHERE run_no = $1 AND rental_no = $4 AND $3 = 'debit_note') \
         WHERE true ON CONFLICT (run_no, bill_id) DO UPDATE SET status = excluded.status, \
         reason = excluded.reason, accepting_at = coalesce(bills.accepting_at, excluded.accepting_at), \
         decided_at = excluded.decided_at, increase = coalesce(excluded.increase, bills.increase) \
         WHERE bills.status IN ('received', 'accepting') \
         AND (excluded.status <> 'received' OR excluded.reason IS NOT NULL)";
    let (rental, bill, amount, status, reason) = match &event.kind {
        EventKind::BillReceived { rental, bill, amount, .. } => (*rental, bill, amount, "received", None),
        EventKind::BillAccepting { rental, bill, amount, .. } => {
            (Some(*rental), bill, amount, "accepting", None)
        }
        EventKind::BillAccepted { rental, bill, amount, .. } => {
            (Some(*rental), bill, amount, "accepted", None)
        }
        EventKind::BillRefused { rental, bill, amount, reason, open, .. } => {
            // One that is owed all the same may still be accepted, when the run is resumed.
            let status = if *open { "received" } else { "refused" };
            (*rental, bill, amount, status, Some(reason.as_str()))
        }
        EventKind::BillMissing { rental, .. } => {
            let missing = "UPDATE rentals SET bill_missing_at = $3 WHERE run_no = $1 AND rental_no = $2";
            transaction.execute(of_rental(missing, run_no, *rental)?.time(event.at)).await?;
            return Ok(());
        }
        _ => return Ok(()),
    };
    let (kind, id) = match bill {
        Bill::DebitNote(id) => ("debit_note", id.as_str()),
        Bill::Invoice(id) => ("invoice", id.as_str()),
    };
    let at_if = |it_is: bool| Some(event.at).filter(|_: &Timestamp| it_is);
    let increase = match &event.kind {
        EventKind::BillAccepting { increase, .. } => Some(*increase),
        _ => None,
    };
    let decided = matches!(status, "accepted" | "refused");
    let recorded = Statement::new(BILL)
        .int(run_no)
        .text(id)
        .text(kind)
        .int(rental.map(|rental| count(rental.0)).transpose()?)
        .money(*amount)
        .text(status)
        .text(reason)
        .time(event.at)
        .time(at_if(status == "accepting"))
        .time(at_if(decided))
        .money(increase);
    transaction.execute(recorded).await?;
    if let EventKind::BillAccepted { rental, total, .. } = &event.kind {
        let cost = "UPDATE rentals SET cost = $3 WHERE run_no = $1 AND rental_no = $2";
        transaction.execute(of_rental(cost, run_no, *rental)?.money(*total)).await?;
        // Something ran after all: its final bill follows.
        let awaited = "UPDATE rentals SET final_bill = NULL WHERE run_no = $1 AND rental_no = $2 AND final_bill = 'none'";
        transaction.execute(of_rental(awaited, run_no, *rental)?).await?;
    }
    if let (Some(rental), Bill::Invoice(_), true) = (rental, bill, decided) {
        let settled = "UPDATE rentals SET final_bill = $3 WHERE run_no = $1 AND rental_no = $2";
        transaction.execute(of_rental(settled, run_no, rental)?.text(status)).await?;
    }
    Ok(())
}
