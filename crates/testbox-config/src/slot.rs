//! The slots of a layer: single values that win over weaker ones, and lists that are added to.

use std::str::FromStr;

use testbox_model::{Origin, Setting, UnitError};

use crate::{ConfigError, Place, Typed};

/// A single value, if it was typed.
pub type One<T> = Option<Setting<Typed<T>>>;

/// A list, if it was typed (an empty one counts); each item knows where it was.
pub type Many<T> = Option<Vec<Setting<Typed<T>>>>;

/// What was typed for one key, not yet read.
#[derive(Debug)]
pub(crate) struct Raw {
    /// Where the key is.
    pub(crate) origin: Origin,
    /// The items, or the one value.
    pub(crate) items: Vec<RawItem>,
    /// It was typed as a list.
    pub(crate) is_list: bool,
}

/// One value, not yet read.
#[derive(Debug)]
pub(crate) struct RawItem {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// What single values and lists have in common.
pub(crate) trait Slot: Sized {
    /// Reads what was typed for `key`.
    fn fill(&mut self, key: &'static str, raw: Raw) -> Result<(), ConfigError>;

    /// This slot above a weaker one.
    fn over(self, weaker: Self) -> Self;

    /// What was typed, if anything was.
    fn text(&self) -> Option<String>;
}

impl<T: FromStr<Err = UnitError>> Slot for One<T> {
    fn fill(&mut self, key: &'static str, raw: Raw) -> Result<(), ConfigError> {
        let Raw { origin, items, is_list } = raw;
        match <[RawItem; 1]>::try_from(items) {
            Ok([item]) if !is_list => *self = Some(read(key, item)?),
            _ => {
                return Err(ConfigError::WrongKind {
                    place: Place::new(origin, key),
                    found: "list",
                    wanted: "single value",
                });
            }
        }
        Ok(())
    }

    fn over(self, weaker: Self) -> Self {
        self.or(weaker)
    }

    fn text(&self) -> Option<String> {
        self.as_ref().map(|setting| setting.value.text.clone())
    }
}

impl<T: FromStr<Err = UnitError>> Slot for Many<T> {
    fn fill(&mut self, key: &'static str, raw: Raw) -> Result<(), ConfigError> {
        *self = Some(raw.items.into_iter().map(|item| read(key, item)).collect::<Result<_, _>>()?);
        Ok(())
    }

    fn over(self, weaker: Self) -> Self {
        match (weaker, self) {
            (Some(mut list), Some(more)) => {
                list.extend(more);
                Some(list)
            }
            (weaker, stronger) => stronger.or(weaker),
        }
    }

    fn text(&self) -> Option<String> {
        let texts = |list: &Vec<Setting<Typed<T>>>| list.iter().map(|item| item.value.text.clone()).collect::<Vec<_>>();
        self.as_ref().map(|list| texts(list).join(" "))
    }
}

fn read<T: FromStr<Err = UnitError>>(key: &'static str, item: RawItem) -> Result<Setting<Typed<T>>, ConfigError> {
    match item.text.parse() {
        Ok(value) => Ok(Setting::new(value, item.origin)),
        Err(problem) => Err(ConfigError::value(Place::new(item.origin, key), problem)),
    }
}
