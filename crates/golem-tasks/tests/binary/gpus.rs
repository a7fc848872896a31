//! Jobs that need a GPU get a machine that has one.

use golem_devnet::devnet::Devnet;
use golem_devnet::provider::{OfferedGpu, ProviderConfig};
use std::net::{Ipv4Addr, SocketAddr};

use crate::stage::{Home, Running};

#[tokio::test]
async fn a_job_that_needs_a_gpu_is_done_where_there_is_one() {
    let gpu = |model: &str, memory_gib| OfferedGpu { model: model.to_owned(), memory_gib, quantity: 1 };
    let devnet = Devnet::builder()
        .provider(ProviderConfig::new("without"))
        .provider(ProviderConfig::new("small").with_gpu(gpu("NVIDIA GeForce RTX 3060", 12.0)))
        .provider(ProviderConfig::new("large").with_gpu(gpu("NVIDIA GeForce RTX 4090", 24.0)))
        .start()
        .await
        .unwrap();
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let home = Home::new();
    let job = "[payload]\nimage_url = \"http://127.0.0.1:1/image\"\n\
               image_hash = \"5f5a6d2c8e1b4f7093d6c2a1e8b7f4053c9d6e2a1b8f7c4d50e3a6b9\"\n\
               gpu = { model = \"*rtx*\", min_mem_gib = 16 }\n\
               [tasks]\nrange = { end = 3 }\n[[steps]]\nrun = \"echo {{ task }}\"\n";
    home.write("gpu.toml", job);
    let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
    command.arg("run").arg(home.path("gpu.toml"));
    let key = devnet.requestor().key.expose().to_owned();
    command.env("YAGNA_APPKEY", key).env("YAGNA_API_URL", format!("http://{address}"));
    let ended = Running::start(command).end().await;
    ended.assert_code(0);
    let kept = home.kept().await;
    let providers: std::collections::BTreeSet<_> =
        kept.tasks.iter().map(|task| task.provider.clone().unwrap()).collect();
    assert_eq!(providers.into_iter().collect::<Vec<_>>(), ["large"]);
    devnet.stop().await;
}
