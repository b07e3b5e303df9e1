//! A shop that changes transaction by transaction; the same seed always gives the same transactions.

use super::make::{Market, Shop, pay, price, zip};
use super::names::*;
use super::random::{Random, Weighted};
use super::rows::*;

/// A change of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChange {
    Insert(ShopRow),
    /// Before and after.
    Update(ShopRow, ShopRow),
    Delete(ShopRow),
}

/// The current state of a shop, and the generator of its next transactions.
#[derive(Debug, Clone)]
pub struct ChangingShop {
    /// Has the current products and sellers; the orders are in `orders`.
    shop: Shop,
    orders: Vec<PresentOrder>,
    market: Market,
    random: Random,
    kinds: Weighted,
    /// The time of the last order, in seconds since 1970.
    now: i64,
}

/// An order with its customer, items and payments. Its customer may not exist yet, or no longer.
#[derive(Debug, Clone)]
struct PresentOrder {
    order: OrderRow,
    customer: Option<Customer>,
    items: Vec<Item>,
    payments: Vec<Payment>,
}

type ShopChange = fn(&mut ChangingShop, &mut Vec<RowChange>);

/// The kinds of changes, and their shares in a hundred.
const KINDS: &[(ShopChange, u64)] = &[
    (ChangingShop::place_order, 22),
    (ChangingShop::advance_status, 25),
    (ChangingShop::move_customer, 12),
    (ChangingShop::change_price, 8),
    (ChangingShop::exchange_product, 6),
    (ChangingShop::add_item, 5),
    (ChangingShop::remove_item, 4),
    (ChangingShop::move_item, 5),
    (ChangingShop::change_payment, 3),
    (ChangingShop::cancel_order, 4),
    (ChangingShop::forget_or_find_customer, 3),
    (ChangingShop::change_product, 2),
    (ChangingShop::move_seller, 1),
];

/// 2018-09-03 00:00:00, the end of the orders of a generated shop.
const OPENS: i64 = 1_535_932_800;

impl ChangingShop {
    pub fn new(mut shop: Shop) -> ChangingShop {
        let mut random = Random::new(shop.seed, "changes");
        let market = Market::new(&shop, &mut random);
        let mut items = std::mem::take(&mut shop.items).into_iter().peekable();
        let mut payments = std::mem::take(&mut shop.payments).into_iter().peekable();
        let mut customers: std::collections::HashMap<u128, Customer> = shop.customers.drain(..).map(|c| (c.id, c)).collect();
        let orders = std::mem::take(&mut shop.orders).into_iter().map(|order| PresentOrder {
            order,
            customer: customers.remove(&order.customer),
            items: std::iter::from_fn(|| items.next_if(|item| item.order == order.id)).collect(),
            payments: std::iter::from_fn(|| payments.next_if(|payment| payment.order == order.id)).collect(),
        });
        let orders = orders.collect();
        ChangingShop { shop, orders, market, random, kinds: Weighted::new(KINDS.iter().map(|kind| kind.1)), now: OPENS }
    }

    /// The changes of the next transaction, at least one, in the order of their statements.
    pub fn next_transaction(&mut self) -> Vec<RowChange> {
        let mut changes = Vec::new();
        // One transaction in ten has several kinds of changes.
        let mut things = if self.random.chance(100) { 2 + self.random.below(3) } else { 1 };
        while things > 0 || changes.is_empty() {
            let kind = if self.orders.is_empty() { 0 } else { self.kinds.draw(&mut self.random) };
            KINDS[kind].0(self, &mut changes);
            things = things.saturating_sub(1);
        }
        changes
    }

    /// All current rows, in no particular order.
    pub fn rows(&self) -> impl Iterator<Item = ShopRow> + '_ {
        let of_orders = self.orders.iter().flat_map(|present| {
            let items = present.items.iter().copied().map(ShopRow::Item);
            let payments = present.payments.iter().copied().map(ShopRow::Payment);
            let customer = present.customer.map(ShopRow::Customer);
            std::iter::once(ShopRow::Order(present.order)).chain(customer).chain(items).chain(payments)
        });
        let products = self.shop.products.iter().copied().map(ShopRow::Product);
        let sellers = self.shop.sellers.iter().copied().map(ShopRow::Seller);
        of_orders.chain(products).chain(sellers)
    }

    fn any_order(&mut self) -> usize {
        self.random.index(self.orders.len())
    }

    fn place_order(&mut self, changes: &mut Vec<RowChange>) {
        let random = &mut self.random;
        self.now += random.between(1, 120);
        let place = random.index(PLACES.len()) as u8;
        let customer = Customer { id: random.id(), unique_id: random.id(), zip: zip(random), place };
        let order = OrderRow {
            id: random.id(),
            customer: customer.id,
            status: CREATED,
            purchased: self.now,
            approved: None,
            shipped: None,
            delivered: None,
            estimated: (self.now / 86_400 + random.between(12, 45)) * 86_400,
        };
        let mut items: Vec<Item> = Vec::new();
        for number in 1..=1 + random.below(4) as u32 / 3 {
            items.push(self.market.item(&self.shop, random, &order, number, items.last().copied()));
        }
        let due = items.iter().map(|item| item.price + item.freight).sum();
        let payments = pay(random, order.id, 1, due);
        // One order in ten is inserted before its customer.
        let customer = (!random.chance(100)).then_some(customer);
        changes.extend(customer.map(|customer| RowChange::Insert(ShopRow::Customer(customer))));
        changes.push(RowChange::Insert(ShopRow::Order(order)));
        changes.extend(items.iter().map(|item| RowChange::Insert(ShopRow::Item(*item))));
        changes.extend(payments.iter().map(|payment| RowChange::Insert(ShopRow::Payment(*payment))));
        self.orders.push(PresentOrder { order, customer, items, payments });
    }

    fn advance_status(&mut self, changes: &mut Vec<RowChange>) {
        let at = self.any_order();
        let before = self.orders[at].order;
        let after = match before.status {
            DELIVERED => OrderRow { status: CANCELED, ..before },
            UNAVAILABLE | CANCELED => OrderRow { status: CREATED, approved: None, shipped: None, delivered: None, ..before },
            on_its_way => before.advanced(on_its_way + 1, &mut self.random),
        };
        self.orders[at].order = after;
        changes.push(RowChange::Update(ShopRow::Order(before), ShopRow::Order(after)));
    }

    fn move_customer(&mut self, changes: &mut Vec<RowChange>) {
        let at = self.any_order();
        let Some(before) = self.orders[at].customer else { return };
        let after = Customer { place: other_place(before.place, &mut self.random), zip: zip(&mut self.random), ..before };
        self.orders[at].customer = Some(after);
        changes.push(RowChange::Update(ShopRow::Customer(before), ShopRow::Customer(after)));
    }

    fn move_seller(&mut self, changes: &mut Vec<RowChange>) {
        let at = self.random.index(self.shop.sellers.len());
        let before = self.shop.sellers[at];
        self.shop.sellers[at].place = other_place(before.place, &mut self.random);
        changes.push(RowChange::Update(ShopRow::Seller(before), ShopRow::Seller(self.shop.sellers[at])));
    }

    fn change_product(&mut self, changes: &mut Vec<RowChange>) {
        let at = self.random.index(self.shop.products.len());
        let before = self.shop.products[at];
        let described = match before.described {
            Some(description) => Some(Description { photos: description.photos % 20 + 1, ..description }),
            None => {
                let category = self.random.index(CATEGORIES.len()) as u8;
                Some(Description { category, name_length: 40, description_length: 500, photos: 1 })
            }
        };
        self.shop.products[at].described = described;
        changes.push(RowChange::Update(ShopRow::Product(before), ShopRow::Product(self.shop.products[at])));
    }

    /// Changes one item of any order, if it has one.
    fn change_item(&mut self, changes: &mut Vec<RowChange>, change: impl Fn(&mut ChangingShop, Item) -> Item) {
        let at = self.any_order();
        if self.orders[at].items.is_empty() {
            return;
        }
        let number = self.random.index(self.orders[at].items.len());
        let before = self.orders[at].items[number];
        let after = change(self, before);
        if after != before {
            self.orders[at].items[number] = after;
            changes.push(RowChange::Update(ShopRow::Item(before), ShopRow::Item(after)));
        }
    }

    fn change_price(&mut self, changes: &mut Vec<RowChange>) {
        self.change_item(changes, |shop, item| Item { price: price(&mut shop.random), ..item });
    }

    fn exchange_product(&mut self, changes: &mut Vec<RowChange>) {
        self.change_item(changes, |shop, item| {
            let product = shop.shop.products[shop.random.index(shop.shop.products.len())].id;
            let seller = shop.shop.sellers[shop.random.index(shop.shop.sellers.len())].id;
            Item { product, seller, ..item }
        });
    }

    fn add_item(&mut self, changes: &mut Vec<RowChange>) {
        let at = self.any_order();
        let number = self.orders[at].next_number();
        let order = self.orders[at].order;
        let item = self.market.item(&self.shop, &mut self.random, &order, number, None);
        self.orders[at].items.push(item);
        changes.push(RowChange::Insert(ShopRow::Item(item)));
    }

    fn remove_item(&mut self, changes: &mut Vec<RowChange>) {
        let at = self.any_order();
        if let Some(item) = self.orders[at].items.pop() {
            changes.push(RowChange::Delete(ShopRow::Item(item)));
        }
    }

    /// Moves an item from one order to another, which changes its key.
    fn move_item(&mut self, changes: &mut Vec<RowChange>) {
        let (from, to) = (self.any_order(), self.any_order());
        if from == to {
            return;
        }
        if let Some(before) = self.orders[from].items.pop() {
            let after = Item { order: self.orders[to].order.id, number: self.orders[to].next_number(), ..before };
            self.orders[to].items.push(after);
            changes.push(RowChange::Update(ShopRow::Item(before), ShopRow::Item(after)));
        }
    }

    fn change_payment(&mut self, changes: &mut Vec<RowChange>) {
        let at = self.any_order();
        let number = self.orders[at].payments.len() as u32 + 1;
        match self.orders[at].payments.last_mut() {
            Some(payment) if payment.value > 100 => {
                let before = *payment;
                payment.value /= 2;
                let rest = Payment { number, value: before.value - payment.value, installments: 1, kind: 2, ..before };
                changes.push(RowChange::Update(ShopRow::Payment(before), ShopRow::Payment(*payment)));
                self.orders[at].payments.push(rest);
                changes.push(RowChange::Insert(ShopRow::Payment(rest)));
            }
            Some(_) => changes.extend(self.orders[at].payments.pop().map(|payment| RowChange::Delete(ShopRow::Payment(payment)))),
            None => {}
        }
    }

    /// Deletes an order with its customer, items and payments.
    fn cancel_order(&mut self, changes: &mut Vec<RowChange>) {
        let at = self.any_order();
        let gone = self.orders.swap_remove(at);
        changes.extend(gone.items.iter().map(|item| RowChange::Delete(ShopRow::Item(*item))));
        changes.extend(gone.payments.iter().map(|payment| RowChange::Delete(ShopRow::Payment(*payment))));
        changes.push(RowChange::Delete(ShopRow::Order(gone.order)));
        changes.extend(gone.customer.map(|customer| RowChange::Delete(ShopRow::Customer(customer))));
    }

    fn forget_or_find_customer(&mut self, changes: &mut Vec<RowChange>) {
        let at = self.any_order();
        let id = self.orders[at].order.customer;
        let change = match self.orders[at].customer.take() {
            Some(customer) => RowChange::Delete(ShopRow::Customer(customer)),
            None => {
                let place = self.random.index(PLACES.len()) as u8;
                let customer = Customer { id, unique_id: self.random.id(), zip: zip(&mut self.random), place };
                self.orders[at].customer = Some(customer);
                RowChange::Insert(ShopRow::Customer(customer))
            }
        };
        changes.push(change);
    }
}

impl PresentOrder {
    fn next_number(&self) -> u32 {
        self.items.iter().map(|item| item.number).max().unwrap_or(0) + 1
    }
}

fn other_place(place: u8, random: &mut Random) -> u8 {
    ((place as usize + 1 + random.index(PLACES.len() - 1)) % PLACES.len()) as u8
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::ShopTable;

    fn key(row: &ShopRow) -> (ShopTable, Vec<String>) {
        let mut cells = Vec::new();
        row.cells(&mut cells);
        let key = cells[..row.table().shape().key].iter().map(|cell| format!("{cell:?}")).collect();
        (row.table(), key)
    }

    #[test]
    fn every_change_fits_the_state_before_it() {
        let mut changing = ChangingShop::new(Shop::new(4, 200));
        let mut state: HashMap<_, ShopRow> = changing.rows().map(|row| (key(&row), row)).collect();
        assert_eq!(state.len(), Shop::new(4, 200).len());
        let mut seen = HashSet::new();
        for _ in 0..5_000 {
            for change in changing.next_transaction() {
                match change {
                    RowChange::Insert(row) => assert_eq!(state.insert(key(&row), row), None),
                    RowChange::Delete(row) => assert_eq!(state.remove(&key(&row)), Some(row)),
                    RowChange::Update(before, after) => {
                        assert_ne!(before, after);
                        assert_eq!(state.remove(&key(&before)), Some(before));
                        assert_eq!(state.insert(key(&after), after), None);
                        seen.insert((after.table(), "update"));
                        if key(&before) != key(&after) {
                            seen.insert((after.table(), "key change"));
                        }
                    }
                }
            }
        }
        assert_eq!(state, changing.rows().map(|row| (key(&row), row)).collect());
        assert!(seen.contains(&(ShopTable::OrderItems, "key change")));
        assert_eq!(seen.iter().filter(|s| s.1 == "update").count(), 6, "every table is updated");
    }

    #[test]
    fn a_seed_gives_the_same_transactions() {
        let transactions = |seed| {
            let mut changing = ChangingShop::new(Shop::new(seed, 50));
            (0..200).map(|_| changing.next_transaction()).collect::<Vec<_>>()
        };
        assert_eq!(transactions(1), transactions(1));
        assert_ne!(transactions(1), transactions(2));
    }

    #[test]
    fn a_shop_without_orders_gets_some() {
        let mut shop = Shop::new(1, 1);
        shop.orders.clear();
        shop.items.clear();
        shop.payments.clear();
        shop.customers.clear();
        let mut changing = ChangingShop::new(shop);
        assert!(!changing.next_transaction().is_empty());
    }
}
