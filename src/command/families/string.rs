//! Strings: SET, GET and their kin.

use crate::command::spec::{FAST, Group, READONLY, Spec, key, spec};
use crate::command::{Args, Cx, Outcome};

pub const ROWS: &[Spec] = &[spec("get", 2, READONLY.or(FAST), Group::String, get)
    .keys(&[key(1, &["RO", "access"])])
    .doc("1.0.0", "Returns the string value of a key.")];

fn get(cx: &mut Cx<'_>, args: &mut Args<'_>) -> Outcome {
    let _ = args.bytes()?;
    cx.reply().null();
    Ok(())
}
