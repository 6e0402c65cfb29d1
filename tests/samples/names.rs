//! Samples are put under the names that serde gives to fields and variants, by every rule that it has.

use ductape_events::prelude::*;

use crate::sample;

macro_rules! names {
    ($($rule:literal, $event:literal, $module:ident;)*) => {
        $(
            mod $module {
                use super::{Topic, sample, topic};

                #[topic($event)]
                #[serde(rename_all = $rule, deny_unknown_fields)]
                struct Fields {
                    #[sample("given")]
                    two_words2: String,
                    #[sample("given")]
                    r#type: String,
                }

                #[topic($event, version = 2)]
                #[serde(rename_all = $rule)]
                enum Variants {
                    Other(u8),
                    #[sample]
                    TwoWords2(#[sample(7)] u8),
                }

                #[topic($event, version = 3)]
                #[serde(rename_all_fields = $rule, deny_unknown_fields)]
                enum FieldsOfVariants {
                    Only {
                        #[sample("given")]
                        two_words2: String,
                    },
                }

                #[test]
                fn are_those_of_serde() {
                    let fields: Fields = serde_json::from_value(sample::<Fields>()).unwrap();
                    assert_eq!((&*fields.two_words2, &*fields.r#type), ("given", "given"));
                    let variant: Variants = serde_json::from_value(sample::<Variants>()).unwrap();
                    assert!(matches!(variant, Variants::TwoWords2(7)), "{}", Variants::sample());
                    let FieldsOfVariants::Only { two_words2 } =
                        serde_json::from_value(sample::<FieldsOfVariants>()).unwrap();
                    assert_eq!(two_words2, "given");
                }
            }
        )*
    };
}

names! {
    "lowercase", "samples:lower", lower;
    "UPPERCASE", "samples:upper", upper;
    "PascalCase", "samples:pascal", pascal;
    "camelCase", "samples:camel", camel;
    "snake_case", "samples:snake", snake;
    "SCREAMING_SNAKE_CASE", "samples:screaming-snake", screaming_snake;
    "kebab-case", "samples:kebab", kebab;
    "SCREAMING-KEBAB-CASE", "samples:screaming-kebab", screaming_kebab;
}
