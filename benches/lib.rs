//! What the benches share: the event, the handler that counts, and the table that they print.
//!
//! Absolute rates tell of the machine and of what else it does; a ratio tells of our code, since both sides run in turn,
//! several times, in one process. Each bench prints rows of one Markdown table; `dev/bench` runs all and prints the table.

mod event;
mod table;

pub use event::{Clock, Order, Took, counted, handle, handled, until_handled};
pub use table::{Bar, Rounds, print_row, rounds};
