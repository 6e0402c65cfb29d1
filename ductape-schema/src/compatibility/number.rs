//! Numbers, compared exactly.

use std::cmp::Ordering;

use serde_json::Number;

/// Beyond it no float is read as a whole number: 2^126.
const WHOLE_MAX: f64 = 85_070_591_730_234_615_865_843_651_857_942_052_864.0;

/// A number of a schema or of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Num {
    Int(i128),
    /// Not whole, or beyond [`WHOLE_MAX`].
    Float(f64),
}

impl Num {
    pub(super) fn of(number: &Number) -> Self {
        if let Some(int) = number.as_i64() {
            return Self::Int(int.into());
        }
        if let Some(int) = number.as_u64() {
            return Self::Int(int.into());
        }
        Self::of_float(number.as_f64().unwrap_or(f64::NAN))
    }

    fn of_float(float: f64) -> Self {
        if float.fract() == 0.0 && float.abs() < WHOLE_MAX {
            Self::Int(whole(float))
        } else {
            Self::Float(float)
        }
    }

    pub(super) fn cmp(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Int(a), Self::Float(b)) => int_to_float(a, b),
            (Self::Float(a), Self::Int(b)) => int_to_float(b, a).reverse(),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(&b),
        }
    }

    pub(super) fn is_whole(self) -> bool {
        match self {
            Self::Int(_) => true,
            Self::Float(float) => float.fract() == 0.0,
        }
    }

    /// As a length or a count.
    pub(super) fn count(self) -> Option<u64> {
        match self {
            Self::Int(int) => u64::try_from(int).ok(),
            Self::Float(_) => None,
        }
    }

    /// Whether every multiple of this is one of `other`; `false` where that is not known.
    pub(super) fn is_multiple_of(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.checked_rem(b) == Some(0),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(&b) == Ordering::Equal,
            _ => false,
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // a whole float below 2^126 is an i128
fn whole(float: f64) -> i128 {
    float as i128
}

/// Compares a whole number with a float that is none, or that is beyond [`WHOLE_MAX`].
fn int_to_float(int: i128, float: f64) -> Ordering {
    if float.is_nan() || float >= WHOLE_MAX {
        return Ordering::Less;
    }
    if float <= -WHOLE_MAX {
        return Ordering::Greater;
    }
    let below = float.floor();
    int.cmp(&whole(below)).then(if float > below {
        Ordering::Less
    } else {
        Ordering::Equal
    })
}

/// One end of a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) at: Num,
    /// Whether `at` itself is outside.
    pub(super) open: bool,
}

/// Where numbers lie.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    pub(super) low: Option<Bound>,
    pub(super) high: Option<Bound>,
}

impl Range {
    const fn closed(low: i128, high: Num) -> Self {
        Self {
            low: Some(Bound {
                at: Num::Int(low),
                open: false,
            }),
            high: Some(Bound {
                at: high,
                open: false,
            }),
        }
    }

    /// The numbers that a format of Rust's own numbers stands for. `float` and `double` take what any number is.
    pub(super) fn of_format(format: &str) -> Option<Self> {
        let (low, high) = match format {
            "int8" => (i8::MIN.into(), Num::Int(i8::MAX.into())),
            "int16" => (i16::MIN.into(), Num::Int(i16::MAX.into())),
            "int32" => (i32::MIN.into(), Num::Int(i32::MAX.into())),
            "int64" | "int" => (i64::MIN.into(), Num::Int(i64::MAX.into())),
            "int128" => (i128::MIN, Num::Int(i128::MAX)),
            "uint8" => (0, Num::Int(u8::MAX.into())),
            "uint16" => (0, Num::Int(u16::MAX.into())),
            "uint32" => (0, Num::Int(u32::MAX.into())),
            "uint64" | "uint" => (0, Num::Int(u64::MAX.into())),
            "uint128" => (0, Num::Float(f64::MAX)),
            _ => return None,
        };
        Some(Self::closed(low, high))
    }

    pub(super) fn intersect(&mut self, other: &Self) {
        if let Some(low) = other.low
            && !self.low.is_some_and(|own| is_above(own, low))
        {
            self.low = Some(low);
        }
        if let Some(high) = other.high
            && !self.high.is_some_and(|own| is_below(own, high))
        {
            self.high = Some(high);
        }
    }

    /// The same for whole numbers, with ends that are themselves whole and inside.
    pub(super) fn of_whole(&self) -> Self {
        let end = |bound: Bound, up: bool| {
            let at = match bound.at {
                Num::Int(int) if bound.open => Num::Int(int.saturating_add(if up { 1 } else { -1 })),
                Num::Int(int) => Num::Int(int),
                Num::Float(float) => Num::of_float(if up { float.ceil() } else { float.floor() }),
            };
            Bound { at, open: false }
        };
        Self {
            low: self.low.map(|bound| end(bound, true)),
            high: self.high.map(|bound| end(bound, false)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let (Some(low), Some(high)) = (self.low, self.high) else {
            return false;
        };
        match low.at.cmp(high.at) {
            Ordering::Greater => true,
            Ordering::Equal => low.open || high.open,
            Ordering::Less => false,
        }
    }

    pub(super) fn has(&self, number: Num) -> bool {
        let point = Bound {
            at: number,
            open: false,
        };
        self.low.is_none_or(|low| is_above(point, low)) && self.high.is_none_or(|high| is_below(point, high))
    }

    /// Whether `inner` has nothing below this range.
    pub(super) fn holds_low_of(&self, inner: &Self) -> bool {
        self.low
            .is_none_or(|low| inner.low.is_some_and(|own| is_above(own, low)))
    }

    /// Whether `inner` has nothing above this range.
    pub(super) fn holds_high_of(&self, inner: &Self) -> bool {
        self.high
            .is_none_or(|high| inner.high.is_some_and(|own| is_below(own, high)))
    }
}

/// Whether what begins at `own` lies within what begins at `low`.
fn is_above(own: Bound, low: Bound) -> bool {
    match own.at.cmp(low.at) {
        Ordering::Greater => true,
        Ordering::Equal => own.open || !low.open,
        Ordering::Less => false,
    }
}

/// Whether what ends at `own` lies within what ends at `high`.
fn is_below(own: Bound, high: Bound) -> bool {
    match own.at.cmp(high.at) {
        Ordering::Less => true,
        Ordering::Equal => own.open || !high.open,
        Ordering::Greater => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::Num;

    fn num(text: &str) -> Num {
        Num::of(&text.parse().unwrap())
    }

    #[test]
    fn numbers_compare_by_their_value() {
        for (a, b, expected) in [
            ("1", "1.0", Ordering::Equal),
            ("18446744073709551615", "18446744073709551616", Ordering::Less),
            ("9007199254740993", "9007199254740992.0", Ordering::Greater),
            ("-1", "-1.5", Ordering::Greater),
            ("-2", "-1.5", Ordering::Less),
            ("1", "1e300", Ordering::Less),
            ("1", "-1e300", Ordering::Greater),
            ("0.1", "0.2", Ordering::Less),
        ] {
            assert_eq!(num(a).cmp(num(b)), expected, "{a} {b}");
            assert_eq!(num(b).cmp(num(a)), expected.reverse(), "{b} {a}");
        }
    }
}
