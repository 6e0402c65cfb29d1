//! Lines that are printed, and checked.

use std::error::Error;
use std::fmt::Display;
use std::time::{Duration, Instant};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Begins a section of the tour.
pub(crate) fn section(title: &str) {
    println!("\n## {title}");
}

/// Prints a line, which is to be `wanted`.
pub(crate) fn shows(line: impl Display, wanted: &str) -> Result<()> {
    let line = line.to_string();
    println!("{line}");
    if line == wanted {
        return Ok(());
    }
    Err(format!("this line should be: {wanted}").into())
}

/// Insists on what no line shows.
pub(crate) fn ensure(is_so: bool, what: &str) -> Result<()> {
    if is_so {
        return Ok(());
    }
    Err(format!("this is not so: {what}").into())
}

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("this did not come within {PATIENCE:?}: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
