//! The status socket: what launcher and init say, and what testbox says to init.

#![expect(clippy::unwrap_used, reason = "checks fail by panicking")]

use testbox_fuzz::{bytes, run};
use testbox_model::{InitMessage, SupervisorMessage};

fn check(datagram: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<InitMessage>(datagram) {
        let again = serde_json::to_vec(&message).unwrap();
        assert_eq!(serde_json::from_slice::<InitMessage>(&again).unwrap(), message);
    }
    if let Ok(order) = serde_json::from_slice::<SupervisorMessage>(datagram) {
        let again = serde_json::to_vec(&order).unwrap();
        assert_eq!(serde_json::from_slice::<SupervisorMessage>(&again).unwrap(), order);
    }
}

#[test]
fn status() {
    run("status", bytes, check);
}
