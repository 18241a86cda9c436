//! The header: limits and walls in one to three lines, and loudly what is weaker than promised.

use testbox_model::{RunPlan, Wall, WallReport, WallState};

use super::Style;
use super::paint::{Ink, fill, paint};
use super::settings;
use crate::harmless::one_line;

pub(super) fn text(plan: &RunPlan, walls: &[WallReport], style: Style) -> String {
    let mut text = fill("testbox: ", &settings::limits(plan), ", ", "  ", style);
    if style.verbose() {
        text.push_str(&settings::origins(plan));
    }
    text.push_str(&standing(walls, style));
    text.push_str(&degraded(walls, style));
    text.push_str(&switched_off(walls, style));
    let notes = walls.iter().filter_map(|wall| Some((wall.wall, wall.note.as_ref()?)));
    text.extend(notes.map(|(wall, note)| format!("  note on {wall}: {}\n", one_line(note))));
    text
}

/// One line for each wall in whose place stands something weaker.
pub(super) fn degraded(walls: &[WallReport], style: Style) -> String {
    let degraded = walls.iter().filter(|wall| wall.state == WallState::Degraded);
    degraded.map(|wall| loud("DEGRADED", wall, style)).collect()
}

/// One line for each wall that the user switched off. A limit that nobody asked for is none.
fn switched_off(walls: &[WallReport], style: Style) -> String {
    let is_limit = |wall: &WallReport| matches!(wall.wall, Wall::Cpu | Wall::Io);
    let off = walls.iter().filter(|wall| wall.state == WallState::Off && !is_limit(wall));
    off.map(|wall| loud("OFF", wall, style)).collect()
}

fn loud(word: &str, wall: &WallReport, style: Style) -> String {
    format!("  {} {}: {}\n", paint(word, Ink::Caution, style), wall.wall, one_line(&wall.by))
}

fn standing(walls: &[WallReport], style: Style) -> String {
    let standing: Vec<_> = walls.iter().filter(|wall| wall.state == WallState::Enforced).collect();
    if standing.is_empty() {
        return String::new();
    }
    if style.verbose() {
        return standing.iter().map(|wall| format!("  wall {:13}{}\n", wall.wall, one_line(&wall.by))).collect();
    }
    let names: Vec<_> = standing.iter().map(|wall| wall.wall.to_string()).collect();
    fill("  walls: ", &names, " ", "    ", style)
}
