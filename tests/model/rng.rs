//! SplitMix64: small, fast, and the same on every machine.

/// A stream of numbers that one seed decides.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next() % n }
    }

    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// Swarm testing: a fault class is on in `permille` of the seeds, with a strength of 1 to `most`.
    pub fn strength(&mut self, permille: u64, most: u64) -> u64 {
        if self.chance(permille) { 1 + self.below(most) } else { 0 }
    }
}
