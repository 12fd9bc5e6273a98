//! A small blocking client.

use regent::resp::{Frame, command, decode};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a reply may take.
const REPLY: Duration = Duration::from_secs(30);

/// One connection.
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

/// The fields of an INFO reply.
#[derive(Debug)]
pub struct Info(BTreeMap<String, String>);

impl Client {
    /// Connects to a port of this machine.
    pub fn connect(port: u16) -> Result<Client> {
        let stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(5))?;
        stream.set_read_timeout(Some(REPLY))?;
        stream.set_write_timeout(Some(REPLY))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, received: Vec::new() })
    }

    /// How long the next replies may take.
    pub fn patience(&mut self, span: Duration) {
        self.stream.set_read_timeout(Some(span)).expect("a timeout");
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request.
    pub fn send<T: AsRef<[u8]>>(&mut self, args: &[T]) -> Result<()> {
        let mut request = Vec::new();
        command(args, &mut request);
        self.send_raw(&request)
    }

    /// Waits for the next reply or message.
    pub fn receive(&mut self) -> Result<Frame> {
        loop {
            if let Some((frame, len)) = decode(&self.received).map_err(Error::other)? {
                self.received.drain(..len);
                return Ok(frame);
            }
            self.fill()?;
        }
    }

    /// The bytes up to the end of the next line, without it.
    pub fn receive_line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_string());
            }
            self.fill()?;
        }
    }

    /// Exactly so many bytes.
    pub fn receive_exact(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.received.len() < count {
            self.fill()?;
        }
        Ok(self.received.drain(..count).collect())
    }

    /// All that comes until the server hangs up.
    pub fn receive_to_end(&mut self) -> Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                    return Ok(std::mem::take(&mut self.received));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn fill(&mut self) -> Result<()> {
        let mut piece = [0; 65536];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.received.extend_from_slice(&piece[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A request and its reply.
    pub fn try_cmd<T: AsRef<[u8]>>(&mut self, args: &[T]) -> Result<Frame> {
        self.send(args)?;
        self.receive()
    }

    /// A request and its reply; a broken connection fails the test.
    #[track_caller]
    pub fn cmd<T: AsRef<[u8]>>(&mut self, args: &[T]) -> Frame {
        match self.try_cmd(args) {
            Ok(frame) => frame,
            Err(error) => {
                let words: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg.as_ref())).collect();
                panic!("{}: {error}", words.join(" "))
            }
        }
    }

    /// The same, its words separated by spaces.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> Frame {
        self.cmd(&line.split(' ').collect::<Vec<_>>())
    }
}

impl Info {
    /// From the text of the reply.
    pub fn parse(text: &str) -> Info {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Info(fields.map(|(name, value)| (name.to_string(), value.trim_end().to_string())).collect())
    }

    /// A field that must be there.
    #[track_caller]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("INFO has no field {name}: {:#?}", self.0))
    }

    /// The same, as a number.
    #[track_caller]
    pub fn int(&self, name: &str) -> i64 {
        self.get(name).parse().unwrap_or_else(|_| panic!("{name}:{} is no number", self.get(name)))
    }

    /// A field that may be there.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}
