//! Who makes what a program needs on a broker.

use serde::Serialize;

use super::fields::Fields;

/// What a program does about topics, groups and their queues when it starts (`declare`). Nothing is ever altered or
/// deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Declare {
    /// What is missing is created; what exists must fit. The default.
    #[default]
    Create,
    /// Nothing is created: what is missing, or does not fit, is an error.
    Check,
    /// Nothing is created and nothing is looked at: for a program that has no permission to.
    Off,
}

impl Declare {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let choices = [
            ("create", Self::Create),
            ("check", Self::Check),
            ("off", Self::Off),
        ];
        fields.choice("declare", &choices).unwrap_or_default()
    }
}
