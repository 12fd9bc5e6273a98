//! INFO cpu.

use super::Row::{self, Field};

pub const ROWS: &[Row] = &[
    Field("used_cpu_sys", |server| seconds(server.cpu.sys_us)),
    Field("used_cpu_user", |server| seconds(server.cpu.user_us)),
    Field("used_cpu_sys_children", |server| seconds(server.cpu.sys_children_us)),
    Field("used_cpu_user_children", |server| seconds(server.cpu.user_children_us)),
    Field("used_cpu_sys_main_thread", |server| seconds(server.cpu.sys_main_us)),
    Field("used_cpu_user_main_thread", |server| seconds(server.cpu.user_main_us)),
];

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}
