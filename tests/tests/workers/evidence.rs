//! What each test used, and what the reports make of it.

use serde_json::Value;
use testbox_tests::{Case, Project};

use crate::{case, grouped, row};

const MIB: u64 = 1 << 20;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        grouped("peak_growth_and_cpu_of_each_test_are_known", peak_growth_and_cpu_of_each_test_are_known),
        grouped("a_leak_is_named", a_leak_is_named),
        case("the_collection_is_profiled", the_collection_is_profiled),
        grouped("the_table_of_memories_is_asked_for", the_table_of_memories_is_asked_for),
    ]
}

fn peak_growth_and_cpu_of_each_test_are_known() {
    let project = Project::new();
    let text = "\
import time
KEPT = []

def test_takes_and_frees(): assert len(b'x' * (100 << 20))
def test_keeps(): KEPT.append(b'x' * (40 << 20))
def test_small(): pass
def test_computes():
    end = time.process_time() + 0.4
    while time.process_time() < end: pass
";
    project.write("test_x.py", text);
    project.pytest(&["--memory", "1G"], &[]).expect_code(0);
    let number = |name: &str, key: &str| row(&project, &format!("test_x.py::{name}"))[key].as_i64().expect("a number");
    let mib = |name: &str, key: &str| number(name, key) / MIB as i64;
    assert!(
        (100..180).contains(&mib("test_takes_and_frees", "peak_bytes")),
        "{}",
        mib("test_takes_and_frees", "peak_bytes")
    );
    assert!(mib("test_takes_and_frees", "growth_bytes") < 8);
    assert!((38..48).contains(&mib("test_keeps", "growth_bytes")), "{}", mib("test_keeps", "growth_bytes"));
    assert!(mib("test_small", "growth_bytes").abs() < 4);
    assert!(mib("test_small", "peak_bytes") < mib("test_takes_and_frees", "peak_bytes"));
    assert!((350..1500).contains(&number("test_computes", "cpu_ms")), "{}", number("test_computes", "cpu_ms"));
    assert!(number("test_computes", "wall_ms") >= 390);
}

fn a_leak_is_named() {
    let project = Project::new();
    let text = "\
import pytest
KEPT = []

@pytest.mark.parametrize('number', range(40))
def test_leaks(number): KEPT.append(b'x' * (4 << 20))
";
    project.write("test_leaky.py", text).write("test_fine.py", "def test_fine(): pass\n");
    project.pytest(&["--memory", "1G"], &[]).expect_code(0).expect_stderr("leak: ").expect_stderr("test_leaky.py");
}

fn the_collection_is_profiled() {
    let project = Project::new();
    project.write("heavy.py", "TABLE = b'x' * (60 << 20)\n");
    project
        .write("test_a.py", "import heavy\ndef test_a(): assert heavy.TABLE\n")
        .write("test_b.py", "def test_b(): pass\n");
    let run = project.pytest(&["--memory", "200M"], &[]).expect_code(0);
    let collection = project.report()["collection"].as_array().cloned().unwrap_or_default();
    let file = |name: &str| collection.iter().find(|file| file["nodeid"] == name).cloned().unwrap_or(Value::Null);
    assert!(file("test_a.py")["growth_bytes"].as_u64() > Some(55 * MIB), "{collection:#?}");
    assert!(file("test_b.py")["growth_bytes"].as_i64() < Some(8 * MIB as i64), "{collection:#?}");
    // Others may have taken long on a busy machine.
    let imports = file("test_a.py")["imports"].as_array().cloned().unwrap_or_default();
    let import = imports.iter().find(|import| import["module"] == "heavy").expect("the import");
    assert!(import["growth_bytes"].as_u64() > Some(55 * MIB));
    run.expect_stderr("test_a.py +60.").expect_stderr("of which heavy +60.");
}

fn the_table_of_memories_is_asked_for() {
    let project = Project::new();
    let text = "def test_large(): assert len(b'x' * (80 << 20))\ndef test_small(): pass\ndef test_other(): pass\n";
    project.write("test_x.py", text);
    let run = project.pytest(&["--memories", "2"], &[]).expect_code(0);
    let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("test_x.py::")).collect();
    assert_eq!(lines.len(), 2, "{}", run.stderr);
    assert!(lines[0].contains("test_large"), "{}", run.stderr);
}
