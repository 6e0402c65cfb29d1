//! The cases, in one file a group.

use std::sync::LazyLock;

use ductape_providers::Capability;
use ductape_providers::conformance::{Applies, Case};

mod batches;
mod dead_letters;
mod groups;
#[cfg(feature = "store")]
mod history;
mod lifecycle;
mod order;
mod plans;
mod produce;
mod retry;
mod trace;

/// Every case of the suite.
pub fn cases() -> &'static [Case] {
    static ALL: LazyLock<Vec<Case>> = LazyLock::new(|| {
        [
            produce::CASES,
            trace::CASES,
            retry::CASES,
            plans::CASES,
            dead_letters::CASES,
            order::CASES,
            batches::CASES,
            groups::CASES,
            #[cfg(feature = "store")]
            history::CASES,
            lifecycle::CASES,
        ]
        .concat()
    });
    &ALL
}

/// What the runtime does with any provider of full capability; it refuses at start-up what a weaker one can't.
fn always(_: &Capability) -> Applies {
    Applies::Runs
}

/// A [`Case`] of the function `$name`, in the group `GROUP` of the file that it stands in.
macro_rules! case {
    ($id:literal, $name:ident) => {
        $crate::conformance::cases::case!($id, $name, $crate::conformance::cases::always)
    };
    ($id:literal, $name:ident, $needs:expr) => {
        $crate::conformance::cases::case!($id, $name, $needs, ductape_providers::conformance::Case::DEADLINE)
    };
    ($id:literal, $name:ident, $needs:expr, $deadline:expr) => {
        $crate::conformance::cases::case!($id, $name, $needs, $deadline, Broker)
    };
    ($id:literal, $name:ident, $needs:expr, $deadline:expr, $wants:ident) => {
        ductape_providers::conformance::Case {
            id: $id,
            name: stringify!($name),
            group: GROUP,
            needs: $needs,
            run: |context| Box::pin($name(context)),
            deadline: $deadline,
            wants: ductape_providers::conformance::Wants::$wants,
        }
    };
}
use case;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::cases;

    #[test]
    fn every_case_has_an_id_and_a_name_of_its_own() {
        let ids: HashSet<_> = cases().iter().map(|case| case.id).collect();
        let names: HashSet<_> = cases().iter().map(|case| case.name).collect();
        assert_eq!((ids.len(), names.len()), (cases().len(), cases().len()));
        assert!(cases().len() >= 40, "{}", cases().len());
    }
}
