//! Replies, written directly into a connection's output in the shapes that Redis gives them.
//!
//! One call per element: an aggregate's header first (`map(2)`), then its elements. What a RESP2 client cannot be told
//! (a map, a double, a boolean) takes the form that Redis has always sent. Nothing here can fail, and nothing but the
//! output grows.

use super::request::ProtocolError;
use crate::base::number::{push_f64, push_i64};

/// The protocol a client speaks: 2, or 3 after `HELLO 3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    #[default]
    Resp2,
    Resp3,
}

/// Appends replies to `out`.
#[derive(Debug)]
pub struct Writer<'a> {
    pub out: &'a mut Vec<u8>,
    pub proto: Proto,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut Vec<u8>, proto: Proto) -> Self {
        Writer { out, proto }
    }

    /// The same output for a shorter time.
    pub fn reborrow(&mut self) -> Writer<'_> {
        Writer { out: self.out, proto: self.proto }
    }

    /// The bytes written so far, earlier replies included: a place to go back to with [`Writer::truncate`].
    #[inline]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether the output is empty.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back what was written since `len()` was `at`.
    pub fn truncate(&mut self, at: usize) {
        self.out.truncate(at);
    }

    /// Appends bytes that are a reply already.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// `+text`. The text is ours, without CR and LF.
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.bytes().any(|byte| byte == b'\r' || byte == b'\n'), "{text:?} is not one line");
        self.out.push(b'+');
        self.raw(text.as_bytes());
        self.line_end();
    }

    /// `-text`; the text starts with its code (`ERR ...`). A CR or LF in it becomes a blank, so that text which a client
    /// had a hand in cannot pose as another reply.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(&[text.as_bytes()]);
    }

    /// As [`Writer::error`], for texts that quote bytes of a client; the parts are joined.
    pub fn error_bytes(&mut self, parts: &[&[u8]]) {
        self.out.push(b'-');
        for part in parts {
            let blank = |&byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte };
            self.out.extend(part.iter().map(blank));
        }
        self.line_end();
    }

    /// The last reply of a connection that broke the protocol.
    pub fn protocol_error(&mut self, error: &ProtocolError) {
        match error {
            // The byte itself, not its UTF-8 form.
            ProtocolError::ExpectedDollar { got } => {
                self.error_bytes(&[b"ERR Protocol error: expected '$', got '", &[*got], b"'"]);
            }
            other => self.error(&format!("ERR {other}")),
        }
    }

    /// `:value`.
    #[inline]
    pub fn int(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// `$len`, the bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 16);
        self.header(b'$', bytes.len() as i64);
        self.raw(bytes);
        self.line_end();
    }

    /// An integer as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// No value: `$-1`, in RESP3 `_`.
    #[inline]
    pub fn null(&mut self) {
        self.raw(match self.proto {
            Proto::Resp2 => b"$-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    /// No array (an aborted EXEC, a BLPOP that timed out): `*-1`, in RESP3 `_`.
    pub fn null_array(&mut self) {
        self.raw(match self.proto {
            Proto::Resp2 => b"*-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    /// The head of an array; `count` elements must follow.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count as i64);
    }

    /// Puts the head of an array in front of what was written since `len()` was `at`, now that it can be counted.
    pub fn array_at(&mut self, at: usize, count: usize) {
        self.head_at(at, b'*', count);
    }

    /// The same for a map; in RESP2 an array of so many elements.
    pub fn map_at(&mut self, at: usize, pairs: usize) {
        let kind = if self.proto == Proto::Resp3 { b'%' } else { b'*' };
        self.head_at(at, kind, pairs);
    }

    fn head_at(&mut self, at: usize, kind: u8, count: usize) {
        let mut head = vec![kind];
        push_i64(&mut head, count as i64);
        head.extend_from_slice(b"\r\n");
        self.out.splice(at..at, head);
    }

    /// The head of a map; `pairs` times a key and a value must follow. In RESP2 a flat array.
    pub fn map(&mut self, pairs: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', pairs as i64 * 2),
            Proto::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// The head of a set; `count` elements must follow. In RESP2 an array.
    pub fn set(&mut self, count: usize) {
        let kind = if self.proto == Proto::Resp3 { b'~' } else { b'*' };
        self.header(kind, count as i64);
    }

    /// The head of a push message, which answers no request; `count` elements must follow. In RESP2 an array.
    pub fn push(&mut self, count: usize) {
        let kind = if self.proto == Proto::Resp3 { b'>' } else { b'*' };
        self.header(kind, count as i64);
    }

    /// A number with a fraction; in RESP2 a bulk string. See `base::number::push_f64` for its form.
    pub fn double(&mut self, value: f64) {
        match self.proto {
            Proto::Resp3 => {
                self.out.push(b',');
                push_f64(self.out, value);
                self.line_end();
            }
            Proto::Resp2 => {
                let mut text = Vec::with_capacity(32);
                push_f64(&mut text, value);
                self.bulk(&text);
            }
        }
    }

    /// `#t` or `#f`; in RESP2 the integers 1 and 0.
    pub fn bool(&mut self, value: bool) {
        self.raw(match (self.proto, value) {
            (Proto::Resp2, true) => b":1\r\n",
            (Proto::Resp2, false) => b":0\r\n",
            (Proto::Resp3, true) => b"#t\r\n",
            (Proto::Resp3, false) => b"#f\r\n",
        });
    }

    /// Text for people, with its format (`txt` or `mkd`); in RESP2 a bulk string.
    pub fn verbatim(&mut self, format: &str, text: &str) {
        debug_assert_eq!(format.len(), 3, "{format:?}");
        match self.proto {
            Proto::Resp2 => self.bulk(text.as_bytes()),
            Proto::Resp3 => {
                self.header(b'=', text.len() as i64 + 4);
                self.raw(format.as_bytes());
                self.out.push(b':');
                self.raw(text.as_bytes());
                self.line_end();
            }
        }
    }

    /// A whole number of any size, as its digits; in RESP2 a bulk string.
    pub fn big_number(&mut self, digits: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits.as_bytes()),
            Proto::Resp3 => {
                self.out.push(b'(');
                self.raw(digits.as_bytes());
                self.line_end();
            }
        }
    }

    /// An array of bulk strings.
    pub fn bulks<T: AsRef<[u8]>>(&mut self, items: &[T]) {
        self.array(items.len());
        for item in items {
            self.bulk(item.as_ref());
        }
    }

    #[inline]
    fn header(&mut self, kind: u8, count: i64) {
        if (0..10).contains(&count) {
            return self.raw(&[kind, b'0' + count as u8, b'\r', b'\n']);
        }
        self.out.push(kind);
        push_i64(self.out, count);
        self.line_end();
    }

    #[inline]
    fn line_end(&mut self) {
        self.raw(b"\r\n");
    }
}

/// Appends a request: what a client, a link to another server and the replication stream send.
pub fn command<T: AsRef<[u8]>>(args: &[T], out: &mut Vec<u8>) {
    Writer::new(out, Proto::Resp2).bulks(args);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(write: impl Fn(&mut Writer<'_>)) -> (String, String) {
        let written = |proto| {
            let mut out = Vec::new();
            write(&mut Writer::new(&mut out, proto));
            String::from_utf8(out).expect("text").replace("\r\n", "|")
        };
        (written(Proto::Resp2), written(Proto::Resp3))
    }

    #[test]
    fn golden_shapes() {
        type Case = (fn(&mut Writer<'_>), &'static str, &'static str);
        let cases: [Case; 24] = [
            (|w| w.ok(), "+OK|", "+OK|"),
            (|w| w.simple("PONG"), "+PONG|", "+PONG|"),
            (|w| w.error("ERR no"), "-ERR no|", "-ERR no|"),
            (|w| w.int(0), ":0|", ":0|"),
            (|w| w.int(-12), ":-12|", ":-12|"),
            (|w| w.int(i64::MIN), ":-9223372036854775808|", ":-9223372036854775808|"),
            (|w| w.bulk(b""), "$0||", "$0||"),
            (|w| w.bulk(b"hello world"), "$11|hello world|", "$11|hello world|"),
            (|w| w.bulk_int(-7), "$2|-7|", "$2|-7|"),
            (|w| w.null(), "$-1|", "_|"),
            (|w| w.null_array(), "*-1|", "_|"),
            (|w| w.array(0), "*0|", "*0|"),
            (|w| w.array(10), "*10|", "*10|"),
            (|w| w.map(3), "*6|", "%3|"),
            (|w| w.set(2), "*2|", "~2|"),
            (|w| w.push(3), "*3|", ">3|"),
            (|w| w.double(1e20), "$5|1e+20|", ",1e+20|"),
            (|w| w.double(3.0), "$1|3|", ",3|"),
            (|w| w.double(f64::NEG_INFINITY), "$4|-inf|", ",-inf|"),
            (|w| w.bool(true), ":1|", "#t|"),
            (|w| w.bool(false), ":0|", "#f|"),
            (|w| w.verbatim("txt", "a\nb"), "$3|a\nb|", "=7|txt:a\nb|"),
            (|w| w.big_number("123"), "$3|123|", "(123|"),
            (|w| w.bulks(&["a", "bc"]), "*2|$1|a|$2|bc|", "*2|$1|a|$2|bc|"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(both(write), (resp2.to_owned(), resp3.to_owned()));
        }
    }

    #[test]
    fn an_error_is_one_line() {
        let (text, _) = both(|w| w.error("ERR unknown command 'a\r\n+OK\r\n'"));
        assert_eq!(text, "-ERR unknown command 'a  +OK  '|");
        let mut out = Vec::new();
        Writer::new(&mut out, Proto::Resp2).protocol_error(&ProtocolError::ExpectedDollar { got: 0xff });
        assert_eq!(out, b"-ERR Protocol error: expected '$', got '\xff'\r\n");
        out.clear();
        Writer::new(&mut out, Proto::Resp2).protocol_error(&ProtocolError::ExpectedDollar { got: b'\r' });
        assert_eq!(out, b"-ERR Protocol error: expected '$', got ' '\r\n");
    }

    #[test]
    fn what_was_written_can_be_taken_back() {
        let mut out = b"+OK\r\n".to_vec();
        let mut writer = Writer::new(&mut out, Proto::Resp2);
        let at = writer.len();
        writer.array(5);
        writer.truncate(at);
        writer.null();
        assert_eq!(out, b"+OK\r\n$-1\r\n");
    }
}
