//! Variables whose values depend on other services, such as `{{ service.db.ip }}`: known when an instance starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use golem_sdk::service::Names;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

/// A variable with the template of its value.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    name: String,
    environment: Arc<Environment<'static>>,
}

/// A service, as templates see it.
#[derive(Debug, Clone, Serialize)]
struct Seen {
    host: String,
    ip: String,
    ips: Vec<String>,
}

/// The name of the only template of an environment.
const VALUE: &str = "value";

/// Compiles the value of a variable, and tries it on services of these names.
pub(super) fn compile(name: &str, text: &str, services: &BTreeSet<&str>) -> Result<Variable, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(100_000));
    environment
        .add_template_owned(VALUE, text.to_owned())
        .map_err(|error| format!("`{name}` is not a valid template: {}", detail(&error)))?;
    let variable = Variable { name: name.to_owned(), environment: Arc::new(environment) };
    // The names in the text that stand behind `service.`
    let named = text.split("service.").skip(1);
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    for other in named.map(|rest| rest.split(|letter| !is_part(letter)).next().unwrap_or_default()) {
        if !services.contains(other) {
            return Err(format!("`{name}`: `{other}` is not a service of this file"));
        }
    }
    let tried = services.iter().map(|service| {
        let ip = "192.168.0.2".to_owned();
        ((*service).to_owned(), Seen { host: (*service).to_owned(), ips: vec![ip.clone()], ip })
    });
    variable.render(&tried.collect()).map_err(|problem| format!("`{name}` can't be used: {problem}"))?;
    Ok(variable)
}

/// The values of variables, now.
pub(super) fn values(variables: &[Variable], names: &Names, services: &[String]) -> BTreeMap<String, String> {
    let seen: BTreeMap<String, Seen> = services
        .iter()
        .map(|service| {
            let ips: Vec<_> = names.of(service).into_iter().map(|(_, ip)| ip.to_string()).collect();
            let ip = names.all().get(service).cloned().unwrap_or_default();
            (service.clone(), Seen { host: service.clone(), ip, ips })
        })
        .collect();
    let value = |variable: &Variable| match variable.render(&seen) {
        Ok(value) => Some((variable.name.clone(), value)),
        Err(problem) => {
            tracing::warn!(variable = variable.name, problem, "a variable of a service has no value");
            None
        }
    };
    variables.iter().filter_map(value).collect()
}

impl Variable {
    fn render(&self, services: &BTreeMap<String, Seen>) -> Result<String, String> {
        let template = self.environment.get_template(VALUE).map_err(|error| detail(&error))?;
        let scene = BTreeMap::from([("service", services)]);
        template.render(minijinja::value::Serde(&scene)).map_err(|error| detail(&error))
    }
}

fn detail(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}
