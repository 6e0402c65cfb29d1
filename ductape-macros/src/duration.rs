use std::time::Duration;

/// The longest duration that an option may name: beyond it, it is a slip.
const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

const EXAMPLES: &str =
    "write a number and `ms`, `s`, `m` or `h`, for example \"200ms\", \"1.5s\", \"2m\" or \"1h\"";

/// Reads `200ms`, `1.5s`, `2m`, `1h`. Zero is no duration here.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let nanos_of_unit: u128 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        "" if !number.is_empty() => return Err(format!("duration `{text}` has no unit; {EXAMPLES}")),
        _ => return Err(format!("`{text}` is not a duration; {EXAMPLES}")),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(format!("`{text}` is not a duration; {EXAMPLES}"));
    }
    let too_long = || format!("duration `{text}` is too long; at most 365 days (`8760h`) are allowed");
    if whole.len() > 12 {
        return Err(too_long());
    }
    let mut nanos = digits(whole) * nanos_of_unit;
    // A ninth decimal of an hour is a few microseconds: later ones say nothing.
    let fraction = &fraction[..fraction.len().min(9)];
    nanos += digits(fraction) * nanos_of_unit / 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(9));
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(Duration::ZERO) => Err(format!("duration `{text}` is zero; it must be longer")),
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err(too_long()),
    }
}

fn digits(text: &str) -> u128 {
    text.bytes()
        .fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, millis) in [
            ("200ms", 200),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("0.25h", 900_000),
            ("007s", 7_000),
            ("8760h", 31_536_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("0.5ms"), Ok(Duration::from_micros(500)));
    }

    #[test]
    fn other_texts_say_what_to_write() {
        for (text, expected) in [
            ("", "`` is not a duration"),
            ("5", "duration `5` has no unit"),
            ("s", "`s` is not a duration"),
            ("5 s", "`5 s` is not a duration"),
            ("5sec", "`5sec` is not a duration"),
            ("-5s", "`-5s` is not a duration"),
            ("1.2.3s", "`1.2.3s` is not a duration"),
            (".5s", "`.5s` is not a duration"),
            ("5.s", "`5.s` is not a duration"),
            ("0s", "duration `0s` is zero"),
            ("0.0ms", "duration `0.0ms` is zero"),
            ("8761h", "duration `8761h` is too long"),
            (
                "99999999999999999999h",
                "duration `99999999999999999999h` is too long",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
