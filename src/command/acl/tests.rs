//! Rules and what they come to, without a server.

use super::file::users_of;
use super::*;
use crate::command::spec::Access;
use crate::command::{OwnedArgs, table};
use proptest::prelude::*;

fn user(rules: &str) -> User {
    made(rules).unwrap_or_else(|error| panic!("{rules}: {error}"))
}

fn made(rules: &str) -> Result<User, RuleError> {
    let words: Vec<&[u8]> = rules.split(' ').map(str::as_bytes).collect();
    let mut user = User::new(b"u", false);
    joined(&words).expect("closed parentheses").iter().try_for_each(|rule| user.set(rule))?;
    Ok(user)
}

fn commands(rules: &str) -> String {
    user(rules).root().command_rules()
}

fn check(user: &User, request: &str) -> Option<(Reason, usize)> {
    let owned = OwnedArgs::of(request.split(' ').map(str::as_bytes));
    let args = owned.args();
    let spec = table::by_name(args.at(0)).expect("a command");
    let spec = if spec.subs.is_empty() { spec } else { table::sub(spec, args.at(1)).expect("a subcommand") };
    user.check(spec, &args).err().map(|denied| (denied.reason, denied.at))
}

/// Rules are kept as they were given, but for those that a later one makes void.
#[test]
fn rules_are_joined_without_loss() {
    let cases = [
        ("+@all -@hash -@slow +hget", "+@all -@hash -@slow +hget"),
        ("+@all -@hash -@slow +hget -@hash", "+@all -@slow +hget -@hash"),
        ("-@string -@slow +@all", "+@all"),
        ("+@HASH +@hash", "-@all +@hash"),
        ("+HGET +hget", "-@all +hget"),
        ("+hget -hset +hset -hget", "-@all +hset -hget"),
        ("+client|list +client|list +config|get +config +acl|list -acl", "-@all +client|list +config -acl"),
        ("+select|0 +select|0 +debug|segfault +debug", "-@all +select|0 +debug"),
        ("-@dangerous", "-@all -@dangerous"),
        ("+config +config|get -config|set +config", "-@all +config"),
    ];
    for (rules, wanted) in cases {
        assert_eq!(commands(rules), wanted, "{rules}");
    }
}

#[test]
fn users_are_shown_in_the_order_of_redis() {
    let shown = |rules: &str| String::from_utf8(user(rules).describe()).unwrap();
    assert_eq!(shown("on nopass ~a %R~b &x +@all"), "on nopass sanitize-payload ~a %R~b resetchannels &x +@all");
    assert_eq!(
        shown("+@all -config (+get ~x)"),
        "off sanitize-payload resetchannels +@all -config (~x resetchannels -@all +get)"
    );
    assert_eq!(shown("%W~a %R~a %WR~b"), "off sanitize-payload ~a ~b resetchannels -@all");
}

#[test]
fn wrong_rules_are_told_by_kind() {
    let cases = [
        ("foo", RuleError::Syntax),
        ("%~x", RuleError::Syntax),
        ("%RR~x", RuleError::Syntax),
        ("+select|", RuleError::Syntax),
        ("+foo", RuleError::Unknown),
        ("+@foo", RuleError::Unknown),
        ("+config|foo", RuleError::Unknown),
        ("+get|a|b", RuleError::Unknown),
        ("+config|get|x", RuleError::FirstArgOfSub),
        ("~* ~x", RuleError::KeysAfterAll),
        ("&* &x", RuleError::ChannelsAfterAll),
        ("(&* &x)", RuleError::ChannelsAfterAll),
        ("<x", RuleError::NoSuchPassword),
        ("#12", RuleError::BadHash),
    ];
    for (rules, error) in cases {
        assert_eq!(made(rules).err(), Some(error), "{rules}");
    }
    let open: Vec<&[u8]> = vec![b"on", b"(+get", b"~x"];
    assert_eq!(joined(&open), Err(&b"(+get"[..]));
}

#[test]
fn checks_look_at_command_keys_and_channels() {
    let cases = [
        ("+get ~a*", "get ab", None),
        ("+get ~a*", "get b", Some((Reason::Key, 1))),
        ("+@read ~a", "set a 1", Some((Reason::Command, 0))),
        ("+@all %R~r* %W~w*", "copy r1 w1", None),
        ("+@all %R~r* %W~w*", "copy r1 r2", Some((Reason::Key, 2))),
        ("+@all %R~r* %W~w*", "exists w1 r1", None),
        ("+@all %R~r* %W~w*", "set w 1", None),
        ("+@all %R~r* %W~w*", "set w 1 get", Some((Reason::Key, 1))),
        ("+@all %R~r* %W~w*", "sort r store r", Some((Reason::Key, 3))),
        ("+mget ~k (+mget ~k ~o)", "mget k o x", Some((Reason::Key, 3))),
        ("(+@write ~w) (+@read ~r)", "set r 1", Some((Reason::Key, 1))),
        ("+@all &a*", "publish ab x", None),
        ("+@all &a*", "subscribe ab b", Some((Reason::Channel, 2))),
        ("+@all &a*", "psubscribe ab*", Some((Reason::Channel, 1))),
        ("+@all &a*", "psubscribe a*", None),
        ("+@all", "unsubscribe x", None),
        ("-@all", "auth x", None),
        ("+select|0", "select 0", None),
        ("+select|0", "select 1", Some((Reason::Command, 0))),
        ("+@all -client|kill", "client id", None),
        ("+@all -client|kill", "client kill x", Some((Reason::Command, 0))),
    ];
    for (rules, request, wanted) in cases {
        assert_eq!(check(&user(rules), request), wanted, "{rules} / {request}");
    }
    assert!(user("(+sort %R~*)").selectors().any(|selector| selector.allows_every_key(Access::READ)));
}

#[test]
fn passwords_are_compared_by_their_digests() {
    let mut some = user("on >a >b");
    assert!(some.lets_in(b"a") && some.lets_in(b"b") && !some.lets_in(b"c") && !some.lets_in(b""));
    some.set(b"<a").unwrap();
    assert!(!some.lets_in(b"a"));
    assert!(user("on nopass").lets_in(b"x") && !user("nopass").lets_in(b"x"));
    let hash = some.passwords().next().unwrap();
    some.set(format!("!{hash}").as_bytes()).unwrap();
    assert_eq!(some.passwords().len(), 0);
}

#[test]
fn the_default_user_may_do_everything_until_it_may_not() {
    let mut acl = Acl::new("");
    assert!(acl.is_open() && acl.user(DEFAULT).may_all());
    acl.users[DEFAULT.0].set(b"-get").unwrap();
    assert!(!acl.user(DEFAULT).may_all());
    assert!(!Acl::new("secret").is_open());
}

#[test]
fn files_are_read_whole_or_not_at_all() {
    let text = b"user alice on nopass ~* +@all\r\n\n  user bob >x (+get ~a)\n";
    let users = users_of("users.acl", text, false).unwrap();
    assert_eq!(users.iter().map(User::name).collect::<Vec<_>>(), [&b"alice"[..], b"bob"]);
    let text = b"user alice on\n# no\nuser alice off\nuser c +nope >p #12 ~* ~x\nuser d (+get";
    let errors = users_of("users.acl", text, false).unwrap_err();
    assert_eq!(
        errors.text(),
        "users.acl:2: should start with user keyword followed by the username. users.acl:3: Duplicate user 'alice' \
         found. users.acl:4: Error in applying operation '+nope': Unknown command or category name in ACL. users.acl:4: \
         The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters. \
         users.acl:5: Unmatched parenthesis in selector definition. WARNING: ACL errors detected, no change to the \
         previously active ACL rules was performed"
    );
    assert!(errors.at_start().contains("users.acl:2: should") && errors.at_start().contains("expected: user <name>"));
}

// What was taken away and given back left a user who may everything, but was not known as such once it was read again.
#[test]
fn all_that_was_given_back_is_all() {
    let mut user = User::new(b"u", false);
    for rule in ["+@all", "-@dangerous", "+@dangerous"] {
        user.set(rule.as_bytes()).expect("a rule");
    }
    assert_eq!(users_of("f", &user.line(), false).expect("a line of our own")[0], user);
}

fn rule() -> impl Strategy<Value = String> {
    let names: Vec<String> = table::with_subs().map(crate::command::Spec::full_name).collect();
    prop_oneof![
        (any::<bool>(), prop::sample::select(names))
            .prop_map(|(allow, name)| format!("{}{name}", if allow { '+' } else { '-' })),
        "[+-]@(all|read|write|hash|dangerous|admin|slow)",
        "(~|%R~|%W~|%RW~|&)[a-c*]{1,3}",
        "[>]{1}[a-c]{1,2}",
        "on|off|nopass|resetpass|reset|resetkeys|resetchannels|clearselectors|skip-sanitize-payload",
        "\\(\\+get ~[ab]\\)|\\(-@all \\+@read %R~x\\*\\)",
    ]
}

proptest! {
    /// Whatever the rules were: what is shown of the user makes the same one, bit for bit.
    #[test]
    fn what_is_shown_makes_the_same_user(rules in prop::collection::vec(rule(), 0..30)) {
        let mut first = User::new(b"u", false);
        for rule in &rules {
            let _ = first.set(rule.as_bytes());
        }
        let line = first.line();
        let users = users_of("f", &line, false).expect("a line of our own");
        prop_assert_eq!(&users[0], &first, "{}", String::from_utf8_lossy(&line));
    }

    #[test]
    fn any_rule_is_taken_or_refused(rule in prop::collection::vec(any::<u8>(), 0..20)) {
        let _ = User::new(b"u", true).set(&rule);
        let _ = users_of("f", &rule, true);
    }
}
