//! Settling: what becomes of a delivery.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::time::Instant;

use crate::embedded::memory::checks;
use crate::embedded::memory::entries::{NONE, State};
use crate::embedded::memory::handled::Known;
use crate::embedded::memory::keys::NO_KEY;
use crate::embedded::memory::queue::Queue;
use crate::embedded::memory::queue_pick::later;
use crate::embedded::memory::ring::Ring;
use crate::error::Result;
use crate::provider::{Receipt, SettleSlot, Settlement};

impl Queue {
    /// Settles the deliveries of `member`.
    pub(super) fn settle(&mut self, member: u32, ring: &Ring, batch: &mut [SettleSlot], now: Instant) {
        // What has run out before is not to be settled any more.
        self.tick(ring, now);
        for slot in batch {
            let outcome = self.settle_one(member, ring, slot, now);
            slot.outcome = Some(outcome);
        }
    }

    fn settle_one(&mut self, member: u32, ring: &Ring, slot: &SettleSlot, now: Instant) -> Result<()> {
        checks::settlement(self.rules.requeue, slot.how)?;
        let Some(at) = self.entries.by_receipt(&slot.receipt, member) else {
            return Err(checks::lease_lost());
        };
        self.end_lease(at);
        match slot.how {
            Settlement::Ack => self.end_entry(at, ring, true, now),
            Settlement::Reject => self.end_entry(at, ring, false, now),
            Settlement::Requeue => {
                let entry = self.entries.get_mut(at);
                entry.deliveries = entry.deliveries.saturating_sub(1);
                self.put_waiting(at, ring);
            }
            Settlement::RequeueAfter(after) => self.delay(at, ring, later(now, after)),
        }
        Ok(())
    }

    fn delay(&mut self, at: u32, ring: &Ring, due: Instant) {
        self.take_out(at, ring);
        let key = self.find_key(at, ring);
        let chained = self.rules.delay_holds && key != NO_KEY;
        if chained {
            self.track(ring);
        }
        let entry = self.entries.get_mut(at);
        entry.state = State::Delayed;
        entry.at = due;
        if chained {
            self.chain(at);
        }
        self.due.push(Reverse((due, at)));
        self.stirred = true;
    }

    fn end_entry(&mut self, at: u32, ring: &Ring, handled: bool, now: Instant) {
        if self.rules.once
            && let Some(id) = self
                .entries
                .message(at, ring)
                .map(|(message, _)| message.id.clone())
        {
            if self.entries.get(at).routed {
                // It was not begun with as one of its id, so no twin waits for it.
                if handled {
                    self.handled.remember(&id, now);
                }
                self.finish(at);
                return;
            }
            for twin in self.handled.end(&id, handled, now) {
                match self.handled.look(&id) {
                    Known::Handled => self.finish(twin),
                    Known::Begun => self.handled.wait(&id, twin),
                    Known::New => {
                        self.handled.begin(&id);
                        self.put_waiting(twin, ring);
                    }
                }
            }
        }
        self.finish(at);
    }

    /// Lets go of an entry that is not delivered any more.
    pub(super) fn finish(&mut self, at: u32) {
        let entry = self.entries.get(at);
        let (own, position) = (entry.own, entry.place.0);
        self.routed -= usize::from(entry.routed);
        self.entries.remove(at);
        if own == NONE {
            self.clear_window(position);
        }
    }

    /// Extends the leases of `member`.
    pub(super) fn extend(
        &mut self,
        member: u32,
        ring: &Ring,
        receipts: &[&Receipt],
        by: Duration,
        now: Instant,
    ) -> Result<()> {
        self.tick(ring, now);
        let until = later(now, by);
        let mut result = Ok(());
        for receipt in receipts {
            match self.entries.by_receipt(receipt, member) {
                Some(at) => self.entries.get_mut(at).at = until,
                None => result = Err(checks::lease_lost()),
            }
        }
        // A shorter lease must be noticed too.
        if let Some(check) = self.lease_check
            && until < check
        {
            self.lease_check = Some(until);
            self.stirred = true;
        }
        result
    }
}
