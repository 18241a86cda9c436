//! Exported bundles: what is written, all or nothing, and that the real runc runs it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::Value;
use tempfile::TempDir;
use testbox_model::RunPlan;

use super::fixture::{plan, told};
use crate::{BundleError, Host, build, export};

/// A project on the real host, and the caller without its own environment.
struct Real {
    dir: TempDir,
    host: Host,
}

impl Real {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("proj")).unwrap();
        let mut host = Host::current();
        host.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
        Self { dir, host }
    }

    fn project(&self) -> PathBuf {
        self.dir.path().join("proj")
    }

    fn plan(&self, command: &[&str]) -> RunPlan {
        plan(command.iter().map(OsString::from).collect(), &self.project())
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    fn export(&self, plan: &RunPlan) -> Result<Value, BundleError> {
        export(&build(plan, &self.host)?, &self.target())?;
        Ok(serde_json::from_slice(&fs::read(self.target().join("config.json")).unwrap()).unwrap())
    }
}

#[test]
fn the_config_carries_limits_filters_and_an_unprivileged_user() {
    let real = Real::new();
    let config = real.export(&real.plan(&["/bin/true"])).unwrap();
    let at = |pointer: &str| config.pointer(pointer).cloned().unwrap_or(Value::Null);
    assert_eq!(at("/root"), serde_json::json!({"path": "rootfs", "readonly": true}));
    assert_eq!(at("/linux/resources/memory"), serde_json::json!({"limit": 512 << 20, "swap": 512 << 20}));
    assert_eq!(at("/linux/resources/pids/limit"), 64);
    assert_eq!(at("/linux/resources/cpu"), serde_json::json!({"quota": 150_000, "period": 100_000}));
    assert!(at("/linux/seccomp/syscalls").as_array().is_some_and(|rules| !rules.is_empty()));
    assert_ne!(at("/process/user/uid"), 0);
    assert_eq!(at("/process/noNewPrivileges"), true);
    for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
        assert_eq!(at(&format!("/process/capabilities/{set}")), serde_json::json!([]), "{set}");
    }
    let mounts = at("/mounts").as_array().cloned().unwrap();
    let view = mounts.iter().find(|mount| mount["type"] == "overlay").unwrap();
    let upper = format!("upperdir={}/scratch/", real.target().canonicalize().unwrap().display());
    assert!(view["options"].to_string().contains(&upper), "{view}");
    assert!(fs::read_link(real.target().join("rootfs/var/run")).is_ok());
    let uid = at("/process/user/uid");
    let passwd = fs::read_to_string(real.target().join("rootfs/etc/passwd")).unwrap();
    assert!(passwd.contains(&format!("testbox:x:{uid}:")), "{passwd}");
}

#[test]
fn an_export_is_all_or_nothing() {
    let real = Real::new();
    let plan = real.plan(&["/bin/true"]);
    fs::create_dir(real.target()).unwrap();
    real.export(&plan).unwrap();
    let (message, hint) = told(&real.export(&plan).unwrap_err());
    assert!(message.contains("it exists and is not an empty folder"), "{message}");
    assert!(hint.contains("rm -r "), "{hint}");

    fs::remove_dir_all(real.target()).unwrap();
    let mut bad = real.plan(&["/bin/true"]);
    bad.command.push(OsString::from_vec(vec![0xff]));
    assert!(matches!(real.export(&bad), Err(BundleError::ExportNotUtf8 { what: "the argument", .. })));
    let bundle = build(&plan, &real.host).unwrap();
    assert!(matches!(export(&bundle, &real.dir.path().join("a,b")), Err(BundleError::ExportPath { .. })));
    assert!(matches!(export(&bundle, Path::new("/nowhere/at/all")), Err(BundleError::Export { .. })));
    let names: Vec<_> = fs::read_dir(real.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["proj"], "nothing is left of a failed export");
}

/// Why the real runc cannot be used here.
fn without_runc() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root");
    }
    #[expect(clippy::disallowed_methods, reason = "the test runs the runtime that the export is for")]
    let version = Command::new("runc").arg("--version").output();
    if version.is_ok_and(|output| output.status.success()) { None } else { Some("needs runc in PATH") }
}

/// Runs the exported bundle; output, and whether it succeeded.
fn run(real: &Real, name: &str) -> (String, bool) {
    let id = format!("testbox-export-{name}-{}", std::process::id());
    #[expect(clippy::disallowed_methods, reason = "the test runs the runtime that the export is for")]
    let output = Command::new("runc").args(["run", "--bundle"]).arg(real.target()).arg(&id).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.success())
}

/// Skips without the requirements, unless they are demanded.
macro_rules! require_runc {
    () => {
        if let Some(reason) = without_runc() {
            let must = std::env::var("TESTBOX_TEST_MUST").unwrap_or_default();
            assert!(!must.split(',').any(|name| name == "runc"), "runc is demanded: {reason}");
            eprintln!("skipped: {reason}");
            return;
        }
    };
}

#[test]
fn runc_runs_a_shell_in_it_as_nobody_special() {
    require_runc!();
    let real = Real::new();
    fs::create_dir(real.project().join("sub")).unwrap();
    fs::write(real.project().join("data"), "lower").unwrap();
    let script = "set -e; id -un; id -u; echo upper > new; echo x > sub/new; touch \"$HOME/h\" /tmp/t /dev/shm/s; \
                  grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t '; cat data; pwd; \
                  if touch /usr/x 2>/dev/null; then echo BAD; fi; if ls /root/.cargo 2>/dev/null; then echo BAD; fi; \
                  ulimit -n; ulimit -c; df -P -B1 /tmp | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2; echo done";
    real.export(&real.plan(&["sh", "-c", script])).unwrap();
    let (text, passed) = run(&real, "shell");
    let cwd = real.project().canonicalize().unwrap();
    let expected = format!(
        "testbox\n735700\nCapBnd:0000000000000000\nNoNewPrivs:1\nSeccomp:2\nlower{}\n1024\n0\n67108864\ndone\n",
        cwd.display()
    );
    assert_eq!((text.as_str(), passed), (expected.as_str(), true));
    assert!(!real.project().join("new").exists() && !real.project().join("sub/new").exists());
}

#[test]
fn runc_runs_pytest_of_a_venv_in_it() {
    require_runc!();
    let real = Real::new();
    let Some((python, site)) = installed_pytest() else {
        let must = std::env::var("TESTBOX_TEST_MUST").unwrap_or_default();
        assert!(!must.split(',').any(|name| name == "runc"), "runc is demanded: needs a Python with pytest");
        eprintln!("skipped: needs a Python with pytest");
        return;
    };
    let venv = real.project().join(".venv");
    #[expect(clippy::disallowed_methods, reason = "the test makes the environment that a user would have made")]
    let made = Command::new(python).args(["-m", "venv", "--without-pip"]).arg(&venv).status().unwrap();
    assert!(made.success());
    let own = fs::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap().path().join("site-packages");
    fs::write(own.join("pytest_of_host.pth"), format!("{}\n", site.display())).unwrap();
    fs::create_dir(own.join("pytest-0.dist-info")).unwrap();
    fs::write(real.project().join("test_it.py"), "def test_it(tmp_path): (tmp_path / 'x').write_text('x')\n").unwrap();
    real.export(&real.plan(&["python", "-m", "pytest", "-q"])).unwrap();
    let (text, passed) = run(&real, "pytest");
    assert!(passed && text.contains("1 passed"), "{text}");
    assert!(!real.project().join(".pytest_cache").exists());
}

/// A Python that has pytest (of `TESTBOX_TEST_VENV`, else the machine's), and the folder that holds it.
fn installed_pytest() -> Option<(PathBuf, PathBuf)> {
    let venv = std::env::var_os("TESTBOX_TEST_VENV").map(|venv| Path::new(&venv).join("bin/python"));
    let python = venv.unwrap_or_else(|| PathBuf::from("python3"));
    let script = "import os, sys, pytest; print(os.path.dirname(os.path.dirname(os.path.abspath(pytest.__file__))))";
    #[expect(clippy::disallowed_methods, reason = "the test looks for a real Python")]
    let output = Command::new(&python).args(["-c", script]).output().ok().filter(|output| output.status.success())?;
    Some((python, PathBuf::from(String::from_utf8(output.stdout).ok()?.trim())))
}
