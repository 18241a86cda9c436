//! `allow-degraded`: the walls that may be weaker than promised.

use std::collections::BTreeSet;
use std::str::FromStr;

use testbox_model::{Setting, UnitError, Wall};

use super::list;
use crate::Layer;
use crate::typed::wrong;

/// A wall, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallName(
    /// The wall.
    pub Wall,
);

impl FromStr for WallName {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        text.parse().map(Self).map_err(|_| {
            let names = Wall::ALL.map(Wall::name);
            wrong(text, "wall", names.join(", "), testbox_model::nearest(text, names))
        })
    }
}

pub(crate) fn resolve(layer: &Layer) -> Setting<BTreeSet<Wall>> {
    let Setting { value, origin } = list(&layer.allow_degraded);
    Setting::new(value.into_iter().map(|WallName(wall)| wall).collect(), origin)
}
