//! The table of quotas in a TOML file: which tests, and their limits.

use testbox_model::{QuotaOf, UnitError};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::element::{QuotaEntry, quota_of_key, quota_of_marker};
use crate::toml_source::{Name, Source, in_order};
use crate::{ConfigError, Place};

/// The name of the table.
pub(crate) const TABLE: &str = "quota";

/// The key of the table of markers in it.
const MARKERS: &str = "marker";

impl Source<'_> {
    /// `"tests/e2e/**" = { memory = "3G" }`, `marker.slow = { timeout = "5m" }`.
    pub(crate) fn quotas(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<QuotaEntry>, ConfigError> {
        let mut quotas = Vec::new();
        for (name, value) in in_order(self.table(value)?) {
            if name.get_ref() == MARKERS {
                for (name, value) in in_order(self.table(value)?) {
                    quotas.push(self.quota(name, value, quota_of_marker)?);
                }
            } else {
                quotas.push(self.quota(name, value, quota_of_key)?);
            }
        }
        Ok(quotas)
    }

    fn quota(
        &self,
        name: &Name<'_>,
        value: &Spanned<DeValue<'_>>,
        read: fn(&str) -> Result<QuotaOf, UnitError>,
    ) -> Result<QuotaEntry, ConfigError> {
        let origin = self.origin(&name.span());
        let of = read(name.get_ref()).map_err(|error| ConfigError::value(Place::new(origin.clone(), TABLE), error))?;
        let mut quota = QuotaEntry::new(of, origin);
        for (name, value) in in_order(self.table(value)?) {
            let Some(key) = QuotaEntry::KEYS.into_iter().find(|key| key == name.get_ref()) else {
                return Err(self.unknown(name, QuotaEntry::KEYS));
            };
            quota.set(key, self.raw(key, &name.span(), value)?)?;
        }
        Ok(quota)
    }

    fn table<'t, 'i>(&self, value: &'t Spanned<DeValue<'i>>) -> Result<&'t DeTable<'i>, ConfigError> {
        value.get_ref().as_table().ok_or_else(|| ConfigError::WrongKind {
            place: Place::new(self.origin(&value.span()), TABLE),
            found: "value",
            wanted: "table, as in `\"tests/e2e/**\" = { memory = \"3G\" }` and `marker.slow = { timeout = \"5m\" }`",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Layer;
    use crate::toml_source::Kind;

    fn read(text: &str) -> Result<Layer, ConfigError> {
        let source = Source { kind: Kind::Project(Path::new("testbox.toml")), text };
        source.read(&[]).map(Option::unwrap_or_default)
    }

    #[test]
    fn every_spelling_of_a_table_is_read() {
        for text in [
            "[quota]\n\"t/**\" = { memory = \"1G\" }\nmarker.slow = { pids = 9 }\n\"a.py::b\" = { timeout = \"9s\" }\n",
            "[quota.\"t/**\"]\nmemory = \"1G\"\n[quota.marker.slow]\npids = 9\n[quota.\"a.py::b\"]\ntimeout = \"9s\"\n",
            "quota.\"t/**\".memory = \"1G\"\nquota.marker.slow.pids = 9\nquota.\"a.py::b\".timeout = \"9s\"\n",
        ] {
            let quotas = read(text).unwrap().quota.unwrap();
            let of: Vec<_> = quotas.into_iter().map(|quota| quota.of).collect();
            let node = QuotaOf::Node("a.py::b".into());
            assert_eq!(of, [QuotaOf::Path("t/**".into()), QuotaOf::Marker("slow".into()), node], "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_line_and_nearest() {
        for (text, message) in [
            ("\n[quota]\n\"t/**\" = { memroy = 1 }", "testbox.toml:3: unknown key `memroy`; did you mean `memory`?"),
            ("qouta = {}", "testbox.toml:1: unknown key `qouta`; did you mean `quota`?"),
            ("quota = 3", "testbox.toml:1: `quota` is a value: accepted is a table, as in"),
            ("[quota]\n\"t/**\" = \"3G\"", "testbox.toml:2: `quota` is a value"),
            ("[quota]\nmarker = \"3G\"", "testbox.toml:2: `quota` is a value"),
            ("[quota]\ntests.e2e = { memory = \"1G\" }", "testbox.toml:2: unknown key `e2e`"),
            ("[quota.\"t/**\"]\npids = [1]", "testbox.toml:2: `pids` is a list: accepted is a single value"),
            ("[quota.\"t/**\"]\nmemory = \"3 gigs\"", "testbox.toml:2: `memory`: `3 gigs` is not a size"),
            ("[quota.\"t/**\"]\nisolate = \"tset\"", "did you mean `test`?"),
            ("[quota]\n\"../t\" = { pids = 9 }", "testbox.toml:2: `quota`: `../t` is not a glob of tests"),
            ("[quota]\nmarker.\"a b\" = { pids = 9 }", "testbox.toml:2: `quota`: `a b` is not a marker"),
            ("[quota]\n\"t\" = { pids = 9 }\n\"t\" = { pids = 9 }", "testbox.toml:3: duplicate key"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
