use proptest::prelude::*;

use super::*;

/// Finite doubles of all sizes, many of them close to each other.
fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite()),
        3 => (-1_000_000i64..1_000_000).prop_map(|value| value as f64 / 1000.0),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN),
        1 => Just(f64::from_bits(1)),
        1 => Just(-0.0),
    ]
}

/// The double nearest to a sum, by Shewchuk's algorithm: partial sums that do not overlap. `None` if it overflows.
fn shewchuk(values: &[f64]) -> Option<f64> {
    let mut partials: Vec<f64> = Vec::new();
    for &value in values {
        let mut x = value;
        let mut kept = Vec::new();
        for &partial in &partials {
            let (large, small) = if x.abs() < partial.abs() { (partial, x) } else { (x, partial) };
            let high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                kept.push(low);
            }
            x = high;
        }
        kept.push(x);
        partials = kept;
    }
    let mut high = partials.pop().unwrap_or(0.0);
    let mut low = 0.0;
    while let Some(y) = partials.pop() {
        let x = high;
        high = x + y;
        low = y - (high - x);
        if low != 0.0 {
            break;
        }
    }
    if let Some(last) = partials.last()
        && ((low < 0.0 && *last < 0.0) || (low > 0.0 && *last > 0.0))
    {
        let y = low * 2.0;
        let x = high + y;
        if y == x - high {
            high = x;
        }
    }
    high.is_finite().then_some(high)
}

fn sum_of(values: &[(f64, Diff)]) -> Exact {
    let mut sum = Exact::default();
    values.iter().for_each(|(value, diff)| sum.add(*value, *diff));
    sum
}

fn written(sum: &Exact) -> Vec<u8> {
    let mut out = Vec::new();
    sum.write(&mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_sum_is_the_nearest_double(values in proptest::collection::vec(double(), 0..40)) {
        let sum = sum_of(&values.iter().map(|value| (*value, 1)).collect::<Vec<_>>()).number().rounded();
        if let Some(right) = shewchuk(&values) {
            prop_assert_eq!(sum, right, "{:?}", values);
        }
    }

    #[test]
    fn order_and_parts_make_no_difference_and_nothing_is_left(
        values in proptest::collection::vec((double(), -3i64..1_000), 0..30), seed: u64
    ) {
        let sum = sum_of(&values);
        let mut other = values.clone();
        let mut state = seed;
        for i in (1..other.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            other.swap(i, (state >> 33) as usize % (i + 1));
        }
        let at = other.len() / 3;
        let (mut first, second) = (sum_of(&other[..at]), sum_of(&other[at..]));
        first.merge(&mut &written(&second)[..]);
        prop_assert_eq!(first.number().rounded(), sum.number().rounded());
        for (value, diff) in &values {
            first.add(*value, -diff);
        }
        prop_assert!(first.is_zero());
        prop_assert!(written(&first).len() <= 2 + 8, "{} bytes of nothing", written(&first).len());
        first.add(1.5, 1);
        prop_assert_eq!(first.number().rounded(), 1.5);
    }

    #[test]
    fn squares_are_exact_and_cancel(values in proptest::collection::vec((double(), double()), 0..20)) {
        let mut sum = Exact::default();
        values.iter().for_each(|(a, b)| sum.add_product(*a, *b, 2));
        values.iter().for_each(|(a, b)| sum.add_product(-b, *a, 1));
        values.iter().for_each(|(a, b)| sum.add_product(*b, *a, -1));
        prop_assert!(sum.is_zero());
        // A product that a double can represent is that double.
        if let Some((a, b)) = values.first() {
            sum.add_product(*a, *b, 1);
            prop_assert_eq!(sum.number().rounded(), a * b);
        }
    }

    /// Quotients of integers that doubles can represent: IEEE division is the reference.
    #[test]
    fn quotients_and_roots_are_the_nearest_doubles(a in -(1i64 << 53)..1i64 << 53, b in 1i64..1 << 53, c in 1u64..1 << 26) {
        let number = |value: i64| sum_of(&[(value as f64, 1)]).number();
        let right = a as f64 / b as f64;
        prop_assert_eq!(number(a).over(&[b as u64]), right);
        prop_assert_eq!(number(a).over_number(&number(b)), right);
        let product = b as u64 % (1 << 26) + 1;
        prop_assert_eq!(number(a).over(&[c, product]), a as f64 / (c * product) as f64);
        prop_assert_eq!(number(b).root_over(&number(1)), (b as f64).sqrt());
        // The exact root is between the midpoints to the neighbours: b is between their squares times c.
        let root = number(b).root_over(&number(c as i64));
        for (neighbour, is_above) in [(root.next_up(), true), (root.next_down(), false)] {
            let step = neighbour - root;
            let mut square = Exact::default();
            square.add_product(root, root, c as i64);
            square.add_product(root, step, c as i64);
            square.add_product(step / 2.0, step / 2.0, c as i64);
            square.add(b as f64, -1);
            prop_assert!(square.is_zero() || square.number().is_negative() != is_above, "{} / {}: {}", b, c, root);
        }
    }

    #[test]
    fn numbers_subtract_and_multiply_as_whole_numbers_do(a in -(1i128 << 100)..1i128 << 100, b in -(1i64 << 53)..1i64 << 53) {
        let (high, low) = ((a >> 50) as i64, (a & ((1 << 50) - 1)) as i64);
        let mut sum = sum_of(&[(low as f64, 1)]);
        sum.add_product(high as f64, (1i64 << 50) as f64, 1);
        let (a_number, b_number) = (sum.number(), sum_of(&[(b as f64, 1)]).number());
        prop_assert_eq!(a_number.minus(&b_number).rounded(), (a - i128::from(b)) as f64);
        prop_assert_eq!(b_number.minus(&a_number).rounded(), (i128::from(b) - a) as f64);
        let product = b_number.times(&b_number).minus(&Number::from_count(7));
        prop_assert_eq!(product.rounded(), (i128::from(b) * i128::from(b) - 7) as f64);
    }
}

#[test]
fn a_sum_beyond_all_doubles_is_infinite_and_comes_back() {
    let mut sum = sum_of(&[(f64::MAX, 1), (f64::MAX, 1)]);
    assert_eq!(sum.number().rounded(), f64::INFINITY);
    assert_eq!(sum.number().over(&[2]), f64::MAX);
    sum.add(f64::MAX, -1);
    assert_eq!(sum.number().rounded(), f64::MAX);
    sum.add(f64::MAX, -3);
    assert_eq!(sum.number().rounded(), f64::NEG_INFINITY);
}

#[test]
fn results_below_the_smallest_double_are_rounded_to_even() {
    let tiny = f64::from_bits(1);
    assert_eq!(sum_of(&[(tiny, 1)]).number().over(&[2]), 0.0);
    assert_eq!(sum_of(&[(tiny, 3)]).number().over(&[2]), 2.0 * tiny);
    assert_eq!(sum_of(&[(tiny, 3)]).number().over(&[4]), tiny);
    let mut product = Exact::default();
    product.add_product(tiny, tiny, 1);
    assert!(!product.is_zero());
    assert_eq!(product.number().rounded(), 0.0);
}

#[test]
fn a_usual_sum_is_small() {
    assert!(size_of::<Exact>() <= 32);
    let mut sum = Exact::default();
    (0..100_000).for_each(|i| sum.add(f64::from(i) * 0.1 - 300.0, 1));
    assert!(matches!(sum.0, Limbs::Few { .. }));
    assert!(written(&sum).len() <= 2 + 8 * FEW);
}
