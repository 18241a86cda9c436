//! A TOML file into a layer: each value with its line, each mistake with its place.

use std::ops::Range;
use std::path::Path;

use testbox_model::Origin;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::layer::{Key, Scope};
use crate::slot::{Raw, RawItem};
use crate::{ConfigError, Layer, Place, quota_source};

/// The name of an entry, with its place.
pub(crate) type Name<'i> = Spanned<DeString<'i>>;

/// A text with what errors and origins call it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) text: &'a str,
}

/// The kind of a TOML file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind<'a> {
    /// `testbox.toml`, or a section of `pyproject.toml`.
    Project(&'a Path),
    /// A policy of the user.
    PolicyFile(&'a Path),
}

impl Source<'_> {
    /// The settings in the table at `section` (none: the whole file); `None` where there are none.
    pub(crate) fn read(&self, section: &[&str]) -> Result<Option<Layer>, ConfigError> {
        let root = DeTable::parse(self.text).map_err(|error| ConfigError::Toml {
            file: self.file(),
            line: error.span().map_or(1, |span| self.line(&span)),
            message: error.message().to_owned(),
        })?;
        let Some(table) = self.section(root.get_ref(), section)? else { return Ok(None) };
        let mut layer = Layer::default();
        for (key, value) in in_order(table) {
            self.entry(&mut layer, key, value)?;
        }
        Ok((!table.is_empty()).then_some(layer))
    }

    fn section<'t, 'i>(&self, root: &'t DeTable<'i>, section: &[&str]) -> Result<Option<&'t DeTable<'i>>, ConfigError> {
        let mut table = root;
        for name in section {
            let Some(value) = table.get(*name) else { return Ok(None) };
            table = value.get_ref().as_table().ok_or_else(|| ConfigError::Toml {
                file: self.file(),
                line: self.line(&value.span()),
                message: format!("`{}` is not a table", section.join(".")),
            })?;
        }
        Ok(Some(table))
    }

    fn entry(&self, layer: &mut Layer, name: &Name<'_>, value: &Spanned<DeValue<'_>>) -> Result<(), ConfigError> {
        if name.get_ref() == quota_source::TABLE {
            layer.quota = Some(self.quotas(value)?);
            return Ok(());
        }
        let Some(key) = Key::find(name.get_ref()) else {
            return Err(self.unknown(name, Layer::KEYS.iter().map(|key| key.name).chain([quota_source::TABLE])));
        };
        self.check_scope(key, &name.span())?;
        layer.set(key.name, self.raw(key.name, &name.span(), value)?).map(drop)
    }

    /// The error for a key that is none of `names`.
    pub(crate) fn unknown(&self, key: &Name<'_>, names: impl IntoIterator<Item = &'static str>) -> ConfigError {
        let nearest = testbox_model::nearest(&key.get_ref().replace('_', "-"), names);
        ConfigError::UnknownKey {
            file: self.file(),
            line: self.line(&key.span()),
            key: key.get_ref().to_string(),
            nearest,
        }
    }

    fn check_scope(&self, key: Key, span: &Range<usize>) -> Result<(), ConfigError> {
        let misplaced = |kind, instead| ConfigError::MisplacedKey {
            file: self.file(),
            line: self.line(span),
            key: key.name,
            kind,
            instead,
        };
        match (self.kind, key.scope) {
            (_, Scope::Anywhere | Scope::Files) => Ok(()),
            (Kind::Project(_), Scope::Project) | (Kind::PolicyFile(_), Scope::Policy) => Ok(()),
            (Kind::Project(_), Scope::Policy) => {
                Err(misplaced("project file", "it belongs to the person at the terminal, so use the flag"))
            }
            (Kind::PolicyFile(_), Scope::Project) => {
                Err(misplaced("policy", "it belongs to one project, so use the flag or the project file"))
            }
        }
    }

    /// What was typed for `key`: a value, or a list of values.
    pub(crate) fn raw(
        &self,
        key: &'static str,
        span: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Raw, ConfigError> {
        let origin = self.origin(span);
        let (items, is_list) = match value.get_ref() {
            DeValue::Array(array) => {
                let items = array.iter().map(|item| self.item(key, item)).collect::<Result<_, _>>()?;
                (items, true)
            }
            _ => (vec![self.item(key, value)?], false),
        };
        Ok(Raw { origin, items, is_list })
    }

    fn item(&self, key: &'static str, value: &Spanned<DeValue<'_>>) -> Result<RawItem, ConfigError> {
        let origin = self.origin(&value.span());
        let wrong = |found| ConfigError::WrongKind {
            place: Place::new(origin.clone(), key),
            found,
            wanted: "text, a number, true or false, or a list of these where the key takes several",
        };
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(switch) => switch.to_string(),
            DeValue::Datetime(_) => return Err(wrong("date or time")),
            DeValue::Array(_) => return Err(wrong("list in a list")),
            DeValue::Table(_) => return Err(wrong("table")),
        };
        Ok(RawItem { text, origin })
    }

    /// Where `span` is, as the plan shows it.
    pub(crate) fn origin(&self, span: &Range<usize>) -> Origin {
        let line = || self.line(span);
        match self.kind {
            Kind::Project(path) => Origin::ProjectFile { path: path.to_owned(), line: line() },
            Kind::PolicyFile(path) => Origin::Policy(format!("{}:{}", path.display(), line())),
        }
    }

    fn file(&self) -> String {
        match self.kind {
            Kind::Project(path) | Kind::PolicyFile(path) => path.display().to_string(),
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1
    }
}

/// The entries of a table in the order of the file.
pub(crate) fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Name<'i>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Layer>, ConfigError> {
        Source { kind: Kind::Project(Path::new("testbox.toml")), text }.read(&[])
    }

    #[test]
    fn each_value_knows_its_line() {
        let layer =
            read("# limits\nmemory = \"2G\"\npids = 1_000\nro = [\n  \"/a\",\n  \"/b\",\n]\n").unwrap().unwrap();
        let line = |line| Origin::ProjectFile { path: "testbox.toml".into(), line };
        assert_eq!(layer.memory.unwrap().origin, line(2));
        assert_eq!(layer.pids.unwrap().value.value.0, 1000);
        let ro: Vec<Origin> = layer.ro.unwrap().into_iter().map(|item| item.origin).collect();
        assert_eq!(ro, [line(5), line(6)]);
    }

    #[test]
    fn mistakes_are_told_with_file_line_key_and_nearest() {
        for (text, message) in [
            ("\nmemry = 1", "testbox.toml:2: unknown key `memry`; did you mean `memory`?"),
            ("io_read = 1", "testbox.toml:1: unknown key `io_read`; did you mean `io-read`?"),
            ("xyzzy = 1", "testbox.toml:1: unknown key `xyzzy`"),
            ("memory = \"2 gigs\"", "testbox.toml:1: `memory`: `2 gigs` is not a size: accepted are a whole"),
            ("timeout = 90", "testbox.toml:1: `timeout`: `90` is not a duration"),
            ("pids = [1]", "testbox.toml:1: `pids` is a list: accepted is a single value"),
            ("pids = 1e3", "testbox.toml:1: `pids`: `1e3` is not a count"),
            ("ro = [[\"a\"]]", "testbox.toml:1: `ro` is a list in a list"),
            ("env = { A = \"b\" }", "testbox.toml:1: `env` is a table"),
            ("timeout = 07:32:00", "testbox.toml:1: `timeout` is a date or time"),
            ("write = \"yes\"", "did you mean `true`?"),
            ("net = \"nnoe\"", "did you mean `none`?"),
            ("raw-output = true", "testbox.toml:1: `raw-output` is not accepted in a project file"),
            ("memory = ", "testbox.toml:1: "),
            ("memory = 1\nmemory = 2", "testbox.toml:2: duplicate key"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_section_is_a_table_or_missing() {
        let source = |text| Source { kind: Kind::Project(Path::new("pyproject.toml")), text };
        assert!(source("[project]\nname = \"x\"").read(&["tool", "testbox"]).unwrap().is_none());
        assert!(source("[tool.testbox]").read(&["tool", "testbox"]).unwrap().is_none());
        assert!(source("[tool.testbox]\npids = 9").read(&["tool", "testbox"]).unwrap().is_some());
        assert!(source("[tool]\ntestbox = 1").read(&["tool", "testbox"]).is_err());
    }
}
