//! A graph, and how it changes.

pub(crate) struct Graph {
    pub(crate) edges: Vec<(u32, u32)>,
    /// Edges that go and come back, one after the other.
    pub(crate) moved: Vec<(u32, u32)>,
}

impl Graph {
    /// Edges from any node to any, always the same.
    pub(crate) fn new(nodes: u32, edges: usize, moved: usize) -> Graph {
        let mut state = 0x5eed_u64;
        let mut below = |end: u64| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % end
        };
        // Node 0 leads to a few, so that most of the graph is reached.
        let first = (1..nodes.min(9)).map(|to| (0, to));
        let rest = (0..edges).map(|_| (below(nodes.into()) as u32, below(nodes.into()) as u32));
        let edges: Vec<(u32, u32)> = first.chain(rest).take(edges).collect();
        let moved = (0..moved).map(|_| edges[8 + below(edges.len() as u64 - 8) as usize]).collect();
        Graph { edges, moved }
    }
}
