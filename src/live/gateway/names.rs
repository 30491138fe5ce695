//! Names that clients may ask for: models, classes, `auto`, and who is behind them.

use hyper::header::HeaderMap;

use super::{AUTO, CLASS, ClassOption, GatewayParts};
use crate::unit::{ClassId, ModelId, NodeId};

/// What a request is taken for: a class, and the model that it names.
pub(super) type FoundClass = (usize, Option<ModelId>);

/// The names of a gateway.
#[derive(Debug)]
pub(super) struct ModelNames {
    classes: Vec<ClassOption>,
    /// Names a client may ask for.
    listed: Vec<String>,
    /// The one model that every node serves, if there is one.
    only: Option<String>,
    /// Models that requests may name, where there are several, each with the classes that are led to it.
    named: Vec<(String, ModelId, Vec<usize>)>,
    /// Who serves whatever name nobody else has: nodes that pass on what the client said.
    open: Option<OpenModels>,
    /// Pools of agents and tools, with the class that is led there and the model that stands for them.
    plain: Vec<(String, FoundClass)>,
    /// By node: its name, its pool, its strategy.
    places: Vec<[String; 3]>,
}

/// Nodes that have no name for their model.
#[derive(Debug)]
enum OpenModels {
    /// All of them.
    All,
    /// Some, with the classes that are led to them.
    Some(ModelId, Vec<usize>),
}

impl ModelNames {
    pub(super) fn new(parts: &GatewayParts) -> ModelNames {
        let models = || {
            let nodes = parts.config.nodes.iter().zip(&parts.models);
            nodes.filter(|(node, _)| !is_plain(parts, node.model)).map(|(_, model)| model)
        };
        let first = models().next().filter(|model| !model.is_empty());
        let only = first.filter(|first| models().all(|model| model == *first));
        let mut listed = vec![AUTO.to_owned()];
        listed.extend(parts.classes.iter().map(|class| class.name.clone()));
        listed.extend(only.cloned());
        let mut named = named(parts);
        let unnamed = named.iter().position(|(name, ..)| name.is_empty());
        let open = match unnamed.map(|at| named.remove(at)) {
            Some((_, model, led)) => Some(OpenModels::Some(model, led)),
            None if models().all(String::is_empty) => Some(OpenModels::All),
            None => None,
        };
        listed.extend(named.iter().map(|(name, ..)| name.clone()));
        let config = &parts.config;
        let place = |node: &crate::balance::NodeSpec| {
            let pool = config.pools.get(node.pool.index());
            let pool = pool.map(|pool| [pool.name.clone(), pool.strategy.name().to_owned()]);
            let [pool, strategy] = pool.unwrap_or_default();
            [node.name.clone(), pool, strategy]
        };
        ModelNames {
            classes: parts.classes.clone(),
            listed,
            only: only.cloned(),
            named,
            open,
            plain: plain(parts),
            places: config.nodes.iter().map(place).collect(),
        }
    }

    /// Returns the names that are listed.
    pub(super) fn listed(&self) -> &[String] {
        &self.listed
    }

    /// Returns the names of the classes.
    pub(super) fn classes(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|class| class.name.as_str())
    }

    /// Returns a class by its place.
    pub(super) fn class(&self, class: usize) -> &ClassOption {
        &self.classes[class]
    }

    /// Returns the name of a node, its pool and that pool's strategy.
    pub(super) fn place(&self, node: NodeId) -> Option<&[String; 3]> {
        self.places.get(node.index())
    }

    /// Finds a pool of agents or tools: the class that is led there, and the model that stands for it.
    pub(super) fn plain(&self, pool: &str) -> Option<FoundClass> {
        self.plain.iter().find(|(name, _)| name == pool).map(|(_, found)| *found)
    }

    /// Finds the class a request asks for, by header or by the model's name, and the model that it names.
    /// Who names a model and no class is of the first class that is led to it.
    pub(super) fn find(&self, model: &str, headers: &HeaderMap) -> Option<FoundClass> {
        let by_name = |name: &str| self.classes.iter().position(|class| class.name == name);
        let usual = |class: usize| (class, self.classes[class].model);
        let known = self.named.iter().find(|(name, ..)| name == model);
        let known = known.map(|(_, model, led)| (*model, led));
        let anything = model == AUTO || self.only.as_deref() == Some(model);
        let open = || match &self.open {
            Some(OpenModels::Some(id, led)) if !anything && by_name(model).is_none() => {
                Some((*id, led))
            }
            _ => None,
        };
        match (headers.get(CLASS), known.or_else(open)) {
            (Some(class), led) => {
                let class = class.to_str().ok().and_then(by_name)?;
                let Some((model, led)) = led else { return Some(usual(class)) };
                led.contains(&class).then_some((class, Some(model)))
            }
            (None, Some((model, led))) => Some((*led.first()?, Some(model))),
            (None, None) => {
                let all = matches!(self.open, Some(OpenModels::All));
                by_name(model).or_else(|| (anything || all).then_some(0)).map(usual)
            }
        }
    }
}

fn is_plain(parts: &GatewayParts, model: ModelId) -> bool {
    parts.plain.iter().any(|(_, plain)| *plain == model)
}

/// Returns the pools of agents and tools that some class is led to.
fn plain(parts: &GatewayParts) -> Vec<(String, FoundClass)> {
    let led = |model: ModelId| {
        (0..parts.classes.len()).find(|class| {
            let class = ClassId(*class as u16);
            parts.config.routes.iter().any(|route| route.leads_to(class, model))
        })
    };
    let pools = parts.plain.iter();
    pools.filter_map(|(name, model)| Some((name.clone(), (led(*model)?, Some(*model))))).collect()
}

/// Returns the models that have routes of their own, each once, with the classes that are led to it. What
/// has the name of a class means that class.
fn named(parts: &GatewayParts) -> Vec<(String, ModelId, Vec<usize>)> {
    let mut found: Vec<(String, ModelId, Vec<usize>)> = Vec::new();
    for (node, name) in parts.config.nodes.iter().zip(&parts.models) {
        if is_plain(parts, node.model) {
            continue;
        }
        let is_class = parts.classes.iter().any(|class| class.name == *name);
        if is_class || found.iter().any(|(_, model, _)| *model == node.model) {
            continue;
        }
        let led = |class: &usize| {
            let class = ClassId(*class as u16);
            parts.config.routes.iter().any(|route| route.leads_to(class, node.model))
        };
        let classes: Vec<usize> = (0..parts.classes.len()).filter(led).collect();
        if !classes.is_empty() {
            found.push((name.clone(), node.model, classes));
        }
    }
    found
}
