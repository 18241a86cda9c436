//! The short hash in the names of poetry's and pipenv's environments.

use sha2::{Digest, Sha256};

/// The first eight characters of the URL-safe base64 form of the SHA-256 of `text`.
pub(crate) fn short_hash(text: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digest = Sha256::digest(text);
    let groups = digest[..6].chunks(3).flat_map(|bytes| {
        let bits = bytes.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift & 63) as usize]))
    });
    groups.collect()
}

/// At most 42 characters of a project's name, with the characters that a shell would trip over replaced.
pub(crate) fn sanitized(name: &str, replaced: &str) -> String {
    name.chars().map(|c| if replaced.contains(c) { '_' } else { c }).take(42).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_python() {
        // As `base64.urlsafe_b64encode(hashlib.sha256(text).digest())[:8]` says.
        assert_eq!(short_hash(b"/srv/app"), "2uZo5AhP");
        assert_eq!(short_hash(b"/srv/app/Pipfile"), "MuJj66st");
        assert_eq!(sanitized("a b$c", " $"), "a_b_c");
    }
}
