//! Decisions of a requestor on the Golem Network.
//!
//! No I/O, no clock, no chance and no global state: everything this crate knows came in as an input, and all it
//! wants goes out as an effect. The same inputs give the same decisions, always.
//!
//! The SDK shows its users a part of this crate: payloads ([`payload::Payload`]), events ([`event::EventKind`]), settings
//! ([`run::RunConfig`]), strategies ([`strategy::Strategy`]), and the reason why something didn't happen ([`explain::Explanation`]).
//! The rest is for those who build another engine or test a decision by itself.

//!
//! | module | what it decides, or says |
//! |---|---|
//! | [`run`] | the whole: one input in, events and effects out |
//! | [`event`] | everything that happens in a run |
//! | [`state`] | what of a run survives a crash |
//! | [`payload`], [`demand`] | which machine the work needs, and how that is put on the market |
//! | [`offer`], [`pricing`] | what a provider offers, and what that can cost |
//! | [`strategy`], [`caps`] | which offers are taken, which of them first, and what is too dear |
//! | [`defaults`] | what holds where nobody says otherwise |
//! | [`terms`] | what is agreed besides the price |
//! | [`standing`] | who gets no tasks for a while |
//! | [`source`] | whether a source of tasks is still the one that was read |
//! | [`tasks`] | which task is tried next, where, and how often |
//! | [`budget`] | how much may be promised, in all and in any hour or day |
//! | [`bill`] | whether a debit note or an invoice asks for no more than is owed |
//! | [`explain`] | why nothing runs |
//!
//! # Example
//!
//! A run that is told of a job wants its tasks and a demand on the market:
//! ```
//! use golem_core::event::JobId;
//! use golem_core::payload::Payload;
//! use golem_core::run::{Effect, Input, JobSpec, Run, RunConfig};
//! use yagna_api::payment::Decoration;
//!
//! let now = "2026-01-01T12:00:00Z".parse()?;
//! let config = RunConfig::new(Payload::default(), "erc20-hoodi-tglm");
//! let decoration = Decoration { properties: Default::default(), constraints: Vec::new() };
//! let mut run = Run::new(config, decoration, now);
//!
//! let step = run.on(now, Input::JobAdded { job: JobId(0), spec: JobSpec::default() });
//! assert!(step.effects.iter().any(|effect| matches!(effect, Effect::LoadTasks { .. })));
//! let data = vec![1.into(), 2.into()];
//! let step = run.on(now, Input::Tasks { job: JobId(0), data, exhausted: true, mark: None });
//! assert_eq!(step.events.len(), 3, "two tasks are known now, and that there are no more");
//! assert!(step.effects.iter().any(|effect| matches!(effect, Effect::Publish { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bill;
pub mod budget;
pub mod caps;
pub mod defaults;
pub mod demand;
pub mod event;
pub mod explain;
pub mod halt;
pub mod offer;
pub mod payload;
pub mod pricing;
#[cfg(test)]
mod properties;
pub mod raise;
pub mod run;
pub mod selection;
pub mod source;
pub mod standing;
pub mod state;
pub mod strategy;
pub mod tasks;
pub mod terms;
pub mod words;
