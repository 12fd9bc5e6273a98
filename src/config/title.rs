//! The name that the process shows in `ps`: `proc-title-template` filled in.

/// What the variables of a template stand for.
#[derive(Clone, Copy, Debug)]
pub struct TitleVars<'a> {
    /// `{title}`: what the process is, such as `regent node`.
    pub title: &'a str,
    /// The first address of `bind`; none shows as `*`.
    pub bind: Option<&'a str>,
    /// `{port}`, and the port of `{listen-addr}`.
    pub port: u16,
    /// `{tls-port}`, and the port of `{listen-addr}` when `port` is 0.
    pub tls_port: u16,
    /// `{unixsocket}`, and `{listen-addr}` when there is no port at all.
    pub unixsocket: &'a str,
    /// `{server-mode}` is `[sentinel]` or nothing.
    pub sentinel: bool,
    /// `{config-file}`; none shows as `-`.
    pub config_file: Option<&'a str>,
}

impl TitleVars<'_> {
    fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "title" => self.title.to_owned(),
            "listen-addr" if self.port != 0 || self.tls_port != 0 => {
                let port = if self.port != 0 { self.port } else { self.tls_port };
                format!("{}:{port}", self.bind.unwrap_or("*"))
            }
            "listen-addr" => format!("unixsocket:{}", self.unixsocket),
            "server-mode" => if self.sentinel { "[sentinel]" } else { "" }.to_owned(),
            "port" => self.port.to_string(),
            "tls-port" => self.tls_port.to_string(),
            "unixsocket" => self.unixsocket.to_owned(),
            "config-file" => self.config_file.unwrap_or("-").to_owned(),
            _ => return None,
        })
    }
}

/// The template with its variables filled in and blanks at its ends cut, or `None` if it names an unknown variable or
/// leaves one open. `{{` is a brace.
pub fn process_title(template: &str, vars: &TitleVars<'_>) -> Option<String> {
    let mut title = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        title.push_str(&rest[..open]);
        let behind = &rest[open + 1..];
        if let Some(tail) = behind.strip_prefix('{') {
            title.push('{');
            rest = tail;
            continue;
        }
        let (name, tail) = behind.split_once('}')?;
        title.push_str(&vars.get(name)?);
        rest = tail;
    }
    title.push_str(rest);
    Some(title.trim_matches(' ').to_owned())
}

/// Whether a template may be set: it can be filled in, and something is left of it without a title.
pub fn is_valid(template: &str) -> bool {
    let vars = TitleVars {
        title: "",
        bind: None,
        port: 6379,
        tls_port: 0,
        unixsocket: "",
        sentinel: false,
        config_file: None,
    };
    process_title(template, &vars).is_some_and(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: TitleVars<'_> = TitleVars {
        title: "regent node",
        bind: Some("*"),
        port: 7001,
        tls_port: 0,
        unixsocket: "",
        sentinel: false,
        config_file: None,
    };
    const DEFAULT: &str = "{title} {listen-addr} {server-mode}";

    #[test]
    fn titles() {
        assert_eq!(process_title(DEFAULT, &NODE).as_deref(), Some("regent node *:7001"));
        let sentinel = TitleVars { title: "regent sentinel", port: 5001, sentinel: true, ..NODE };
        assert_eq!(process_title(DEFAULT, &sentinel).as_deref(), Some("regent sentinel *:5001 [sentinel]"));
        assert_eq!(process_title("{{{port}}:{config-file}", &NODE).as_deref(), Some("{7001}:-"));
        let silent = TitleVars { port: 0, unixsocket: "/tmp/s", ..NODE };
        assert_eq!(process_title("{listen-addr}", &silent).as_deref(), Some("unixsocket:/tmp/s"));
    }

    #[test]
    fn templates_that_are_refused() {
        for template in ["{nope}", "{title", "{title}", "", "   "] {
            assert!(!is_valid(template), "{template}");
        }
        assert!(is_valid(DEFAULT));
        assert!(is_valid("plain"));
    }
}
