//! Values as typed: the parsed value beside its text, and the words that stand for a value.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use testbox_model::UnitError;

/// A value together with the text it was typed as, so that an error can repeat it.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed<T> {
    /// The value.
    pub value: T,
    /// What was typed.
    pub text: String,
}

/// A value, or `auto`: testbox derives it from the machine and the other limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Auto<T> {
    /// `auto`.
    Auto,
    /// A value.
    Value(T),
}

/// A value, or `none`: no limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrNone<T>(
    /// The value; `None` is typed `none`.
    pub Option<T>,
);

/// `true` or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(
    /// The switch is on.
    pub bool,
);

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(
    /// The number.
    pub u64,
);

impl<T> Typed<T> {
    /// The value as if `text` had been typed.
    pub fn new(value: T, text: impl Into<String>) -> Self {
        Self { value, text: text.into() }
    }
}

impl<T: FromStr<Err = UnitError>> FromStr for Typed<T> {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        Ok(Self::new(text.parse()?, text))
    }
}

impl<T> fmt::Display for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl<T: FromStr<Err = UnitError>> FromStr for Auto<T> {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Value).map_err(|error| or_word(error, "auto")),
        }
    }
}

impl<T: FromStr<Err = UnitError>> FromStr for OrNone<T> {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text {
            "none" => Ok(Self(None)),
            _ => text.parse().map(|value| Self(Some(value))).map_err(|error| or_word(error, "none")),
        }
    }
}

impl FromStr for Switch {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            "1" | "yes" | "on" => Err(wrong(text, "switch", "true and false", Some("true"))),
            "0" | "no" | "off" => Err(wrong(text, "switch", "true and false", Some("false"))),
            _ => Err(wrong(text, "switch", "true and false", testbox_model::nearest(text, ["true", "false"]))),
        }
    }
}

impl FromStr for Count {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        text.parse().map(Self).map_err(|_| {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            wrong(
                text,
                "count",
                "whole numbers like 512",
                Some(digits.as_str()).filter(|digits| digits.parse::<u64>().is_ok()),
            )
        })
    }
}

/// The error for `text`, which is not a `what`.
pub(crate) fn wrong(
    text: &str,
    what: &'static str,
    accepted: impl Into<Cow<'static, str>>,
    nearest: Option<&str>,
) -> UnitError {
    UnitError { value: text.to_owned(), what, accepted: accepted.into(), nearest: nearest.map(str::to_owned) }
}

fn or_word(error: UnitError, word: &'static str) -> UnitError {
    let nearest = testbox_model::nearest(&error.value, [word]).map(str::to_owned).or(error.nearest);
    UnitError { accepted: format!("{}, or `{word}`", error.accepted).into(), nearest, ..error }
}

#[cfg(test)]
mod tests {
    use testbox_model::Size;

    use super::*;

    #[test]
    fn words_stand_for_values_and_are_named_in_errors() {
        assert_eq!("auto".parse(), Ok(Auto::<Size>::Auto));
        assert_eq!("none".parse(), Ok(OrNone::<Size>(None)));
        let error = "atuo".parse::<Auto<Size>>().unwrap_err();
        assert_eq!(error.nearest.as_deref(), Some("auto"));
        assert!(error.to_string().contains("or `auto`"), "{error}");
        assert_eq!("2 gigs".parse::<Auto<Size>>().unwrap_err().nearest.as_deref(), Some("2G"));
    }

    #[test]
    fn switches_and_counts_guess_what_was_meant() {
        assert_eq!("yes".parse::<Switch>().unwrap_err().nearest.as_deref(), Some("true"));
        assert_eq!("512x".parse::<Count>().unwrap_err().nearest.as_deref(), Some("512"));
        for wrong in ["-1", "", "1.5", "99999999999999999999999"] {
            assert!(wrong.parse::<Count>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn typed_values_keep_their_text() {
        let typed: Typed<Size> = "1.5G".parse().unwrap();
        assert_eq!((typed.value, typed.to_string()), (Size::Bytes(3 << 29), "1.5G".to_owned()));
    }
}
