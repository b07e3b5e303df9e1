//! Moves filters and column selections as close as possible to the source of the rows.
//!
//! In: a query's node. Out: a node with the same rows, in which joins show only columns that are read above them; joined and grouped nodes
//! have only columns that are read there; lists have no more elements than are read; nested selections are merged, and selections of tables
//! are part of their input. So nothing is built or held that is not read, and tables that are read in the same way are arranged once. A
//! view's node is not changed, so that it is maintained once.

use super::Readable;
use crate::plan::{
    Expression, Group, InputColumn, Join, Node, Order, PairCondition, Recursion, Select, Side, TableRows, Top, Unnest, Window,
};
use crate::value::Schema;

/// What is read of a node: the rows for which the filter is true, with these columns.
struct NodeDemand {
    filter: Option<Expression>,
    columns: Vec<InputColumn>,
    schema: Schema,
}

impl NodeDemand {
    /// These columns, unchanged.
    fn columns(schema: &Schema, columns: &[usize]) -> NodeDemand {
        let schema = schema.project(columns);
        NodeDemand { filter: None, columns: columns.iter().copied().map(InputColumn::Column).collect(), schema }
    }

    fn all(schema: &Schema) -> NodeDemand {
        NodeDemand::columns(schema, &(0..schema.len()).collect::<Vec<_>>())
    }

    /// The columns, if there is no filter and none is computed.
    fn plain(&self) -> Option<Vec<usize>> {
        match self.filter {
            None => self.columns.iter().map(plain).collect(),
            Some(_) => None,
        }
    }

    /// The columns that are read, in ascending order.
    fn read(&self) -> Vec<usize> {
        let of = |column: &InputColumn| match column {
            InputColumn::Column(column) => vec![*column],
            InputColumn::Computed(expression) => expression.columns().to_vec(),
        };
        sorted(self.columns.iter().flat_map(of).chain(self.filter.iter().flat_map(|filter| filter.columns().to_vec())))
    }

    /// How many elements at the front of the lists in a column are read at most; `None` if all may be.
    fn first_read(&self, column: usize) -> Option<usize> {
        let of = |computed: &InputColumn| match computed {
            InputColumn::Column(read) => (*read != column).then_some(0),
            InputColumn::Computed(expression) => expression.first_read(column),
        };
        let of_filter = self.filter.iter().map(|filter| filter.first_read(column));
        self.columns.iter().map(of).chain(of_filter).try_fold(0, |most, first| Some(most.max(first?)))
    }

    /// The same demand for a node that has only the columns `read` of this one.
    fn of_read(&self, read: &[usize], input: &Schema) -> NodeDemand {
        self.through(|column| InputColumn::Column(place_in(read, column)), input).expect("columns are only moved")
    }

    /// The same demand for the node below, whose columns make those read here. `None` if that would nest computed columns.
    fn through(&self, below: impl Fn(usize) -> InputColumn, input: &Schema) -> Option<NodeDemand> {
        let over = |expression: &Expression| {
            let fits = expression.columns().iter().all(|&column| plain(&below(column)).is_some());
            fits.then(|| expression.moved(input, |column| plain(&below(column)).expect("it was seen to be a column")))
        };
        let column = |column: &InputColumn| match column {
            InputColumn::Column(column) => Some(below(*column)),
            InputColumn::Computed(expression) => over(expression).map(InputColumn::Computed),
        };
        let filter = match &self.filter {
            Some(filter) => Some(over(filter)?),
            None => None,
        };
        let columns = self.columns.iter().map(column).collect::<Option<_>>()?;
        Some(NodeDemand { filter, columns, schema: self.schema.clone() })
    }

    /// A node that fulfils the demand, made from one that is read.
    fn apply(self, node: Node) -> Node {
        let as_is = |(i, column): (usize, &InputColumn)| plain(column) == Some(i);
        let alike = self.filter.is_none() && self.schema == *node.schema() && self.columns.iter().enumerate().all(as_is);
        match alike {
            true => node,
            false => Node::Select(Box::new(Select { of: node, filter: self.filter, columns: self.columns, schema: self.schema })),
        }
    }
}

impl Readable<'_> {
    /// The same rows, computed as cheaply as possible.
    pub(in crate::plan) fn pruned(&self, node: Node) -> Node {
        let all = NodeDemand::all(node.schema());
        self.give(node, all)
    }

    fn give(&self, node: Node, wanted: NodeDemand) -> Node {
        if !matches!(node, Node::Table(_)) && self.views.values().any(|view| view.node == node) {
            return wanted.apply(node);
        }
        match node {
            Node::Table(input) => self.table(input, wanted),
            Node::Select(select) => self.selected(*select, wanted),
            Node::Join(join) => self.joined(*join, wanted),
            Node::Group(group) => {
                let group = self.grouped(*group, &wanted);
                wanted.apply(Node::Group(Box::new(group)))
            }
            Node::Top(top) => self.first(*top, wanted),
            Node::Window(window) => wanted.apply(Node::Window(Box::new(Window { of: self.pruned(window.of), ..*window }))),
            Node::Union(nodes) => match wanted.plain() {
                Some(columns) => {
                    let schema = &wanted.schema;
                    let each = |node: Node| {
                        let picked = NodeDemand::columns(node.schema(), &columns);
                        self.give(node, NodeDemand { schema: schema.clone(), ..picked })
                    };
                    Node::Union(nodes.into_iter().map(each).collect())
                }
                None => {
                    let all = |node: Node| self.pruned(node);
                    wanted.apply(Node::Union(nodes.into_iter().map(all).collect()))
                }
            },
            Node::Unnest(unnest) => wanted.apply(Node::Unnest(Box::new(Unnest { of: self.pruned(unnest.of), ..*unnest }))),
            Node::Constants(constants) => wanted.apply(Node::Constants(constants)),
            Node::Nothing(_) => Node::Nothing(wanted.schema),
            // Rows are identified by all their columns, so none can be dropped.
            Node::Recursion(recursion) => {
                let Recursion { base, step, .. } = *recursion;
                let (base, step) = (self.pruned(base), self.pruned(step));
                wanted.apply(Node::Recursion(Box::new(Recursion { base, step, ..*recursion })))
            }
            Node::Itself(schema) => wanted.apply(Node::Itself(schema)),
        }
    }

    fn table(&self, input: TableRows, wanted: NodeDemand) -> Node {
        if input.filter.is_some() && wanted.filter.is_some() {
            return wanted.apply(Node::Table(input));
        }
        let table = &self.tables[input.table].schema;
        match wanted.through(|column| input.columns[column].clone(), table) {
            Some(NodeDemand { filter, columns, schema }) => {
                Node::Table(TableRows { table: input.table, filter: input.filter.or(filter), columns, schema })
            }
            None => wanted.apply(Node::Table(input)),
        }
    }

    fn selected(&self, select: Select, wanted: NodeDemand) -> Node {
        let Select { of, filter, columns, schema } = select;
        let one = match filter.is_some() && wanted.filter.is_some() {
            true => None,
            false => wanted.through(|column| columns[column].clone(), of.schema()),
        };
        match one {
            Some(one) => self.give(of, NodeDemand { filter: filter.or(one.filter), ..one }),
            None => {
                let read = wanted.read();
                let below =
                    NodeDemand { filter, columns: read.iter().map(|&c| columns[c].clone()).collect(), schema: schema.project(&read) };
                let input = below.schema.clone();
                wanted.of_read(&read, &input).apply(self.give(of, below))
            }
        }
    }

    fn joined(&self, mut join: Join, wanted: NodeDemand) -> Node {
        let above = match wanted.plain() {
            Some(columns) => {
                join.shown = columns.iter().map(|&column| join.shown[column]).collect();
                join.schema = wanted.schema;
                None
            }
            None => {
                let read = wanted.read();
                join.shown = read.iter().map(|&column| join.shown[column]).collect();
                join.schema = join.schema.project(&read);
                Some(wanted.of_read(&read, &join.schema))
            }
        };
        let width = join.left.node.schema().len();
        let of_condition = join.condition.iter().flat_map(|condition| &condition.columns);
        let read: Vec<usize> = join.shown.iter().chain(of_condition).copied().collect();
        // The mark, which is after the left columns, belongs to neither side.
        let right_width = join.right.node.schema().len();
        let reads_right = !join.kind.is_marked();
        let left = sorted(join.left.key.iter().copied().chain(read.iter().copied().filter(|&column| column < width)));
        let of_right = read.iter().filter_map(|&column| column.checked_sub(width)).filter(|&column| reads_right && column < right_width);
        let of_condition = join.condition.iter().flat_map(|c| &c.columns).filter_map(|&column| column.checked_sub(width));
        let right = sorted(join.right.key.iter().copied().chain(of_right).chain(of_condition));
        let place = |column: usize| match column.checked_sub(width) {
            None => place_in(&left, column),
            Some(mark) if !reads_right && mark == 0 => left.len(),
            Some(column) => left.len() + place_in(&right, column),
        };
        join.shown.iter_mut().for_each(|column| *column = place(*column));
        let pair = |column: usize| match column.checked_sub(width) {
            None => place_in(&left, column),
            Some(column) => left.len() + place_in(&right, column),
        };
        join.condition = join
            .condition
            .map(|PairCondition { expression, columns }| PairCondition { expression, columns: columns.into_iter().map(pair).collect() });
        join.left = self.side(join.left, &left);
        join.right = self.side(join.right, &right);
        let join = Node::Join(Box::new(join));
        match above {
            Some(above) => above.apply(join),
            None => join,
        }
    }

    /// The side with only these columns.
    fn side(&self, side: Side, columns: &[usize]) -> Side {
        let wanted = NodeDemand::columns(side.node.schema(), columns);
        Side { key: side.key.iter().map(|&column| place_in(columns, column)).collect(), node: self.give(side.node, wanted) }
    }

    fn grouped(&self, group: Group, above: &NodeDemand) -> Group {
        let Group { of, key, calls, schema } = group;
        let calls: Vec<_> = calls.into_iter().zip(key.len()..).map(|(call, at)| call.with_first_read(above.first_read(at))).collect();
        let read = sorted(key.iter().copied().chain(calls.iter().flat_map(|call| call.columns().to_vec())));
        let wanted = NodeDemand::columns(of.schema(), &read);
        let input = wanted.schema.clone();
        let calls = calls.into_iter().map(|call| call.over(&input, |column| place_in(&read, column))).collect();
        Group { key: key.into_iter().map(|column| place_in(&read, column)).collect(), of: self.give(of, wanted), calls, schema }
    }

    fn first(&self, top: Top, wanted: NodeDemand) -> Node {
        if top.numbered {
            return wanted.apply(Node::Top(Box::new(Top { of: self.pruned(top.of), ..top })));
        }
        let in_order = top.order.iter().map(|order| order.column);
        let read = sorted(wanted.read().into_iter().chain(in_order).chain(top.partition.iter().copied()));
        let below = NodeDemand::columns(top.of.schema(), &read);
        let schema = below.schema.clone();
        let order = top.order.iter().map(|order| Order { column: place_in(&read, order.column), ..*order }).collect();
        let partition = top.partition.iter().map(|&column| place_in(&read, column)).collect();
        let above = wanted.of_read(&read, &schema);
        above.apply(Node::Top(Box::new(Top { of: self.give(top.of, below), order, partition, schema, ..top })))
    }
}

fn plain(column: &InputColumn) -> Option<usize> {
    match column {
        InputColumn::Column(column) => Some(*column),
        InputColumn::Computed(_) => None,
    }
}

fn sorted(columns: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut columns: Vec<usize> = columns.collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The place of a column among those that are read.
fn place_in(read: &[usize], column: usize) -> usize {
    read.binary_search(&column).expect("a column that is read")
}
