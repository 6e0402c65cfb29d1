//! The table behind a subscription's receipts.

use crate::provider::Receipt;

/// What a subscription knows of its unsettled deliveries, by receipt.
///
/// A receipt is the number of a place and of how often the place was used, so that one from before
/// [`clear`](Self::clear) (a lost connection, say) finds nothing, even when its place is in use again. Places are used
/// again, so that a warm table allocates nothing.
#[derive(Debug)]
pub(crate) struct Receipts<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    used: u32,
    held: Option<T>,
}

impl<T> Default for Receipts<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

#[allow(dead_code)] // which of it is used depends on the features
impl<T> Receipts<T> {
    /// Keeps `held` and gives its receipt.
    pub(crate) fn insert(&mut self, held: T) -> Receipt {
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { used: 0, held: None });
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.places[at as usize];
        place.used = place.used.wrapping_add(1);
        place.held = Some(held);
        Receipt::new(u64::from(place.used) << 32 | u64::from(at))
    }

    /// What `receipt` stands for; `None` when it was taken or cleared.
    pub(crate) fn get(&self, receipt: &Receipt) -> Option<&T> {
        let (at, used) = parts(receipt);
        let place = self.places.get(at).filter(|place| place.used == used)?;
        place.held.as_ref()
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, receipt: &Receipt) -> Option<&mut T> {
        let (at, used) = parts(receipt);
        let place = self.places.get_mut(at).filter(|place| place.used == used)?;
        place.held.as_mut()
    }

    /// Takes what `receipt` stands for; `None` when it was taken or cleared.
    pub(crate) fn take(&mut self, receipt: &Receipt) -> Option<T> {
        let (at, used) = parts(receipt);
        let place = self.places.get_mut(at).filter(|place| place.used == used)?;
        let held = place.held.take()?;
        self.free.push(u32::try_from(at).unwrap_or(u32::MAX));
        Some(held)
    }

    /// Takes everything, in no order; the receipts stand for nothing from then on.
    pub(crate) fn clear(&mut self) -> Vec<T> {
        let mut all = Vec::with_capacity(self.len());
        for (at, place) in self.places.iter_mut().enumerate() {
            if let Some(held) = place.held.take() {
                self.free.push(u32::try_from(at).unwrap_or(u32::MAX));
                all.push(held);
            }
        }
        all
    }

    /// Keeps what `keep` says; the receipts of the rest stand for nothing from then on.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        for (at, place) in self.places.iter_mut().enumerate() {
            if place.held.as_mut().is_some_and(|held| !keep(held)) {
                place.held = None;
                self.free.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
    }

    /// Everything that is held, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.held.as_ref())
    }

    /// The same, with the receipts.
    pub(crate) fn iter_with_receipts(&self) -> impl Iterator<Item = (Receipt, &T)> {
        self.places.iter().enumerate().filter_map(|(at, place)| {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            let receipt = Receipt::new(u64::from(place.used) << 32 | u64::from(at));
            Some((receipt, place.held.as_ref()?))
        })
    }

    /// How much is held.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

fn parts(receipt: &Receipt) -> (usize, u32) {
    let token = receipt.token();
    let at = usize::try_from(token & u64::from(u32::MAX)).unwrap_or(usize::MAX);
    (at, u32::try_from(token >> 32).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::Receipts;

    #[test]
    fn a_receipt_finds_what_it_was_given_for_and_nothing_later() {
        let mut receipts = Receipts::default();
        let (a, b) = (receipts.insert("a"), receipts.insert("b"));
        assert_eq!((receipts.get(&a), receipts.len()), (Some(&"a"), 2));
        assert_eq!(receipts.take(&a), Some("a"));
        assert_eq!(receipts.take(&a), None);
        let c = receipts.insert("c");
        assert_eq!((receipts.get(&a), receipts.get(&c)), (None, Some(&"c")));
        assert_eq!(receipts.places.len(), 2, "a place is used again");
        receipts.retain(|held| *held != "b");
        assert_eq!((receipts.get(&b), receipts.len()), (None, 1));
        let b = receipts.insert("b");
        let mut rest = receipts.clear();
        rest.sort_unstable();
        assert_eq!(rest, ["b", "c"]);
        let _ = receipts.insert("d");
        let _ = receipts.insert("e");
        assert_eq!((receipts.get(&b), receipts.get(&c)), (None, None));
    }
}
