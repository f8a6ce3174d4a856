//! The pure core: fold, decide, graph, policies.
