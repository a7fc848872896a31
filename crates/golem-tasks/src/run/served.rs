//! The page and the metrics of a run, served by the run's own process while it goes on. They read the store, as any other
//! process may.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::options::RunOptions;
use crate::store::Store;
use crate::view::Output;
use crate::web::{self, Page, Subject};

/// The servers of a run.
pub(super) struct Served {
    serving: JoinSet<Result<(), Failure>>,
    stop: CancellationToken,
}

impl Served {
    /// Begins to serve what was asked for, and says where.
    pub(super) async fn begin(options: &RunOptions, store: &Store) -> Result<Self, Failure> {
        let (mut serving, stop) = (JoinSet::new(), CancellationToken::new());
        let requests = options.metrics.as_ref().map(|(_, requests)| Arc::clone(requests));
        let subject = |store: &Store| Subject {
            store: store.clone(),
            run_id: Some(options.run_id.clone()),
            requests: requests.clone(),
        };
        let mut say = Output::stderr();
        if let Some(listen) = options.web {
            let page =
                Page::new(listen.bind_or_near().await.map_err(|failure| about(failure, "--web"))?, false)?;
            say.write(&format!("the page of this run: {}\n", page.url()));
            serving.spawn(page.serve(subject(store), stop.clone()));
        }
        if let Some((listen, _)) = options.metrics {
            let listener = listen.bind_or_near().await.map_err(|failure| about(failure, "--metrics"))?;
            if let Ok(address) = listener.local_addr() {
                say.write(&format!("the metrics of this run: http://{address}/metrics\n"));
            }
            serving.spawn(web::serve_metrics(listener, subject(store), stop.clone()));
        }
        Ok(Self { serving, stop })
    }

    /// Ends the servers.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        while let Some(served) = self.serving.join_next().await {
            match served {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a page of the run could not be served any longer"),
                Err(error) => tracing::warn!(%error, "a page of the run broke off"),
            }
        }
    }
}

/// The failure, with the flag that it is about.
fn about(failure: Failure, flag: &str) -> Failure {
    match failure.advice().map(|advice| format!("{advice}; it is about {flag}=ADDRESS")) {
        Some(advice) => failure.advise(advice),
        None => failure,
    }
}
