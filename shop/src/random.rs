//! Random numbers that depend only on the seed, on every machine and in every version: SplitMix64, and weighted draws.

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and good with every seed.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The stream `name` of a seed. Streams of one seed are independent: draws from one do not change another.
    pub(super) fn new(seed: u64, name: &str) -> Random {
        Random(mix(seed ^ mix(xxhash_rust::xxh3::xxh3_64(name.as_bytes()))))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`, which must not be 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((self.next() as u128 * n as u128) >> 64) as u64
    }

    /// A number from `low` to `high`, including both.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True with a probability of `per_mille` in a thousand.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub(super) fn id(&mut self) -> u128 {
        (self.next() as u128) << 64 | self.next() as u128
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.index(i + 1));
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Draws an index with a probability in proportion to its weight.
#[derive(Debug, Clone)]
pub(super) struct Weighted {
    /// For every index, the sum of the weights up to and including its own.
    sums: Vec<u64>,
}

impl Weighted {
    pub(super) fn new(weights: impl IntoIterator<Item = u64>) -> Weighted {
        let mut sum = 0;
        Weighted {
            sums: weights
                .into_iter()
                .map(|w| {
                    sum += w;
                    sum
                })
                .collect(),
        }
    }

    /// The Zipf-Mandelbrot law: the weight of rank r (from 0) is `1 / (r + 1 + offset)`. Ranks are assigned to indexes at random.
    pub(super) fn zipf(n: usize, offset: usize, random: &mut Random) -> Weighted {
        let mut weights: Vec<u64> = (0..n).map(|rank| (1 << 40) / (rank + 1 + offset) as u64).collect();
        random.shuffle(&mut weights);
        Weighted::new(weights)
    }

    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let total = *self.sums.last().expect("something to draw from");
        let at = random.below(total);
        self.sums.partition_point(|&sum| sum <= at)
    }
}
