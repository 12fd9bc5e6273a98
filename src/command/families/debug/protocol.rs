//! DEBUG PROTOCOL: a reply of each type of RESP.

use crate::command::{Cx, Outcome, Refusal};
use crate::resp::Proto;

/// DEBUG PROTOCOL type: for the tests of clients.
#[expect(clippy::approx_constant, reason = "the number that Redis gives")]
pub(super) fn protocol(cx: &mut Cx<'_>, kind: &[u8]) -> Outcome {
    let resp3 = cx.proto == Proto::Resp3;
    let mut reply = cx.reply();
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(3.141),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.int(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.int(number));
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.int(number);
                reply.bool(number == 1);
            }
        }
        b"attrib" => {
            if resp3 {
                reply.raw(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if resp3 => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"push" => return Err(Refusal::err("RESP2 is not supported by this command")),
        b"true" => reply.bool(true),
        b"false" => reply.bool(false),
        b"verbatim" => reply.verbatim("txt", "This is a verbatim\nstring"),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        _ => {
            return Err(Refusal::err(
                "Wrong protocol type name. Please use one of the following: string|integer|double|null|array|set|map|\
                 attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}
