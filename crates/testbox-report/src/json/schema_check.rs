//! A validator for the part of JSON Schema that the schema uses. A keyword that it does not know is a failure, so that
//! the schema cannot say what nobody checks.

use serde_json::{Map, Value};

/// Validates against one schema, whose definitions are looked up in itself.
pub(super) struct Validator<'a>(pub(super) &'a Value);

impl Validator<'_> {
    /// Everything that is wrong with `value`, each with its place.
    pub(super) fn complaints(&self, value: &Value) -> Vec<String> {
        self.check(self.0, value, "")
    }

    fn check(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let keywords = schema.as_object().unwrap();
        keywords.iter().flat_map(|(keyword, rule)| self.keyword(keyword, rule, keywords, value, at)).collect()
    }

    fn keyword(
        &self,
        keyword: &str,
        rule: &Value,
        schema: &Map<String, Value>,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let holds = match keyword {
            "$ref" => return self.check(self.definition(rule), value, at),
            "properties" => return self.properties(rule, value, at),
            "items" => return self.items(rule, value, at),
            "oneOf" => rule.as_array().unwrap().iter().filter(|one| self.check(one, value, at).is_empty()).count() == 1,
            "type" => has_type(rule, value),
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "required" => rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "additionalProperties" => unnamed(schema, value).is_empty(),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            unknown => panic!("the validator does not know the keyword `{unknown}` at {at}"),
        };
        if holds { vec![] } else { vec![format!("{at}: {keyword} {rule} {:?}: {value}", unnamed(schema, value))] }
    }

    fn properties(&self, rule: &Value, value: &Value, at: &str) -> Vec<String> {
        let named = rule.as_object().unwrap().iter();
        let present = named.filter_map(|(name, schema)| Some((name, schema, value.get(name)?)));
        present.flat_map(|(name, schema, inner)| self.check(schema, inner, &format!("{at}/{name}"))).collect()
    }

    fn items(&self, rule: &Value, value: &Value, at: &str) -> Vec<String> {
        let items = value.as_array().into_iter().flatten().enumerate();
        items.flat_map(|(index, item)| self.check(rule, item, &format!("{at}/{index}"))).collect()
    }

    fn definition(&self, reference: &Value) -> &Value {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).unwrap();
        self.0.pointer(pointer).unwrap_or_else(|| panic!("the schema lacks {pointer}"))
    }
}

/// Keys of `value` that an object schema does not name.
fn unnamed(schema: &Map<String, Value>, value: &Value) -> Vec<String> {
    let named = |key: &&String| schema.get("properties").is_some_and(|properties| properties.get(key).is_some());
    value.as_object().into_iter().flat_map(Map::keys).filter(|key| !named(key)).cloned().collect()
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("no such type: {unknown}"),
    };
    match rule {
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        name => is(name.as_str().unwrap()),
    }
}
