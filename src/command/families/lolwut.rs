//! LOLWUT: each call draws something.

use crate::base::REDIS_VERSION;
use crate::command::spec::{FAST, Group, READONLY, Spec, spec};
use crate::command::{Args, Cx, Outcome, Refusal};

pub const ROWS: &[Spec] = &[spec("lolwut", -1, READONLY.or(FAST), Group::Server, lolwut)
    .doc("5.0.0", "Displays computer art and the Redis version.")];

/// Rules of elementary automata that draw something worth a look, from a single cell or from a crowd.
const RULES: [u8; 10] = [18, 22, 30, 45, 54, 73, 90, 105, 110, 150];

/// The bounds of a drawing, in characters.
const COLUMNS_MAX: u64 = 200;
const ROWS_MAX: u64 = 100;

/// LOLWUT \[VERSION version\] \[columns\] \[rows\] \[rule\]: generations of an elementary cellular automaton, two in a row of
/// characters. Whatever version is asked for, this is what is drawn here.
fn lolwut(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.left() > 1 && args.take("VERSION") {
        args.int()?;
    }
    let luck = cx.server.dice.roll();
    let (columns, rows) = (number(args, 64)?.clamp(1, COLUMNS_MAX), number(args, 16)?.clamp(1, ROWS_MAX));
    let rule = number(args, u64::from(RULES[luck as usize % RULES.len()]))?.min(255) as u8;
    let columns = columns as usize;
    let mut cells: Vec<bool> = match (luck >> 8) % 2 {
        0 => (0..columns).map(|column| column == columns / 2).collect(),
        _ => (0..columns).map(|_| cx.server.dice.roll().is_multiple_of(4)).collect(),
    };
    let mut drawing = String::new();
    for _ in 0..rows {
        let below = next(&cells, rule);
        drawing.extend(cells.iter().zip(&below).map(|pair| match pair {
            (true, true) => '\u{2588}',
            (true, false) => '\u{2580}',
            (false, true) => '\u{2584}',
            (false, false) => ' ',
        }));
        drawing.truncate(drawing.trim_end_matches(' ').len());
        drawing.push('\n');
        cells = next(&below, rule);
    }
    drawing += &format!("\nRule {rule}: {} generations of {columns} cells. Redis ver. {REDIS_VERSION}\n", rows * 2);
    cx.reply().verbatim("txt", &drawing);
    Ok(())
}

fn number(args: &mut Args<'_>, default: u64) -> Result<u64, Refusal> {
    if args.left() == 0 { Ok(default) } else { args.positive().map_err(|_| Refusal::NotInteger) }
}

/// The next generation: a cell lives as the rule says of it and its two neighbours. The ends are neighbours too.
fn next(cells: &[bool], rule: u8) -> Vec<bool> {
    let at = |index: usize| u8::from(cells[index % cells.len()]);
    let around = |index: usize| at(index + cells.len() - 1) << 2 | at(index) << 1 | at(index + 1);
    (0..cells.len()).map(|index| rule >> around(index) & 1 == 1).collect()
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn rule_90_is_a_triangle() {
        let mut cells = [false, false, false, true, false, false, false].to_vec();
        let mut drawn = Vec::new();
        for _ in 0..4 {
            drawn.push(cells.iter().map(|cell| if *cell { '#' } else { '.' }).collect::<String>());
            cells = next(&cells, 90);
        }
        assert_eq!(drawn, ["...#...", "..#.#..", ".#...#.", "#.#.#.#"]);
    }
}
