//! One source file, parsed: its functions, its unsafe places, its error messages.

use std::path::{Path, PathBuf};

use proc_macro2::Span;
use syn::visit::{self, Visit};

use crate::error::Error;
use crate::workspace::Workspace;

/// Code of the product or of its tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// What runs for users.
    Code,
    /// Test files.
    Test,
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    /// Line of its signature.
    pub(crate) at: usize,
    /// Lines between its braces.
    pub(crate) lines: usize,
}

/// One file.
pub(crate) struct Source {
    /// Path from the root of the checkout.
    pub(crate) path: String,
    pub(crate) package: String,
    pub(crate) kind: Kind,
    pub(crate) lines: usize,
    /// Functions; those of test modules inside a file are left out.
    pub(crate) functions: Vec<Function>,
    /// Lines with an unsafe block, function, implementation, trait or attribute.
    pub(crate) unsafe_lines: Vec<usize>,
    /// Texts of `#[error("...")]`.
    pub(crate) messages: Vec<String>,
}

/// All Rust files of the workspace, in the order of their paths.
pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Source>, Error> {
    let mut paths = vec![];
    for dir in ["crates", "tests", "xtask"] {
        collect(&workspace.root.join(dir), &mut paths)?;
    }
    paths.sort();
    paths.iter().map(|path| read(&workspace.root, path)).collect()
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        match entry.file_type()?.is_dir() {
            true if path.ends_with("target") || path.ends_with("fixtures") => {}
            true => collect(&path, paths)?,
            false if path.extension().is_some_and(|extension| extension == "rs") => paths.push(path),
            false => {}
        }
    }
    Ok(())
}

fn read(root: &Path, path: &Path) -> Result<Source, Error> {
    let text = fs_err::read_to_string(path)?;
    let relative = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    parse(&relative, &text).map_err(|source| Error::Rust { path: path.to_owned(), source })
}

/// Parses the text of the file at `path`.
pub(crate) fn parse(path: &str, text: &str) -> Result<Source, syn::Error> {
    let mut source = Source {
        path: path.to_owned(),
        package: package_of(path).to_owned(),
        kind: kind_of(path),
        lines: text.lines().count(),
        functions: vec![],
        unsafe_lines: vec![],
        messages: vec![],
    };
    source.visit_file(&syn::parse_file(text)?);
    Ok(source)
}

/// `crates/NAME/...` is NAME; of the others the first folder.
fn package_of(path: &str) -> &str {
    let mut names = path.split('/');
    match names.next() {
        Some("crates") => names.next().unwrap_or_default(),
        first => first.unwrap_or_default(),
    }
}

fn kind_of(path: &str) -> Kind {
    let is_test = |name: &str| name == "tests" || name == "tests.rs" || name == "benches";
    if path.split('/').any(is_test) { Kind::Test } else { Kind::Code }
}

impl Source {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        if let Some(token) = &signature.unsafety {
            self.unsafe_at(token.span);
        }
        let (open, close) = (block.brace_token.span.open().start().line, block.brace_token.span.close().end().line);
        let lines = if open == close { 1 } else { close - open - 1 };
        self.functions.push(Function {
            name: signature.ident.to_string(),
            at: signature.fn_token.span.start().line,
            lines,
        });
    }

    fn unsafe_at(&mut self, span: Span) {
        self.unsafe_lines.push(span.start().line);
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if self.kind == Kind::Test || !module.attrs.iter().any(is_cfg_test) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.function(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.unsafe_at(block.unsafe_token.span);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.unsafe_at(token.span);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        if let Some(token) = &item.unsafety {
            self.unsafe_at(token.span);
        }
        visit::visit_item_trait(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        self.unsafe_at(item.abi.extern_token.span);
        visit::visit_item_foreign_mod(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("unsafe") {
            self.unsafe_at(attribute.pound_token.span);
        }
        if attribute.path().is_ident("error") {
            self.messages.extend(first_string(attribute));
        }
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|argument| argument.is_ident("test"))
}

/// The text of `#[error("text", ...)]`; none for `#[error(transparent)]`.
fn first_string(attribute: &syn::Attribute) -> Option<String> {
    let parse = |input: syn::parse::ParseStream<'_>| {
        let text: syn::LitStr = input.parse()?;
        let _arguments: proc_macro2::TokenStream = input.parse()?;
        Ok(text.value())
    };
    attribute.parse_args_with(parse).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_unsafe_places_and_messages_are_found() {
        let text = r#"
fn one() {}
impl X {
    fn three(&self) {
        a();
        // a comment counts
        b()
    }
}
unsafe impl Send for X {}
fn hidden() { unsafe { c() } }
#[derive(Error)]
enum E {
    #[error("cannot open {path}", path = p.display())] Open { path: PathBuf },
    #[error(transparent)] Io(E),
    #[error("plain")] Plain,
}
#[cfg(test)]
mod tests { fn not_counted() {} }
"#;
        let source = parse("crates/testbox-x/src/a.rs", text).unwrap();
        let functions: Vec<_> = source.functions.iter().map(|f| (f.name.as_str(), f.lines)).collect();
        assert_eq!(functions, [("one", 1), ("three", 3), ("hidden", 1)]);
        assert_eq!(source.unsafe_lines, [10, 11]);
        assert_eq!(source.messages, ["cannot open {path}", "plain"]);
        assert_eq!((source.package.as_str(), source.kind), ("testbox-x", Kind::Code));
    }

    #[test]
    fn test_files_are_told_from_code_by_their_path() {
        assert_eq!(kind_of("crates/testbox-model/src/judge/tests.rs"), Kind::Test);
        assert_eq!(kind_of("tests/src/lib.rs"), Kind::Test);
        assert_eq!(kind_of("crates/testbox/src/latest.rs"), Kind::Code);
        assert_eq!(package_of("tests/src/lib.rs"), "tests");
    }
}
