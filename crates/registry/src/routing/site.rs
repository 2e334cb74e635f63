//! The routes of one host in a radix tree of path segments: a path finds the most specific pattern, whose routes divide
//! the methods between them.
//!
//! The tree is persistent: a change copies the nodes from its place to the root and shares the rest with earlier
//! snapshots, so that it costs the same among ten routes and among ten thousand. (The crate `matchit`, which finds the
//! API's own operations, can only be copied whole, and prefers `/{a}/{*rest}` to `/{a}/{b}` once it had to turn back.)

use std::sync::Arc;

use hearth_types::route::path::Segment;
use http::Method;
use imbl::HashMap;

use super::route::Route;

/// The routes of one host, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Site {
    root: Node,
}

/// A place in the tree: what is left of a path goes on below it.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: HashMap<String, Arc<Node>>,
    capture: Option<Arc<Node>>,
    /// Routes whose pattern ends here. No two take the same method.
    here: Vec<Arc<Route>>,
    /// Routes whose pattern takes all that is left. No two take the same method.
    rest: Vec<Arc<Route>>,
}

/// What is at a path.
#[derive(Debug)]
pub enum Found<'p> {
    /// A route.
    Route(Matched<'p>),
    /// Routes with other methods: these, sorted.
    Methods(Vec<Method>),
    /// Nothing.
    Nothing,
}

/// A route, with what its path has captured.
#[derive(Clone, Debug)]
pub struct Matched<'p> {
    /// The route.
    pub route: Arc<Route>,
    /// Parts of the path in the order of the pattern's names, still escaped.
    pub captures: Vec<&'p str>,
}

impl Site {
    /// Looks for a path, in the form that [`hearth_types::route::path::normal`] gives.
    ///
    /// `method` is the request's; of a preflight, the one that it asks about.
    pub fn find<'p>(&self, method: &Method, path: &'p str) -> Found<'p> {
        let mut captures = Vec::new();
        let left = path.strip_prefix('/').filter(|left| !left.is_empty());
        let Some(routes) = self.root.find(left, &mut captures) else {
            return Found::Nothing;
        };
        let Some(route) = routes.iter().find(|route| route.takes(method)) else {
            let methods = routes.iter().flat_map(|route| route.methods());
            let mut methods: Vec<Method> = methods.cloned().collect();
            methods.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
            return Found::Methods(methods);
        };
        Found::Route(Matched {
            route: Arc::clone(route),
            captures,
        })
    }

    /// Another route that would answer requests that `route` answers, if there is one: same shape, a method in common.
    pub(super) fn rival(&self, route: &Route) -> Option<&Arc<Route>> {
        let mut node = &self.root;
        let mut routes = None;
        for segment in route.pattern().segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.get(text)?,
                Segment::Capture(_) => node.capture.as_ref()?,
                Segment::Rest(_) => {
                    routes = Some(&node.rest);
                    break;
                }
            };
        }
        let mut others = routes.unwrap_or(&node.here).iter();
        others.find(|other| other.id() != route.id() && other.shares_method_with(route))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    pub(super) fn insert(&mut self, route: &Arc<Route>) {
        let pattern = route.pattern().segments();
        self.root
            .edit(pattern, &|routes| routes.push(Arc::clone(route)));
    }

    pub(super) fn remove(&mut self, route: &Route) {
        let pattern = route.pattern().segments();
        self.root.edit(pattern, &|routes| {
            routes.retain(|other| other.id() != route.id());
        });
    }
}

impl Node {
    /// Goes on with what is left of a path (`None`: nothing). Turns back from where nothing is: `captures` is then as it
    /// was. No deeper than the longest pattern.
    fn find<'p>(
        &self,
        left: Option<&'p str>,
        captures: &mut Vec<&'p str>,
    ) -> Option<&[Arc<Route>]> {
        let Some(text) = left else {
            if !self.here.is_empty() {
                return Some(&self.here);
            }
            if self.rest.is_empty() {
                return None;
            }
            captures.push("");
            return Some(&self.rest);
        };
        let (segment, left) = match text.split_once('/') {
            Some((segment, left)) => (segment, Some(left)),
            None => (text, None),
        };
        if let Some(node) = self.literals.get(segment)
            && let Some(found) = node.find(left, captures)
        {
            return Some(found);
        }
        if let Some(node) = &self.capture {
            captures.push(segment);
            if let Some(found) = node.find(left, captures) {
                return Some(found);
            }
            captures.pop();
        }
        if self.rest.is_empty() {
            return None;
        }
        captures.push(text);
        Some(&self.rest)
    }

    fn is_empty(&self) -> bool {
        self.here.is_empty()
            && self.rest.is_empty()
            && self.capture.is_none()
            && self.literals.is_empty()
    }

    /// Changes the routes of a pattern; nodes that have none any more go.
    fn edit(&mut self, pattern: &[Segment], change: &dyn Fn(&mut Vec<Arc<Route>>)) {
        match pattern {
            [] => change(&mut self.here),
            [Segment::Rest(_), ..] => change(&mut self.rest),
            [Segment::Literal(text), below @ ..] => {
                let mut node = self.literals.remove(text).unwrap_or_default();
                Arc::make_mut(&mut node).edit(below, change);
                if !node.is_empty() {
                    self.literals.insert(text.clone(), node);
                }
            }
            [Segment::Capture(_), below @ ..] => {
                let mut node = self.capture.take().unwrap_or_default();
                Arc::make_mut(&mut node).edit(below, change);
                self.capture = (!node.is_empty()).then_some(node);
            }
        }
    }
}
