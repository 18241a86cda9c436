//! How the words of the plan are typed: networks and environment rules read from text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::{EnvRule, Net, UnitError};

const ENV_FORMS: &str = "NAME (the host's value), PREFIX* (all host variables that start so) or NAME=VALUE";

impl FromStr for Net {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text {
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ => Err(UnitError {
                value: text.to_owned(),
                what: "network",
                accepted: Cow::Borrowed("none (loopback only) and host"),
                nearest: crate::nearest(text, ["none", "host"]).map(str::to_owned),
            }),
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Host => "host",
        })
    }
}

impl FromStr for EnvRule {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let valid = !text.contains('\0');
        match text.split_once('=') {
            Some((name, value)) if valid && is_name(name) => {
                Ok(Self::Set { name: name.to_owned(), value: value.to_owned() })
            }
            None if valid && (is_name(text) || is_prefix(text)) => Ok(Self::Pass(text.to_owned())),
            _ => Err(UnitError {
                value: text.to_owned(),
                what: "rule for a variable",
                accepted: Cow::Borrowed(ENV_FORMS),
                nearest: None,
            }),
        }
    }
}

impl fmt::Display for EnvRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(name) => f.write_str(name),
            Self::Set { name, value } => write!(f, "{name}={value}"),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == '*' || c.is_whitespace())
}

fn is_prefix(text: &str) -> bool {
    text.strip_suffix('*').is_some_and(|prefix| prefix.is_empty() || is_name(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_named() {
        assert_eq!("none".parse(), Ok(Net::None));
        let error = "hots".parse::<Net>().unwrap_err();
        assert_eq!(error.nearest.as_deref(), Some("host"));
    }

    #[test]
    fn environment_rules_pass_or_set() {
        assert_eq!("LC_*".parse(), Ok(EnvRule::Pass("LC_*".to_owned())));
        assert_eq!("A=b=c".parse(), Ok(EnvRule::Set { name: "A".to_owned(), value: "b=c".to_owned() }));
        assert_eq!("A=".parse(), Ok(EnvRule::Set { name: "A".to_owned(), value: String::new() }));
        for wrong in ["", "=x", "A*B", "A*=x", "A B", "A\0", "A=\0"] {
            assert!(wrong.parse::<EnvRule>().is_err(), "{wrong:?}");
        }
    }
}
