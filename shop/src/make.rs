//! Generates a whole shop from a seed.

use super::names::*;
use super::random::{Random, Weighted};
use super::rows::*;
use super::tables::{ShopTable, TABLES, scaled};

/// Every row of a shop. Items and payments are sorted like their orders.
#[derive(Debug, Clone)]
pub struct Shop {
    pub(super) seed: u64,
    pub(super) customers: Vec<Customer>,
    pub(super) sellers: Vec<Seller>,
    pub(super) products: Vec<Product>,
    pub(super) orders: Vec<OrderRow>,
    pub(super) items: Vec<Item>,
    pub(super) payments: Vec<Payment>,
}

/// The number of orders without an item, and without a payment, at the reference size.
const WITHOUT_ITEMS: u64 = 775;
const WITHOUT_PAYMENTS: u64 = 1;
/// The weights of how many more items (payments) an order with more than one has: index 0 is one more.
const MORE_ITEMS: &[u64] = &[7516, 1322, 505, 204, 198, 22, 8, 3, 8, 8, 5, 1, 2, 2, 1];
const MORE_PAYMENTS: &[u64] = &[2382, 581, 278, 170, 118, 82, 54, 43, 34, 29, 22, 14, 10, 8, 6, 5, 3, 2, 2];

const DAY: i64 = 86_400;
/// 2016-09-04 and 2018-09-03: orders are placed in between.
const OPENED: i64 = 1_472_947_200;
const CLOSED: i64 = 1_535_932_800;

impl Shop {
    /// The shop of this seed with this number of orders; the other tables are in proportion ([`super::TableShape::rows`]).
    pub fn new(seed: u64, orders: u64) -> Shop {
        let rows = |name: ShopTable| name.shape().rows(orders) as usize;
        let mut people = Random::new(seed, "people");
        let places = places();
        let customers = (0..rows(ShopTable::Customers)).map(|_| customer(&mut people, &places)).collect();
        let sellers: Vec<Seller> = (0..rows(ShopTable::Sellers)).map(|_| seller(&mut people, &places)).collect();
        let mut goods = Random::new(seed, "products");
        let categories = Weighted::new((1..=CATEGORIES.len() as u64).map(|rank| 1000 / rank));
        let products = (0..rows(ShopTable::Products)).map(|_| product(&mut goods, &categories)).collect();
        let mut shop = Shop { seed, customers, sellers, products, orders: Vec::new(), items: Vec::new(), payments: Vec::new() };
        shop.sell(orders as usize);
        shop
    }

    /// All rows of a table, in the order of generation.
    pub fn rows(&self, table: ShopTable) -> Box<dyn Iterator<Item = ShopRow> + '_> {
        match table {
            ShopTable::Customers => Box::new(self.customers.iter().copied().map(ShopRow::Customer)),
            ShopTable::Sellers => Box::new(self.sellers.iter().copied().map(ShopRow::Seller)),
            ShopTable::Products => Box::new(self.products.iter().copied().map(ShopRow::Product)),
            ShopTable::Orders => Box::new(self.orders.iter().copied().map(ShopRow::Order)),
            ShopTable::OrderItems => Box::new(self.items.iter().copied().map(ShopRow::Item)),
            ShopTable::OrderPayments => Box::new(self.payments.iter().copied().map(ShopRow::Payment)),
        }
    }

    /// The number of rows of all tables.
    pub fn len(&self) -> usize {
        TABLES.iter().map(|table| self.rows(table.name).count()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Generates the orders with their items and payments. Few sellers and products have most of the items.
    fn sell(&mut self, orders: usize) {
        let random = &mut Random::new(self.seed, "orders");
        let rows = |table: ShopTable| table.shape().rows(orders as u64);
        let items_of = children(orders, scaled(WITHOUT_ITEMS, orders as u64), rows(ShopTable::OrderItems), MORE_ITEMS, random);
        let payments_of = children(orders, scaled(WITHOUT_PAYMENTS, orders as u64), rows(ShopTable::OrderPayments), MORE_PAYMENTS, random);
        let mut buyers: Vec<usize> = (0..self.customers.len()).collect();
        random.shuffle(&mut buyers);
        let market = Market::new(self, random);
        let statuses = Weighted::new(STATUSES.iter().map(|s| s.1));
        for (at, buyer) in buyers.into_iter().enumerate() {
            let order = order(random, self.customers[buyer].id, items_of[at] == 0, &statuses);
            let mut total = 0;
            for number in 1..=items_of[at] {
                let previous = (number > 1).then(|| *self.items.last().expect("the item before"));
                let item = market.item(self, random, &order, number, previous);
                total += item.price + item.freight;
                self.items.push(item);
            }
            let due = if total > 0 { total } else { random.between(2_000, 30_000) };
            self.payments.extend(pay(random, order.id, payments_of[at], due));
            self.orders.push(order);
        }
    }
}

/// The offers of sellers, and the demand for products and sellers.
#[derive(Debug, Clone)]
pub(super) struct Market {
    products: Weighted,
    sellers: Weighted,
    /// The seller and the price of each product.
    offers: Vec<(usize, i64)>,
}

impl Market {
    pub(super) fn new(shop: &Shop, random: &mut Random) -> Market {
        let products = Weighted::zipf(shop.products.len(), 20 + shop.products.len() / 1000, random);
        let sellers = Weighted::zipf(shop.sellers.len(), 2 + shop.sellers.len() / 150, random);
        let offers = shop.products.iter().map(|_| (sellers.draw(random), price(random))).collect();
        Market { products, sellers, offers }
    }

    /// Generates an item of an order. It is usually the same as the previous one, and a product is usually sold by its main seller.
    pub(super) fn item(&self, shop: &Shop, random: &mut Random, order: &OrderRow, number: u32, previous: Option<Item>) -> Item {
        if let Some(previous) = previous
            && random.chance(700)
        {
            return Item { number, ..previous };
        }
        let product = self.products.draw(random);
        let (home, price) = self.offers[product];
        let seller = if random.chance(950) { home } else { self.sellers.draw(random) };
        Item {
            order: order.id,
            number,
            product: shop.products[product].id,
            seller: shop.sellers[seller].id,
            ship_by: order.purchased + random.between(2 * DAY, 9 * DAY),
            price,
            freight: random.between(700, 3_500),
        }
    }
}

fn places() -> Weighted {
    Weighted::new((1..=PLACES.len() as u64).map(|rank| 1000 / rank))
}

fn customer(random: &mut Random, places: &Weighted) -> Customer {
    let place = places.draw(random) as u8;
    Customer { id: random.id(), unique_id: random.id(), zip: zip(random), place }
}

fn seller(random: &mut Random, places: &Weighted) -> Seller {
    let place = places.draw(random) as u8;
    Seller { id: random.id(), zip: zip(random), place }
}

pub(super) fn zip(random: &mut Random) -> u32 {
    random.between(1_001, 99_990) as u32
}

fn product(random: &mut Random, categories: &Weighted) -> Product {
    let id = random.id();
    let described = (!random.chance(19)).then(|| Description {
        category: categories.draw(random) as u8,
        name_length: random.between(20, 63) as u16,
        description_length: random.between(50, 3_900) as u16,
        photos: 1 + (random.below(6) * random.below(6) / 6) as u8,
    });
    let side = |random: &mut Random| random.between(5, 100) as u16;
    let measures = (!random.chance(1)).then(|| [random.between(50, 30_000) as u16, side(random), side(random), side(random)]);
    Product { id, described, measures }
}

/// A price in hundredths: most are small, some are large, many end in 90 or 99. Computed with integers, so that every machine gives the same.
pub(super) fn price(random: &mut Random) -> i64 {
    const BANDS: &[(i64, i64, u64)] =
        &[(5, 39, 280), (40, 79, 270), (80, 149, 250), (150, 299, 130), (300, 799, 55), (800, 2_999, 14), (3_000, 6_735, 1)];
    let mut at = random.below(1_000);
    let mut band = BANDS.iter();
    let (low, high) = loop {
        let (low, high, weight) = *band.next().expect("the weights come to 1000");
        match at.checked_sub(weight) {
            Some(left) => at = left,
            None => break (low, high),
        }
    };
    let cents = [90, 99, 0, 50, random.between(0, 99)][random.index(5)];
    random.between(low, high) * 100 + cents
}

fn order(random: &mut Random, customer: u128, empty: bool, statuses: &Weighted) -> OrderRow {
    let status = match empty {
        true if random.chance(780) => UNAVAILABLE,
        true => CANCELED,
        false => statuses.draw(random) as u8,
    };
    let purchased = random.between(OPENED, CLOSED);
    let estimated = (purchased / DAY + random.between(12, 45)) * DAY;
    let placed =
        OrderRow { id: random.id(), customer, status: CREATED, purchased, approved: None, shipped: None, delivered: None, estimated };
    placed.advanced(status, random)
}

impl OrderRow {
    /// The order with this status and the times that belong to it.
    pub(super) fn advanced(mut self, status: u8, random: &mut Random) -> OrderRow {
        self.status = status;
        let left = matches!(status, UNAVAILABLE | CANCELED);
        if (status >= APPROVED && !left || left && random.chance(700)) && self.approved.is_none() {
            self.approved = Some(self.purchased + random.between(300, 2 * DAY));
        }
        if (SHIPPED..=DELIVERED).contains(&status) && self.shipped.is_none() {
            self.shipped = Some(self.purchased + 2 * DAY + random.between(0, 5 * DAY));
        }
        if status == DELIVERED && self.delivered.is_none() {
            self.delivered = Some(self.purchased + 7 * DAY + random.between(3_600, 20 * DAY));
        }
        self
    }
}

/// The payments of an order, `due` hundredths in total.
pub(super) fn pay(random: &mut Random, order: u128, count: u32, due: i64) -> Vec<Payment> {
    let kinds = Weighted::new(PAYMENT_TYPES.iter().map(|p| p.1));
    let mut left = due;
    (1..=count)
        .map(|number| {
            let value = if number == count { left } else { left / 2 };
            left -= value;
            let kind = if number > 1 { 2 } else { kinds.draw(random) as u8 };
            let installments = if kind == 0 { 1 + (random.below(10) * random.below(10) / 9) as u8 } else { 1 };
            Payment { order, number, kind, installments, value }
        })
        .collect()
}

/// The number of children of each parent: `without` parents have none, all others at least one, `total` in all.
fn children(parents: usize, without: u64, total: u64, more: &[u64], random: &mut Random) -> Vec<u32> {
    let without = (without as usize).max(parents.saturating_sub(total as usize));
    let mut order: Vec<usize> = (0..parents).collect();
    random.shuffle(&mut order);
    let mut counts = vec![0; parents];
    let some = &order[without..];
    for &parent in some {
        counts[parent] = 1;
    }
    let more = Weighted::new(more.iter().copied());
    let mut left = total as usize - some.len();
    while left > 0 {
        let extra = (more.draw(random) + 1).min(left);
        counts[some[random.index(some.len())]] += extra as u32;
        left -= extra;
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn the_reference_size_has_the_reference_rows() {
        let shop = Shop::new(1, 99_441);
        let counts: Vec<usize> = TABLES.iter().map(|t| shop.rows(t.name).count()).collect();
        assert_eq!(counts, [99_441, 3_095, 32_951, 99_441, 112_650, 103_886]);
        assert_eq!(shop.len(), 451_464);
    }

    #[test]
    fn other_sizes_are_in_proportion() {
        for orders in [0u64, 1, 2, 3, 10, 999, 1_000, 12_345] {
            let shop = Shop::new(9, orders);
            for table in &TABLES {
                let exact = table.reference_rows as f64 * orders as f64 / 99_441.0;
                let rows = shop.rows(table.name).count() as f64;
                assert!((rows - exact).abs() <= 0.5 || rows == 1.0 && exact < 1.0, "{} at {orders}: {rows} for {exact}", table.short);
            }
        }
    }

    #[test]
    fn every_reference_points_to_a_row_and_every_key_is_there_once() {
        let shop = Shop::new(3, 2_000);
        let orders: HashSet<u128> = shop.orders.iter().map(|o| o.id).collect();
        let customers: HashSet<u128> = shop.customers.iter().map(|c| c.id).collect();
        let products: HashSet<u128> = shop.products.iter().map(|p| p.id).collect();
        let sellers: HashSet<u128> = shop.sellers.iter().map(|s| s.id).collect();
        assert_eq!((orders.len(), customers.len()), (2_000, 2_000));
        assert!(shop.orders.iter().all(|o| customers.contains(&o.customer)));
        assert!(shop.items.iter().all(|i| orders.contains(&i.order) && products.contains(&i.product) && sellers.contains(&i.seller)));
        assert!(shop.payments.iter().all(|p| orders.contains(&p.order)));
        let items: HashSet<(u128, u32)> = shop.items.iter().map(|i| (i.order, i.number)).collect();
        let payments: HashSet<(u128, u32)> = shop.payments.iter().map(|p| (p.order, p.number)).collect();
        assert_eq!((items.len(), payments.len()), (shop.items.len(), shop.payments.len()));
    }

    #[test]
    fn few_sellers_and_products_have_most_of_the_items() {
        let shop = Shop::new(1, 99_441);
        let orders_of = |of: &dyn Fn(&Item) -> u128| {
            let mut orders: HashMap<u128, HashSet<u128>> = HashMap::new();
            for item in &shop.items {
                orders.entry(of(item)).or_default().insert(item.order);
            }
            let mut counts: Vec<usize> = orders.values().map(HashSet::len).collect();
            counts.sort_unstable_by(|a, b| b.cmp(a));
            counts
        };
        let sellers = orders_of(&|i| i.seller);
        assert!((700..2_000).contains(&sellers[0]), "the busiest seller has {} orders", sellers[0]);
        let mean = sellers.iter().sum::<usize>() / 3_095;
        assert!((25..40).contains(&mean), "a seller has {mean} orders on average");
        let products = orders_of(&|i| i.product);
        assert!((200..700).contains(&products[0]), "the busiest product has {} orders", products[0]);
    }

    #[test]
    fn some_orders_have_no_items_no_payment_no_delivery() {
        let shop = Shop::new(1, 99_441);
        let with_items: HashSet<u128> = shop.items.iter().map(|i| i.order).collect();
        let paid: HashSet<u128> = shop.payments.iter().map(|p| p.order).collect();
        assert_eq!((with_items.len(), paid.len()), (99_441 - 775, 99_441 - 1));
        let undelivered = shop.orders.iter().filter(|o| o.delivered.is_none()).count();
        assert!((2_000..5_000).contains(&undelivered), "{undelivered} orders are not delivered");
        assert!(shop.orders.iter().any(|o| o.approved.is_none()));
    }
}
