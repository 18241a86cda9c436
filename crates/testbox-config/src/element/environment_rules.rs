//! `env`: what passes into the command's environment. A later rule for the same name wins.

use testbox_model::{EnvRule, Setting};

use super::list;
use crate::Layer;

pub(crate) fn resolve(layer: &Layer) -> Setting<Vec<EnvRule>> {
    list(&layer.env)
}
