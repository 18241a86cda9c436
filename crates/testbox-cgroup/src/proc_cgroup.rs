//! Parses `/proc/PID/cgroup`: in which group of each hierarchy a process is.

/// One line: `4:memory:/user.slice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The controllers field as the kernel writes it: `cpu,cpuacct`, `name=systemd`; empty for the unified hierarchy.
    pub(crate) controllers: String,
    /// The group, from the root of the reader's cgroup namespace.
    pub(crate) path: String,
}

/// All lines.
///
/// # Errors
/// The line that is not of the kernel's form.
pub(crate) fn parse(text: &str) -> Result<Vec<Membership>, String> {
    text.lines().map(|line| parse_line(line).ok_or_else(|| line.to_owned())).collect()
}

fn parse_line(line: &str) -> Option<Membership> {
    let mut fields = line.splitn(3, ':');
    let id: u32 = fields.next()?.parse().ok()?;
    let (controllers, path) = (fields.next()?, fields.next()?);
    let is_valid = path.starts_with('/') && (id == 0) == controllers.is_empty();
    is_valid.then(|| Membership { controllers: controllers.to_owned(), path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_interfaces_and_colons_in_paths() {
        let lines = parse("12:cpu,cpuacct:/a:b\n1:name=systemd:/\n0::/user.slice/x.scope\n").unwrap();
        let seen: Vec<_> = lines.iter().map(|line| (line.controllers.as_str(), line.path.as_str())).collect();
        assert_eq!(seen, [("cpu,cpuacct", "/a:b"), ("name=systemd", "/"), ("", "/user.slice/x.scope")]);
    }

    #[test]
    fn other_forms_are_named() {
        for line in ["", "x:memory:/", "4:memory", "4::/", "0:memory:/", "4:memory:relative"] {
            assert_eq!(parse(&format!("{line}\n")).unwrap_err(), line);
        }
    }
}
