//! Figures, not judged: `cargo test --release --lib consensus::figures -- --ignored --nocapture`.
//!
//! Three members on sled in one process and one thread, over the network in memory: what agreement and the disk cost,
//! without the sockets.

use super::GroupConfig;
use super::cluster::{Cluster, disk};
use std::time::Duration;
use tokio::time::Instant;

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |at: usize| times[at].as_secs_f64() * 1000.0;
    let last = times.len() - 1;
    println!(
        "{name:44} p50 {:9.3} ms  p90 {:9.3}  max {:9.3}  (n={})",
        ms(last / 2),
        ms(last * 9 / 10),
        ms(last),
        last + 1
    );
}

async fn timed<T>(future: impl Future<Output = T>) -> Duration {
    let began = Instant::now();
    future.await;
    began.elapsed()
}

#[tokio::test]
#[ignore = "prints figures"]
async fn figures() {
    let mut cluster = Cluster::founded(3, GroupConfig::default(), disk).await;
    let (mut leaders, mut proposals) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let old = cluster.leader().await;
        cluster.members[old].group.linearizable().await.unwrap();
        let began = Instant::now();
        cluster.stop(old).await;
        let new = cluster.leader().await;
        leaders.push(began.elapsed());
        cluster.members[new].group.propose(vec![0; 100]).await.unwrap();
        proposals.push(began.elapsed());
        cluster.restart(old).await;
        cluster.agree().await;
    }
    row("leader gone, until another leads", leaders);
    row("leader gone, until a command is agreed", proposals);

    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    for (who, place) in [("leader", leader), ("follower", follower)] {
        let group = &cluster.members[place].group;
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            writes.push(timed(async { group.propose(vec![0; 100]).await.unwrap() }).await);
            reads.push(timed(async { group.linearizable().await.unwrap() }).await);
        }
        row(&format!("propose at the {who}, one after the other"), writes);
        row(&format!("linearizable at the {who}, one after another"), reads);
        let all = timed(futures::future::join_all((0..2000).map(|_| group.propose(vec![0; 100])))).await;
        println!("2000 proposals at once at the {who}: {:.3} ms each", all.as_secs_f64() / 2.0);
        let all = timed(futures::future::join_all((0..2000).map(|_| group.linearizable()))).await;
        println!("2000 reads at once at the {who}: {:.4} ms each", all.as_secs_f64() / 2.0);
    }
}
