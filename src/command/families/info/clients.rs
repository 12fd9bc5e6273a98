//! INFO clients.

use super::Row::{self, Field};
use super::zero;
use crate::command::{Blocked, Client, Kind, Server};

pub const ROWS: &[Row] = &[
    Field("connected_clients", |server| count(server, |client| client.kind == Kind::Normal)),
    Field("cluster_connections", zero),
    Field("maxclients", |server| server.config.settings.maxclients.to_string()),
    Field("client_recent_max_input_buffer", |server| server.client_care.recent().0.to_string()),
    Field("client_recent_max_output_buffer", |server| server.client_care.recent().1.to_string()),
    Field("blocked_clients", |server| server.blocked_clients().to_string()),
    Field("tracking_clients", |server| server.trackers.clients().to_string()),
    Field("clients_in_timeout_table", |server| {
        count(server, |client| {
            use Blocked::{Keys, Wait};
            matches!(client.blocked, Some(Wait { deadline: Some(_), .. } | Keys { deadline: Some(_), .. }))
        })
    }),
    Field("total_blocking_keys", |server| server.awaited.keys().to_string()),
    Field("total_blocking_keys_on_nokey", |server| server.awaited.keys_even_gone(&server.clients).to_string()),
    Field("pubsub_clients", |server| count(server, |client| client.listens())),
    Field("watching_clients", |server| count(server, |client| !client.watching.is_empty())),
    Field("total_watched_keys", |server| server.watched_keys().to_string()),
];

fn count(server: &Server, wanted: impl Fn(&Client) -> bool) -> String {
    server.clients.iter().filter(|(_, client)| wanted(client)).count().to_string()
}
