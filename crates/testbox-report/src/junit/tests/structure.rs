//! The rules of Jenkins' `junit-10.xsd` (schema of xUnit plugin and pytest's `junit_family=xunit2`) for the elements that
//! the file has, as a table. An element or attribute that is not in it is a complaint.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// An element as a reader gets it.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
    pub(super) text: String,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

struct Rule {
    element: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    children: &'static [&'static str],
    text: bool,
}

const REASON: Rule = Rule { element: "", required: &[], optional: &["type", "message"], children: &[], text: true };
const RULES: [Rule; 10] = [
    Rule {
        element: "testsuites",
        required: &[],
        optional: &["name", "time", "tests", "failures", "errors"],
        children: &["testsuite"],
        text: false,
    },
    Rule {
        element: "testsuite",
        required: &["name", "tests", "failures", "errors"],
        optional: &["time", "skipped", "timestamp", "hostname"],
        children: &["properties", "testcase"],
        text: false,
    },
    Rule { element: "properties", required: &[], optional: &[], children: &["property"], text: false },
    Rule { element: "property", required: &["name", "value"], optional: &[], children: &[], text: false },
    Rule {
        element: "testcase",
        required: &["name"],
        optional: &["classname", "time"],
        children: &["failure", "error", "skipped", "flakyFailure", "rerunFailure"],
        text: false,
    },
    Rule { element: "failure", ..REASON },
    Rule { element: "error", ..REASON },
    Rule { element: "skipped", ..REASON },
    Rule { element: "flakyFailure", required: &["type"], optional: &["message"], ..REASON },
    Rule { element: "rerunFailure", required: &["type"], optional: &["message"], ..REASON },
];

/// Everything that is wrong with the file.
pub(super) fn complaints(root: &Element) -> Vec<String> {
    if root.name == "testsuites" { check(root) } else { vec![format!("the root is {}", root.name)] }
}

fn check(element: &Element) -> Vec<String> {
    let Some(rule) = RULES.iter().find(|rule| rule.element == element.name) else {
        return vec![format!("unknown element {}", element.name)];
    };
    let mut wrong = vec![];
    wrong
        .extend(rule.required.iter().filter(|name| element.attribute(name).is_none()).map(|name| format!("no {name}")));
    for (name, value) in &element.attributes {
        let known = rule.required.contains(&name.as_str()) || rule.optional.contains(&name.as_str());
        if !known || (name == "time" && !is_time(value)) {
            wrong.push(format!("{}: {name}=\"{value}\"", element.name));
        }
    }
    if !rule.text && !element.text.trim().is_empty() {
        wrong.push(format!("text in {}", element.name));
    }
    for child in &element.children {
        match rule.children.contains(&child.name.as_str()) {
            true => wrong.extend(check(child)),
            false => wrong.push(format!("{} in {}", child.name, element.name)),
        }
    }
    wrong
}

/// Digits, and up to three after a point.
fn is_time(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    [whole, decimals].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit())) && decimals.len() <= 3
}

/// The root element; anything that is no XML panics.
pub(super) fn parse(text: &str) -> Element {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => open.push(opened(&start)),
            Event::Empty(start) => open.last_mut().unwrap().children.push(opened(&start)),
            Event::End(_) => {
                let closed = open.pop().unwrap();
                open.last_mut().unwrap().children.push(closed);
            }
            Event::Text(text) => {
                open.last_mut().unwrap().text.push_str(&text.xml_content(XmlVersion::Explicit1_0).unwrap())
            }
            Event::GeneralRef(name) => {
                let resolved = quick_xml::escape::resolve_predefined_entity(&name.decode().unwrap()).unwrap();
                open.last_mut().unwrap().text.push_str(resolved);
            }
            Event::Decl(_) => {}
            Event::Eof => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(open.len(), 1);
    open.remove(0).children.remove(0)
}

fn opened(start: &BytesStart<'_>) -> Element {
    let name = String::from_utf8(start.name().as_ref().to_vec()).unwrap();
    let attributes = start.attributes().map(|attribute| {
        let attribute = attribute.unwrap();
        let key = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
        (key, attribute.normalized_value(XmlVersion::Explicit1_0).unwrap().into_owned())
    });
    Element { attributes: attributes.collect(), name, ..Element::default() }
}
